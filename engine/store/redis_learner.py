"""What the learner keeps in Redis: one atomic, fenced write holds offsets, complete states, journal and snapshots.

| key | holds |
|---|---|
| `lrn:head` | the name of the last model commit; every commit names the one it follows |
| `lrn:offsets` | how far each shard's examples are learned |
| `lrn:state:model` | complete state of one learner |
| `lrn:guard:model` | what is served of a model and why, and how its labels are watched |
| `lrn:kept:model:source:version` | numbers of a good version that is kept |
| `lrn:journal` | stream of journal entries, one a commit |
| `lrn:commands` | stream of what operators ask; the only thing here that a commit does not write |
| `snap:model` | published numbers |
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Literal, cast

import msgspec
import redis
from redis.exceptions import RedisError

from engine.errors import StoredFormatError, StoreUnavailable
from engine.models.journal import COMMANDS, Entry, decode_entry
from engine.profiles.profile import Profile
from engine.store import keys
from engine.store.codec import decode_pair, decode_profile

HEAD, OFFSETS, JOURNAL, ASKED = "lrn:head", "lrn:offsets", "lrn:journal", "lrn:commands"

_COMMIT = files("engine.store").joinpath("lua/model_commit.lua").read_text()
_OFFSETS = msgspec.msgpack.Decoder(dict[int, str])
_ENCODER = msgspec.msgpack.Encoder()

Stream = list[tuple[bytes, dict[bytes, bytes]]]


def state_key(model: str) -> str:
    """The key of one learner's complete state."""
    return f"lrn:state:{model}"


def guard_key(model: str) -> str:
    """The key of what is served of a model and why."""
    return f"lrn:guard:{model}"


def kept_key(model: str, source: str, version: int) -> str:
    """The key of a kept version of a model."""
    return f"lrn:kept:{model}:{source}:{version}"


def _stream(shard: int) -> str:
    return ASKED if shard == COMMANDS else keys.examples(shard)


class Held(msgspec.Struct, frozen=True):
    """The learner's record as the last commit left it; `number` counts commits."""

    head: str = ""
    number: int = 0
    offsets: dict[int, str] = {}
    states: dict[str, bytes] = {}
    guards: dict[str, bytes] = {}


class Taken(msgspec.Struct, frozen=True):
    """Encoded examples of one shard in stream order, and the id of the last."""

    shard: int
    last: str
    examples: tuple[bytes, ...]


class ModelCommit(msgspec.Struct, frozen=True):
    """Everything one model commit writes. States and snapshots of models that learned nothing may be left out.

    `kept` are versions that are kept from now on, by their keys; `dropped` are keys of those that are not any more.
    """

    expected: str
    head: str
    number: int
    entry: bytes
    offsets: Mapping[int, str]
    states: Mapping[str, bytes] = {}
    snapshots: Mapping[str, bytes] = {}
    guards: Mapping[str, bytes] = {}
    kept: Mapping[str, bytes] = {}
    dropped: Sequence[str] = ()


class RedisLearnerStore:
    """One connection of the learner. Every failure to reach Redis is a `StoreUnavailable`."""

    def __init__(self, url: str) -> None:
        self.client: redis.Redis = redis.Redis.from_url(url, protocol=2, socket_timeout=30.0)
        self._commit = self.client.register_script(_COMMIT)

    def open(self, models: Sequence[str]) -> Held:
        """The record, read in one transaction."""
        try:
            pipe = self.client.pipeline(transaction=True)
            pipe.mget([HEAD, OFFSETS, *(state_key(model) for model in models)])
            pipe.mget([guard_key(model) for model in models])
            pipe.xrevrange(JOURNAL, count=1)
            (head, offsets, *states), guards, last = pipe.execute()
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
        return Held(
            head.decode() if head else "",
            int(last[0][0].split(b"-")[0]) if last else 0,
            _OFFSETS.decode(offsets) if offsets else {},
            {model: raw for model, raw in zip(models, states, strict=True) if raw is not None},
            {model: raw for model, raw in zip(models, guards, strict=True) if raw is not None},
        )

    def kept(self, names: Sequence[str]) -> dict[str, bytes]:
        """Kept versions by their keys; what is gone is left out."""
        if not names:
            return {}
        try:
            found = cast("list[bytes | None]", self.client.mget(names))
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
        return {name: raw for name, raw in zip(names, found, strict=True) if raw is not None}

    def models(self) -> list[str]:
        """The names of all that have learned here."""
        start = state_key("").encode()
        try:
            return sorted(name.removeprefix(start).decode() for name in self.client.scan_iter(start + b"*", count=1000))
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error

    def guard(self, model: str) -> bytes | None:
        """What is served of a model and why; None of one that has no guard of its own."""
        return self.kept([guard_key(model)]).get(guard_key(model))

    def snapshot(self, model: str) -> bytes | None:
        """What is published under a name."""
        return self.kept([keys.snapshot(model)]).get(keys.snapshot(model))

    def ask(self, command: bytes) -> None:
        """Hand a command to whoever learns, now or later."""
        try:
            self.client.xadd(ASKED, {"x": command})
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error

    def alive(self, name: str = "learn") -> bool:
        """Whether a learner has given a sign of life of late."""
        try:
            return bool(self.client.exists(keys.beat(name)))
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error

    def read(self, offsets: Mapping[int, str], most: int, block_ms: int) -> list[Taken]:
        """At most `most` examples after the offsets, shard by shard; waits up to `block_ms` for the first.

        One command reads all shards, so `most` is shared out between them; a shard that has more is read on.
        """
        streams = {_stream(shard): last for shard, last in offsets.items()}
        names = {_stream(shard).encode(): shard for shard in offsets}
        each = max(1, most // max(1, len(streams)))
        try:
            found = cast(
                "list[tuple[bytes, Stream]]",
                self.client.xread(streams, count=each, block=block_ms or None) or [],  # type: ignore[arg-type]
            )
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
        return [
            Taken(names[name], entries[-1][0].decode(), tuple(fields.get(b"x", b"") for _, fields in entries))
            for name, entries in found
        ]

    def between(self, shard: int, after: str, last: str) -> list[bytes]:
        """The encoded examples of a shard after one id and up to another."""
        try:
            found = cast("Stream", self.client.xrange(_stream(shard), f"({after}", last))
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
        return [fields.get(b"x", b"") for _, fields in found]

    def commit(self, commit: ModelCommit) -> Literal["written", "already", "fenced"]:
        """Write all of it if nobody else committed since `expected`.

        "already" means an earlier attempt of this very commit was written, though its answer was lost.
        """
        strings: dict[str, bytes] = {OFFSETS: _ENCODER.encode(dict(commit.offsets))}
        strings.update((state_key(model), raw) for model, raw in commit.states.items())
        strings.update((keys.snapshot(model), raw) for model, raw in commit.snapshots.items())
        strings.update((guard_key(model), raw) for model, raw in commit.guards.items())
        strings.update(commit.kept)
        names = [HEAD, JOURNAL, *strings, *commit.dropped]
        values: list[bytes | str | int] = [commit.expected, commit.head, commit.number, commit.entry, len(strings)]
        values += strings.values()
        try:
            answer = self._commit(names, values)
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
        return cast('Literal["written", "already", "fenced"]', cast("bytes", answer).decode())

    def journal(self) -> Iterator[Entry]:
        """Every journal entry from the first, page by page."""
        after = "-"
        while True:
            try:
                page = cast("Stream", self.client.xrange(JOURNAL, after, count=1000))
            except (RedisError, OSError) as error:
                raise StoreUnavailable(str(error)) from error
            if not page:
                return
            for name, fields in page:
                yield decode_entry(fields[b"j"])
                after = f"({name.decode()}"

    def popularity(self, shards: Sequence[int]) -> list[dict[str, tuple[float, int]]]:
        """What everybody buys, as each shard counts it."""
        try:
            pipe = self.client.pipeline(transaction=False)
            for shard in shards:
                pipe.hgetall(keys.popularity(shard))
            hashes = pipe.execute()
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
        return [{name.decode(): decode_pair(raw) for name, raw in one.items()} for one in hashes]

    def some_profiles(self, cursor: int, most: int) -> tuple[int, list[Profile]]:
        """Profiles from a pass over `most` keys or so, and where the next pass goes on; 0 begins anew and says the end.

        Each is seen at least once between two beginnings. One that cannot be read is left out; its shard says so.
        """
        try:
            following, names = cast("tuple[int, list[bytes]]", self.client.scan(cursor, match=keys.ANY_PROFILE, count=most))
            found = cast("list[bytes | None]", self.client.mget(names)) if names else []
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
        profiles = []
        for name, raw in zip(names, found, strict=True):
            with suppress(StoredFormatError):
                profiles += [decode_profile(name.decode(), raw)] if raw is not None else []
        return int(following), profiles

    def beat(self, name: str) -> None:
        """Say that the learner is alive."""
        try:
            self.client.set(keys.beat(name), "1", ex=keys.BEAT_SECONDS)
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error

    def close(self) -> None:
        """Let go of the connection."""
        self.client.close()
