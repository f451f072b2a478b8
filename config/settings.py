"""What an operator sets: one frozen class for each edge, read from `REGULARS_…` variables when that edge starts.

Nothing here is an instance: each entry point builds the classes it needs once and passes values on. Keyword arguments
win over the environment, so a command-line option and its variable are the same field. Units are in the names.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from engine.errors import RegularsError

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
DEFAULT_CATALOGUE = Path(__file__).parent / "catalogue"


class ExposedWithoutKeys(RegularsError):
    """Without keys every caller has all rights, so the server may be reachable from this machine only."""


def _comma_separated(value: object) -> object:
    """Text "a, b" becomes ("a", "b"); blanks vanish, so an empty variable means none."""
    if isinstance(value, str):
        return tuple(part for part in (piece.strip() for piece in value.split(",")) if part)
    return value


def _sane_shard_count(shards: int) -> int:
    """A shard count is chosen once and for all: customers are hashed over it."""
    if not 1 <= shards <= 4096:
        raise ValueError("between 1 and 4096 shards")
    return shards


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    """Browsers send an origin as scheme, host and port, and compare it as text: a path or a slash would never fit."""
    for value in values:
        if value != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s?#]+", value):
            raise ValueError(f"an origin is written like https://shop.example, without a path or a slash at the end: {value!r}")
    return values


Origins = Annotated[tuple[str, ...], NoDecode, AfterValidator(_origins), BeforeValidator(_comma_separated)]


def _named(value: object) -> object:
    """Text "a=x, b=y" becomes {"a": "x", "b": "y"}; what stands behind the first `=` may hold others."""
    if not isinstance(value, str):
        return value
    pairs = [part.strip().partition("=") for part in value.split(",") if part.strip()]
    if any(not name.strip() or not text.strip() for name, _, text in pairs):
        raise ValueError("written as name=value, comma separated")
    return {name.strip(): text.strip() for name, _, text in pairs}


NamedWords = Annotated[dict[str, str], NoDecode, BeforeValidator(_named)]


class _Settings(BaseSettings):
    """Unknown variables are left alone: several programs share one environment."""

    model_config = SettingsConfigDict(env_prefix="REGULARS_", frozen=True, extra="ignore", validate_default=True)


class RedisSettings(_Settings):
    """The one store. An empty `redis_url` means the embedded server."""

    redis_url: str = ""
    redis_maxmemory_mb: int = Field(default=2048, ge=16)
    redis_timeout_ms: int = Field(default=5_000, ge=10)
    redis_memory_warn_percent: int = Field(default=80, ge=1, le=100)


class ApiSettings(_Settings):
    """The HTTP doors. Keys are comma separated; without any, only loopback addresses are allowed."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    api_workers: int = Field(default=1, ge=1, le=64)
    web_keys: Words = Field(default=(), repr=False)
    write_keys: Words = Field(default=(), repr=False)
    secret_keys: Words = Field(default=(), repr=False)
    cors_origins: Origins = ()
    catalogue: Path = DEFAULT_CATALOGUE
    decision_deadline_ms: int = Field(default=50, ge=1, le=10_000)
    max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    max_events_per_request: int = Field(default=10_000, ge=1)
    rate_limit_per_s: int = Field(default=5_000, ge=0, description="requests a second for each key; 0 is no limit")
    snapshot_poll_ms: int = Field(default=100, ge=10)
    snapshot_stale_s: int = Field(default=86_400, ge=1)
    features_stale_ms: int = Field(default=60_000, ge=1)
    catalogue_poll_s: float = Field(default=2.0, gt=0)
    drain_s: int = Field(default=10, ge=0)
    children_file: Path | None = None

    @property
    def keyless(self) -> bool:
        """No key of any kind is set, so every call counts as one with a secret key."""
        return not (self.web_keys or self.write_keys or self.secret_keys)

    def refuse_exposure(self) -> None:
        """Raises `ExposedWithoutKeys` where the address is not loopback and no key is set."""
        if self.keyless and self.host not in LOOPBACK:
            raise ExposedWithoutKeys(
                f"Without keys Regulars answers on loopback only, and {self.host} is not: set REGULARS_SECRET_KEYS"
                " (and REGULARS_WEB_KEYS, REGULARS_WRITE_KEYS as needed), or use --host 127.0.0.1."
            )


class EngineSettings(_Settings):
    """The shard processors. The churn horizon and what counts as activity are policy, not environment."""

    shards: Annotated[int, AfterValidator(_sane_shard_count)] = 64
    engines: int = Field(default=1, ge=1, le=64)
    engine_index: int = Field(default=0, ge=0)
    allowed_lateness_s: int = Field(default=86_400, ge=0)
    future_clamp_s: int = Field(default=300, ge=0)
    dedup_days: int = Field(default=7, ge=1)
    batch_events: int = Field(default=500, ge=1, le=500)
    idle_block_ms: int = Field(default=8, ge=1, le=1000)
    cache_customers: int = Field(default=50_000, ge=0)
    catalogue: Path = DEFAULT_CATALOGUE
    metrics_port: int = Field(default=0, ge=0, le=65535, description="0 serves none: `up` gathers them")

    def owned_shards(self) -> Sequence[int]:
        """The fixed share of this process: every shard has exactly one owner among `engines` processes."""
        return range(self.engine_index % self.engines, self.shards, self.engines)


class LearnSettings(_Settings):
    """The learner process: how much it reads at once and how often it publishes."""

    shards: Annotated[int, AfterValidator(_sane_shard_count)] = 64
    learn_batch_examples: int = Field(default=500, ge=1)
    learn_idle_ms: int = Field(default=50, ge=1)
    learn_publish_ms: int = Field(default=200, ge=0, description="at most one commit in this time")
    catalogue: Path = DEFAULT_CATALOGUE


class SenderSettings(_Settings):
    """The process that sends what triggers lead to. Webhooks are `name=https://…`, comma separated, and each has a secret.

    A claim has to be longer than everything that one attempt may take, or two attempts could overlap.
    """

    shards: Annotated[int, AfterValidator(_sane_shard_count)] = 64
    catalogue: Path = DEFAULT_CATALOGUE
    catalogue_poll_s: float = Field(default=2.0, gt=0)
    webhooks: NamedWords = {}
    webhook_secrets: NamedWords = Field(default={}, repr=False)
    webhook_timeout_ms: int = Field(default=10_000, ge=10)
    webhook_attempts: int = Field(default=16, ge=1, le=100)
    webhook_first_pause_ms: int = Field(default=1_000, ge=1)
    webhook_longest_pause_s: int = Field(default=3_600, ge=1)
    sender_workers: int = Field(default=8, ge=1, le=64)
    sender_claim_ms: int = Field(default=60_000, ge=100)
    sender_idle_ms: int = Field(default=200, ge=1, le=5_000)

    @model_validator(mode="after")
    def _signed(self) -> "SenderSettings":
        unsigned = sorted(set(self.webhooks) - set(self.webhook_secrets))
        if unsigned:
            raise ValueError(f"no secret is set for the webhook {unsigned[0]}: add {unsigned[0]}=… to REGULARS_WEBHOOK_SECRETS")
        return self


class RetentionSettings(_Settings):
    """How long each key family is kept. Accepted events are trimmed only below the committed offset."""

    decisions_days: int = Field(default=90, ge=1)
    dead_letters_days: int = Field(default=14, ge=1)
    stream_days: int = Field(default=30, ge=1)
    requests_hours: int = Field(default=24, ge=1)


class UpSettings(_Settings):
    """The whole system on one machine."""

    data: Path = Path("regulars-data")
    engines: int = Field(default=1, ge=1, le=64)
    # Longer than the API's own drain_s, so that a request with its time left is not killed.
    stop_within_s: int = Field(default=15, ge=0)
