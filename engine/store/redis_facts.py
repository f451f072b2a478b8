"""What all shards know together, read for the learner, and what it announces to all of them."""

from typing import cast

import redis
from redis.exceptions import RedisError

from engine.errors import StoreUnavailable
from engine.events.reference import Reference
from engine.events.routing import Admitted
from engine.store import keys
from engine.store.codec import decode_record, decode_reference


class RedisFacts:
    """Reads and announces over the connection of another adapter. Every failure to reach Redis is a `StoreUnavailable`."""

    def __init__(self, client: redis.Redis, shards: int) -> None:
        self._client = client
        self._shards = range(shards)

    def histograms(self) -> list[dict[str, int]]:
        """How many customers are in which bin, as each shard counts them."""
        try:
            pipe = self._client.pipeline(transaction=False)
            for shard in self._shards:
                pipe.hgetall(keys.histogram(shard))
            hashes = pipe.execute()
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
        return [{name.decode(): int(count) for name, count in one.items()} for one in hashes]

    def watermark(self) -> int:
        """The latest event time that any shard has reached."""
        names = [keys.record(shard) for shard in self._shards]
        try:
            records = cast("list[bytes | None]", self._client.mget(names))
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
        known = [decode_record(name, raw).watermark for name, raw in zip(names, records, strict=True) if raw]
        return max(known, default=0)

    def reference(self, name: str) -> Reference | None:
        """The newest version of a fact at which any shard stands."""
        return max(filter(None, self.references(name)), key=lambda one: one.version, default=None)

    def references(self, name: str) -> list[Reference | None]:
        """The version of a fact at which each shard stands."""
        try:
            pipe = self._client.pipeline(transaction=False)
            for shard in self._shards:
                pipe.hget(keys.references(shard), name)
            held = pipe.execute()
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
        return [decode_reference(raw) if raw else None for raw in held]

    def announce(self, entry: Admitted) -> None:
        """Append to every shard's log. Repeating it is harmless, so a failure in between is repaired by doing it again."""
        fields: dict[bytes | str, bytes | str] = {"e": entry.entry, "h": entry.fingerprint, "k": entry.key}
        try:
            pipe = self._client.pipeline(transaction=False)
            for shard in self._shards:
                pipe.xadd(keys.events(shard), fields)  # type: ignore[arg-type]
            pipe.execute()
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
