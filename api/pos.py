"""What tills sent, and what of it is missing: gaps in the numbers of workstations, and days whose sums do not agree."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import Any

from msgspec import Struct

from api.door import Receipt, Refusal
from api.problems import Problem
from engine.errors import StoreUnavailable
from engine.moments import Millis, rfc3339
from engine.shards.sequences import Day, told_apart
from engine.store import keys
from engine.store.codec import decode_day
from engine.store.redis_reader import Refused

MOST_DAYS = 1_000
Ask = Callable[..., Awaitable[list[Any]]]


class Missing(Struct, frozen=True):
    """Numbers from `first` to `last`, both missing."""

    first: int
    last: int


class Difference(Struct, frozen=True):
    """What the till told at closing time, and what its receipts come to, voided ones taken off; minor units of `currency`."""

    told_minor: int
    seen_minor: int
    currency: str


class DayGaps(Struct, frozen=True):
    """One business day of a workstation of which something is missing. `unlisted` numbers are missing beyond those listed;
    `open_since` is when the first hole was seen; `total` is null where the sums agree or none was told."""

    store: str
    workstation: str
    business_day: str
    missing: tuple[Missing, ...]
    missing_count: int
    unlisted: int
    receipts: int
    last_seen: int | None
    closed: bool
    open_since: str | None
    total: Difference | None


class GapsAnswer(Struct, frozen=True):
    """The body of `GET /v1/pos/gaps`: days in order, at most a thousand of them; `days` is how many there are."""

    at: str
    days: int
    missing_count: int
    gaps: tuple[DayGaps, ...]


async def read_days(ask: Ask, shards: int) -> dict[str, Day]:
    """All days that shards keep of their workstations. Raises `StoreUnavailable`."""
    found: dict[str, Day] = {}
    for answer in await ask([("HGETALL", keys.days(shard)) for shard in range(shards)]):
        if isinstance(answer, Refused):
            raise StoreUnavailable(str(answer))
        for name, raw in zip(answer[::2], answer[1::2], strict=True):
            found[name.decode()] = decode_day(raw)
    return found


def gaps_answer(days: dict[str, Day], store: str, since: str, now: Millis) -> GapsAnswer:
    """Days of one store (all without a name) from a business day on (all without one)."""
    found = []
    for field, day in days.items():
        place = told_apart(field)
        if (store and place[0] != store) or place[2] < since:
            continue
        one = _gaps(place, day)
        if one.missing or one.unlisted or one.total is not None:
            found.append(one)
    found.sort(key=lambda one: (one.business_day, one.store, one.workstation))
    return GapsAnswer(rfc3339(now), len(found), sum(one.missing_count for one in found), tuple(found[:MOST_DAYS]))


def since_of(text: str) -> str:
    """The business day that a caller wrote, as a day or as an instant of it; empty for none. Raises 422."""
    try:
        return date.fromisoformat(text[:10]).isoformat() if text else ""
    except ValueError:
        raise Problem(422, "parameter.invalid", f"{text[:40]!r} is no day such as 2026-03-02", "since") from None


def told(receipt: Receipt, places: Sequence[int]) -> Receipt:
    """A receipt that counts transactions: `places` are those of the events they became, one or more each."""
    refused: dict[int, Refusal] = {}
    for one in receipt.rejected:
        refused.setdefault(one.index, one)
    return Receipt(len({*places} - refused.keys()), list(refused.values()))


def _gaps(place: tuple[str, str, str], day: Day) -> DayGaps:
    holes = tuple(Missing(first, last) for first, last in day.missing())
    difference = day.difference
    said = day.told
    return DayGaps(
        *place,
        missing=holes,
        missing_count=sum(one.last - one.first + 1 for one in holes) + day.unlisted,
        unlisted=day.unlisted,
        receipts=day.receipts,
        last_seen=day.highest if day.highest >= 0 else None,
        closed=said is not None,
        open_since=rfc3339(day.since) if day.since else None,
        total=Difference(*difference, (said.currency if said else "") or next(iter(day.amounts), "")) if difference else None,
    )


GAPS_EXAMPLE: dict[str, Any] = {
    "at": "2026-03-02T20:15:00.000Z", "days": 1, "missing_count": 3,
    "gaps": [
        {
            "store": "store-12", "workstation": "ws-3", "business_day": "2026-03-02",
            "missing": [{"first": 17, "last": 17}, {"first": 40, "last": 41}], "missing_count": 3, "unlisted": 0,
            "receipts": 208, "last_seen": 212, "closed": True, "open_since": "2026-03-02T09:41:07.120Z",
            "total": {"told_minor": 412090, "seen_minor": 405310, "currency": "EUR"},
        }
    ],
}  # fmt: skip
