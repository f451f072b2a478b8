"""Who is calling, what they may do, and how often.

Three kinds of key. *Web* keys stand in pages for everybody to read, so they may do little; *write* keys belong to tills and
servers; *secret* keys may do everything, and so may every caller where no key is set (loopback only, see settings).
Keys are looked up by their digest: how long that takes tells nothing about how much of a guess was right.
"""

import base64
import binascii
import hmac
import time
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b, sha256
from typing import Final, Literal
from urllib.parse import parse_qs

from msgspec import Struct

from api.problems import Problem
from engine.events import clickstream
from engine.events.decode import LEAD, payload_hash

KeyKind = Literal["web", "write", "secret"]

WEB_TYPES: Final = (frozenset(clickstream.TYPES) - {"cart_abandoned"}) | {
    "offer_viewed",
    "offer_clicked",
    "offer_dismissed",
    "consent_updated",
    "preference_updated",
}
"""What a page may say: how somebody walks through it, what they see and click of offers, and what they allow."""


UNSIGNED: Final = "web://unsigned"
"""The source of refusals that a page sent for a user without their hash."""


class Caller(Struct, frozen=True):
    """One key's rights. `name` is short and derived, fit for a log, and never the key."""

    kind: KeyKind
    name: str = ""

    @property
    def is_web(self) -> bool:
        return self.kind == "web"

    @property
    def is_secret(self) -> bool:
        return self.kind == "secret"


class Bucket:
    """A token bucket: `rate` a second, and as many at once."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._tokens = rate
        self._at = now

    def take(self, now: float) -> float:
        """0.0 when one was taken, else the seconds until one is there."""
        self._tokens = min(self._rate, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self._rate


class Access:
    """The keys of one installation. `rate_per_s` is for each key; 0 is no limit, and without keys there is none."""

    def __init__(
        self,
        web: Sequence[str],
        write: Sequence[str],
        secret: Sequence[str],
        rate_per_s: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        kinds: tuple[tuple[KeyKind, Iterable[str]], ...] = (("web", web), ("write", write), ("secret", secret))
        # A key of several kinds has the strongest.
        self._callers = {
            _digest(key.encode()): Caller(kind, f"{kind}-{_digest(key.encode()).hex()[:8]}")
            for kind, keys in kinds
            for key in keys
        }
        self._secrets = tuple(secret)
        self._everybody = Caller("secret", "keyless") if not self._callers else None
        self.itself = Caller("secret", "server")
        """What the server does for a caller whose rights it has checked."""
        self._clock = clock
        self._buckets = (
            {caller.name: Bucket(rate_per_s, clock()) for caller in self._callers.values()} if rate_per_s else {}
        )

    def caller(self, authorization: str | None, query: bytes = b"") -> Caller:
        """Who sent this `Authorization` header. Raises 401, and 429 over the rate.

        A page's last words, sent while it closes, cannot carry a header: a web key, and no other, may stand in the query
        of the address as `key`.
        """
        if self._everybody is not None:
            return self._everybody
        key = _key_in(authorization)
        in_address = not key and b"key=" in query
        if in_address:
            key = next(iter(parse_qs(query).get(b"key", ())), b"")
        caller = self._callers.get(_digest(key)) if key else None
        if in_address and caller is not None and not caller.is_web:
            raise Problem(401, "key.in_address", "addresses are written to logs: only a web key may stand in one")
        if caller is None:
            raise Problem(
                401,
                "key.unknown" if key else "key.missing",
                "send a key: `Authorization: Bearer KEY`, or Basic with the key as user name",
                headers={"WWW-Authenticate": 'Bearer realm="regulars"'},
            )
        bucket = self._buckets.get(caller.name)
        wait_s = bucket.take(self._clock()) if bucket else 0.0
        if wait_s:
            raise Problem(
                429, "rate.limited", "too many requests with this key", headers={"Retry-After": str(int(wait_s) + 1)}
            )
        return caller

    def vouches(self, user_id: str, user_hash: object) -> bool:
        """Whether a secret key's holder signed this user id: HMAC-SHA256, in hexadecimal."""
        if not isinstance(user_hash, str):
            return False
        given = user_hash.lower().encode()
        vouched = False
        for key in self._secrets:
            signed = hmac.new(key.encode(), user_id.encode(), sha256).hexdigest().encode()
            # Every one is compared, so that time does not tell which.
            vouched = hmac.compare_digest(signed, given) or vouched
        return vouched


def need_secret(caller: Caller) -> None:
    """Raises 403 for any other key."""
    if not caller.is_secret:
        raise Problem(403, "key.not_allowed", "this takes a secret key")


def refused_to_page(caller: Caller, body: object, vouches: Callable[[str, object], bool]) -> tuple[str, str, str] | None:
    """Why this caller may not send this event, as (code, field, sentence); None where they may."""
    if not caller.is_web or not isinstance(body, dict):
        return None
    kind = body.get("type")
    if not isinstance(kind, str) or kind not in WEB_TYPES:
        return "key.event_type", "type", "web keys send what happens in a page; this type takes a write key"
    if body.get("mode") is not None:
        return "key.not_allowed", "mode", "history takes a write key"
    user_id = body.get("user_id")
    if user_id is not None and not (_revokes(body) or vouches(str(user_id), body.get("user_hash"))):
        return "key.user_hash", "user_hash", "a page names a user only with user_hash, made where the secret key is"
    field = not_of_a_page(body.get("loyalty_id"), body.get("anonymous_id"))
    if field and not _is_unsigned(body, vouches):
        return "key.not_allowed", field, "web keys speak for the page's own anonymous_id"
    return None


def not_of_a_page(loyalty_id: object, anonymous_id: object) -> str:
    """The field that names somebody whom no page knows by itself, or none. Whoever logs in could take others' cards and leads."""
    if loyalty_id is not None:
        return "loyalty_id"
    return "anonymous_id" if isinstance(anonymous_id, str) and anonymous_id.startswith(LEAD) else ""


def as_signed(caller: Caller, body: object, vouches: Callable[[str, object], bool]) -> object:
    """What is left of an event of a page: all of it, but of a refusal that nobody has signed only who refuses what.

    Anybody may refuse for anybody, so nothing else may come in with it: no other identity, no time of its own, and no name under
    which another event is expected.
    """
    if not caller.is_web or not isinstance(body, dict) or not _is_unsigned(body, vouches):
        return body
    data = body["data"]
    said = {name: data[name] for name in ("purpose", "status", "channel", "channels") if _is_flat(data.get(name))}
    kept = {"type": body["type"], "user_id": body["user_id"], "source": UNSIGNED, "data": said}
    named = body.get("id")
    return {**kept, "id": named if named is not None else f"h-{payload_hash(kept).hex()}"}


def _is_flat(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))


def _is_unsigned(body: dict[str, object], vouches: Callable[[str, object], bool]) -> bool:
    user_id = body.get("user_id")
    return user_id is not None and _revokes(body) and not vouches(str(user_id), body.get("user_hash"))


def _revokes(body: dict[str, object]) -> bool:
    data = body.get("data")
    return (
        body.get("type") == "consent_updated" and isinstance(data, dict) and data.get("status") in ("revoked", "denied")
    )


def _key_in(authorization: str | None) -> bytes:
    scheme, _, rest = (authorization or "").strip().partition(" ")
    rest = rest.strip()
    match scheme.lower():
        case "bearer":
            return rest.encode()
        case "basic":
            try:
                return base64.b64decode(rest.encode(), validate=True).partition(b":")[0]
            except (binascii.Error, ValueError):
                return b""
        case _:
            return b""


def _digest(key: bytes) -> bytes:
    return blake2b(key, digest_size=16).digest()
