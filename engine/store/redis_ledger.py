"""The contact ledger on Redis: decisions admitted, views noted, stock reserved, each by one script.

Calls are queued on a pipeline, so that all requests of one turn of the event loop share a round trip; `run` executes
it and each queued call has a reader for its reply. Scripts are known to the server by hash. A server that lost them is
taught again and asked once more: an unknown hash has run nothing.
"""

from collections.abc import Sequence
from hashlib import sha1
from importlib.resources import files
from itertools import chain
from typing import Any, Final, assert_never, cast

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import NoScriptError, RedisError

from engine.decisioning.decision import Take
from engine.decisioning.ledger import REDEEMED, Claim, Ledger, Refusal, Sticky, decode_ledger
from engine.decisioning.pools import Pool, codes_digest
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
_COUPON, _COUPON_HASH = _script("coupon_reserve")
_FILL, _FILL_HASH = _script("coupon_fill")
_BUDGET, _BUDGET_HASH = _script("budget_reserve")
SCRIPTS = (_COMMIT, _MARK, _RESERVE, _COUPON, _FILL, _BUDGET)
REDEMPTION = "|redeemed"
_CODES: Final = ("ends", "given", "new")
_NEVER = float("inf")
_encode = msgspec.msgpack.Encoder().encode


def encode_ledger(ledger: Ledger) -> bytes:
    """A ledger as the scripts write it."""
    return _encode(ledger)


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


COMMITTED = Committed()


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
    if reply == b"committed":
        return COMMITTED
    told, *rest = cast("list[bytes]", reply)
    match told:
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
    """Queue the reservation of what an offer takes; `granted` reads the reply."""
    until = "+inf" if take.keep else take.expires
    match take.kind:
        case "units":
            pipe.evalsha(_RESERVE_HASH, 1, keys.stock(take.pool), decision_id, take.capacity, now, until)
        case "codes":
            names = [keys.codes(take.pool, what) for what in _CODES]
            pipe.evalsha(_COUPON_HASH, len(names), *names, decision_id, now, until)
        case "budget":
            after = now + take.window_ms if take.keep else take.expires
            money = (take.capacity, now, take.amount, until, take.later, after)
            pipe.evalsha(_BUDGET_HASH, 2, *_budget(take.pool), spent_name(decision_id, take.offer_id), *money)
        case other:
            assert_never(other)


def granted(take: Take, reply: Any) -> bool:
    """Whether the reservation is the decision's; the reply for codes is the code itself."""
    return isinstance(reply, bytes) and reply != b"" if take.kind == "codes" else reply == 1


def queue_seen(pipe: "Pipeline", pool: Pool, decision_id: str, offer_id: str, state: int, at: int, now: int) -> None:
    """Queue that a contact was seen, or redeemed, `at`: what it took does not come back.

    A unit or money that came back before is taken again as far as something is left `now`. Where nothing is, the contact has
    been seen without taking anything: what others have now is theirs, and no pool is ever exceeded. A code that came back
    may be somebody else's already; it is kept where it is not.
    """
    match pool.kind:
        case "units":
            pipe.evalsha(_RESERVE_HASH, 1, keys.stock(pool.name), decision_id, pool.capacity, now, "+inf")
        case "codes":
            pipe.zadd(keys.codes(pool.name, "ends"), {decision_id: _NEVER}, xx=True)
        case "budget":
            until = "+inf" if state == REDEEMED else at + pool.window_ms
            name, names = spent_name(decision_id, offer_id), _budget(pool.name)
            # Each by itself: where the redemption cannot be paid any more, the contact has cost its share all the same.
            pipe.evalsha(_BUDGET_HASH, 2, *names, name, pool.capacity, now, pool.amount, "+inf", 0, 0)
            if pool.later:
                pipe.evalsha(_BUDGET_HASH, 2, *names, name, pool.capacity, now, 0, 0, pool.later, until)
        case other:
            assert_never(other)


def queue_release(pipe: "Pipeline", take: Take, decision_id: str) -> None:
    """Queue that what was reserved for a decision that was not admitted comes back at once."""
    match take.kind:
        case "units":
            pipe.zrem(keys.stock(take.pool), decision_id)
        case "codes":
            pipe.zadd(keys.codes(take.pool, "ends"), {decision_id: 0.0}, xx=True)
        case "budget":
            name = spent_name(decision_id, take.offer_id)
            pipe.zadd(keys.budget(take.pool, "ends"), {name: 0.0}, xx=True)
            pipe.zadd(keys.budget(take.pool, "ends"), {name + REDEMPTION: 0.0}, xx=True)
        case other:
            assert_never(other)


def queue_used(pipe: "Pipeline", pool: Pool, now: int) -> None:
    """Queue how much of a pool is taken or reserved; capacity minus the reply is what is left."""
    match pool.kind:
        case "units":
            queue_left(pipe, pool.name, now)
        case "codes":
            pipe.zcount(keys.codes(pool.name, "ends"), f"({now}", "+inf")
        case "budget":
            pipe.evalsha(_BUDGET_HASH, 2, *_budget(pool.name), "", 0, now)
        case other:
            assert_never(other)


def queue_left(pipe: "Pipeline", pool: str, now: int) -> None:
    """Queue how many units of a stock are taken or reserved."""
    pipe.zcount(keys.stock(pool), f"({now}", "+inf")


def queue_codes(pipe: "Pipeline", offer_id: str, codes: Sequence[str]) -> None:
    """Queue that these are the codes of a coupon pool now; the reply is how many of them nobody has had."""
    names = [keys.codes(offer_id, what) for what in ("list", "given", "new")]
    pipe.evalsha(_FILL_HASH, len(names), *names, codes_digest(codes), *codes)


def spent_name(decision_id: str, offer_id: str) -> str:
    """Under what name a budget holds the money for one offer of a decision; with `REDEMPTION` behind it, for its redemption."""
    return f"{decision_id}|{offer_id}"


def _budget(pool: str) -> tuple[str, str]:
    return keys.budget(pool, "ends"), keys.budget(pool, "amounts")


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
        for text in SCRIPTS:
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
