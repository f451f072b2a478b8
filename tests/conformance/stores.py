"""The stores that the conformance suite is held over, and what a test may look at in them."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Protocol, cast

from engine.errors import Rejected
from engine.store import keys
from engine.store.memory import MemoryStore
from engine.store.redis_writer import RedisStore


class Held(Protocol):
    """A store, and what is in it."""

    store: Any

    def everything(self) -> dict[str, Any]:
        """All that is held, so that two moments can be compared."""
        ...

    def stream(self, family: str, shard: int) -> list[Any]:
        """Entries of `examples`, `dead`, `outbox`, `decisions`, `actions` or `baskets`, as plain values in order."""
        ...

    def profile(self, shard: int, key: str) -> bytes | None:
        """The stored bytes of a profile."""
        ...

    def timeline(self, shard: int, key: str) -> list[bytes]:
        """The stored lines of a customer, oldest first."""
        ...

    def reached(self, shard: int, digest: str) -> set[str]:
        """Who is found by a hashed address."""
        ...


class InMemory:
    def __init__(self) -> None:
        self.store = MemoryStore()

    def everything(self) -> dict[str, Any]:
        held = {name: deepcopy(value) for name, value in vars(self.store).items()}
        return {name: {key: kept for key, kept in value.items() if kept} for name, value in held.items()}

    def stream(self, family: str, shard: int) -> list[Any]:
        plain: dict[str, Callable[[Any], Any]] = {
            "examples": lambda raw: raw,
            "decisions": lambda raw: raw,
            "actions": lambda raw: raw,
            "baskets": lambda raw: raw,
            "dead": lambda one: (one.raw, one.reason, one.key, one.fingerprint, one.entry_id),
            "outbox": lambda one: (one.shard, one.key, one.event, one.fingerprint),
        }
        return [plain[family](one) for one in getattr(self.store, family)[shard]]

    def profile(self, shard: int, key: str) -> bytes | None:
        return self.store.profile(shard, key)

    def timeline(self, shard: int, key: str) -> list[bytes]:
        return self.store.timeline.get((shard, key), [])

    def reached(self, shard: int, digest: str) -> set[str]:
        return self.store.reached.get((shard, digest), set())


class OnRedis:
    def __init__(self, url: str) -> None:
        self.store = RedisStore(url)

    def everything(self) -> dict[str, Any]:
        client = self.store.client
        return {name.decode(): client.dump(name) for name in client.scan_iter(count=1000)}

    def stream(self, family: str, shard: int) -> list[Any]:
        plain: dict[str, Callable[[dict[bytes, bytes]], Any]] = {
            "examples": lambda fields: fields[b"x"],
            "decisions": lambda fields: fields[b"d"],
            "actions": lambda fields: fields[b"a"],
            "baskets": lambda fields: fields[b"b"],
            "dead": _letter,
            "outbox": lambda fields: (int(fields[b"s"]), fields[b"k"].decode(), fields[b"e"], fields[b"h"]),
        }
        names = {
            "examples": keys.examples,
            "decisions": keys.decisions,
            "actions": keys.actions,
            "baskets": keys.baskets,
            "dead": keys.dead,
            "outbox": keys.outbox,
        }
        return [plain[family](fields) for _, fields in cast("Any", self.store.client.xrange(names[family](shard)))]

    def profile(self, shard: int, key: str) -> bytes | None:
        return cast("bytes | None", self.store.client.get(keys.profile(shard, key)))

    def timeline(self, shard: int, key: str) -> list[bytes]:
        return cast("list[bytes]", self.store.client.lrange(keys.timeline(shard, key), 0, -1))

    def reached(self, shard: int, digest: str) -> set[str]:
        return {name.decode() for name in cast("set[bytes]", self.store.client.smembers(keys.reached(shard, digest)))}


def _letter(fields: dict[bytes, bytes]) -> Any:
    code, field, detail, name = fields[b"r"].decode().split("\x1f")
    return fields[b"e"], Rejected(code, detail, field, name), fields[b"k"].decode(), fields[b"h"], fields[b"i"].decode()
