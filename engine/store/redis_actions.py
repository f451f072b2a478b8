"""Actions on Redis: taken over from the shards, claimed by one sender at a time, settled once.

A claim is a date in the queue: until then nobody else takes the action up, and a settlement holds only while that date
still stands. So a sender that was killed, or two at once, do no harm: what nobody settled in time is claimed again.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final, Literal, cast

import msgspec
import redis
from redis.exceptions import RedisError

from engine.decisioning.deliveries import (
    DEAD_KEPT_MS,
    KEPT_MS,
    Delivery,
    begun,
    decode_delivery,
    encode_delivery,
    revived,
)
from engine.decisioning.triggers import Action
from engine.errors import StoreUnavailable
from engine.ids import erased_name, shard_of
from engine.store import keys

ListName = Literal["waiting", "dead", "over"]
_LISTS: Final[dict[str, str]] = {"waiting": keys.ACTION_QUEUE, "dead": keys.ACTIONS_DEAD, "over": keys.ACTIONS_DONE}
_AT_ONCE: Final = 500
_ACTION = msgspec.json.Decoder(Action)


class Held(msgspec.Struct, frozen=True):
    """An action in one sender's hands, until the end of its claim."""

    delivery: Delivery
    until: int


class Standing(msgspec.Struct, frozen=True):
    """How many actions are on their way and dead, and for how long the first of those should have been looked at."""

    waiting: int = 0
    dead: int = 0
    overdue_ms: int = 0


class RedisActions:
    """The connection of a sender or an operator. Every failure to reach Redis is a `StoreUnavailable`."""

    def __init__(self, url: str, shards: int, timeout_s: float = 30.0) -> None:
        self._client: redis.Redis = redis.Redis.from_url(url, protocol=2, socket_timeout=timeout_s)
        self._shards = shards
        self._scripts = {name: self._script(name) for name in ("intake", "claim", "settle", "revive")}
        self._salt = b""

    def take_over(self, block_ms: int) -> int:
        """Take what shards have put on their streams into the queue; returns how many actions are new.

        Waits up to `block_ms` for the first. A crash between taking and deleting takes them again, which changes nothing.
        """
        streams: dict[Any, Any] = {keys.actions(shard): "0-0" for shard in range(self._shards)}
        try:
            answer = self._client.xread(streams, count=_AT_ONCE, block=block_ms or None)
            new = 0
            for name, entries in cast("list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]", answer or []):
                new += self._take([_ACTION.decode(fields[b"a"]) for _, fields in entries])
                self._client.xdel(name, *(entry for entry, _ in entries))
            return new
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error

    def claim(self, now: int, until: int, most: int) -> list[Held]:
        """Actions that are due, in this sender's hands until `until`."""
        try:
            names = [name.decode() for name in self._scripts["claim"]([keys.ACTION_QUEUE], [now, until, most])]
            raws = cast("list[bytes | None]", self._client.mget([keys.delivery(name) for name in names])) if names else []
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
        return [Held(decode_delivery(raw, name), until) for name, raw in zip(names, raws, strict=True) if raw is not None]

    def settle(self, held: Held, after: Delivery, again_at: int) -> bool:
        """Write down what became of an action; `again_at` is ignored once it is over. False where the claim was lost."""
        index, stays = (keys.ACTIONS_DEAD, DEAD_KEPT_MS) if after.state == "dead" else (keys.ACTIONS_DONE, KEPT_MS)
        names = [keys.ACTION_QUEUE, keys.delivery(after.id), index]
        values = [after.id, held.until, encode_delivery(after), "" if after.over else again_at, stays, after.at]
        try:
            return bool(self._scripts["settle"](names, values) == b"written")
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error

    def erased(self, customer: str) -> bool:
        """Whether the customer asked to be forgotten."""
        shard = shard_of(customer, self._shards)
        try:
            if not self._salt:
                self._salt = cast("bytes | None", self._client.hget(keys.META, "salt")) or b""
            return bool(self._client.sismember(keys.gone(shard), cast("Any", erased_name(customer, self._salt))))
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error

    def one(self, name: str) -> Delivery | None:
        """An action by its id."""
        try:
            raw = cast("bytes | None", self._client.get(keys.delivery(name)))
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
        return decode_delivery(raw, name) if raw is not None else None

    def listed(self, which: ListName, limit: int) -> list[Delivery]:
        """Actions of a list, the latest first."""
        try:
            names = [name.decode() for name in cast("list[bytes]", self._client.zrevrange(_LISTS[which], 0, limit - 1))]
            raws = cast("list[bytes | None]", self._client.mget([keys.delivery(name) for name in names])) if names else []
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
        return [decode_delivery(raw, name) for name, raw in zip(names, raws, strict=True) if raw is not None]

    def revive(self, name: str, now: int) -> bool:
        """Put a dead letter back into the queue; False where it is none."""
        dead = self.one(name)
        if dead is None or dead.state != "dead":
            return False
        names = [keys.ACTION_QUEUE, keys.delivery(name), keys.ACTIONS_DEAD]
        try:
            return bool(self._scripts["revive"](names, [name, encode_delivery(revived(dead, now)), now]))
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error

    def standing(self, now: int) -> Standing:
        """How it goes."""
        try:
            pipe = self._client.pipeline(transaction=False)
            pipe.zcard(keys.ACTION_QUEUE)
            pipe.zcard(keys.ACTIONS_DEAD)
            pipe.zrange(keys.ACTION_QUEUE, 0, 0, withscores=True)
            waiting, dead, first = pipe.execute()
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
        return Standing(waiting, dead, max(0, now - int(first[0][1])) if first else 0)

    def tidy(self, now: int) -> None:
        """Let go of what is over for long enough, and of dead letters of customers who were erased since."""
        for delivery in self.listed("dead", _AT_ONCE):
            if delivery.action is not None and self.erased(delivery.action.customer):
                self._forget(delivery.id)
        try:
            pipe = self._client.pipeline(transaction=False)
            pipe.zremrangebyscore(keys.ACTIONS_DONE, "-inf", now - KEPT_MS)
            pipe.zremrangebyscore(keys.ACTIONS_DEAD, "-inf", now - DEAD_KEPT_MS)
            pipe.execute()
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error

    def close(self) -> None:
        """Lets go of the connections."""
        self._client.close()

    def _take(self, actions: Sequence[Action]) -> int:
        values: list[str | int | bytes] = []
        for action in actions:
            values += [action.id, action.due_at, encode_delivery(begun(action))]
        names = [keys.ACTION_QUEUE, *(keys.delivery(action.id) for action in actions)]
        return int(self._scripts["intake"](names, values))

    def _forget(self, name: str) -> None:
        try:
            pipe = self._client.pipeline(transaction=True)
            pipe.zrem(keys.ACTIONS_DEAD, name)
            pipe.delete(keys.delivery(name))
            pipe.execute()
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error

    def _script(self, name: str) -> Any:
        return self._client.register_script(files("engine.store").joinpath(f"lua/act_{name}.lua").read_text())
