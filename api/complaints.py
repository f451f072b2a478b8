"""What customers complain of: counts by reason, product and store, how many are open, and how long the others took.

Of all time, or of complaints filed since some day. Time is told by weeks, so a window begins with the Monday before it.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from api.insights import Ask
from engine.errors import StoreUnavailable
from engine.moments import HOUR, Millis, rfc3339
from engine.shards.complaints import ComplaintSums, beginning_of, filed_in, summed, told_apart, week_of
from engine.store import keys
from engine.store.codec import decode_complaints, decode_record
from engine.store.redis_reader import Refused

MOST_ROWS = 200
By = Literal["reason", "product_id", "store"]
FIELDS: tuple[By, ...] = ("reason", "product_id", "store")


class ComplaintRow(Struct, frozen=True, omit_defaults=True):
    """Complaints of one kind; what a row does not name is summed over. Hours are null until one was resolved."""

    count: int
    open: int
    resolved: int
    median_hours: float | None
    mean_hours: float | None
    reason: str | None = None
    product_id: str | None = None
    store: str | None = None


class ComplaintsAnswer(Struct, frozen=True):
    """`past_due` counts open complaints and support cases beyond what policy.yaml allows; `rows` the most frequent kinds.

    `since` is the Monday from which on complaints were filed that are counted; null counts all.
    """

    at: str
    past_due: int
    total: ComplaintRow
    rows: list[ComplaintRow]
    more: int = 0
    since: str | None = None


COMPLAINTS_EXAMPLE = {
    "at": "2026-03-01T12:00:00.000Z",
    "past_due": 1,
    "total": {"count": 31, "open": 4, "resolved": 27, "median_hours": 19.5, "mean_hours": 26.1},
    "rows": [
        {
            "count": 12,
            "open": 2,
            "resolved": 10,
            "median_hours": 22.0,
            "mean_hours": 30.4,
            "reason": "damaged",
            "product_id": "p-7",
            "store": "12",
        }
    ],
    "more": 0,
    "since": "2026-01-26T00:00:00.000Z",
}
Counts = Mapping[str, ComplaintSums]


async def read_complaints(ask: Ask, shards: int) -> tuple[dict[str, ComplaintSums], int]:
    """The counts of all shards together, and how many cases are past due. Raises `StoreUnavailable`."""
    answers = await ask(
        [
            ("MGET", *(keys.record(shard) for shard in range(shards))),
            *(("HGETALL", keys.complaints(shard)) for shard in range(shards)),
        ]
    )
    refused = next((one for one in answers if isinstance(one, Refused)), None)
    if refused is not None:
        raise StoreUnavailable(str(refused))
    records, *hashes = answers
    past_due = sum(decode_record("shd", raw).totals.cases_past_due for raw in records if raw)
    held = [
        {cell.decode(): decode_complaints(raw) for cell, raw in zip(answer[::2], answer[1::2], strict=True)} for answer in hashes
    ]
    return summed(held), past_due


def complaints_answer(
    counts: Counts, past_due: int, now: Millis, by: tuple[By, ...], only: Mapping[By, str], since: Millis | None = None
) -> ComplaintsAnswer:
    """The answer to `GET /v1/insights/complaints`: rows by the fields asked for, of the complaints that `only` lets through and
    that were filed in the week of `since` or later."""
    first = week_of(since) if since is not None else None
    rows: dict[tuple[str, ...], ComplaintSums] = {}
    total = ComplaintSums()
    for cell, sums in counts.items():
        if first is not None and filed_in(cell) < first:
            continue
        told = dict(zip(FIELDS, told_apart(cell), strict=True))
        if not (sums.count or sums.open) or any(told[name] != value for name, value in only.items()):
            continue
        total = total.plus(sums)
        kind = tuple(told[name] for name in by)
        rows[kind] = rows.get(kind, ComplaintSums()).plus(sums)
    ordered = sorted(rows.items(), key=lambda row: (-row[1].count, row[0]))
    return ComplaintsAnswer(
        at=rfc3339(now),
        past_due=past_due,
        total=_row(total, {}),
        rows=[_row(sums, dict(zip(by, kind, strict=True))) for kind, sums in ordered[:MOST_ROWS]],
        more=max(0, len(ordered) - MOST_ROWS),
        since=rfc3339(beginning_of(first)) if first is not None else None,
    )


def _row(sums: ComplaintSums, told: Mapping[By, str]) -> ComplaintRow:
    done = sums.resolved > 0
    return ComplaintRow(
        count=sums.count,
        open=sums.open,
        resolved=sums.resolved,
        median_hours=round(sums.median_ms / HOUR, 2) if done else None,
        mean_hours=round(sums.took_ms / sums.resolved / HOUR, 2) if done else None,
        reason=told.get("reason"),
        product_id=told.get("product_id"),
        store=told.get("store"),
    )
