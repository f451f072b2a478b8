"""What is held of one customer: reading it, handing it over, and having it forgotten."""

import asyncio
import os
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import chain
from typing import Any

import msgspec
import orjson

from api.customer_state import Known, joined, known, names_of
from engine.errors import Rejected
from engine.events.base import Event
from engine.events.decode import decode_canonical, encode_canonical
from engine.events.routing import route
from engine.ids import CustomerKey, erased_name, shard_of
from engine.shards.timeline import read_touch_point
from engine.store import keys

Ask = Callable[[Sequence[Any]], Awaitable[list[Any]]]
_PAGE = 500


class Erased(Exception):
    """This customer asked to be forgotten."""


async def read_customer(ask: Ask, shards: int, key: CustomerKey, riding: Sequence[Event] = ()) -> Known | None:
    """The customer with what is on its way; None for somebody never heard of. Raises `Erased`."""
    shard = shard_of(key, shards)
    noted = ("SISMEMBER", keys.gone(shard), await erased_as(ask, key))
    values, gone = await ask([("MGET", *names_of(shard, key)), noted])
    stored, pending, ledger = values
    found = known(key, stored, pending, ledger, riding)
    if gone == 1 or found.erased:
        raise Erased
    if found.moved_to is not None:
        return await read_customer(ask, shards, found.moved_to, found.underway)
    if found.elsewhere:
        # Read again with what is on its way to the others, at one instant: what left one of them meanwhile is in another.
        names = [names_of(shard_of(name, shards), name) for name in (key, *found.elsewhere)]
        (together,) = await ask([("MGET", *chain.from_iterable(names))])
        values = iter(together)
        mine, *others = [(next(values), next(values), next(values)) for _ in names]
        found = joined(found, mine, others, riding)
    return found if found.profile.events else None


async def erased_as(ask: Ask, key: CustomerKey) -> bytes:
    """The name under which an erased customer is remembered."""
    (salt,) = await ask([("HGET", keys.META, "salt")])
    if salt is None:
        _, salt = await ask([("HSETNX", keys.META, "salt", os.urandom(32)), ("HGET", keys.META, "salt")])
    return erased_name(key, salt)


async def held(ask: Ask, shards: int, key: CustomerKey, found: Known) -> AsyncIterator[bytes]:
    """Everything held, as lines of JSON: the profile, the ledger, and under each identity the events and decisions still kept."""
    names = sorted({key, *found.profile.parts})
    yield _line("profile", msgspec.to_builtins(found.profile, builtin_types=(bytes,)))
    yield _line("ledger", msgspec.to_builtins(found.ledger))
    for name in names:
        (lines,) = await ask([("LRANGE", keys.timeline(shard_of(name, shards), name), 0, -1)])
        for raw in lines:
            yield _line("timeline", msgspec.structs.asdict(read_touch_point(raw)))
    seen: set[tuple[str, str]] = set()
    stored_as = {name.encode() for name in names}
    for shard in sorted({shard_of(name, shards) for name in names}):
        async for fields in _pages(ask, keys.events(shard)):
            event = decode_canonical(fields.get(b"e", b"")) if fields.get(b"k") in stored_as else None
            if event is None or isinstance(event, Rejected) or route(event) not in names or (event.source, event.id) in seen:
                continue
            # One that was passed on to the customer lies in two shards.
            seen.add((event.source, event.id))
            yield _line("event", orjson.Fragment(fields[b"e"]))
        async for fields in _pages(ask, keys.decisions(shard)):
            event = decode_canonical(fields.get(b"d", b""))
            if not isinstance(event, Rejected) and route(event) in names:
                yield _line("decision", orjson.Fragment(encode_canonical(event)))


def _line(kind: str, value: Any) -> bytes:
    return orjson.dumps({"kind": kind, "value": value}, default=_plain) + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    raise TypeError(type(value).__name__)


async def _pages(ask: Ask, stream: str) -> AsyncIterator[dict[bytes, bytes]]:
    start = "-"
    while True:
        (page,) = await ask([("XRANGE", stream, start, "+", "COUNT", _PAGE)])
        for _, fields in page:
            yield dict(zip(fields[::2], fields[1::2], strict=True))
        if len(page) < _PAGE:
            return
        start = f"({page[-1][0].decode()}"


async def folded(ask: Ask, shard: int, key: CustomerKey, wait_s: float) -> bool:
    """Whether the erasure has been carried out, waiting a little for the engine to do so."""
    until = asyncio.get_running_loop().time() + wait_s
    noted = ("SISMEMBER", keys.gone(shard), await erased_as(ask, key))
    while True:
        gone, left = await ask([noted, ("EXISTS", keys.profile(shard, key), keys.ledger(shard, key), keys.timeline(shard, key))])
        if gone == 1 and left == 0:
            return True
        if asyncio.get_running_loop().time() >= until:
            return False
        await asyncio.sleep(0.02)


async def forget_answers(ask: Ask, shard: int, key: CustomerKey) -> int:
    """Deletes the answers kept for the customer's request ids; how many there were."""
    pattern = "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in keys.request(shard, key, "")) + "*"
    cursor, count = b"0", 0
    while True:
        ((cursor, names),) = await ask([("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)])
        if names:
            await ask([("UNLINK", *names)])
            count += len(names)
        if cursor == b"0":
            return count
