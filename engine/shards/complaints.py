"""What customers complain of, per shard: counts by reason, product, store and week that move with each complaint.

A complaint is counted where its reason, product, store and the week it was filed in say, as open or with the time its resolution
took. When any of that changes it leaves the old count and enters the new one, so the counts are those of the present. Of an
erased customer the numbers stay, and nothing of them is open any more.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from msgspec import Struct

from engine.moments import DAY, HOUR, WEEK, Millis
from engine.profiles.service import Complaint, Service

MOST_CELLS = 2_000
"""Combinations counted by themselves in one shard; others of a week are counted together."""
OTHERS = "\x1f\x1f"
EDGES_HOURS = (1, 2, 4, 8, 16, 24, 48, 72, 120, 168, 336, 672)
"""Where the classes of resolution times begin; the median is told between two of them."""
_TO_MONDAY = 3 * DAY
"""The epoch began on a Thursday."""
_EDGES = tuple(hours * HOUR for hours in EDGES_HOURS)


class ComplaintSums(Struct, frozen=True, array_like=True):
    """Complaints of one reason, product and store: how many, how many of them open, and how long the resolved ones took."""

    count: int = 0
    open: int = 0
    resolved: int = 0
    took_ms: int = 0
    classes: tuple[int, ...] = (0,) * (len(_EDGES) + 1)

    def plus(self, other: "ComplaintSums", sign: int = 1) -> "ComplaintSums":
        return ComplaintSums(
            self.count + sign * other.count,
            self.open + sign * other.open,
            self.resolved + sign * other.resolved,
            self.took_ms + sign * other.took_ms,
            tuple(mine + sign * theirs for mine, theirs in zip(self.classes, other.classes, strict=True)),
        )

    @property
    def median_ms(self) -> float:
        """The resolution time that half of the resolved ones stayed below, read between the edges of its class; 0 without any."""
        half, passed = sum(self.classes) / 2.0, 0.0
        for at, count in enumerate(self.classes):
            if count and passed + count >= half:
                low = _EDGES[at - 1] if at else 0
                high = _EDGES[at] if at < len(_EDGES) else 2 * _EDGES[-1]
                return low + (high - low) * (half - passed) / count
            passed += count
        return 0.0


def week_of(at: int) -> int:
    """The number of a week; weeks begin on Monday, UTC."""
    return (at + _TO_MONDAY) // WEEK


def beginning_of(week: int) -> Millis:
    """The first instant of a week."""
    return Millis(week * WEEK - _TO_MONDAY)


def cell_of(case: Complaint) -> str:
    return f"{case.reason}\x1f{case.product}\x1f{case.store}\x1f{week_of(case.since)}"


def told_apart(cell: str) -> tuple[str, str, str]:
    """Reason, product and store of a cell."""
    reason, product, store, _ = cell.split("\x1f")
    return reason, product, store


def filed_in(cell: str) -> int:
    """The week of a cell."""
    return int(cell.rpartition("\x1f")[2])


Counted = Mapping[str, tuple[str, ComplaintSums]]
"""By complaint: its cell and what it adds there."""


def counted(service: Service) -> dict[str, tuple[str, ComplaintSums]]:
    """What a customer's complaints add to the counts."""
    if not service.complaints:
        return {}
    still_open = service.open
    return {
        key: (cell_of(case), _one(case, key in still_open, service.all_resolved_at))
        for key, case in service.complaints.items()
        if case.since
    }


def _one(case: Complaint, is_open: bool, all_resolved_at: int) -> ComplaintSums:
    if is_open:
        return ComplaintSums(1, 1)
    resolved = [at for at in (case.resolved_at, all_resolved_at) if at >= case.since]
    took = min(resolved, default=case.since) - case.since
    place = bisect_right(_EDGES, took)
    return ComplaintSums(1, 0, 1, took, tuple(int(at == place) for at in range(len(_EDGES) + 1)))


class ComplaintCounts:
    """The counts of a shard by cell."""

    def __init__(self, held: Mapping[str, ComplaintSums]) -> None:
        self._held = dict(held)

    def move(self, before: Counted, after: Counted) -> dict[str, ComplaintSums]:
        """A customer's complaints changed; returns the cells that did. One that the profile let go of stays counted."""
        changed: dict[str, ComplaintSums] = {}
        for key, (cell, one) in after.items():
            old = before.get(key)
            if old == (cell, one):
                continue
            if old is not None:
                self._add(changed, old[0], old[1], -1)
            self._add(changed, cell, one, 1)
        for key, (cell, one) in before.items():
            if key not in after and one.open:
                self._add(changed, cell, one, -1)
        return changed

    def left(self, before: Counted) -> dict[str, ComplaintSums]:
        """The customer is counted elsewhere from now on."""
        changed: dict[str, ComplaintSums] = {}
        for cell, one in before.values():
            self._add(changed, cell, one, -1)
        return changed

    def forgotten(self, before: Counted) -> dict[str, ComplaintSums]:
        """The customer was erased: what they had open is open no more, the numbers stay."""
        changed: dict[str, ComplaintSums] = {}
        for cell, one in before.values():
            if one.open:
                self._add(changed, cell, ComplaintSums(0, 1), -1)
        return changed

    def _add(self, changed: dict[str, ComplaintSums], cell: str, one: ComplaintSums, sign: int) -> None:
        if cell not in self._held and (len(self._held) >= MOST_CELLS or sign < 0):
            cell = f"{OTHERS}\x1f{filed_in(cell)}"
        self._held[cell] = changed[cell] = self._held.get(cell, ComplaintSums()).plus(one, sign)


def summed(shards: Sequence[Mapping[str, ComplaintSums]]) -> dict[str, ComplaintSums]:
    """The counts of all shards together."""
    whole: dict[str, ComplaintSums] = {}
    for counts in shards:
        for cell, one in counts.items():
            whole[cell] = whole.get(cell, ComplaintSums()).plus(one)
    return whole
