"""The contact ledger on Redis: decisions admitted, views noted, stock reserved, each by one script.

Calls are queued on a pipeline, so that all requests of one turn of the event loop share a round trip; `run` executes
it and each queued call has a reader for its reply. Scripts are known to the server by hash. A server that lost them is
taught again and asked once more: an unknown hash has run nothing.
"""

from collections.abc import Sequence
from hashlib import sha1
from importlib.resources import files
from itertools import chain
from typing import Any, cast

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import NoScriptError, RedisError

from engine.decisioning.decision import Take
from engine.decisioning.ledger import Claim, Ledger, Refusal, Sticky, decode_ledger
from engine.errors import InvariantBroken, StoreUnavailable
from engine.store import keys

BODY_SECONDS = 86_400
"""How long the answer to a request id is kept."""


def _script(name: str) -> tuple[str, str]:
    text = files("engine.store").joinpath(f"lua/{name}.lua").read_text()
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()


_COMMIT, _COMMIT_HASH = _script("decision_commit")
_MARK, _MARK_HASH = _script("ledger_mark")
_RESERVE, _RESERVE_HASH = _script("stock_reserve")
_encode = msgspec.msgpack.Encoder().encode


class Commitment(Struct, frozen=True, kw_only=True):
    """One decision on its way into the store.

    `keep_ms` is how long ledger entries matter: the longest window of any cap. `log` is the entry for the shard's event
    stream, field by field; empty logs nothing. Without `request_id` the answer is not kept.
    """

    shard: int
    customer: str
    now: int
    keep_ms: int
    claims: tuple[Claim, ...] = ()
    sticky: tuple[Sticky, ...] = ()
    log: dict[str, bytes] = {}
    request_id: str = ""
    request_hash: str = ""
    body: bytes = b""


class Committed(Struct, frozen=True):
    """The decision holds."""


class Stored(Struct, frozen=True):
    """This request was answered before; `body` is that answer."""

    body: bytes


class Conflict(Struct, frozen=True):
    """This request id was used for another request."""


Outcome = Committed | Stored | Conflict | Refusal


def queue_commit(pipe: "Pipeline", wanted: Commitment) -> None:
    """Queue the decision commit; read its reply with `outcome`."""
    pipe.evalsha(*commit_words(wanted))


def commit_words(wanted: Commitment) -> tuple[Any, ...]:
    """The decision commit as the words behind EVALSHA."""
    names = [keys.ledger(wanted.shard, wanted.customer), keys.events(wanted.shard)]
    if wanted.request_id:
        names.append(keys.request(wanted.shard, wanted.customer, wanted.request_id))
    return (
        _COMMIT_HASH,
        len(names),
        *names,
        wanted.now,
        wanted.keep_ms,
        wanted.request_hash,
        wanted.body,
        BODY_SECONDS,
        _encode(wanted.claims),
        _encode(wanted.sticky),
        *chain.from_iterable(wanted.log.items()),
    )


def outcome(reply: Any) -> Outcome:
    """What a queued commit came to."""
    told, *rest = cast("list[bytes]", reply)
    match told:
        case b"committed":
            return Committed()
        case b"stored":
            return Stored(rest[0])
        case b"conflict":
            return Conflict()
        case b"refused":
            return Refusal(*(part.decode() for part in rest))
        case _:
            raise InvariantBroken(f"the decision commit answered {told!r}")


def queue_mark(
    pipe: "Pipeline", shard: int, customer: str, *, decision_id: str, offer_id: str, placement: str, state: int, at: int
) -> None:
    """Queue a view or a redemption. The reply, decoded, is the decision whose name the unit of stock bears, or empty."""
    pipe.evalsha(_MARK_HASH, 1, keys.ledger(shard, customer), decision_id, offer_id, placement, state, at)


def queue_take(pipe: "Pipeline", take: Take, decision_id: str, now: int) -> None:
    """Queue the reservation of one unit; the reply is 1 where it is the decision's, 0 where none is left."""
    until = "+inf" if take.keep else take.expires
    pipe.evalsha(_RESERVE_HASH, 1, keys.stock(take.pool), decision_id, take.capacity, now, until)


def queue_keep(pipe: "Pipeline", pool: str, decision_id: str) -> None:
    """Queue that a reserved unit was used. One that came back meanwhile stays where it is: stock is never exceeded."""
    pipe.zadd(keys.stock(pool), {decision_id: float("inf")}, xx=True)


def queue_release(pipe: "Pipeline", pool: str, decision_id: str) -> None:
    """Queue that a unit reserved by a decision that was not admitted comes back at once."""
    pipe.zrem(keys.stock(pool), decision_id)


def queue_left(pipe: "Pipeline", pool: str, now: int) -> None:
    """Queue how many units of a pool are taken or reserved; capacity minus the reply is what is left."""
    pipe.zcount(keys.stock(pool), f"({now}", "+inf")


async def run(client: "Redis", queue: Sequence[Any]) -> list[Any]:
    """Execute queued calls (each a function of the pipeline) in one round trip and return their replies in order.

    An unreachable server is `StoreUnavailable`; nothing is known then about what was written.
    """
    try:
        replies = await _execute(client, queue)
        unknown = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            await teach(client)
            for place, reply in zip(unknown, await _execute(client, [queue[place] for place in unknown]), strict=True):
                replies[place] = reply
    except RedisError as error:
        raise StoreUnavailable(str(error)) from error
    for reply in replies:
        if isinstance(reply, RedisError):
            raise StoreUnavailable(str(reply)) from reply
    return replies


async def _execute(client: "Redis", queue: Sequence[Any]) -> list[Any]:
    async with client.pipeline(transaction=False) as pipe:
        for call in queue:
            call(pipe)
        return await pipe.execute(raise_on_error=False)


async def teach(client: "Redis") -> None:
    """Make the scripts known to the server; once at start-up spares the first request a second round trip."""
    async with client.pipeline(transaction=False) as pipe:
        for text in (_COMMIT, _MARK, _RESERVE):
            pipe.script_load(text)
        await pipe.execute()


async def read_ledger(client: "Redis", shard: int, customer: str) -> Ledger:
    """The ledger as the store holds it."""
    key = keys.ledger(shard, customer)
    try:
        blob = await client.get(key)
    except RedisError as error:
        raise StoreUnavailable(str(error)) from error
    return decode_ledger(cast("bytes | None", blob), key)
