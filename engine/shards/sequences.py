"""Which receipt numbers of a workstation's day were used, and which are missing.

A till numbers what it does, so a number that never came is a transaction that was lost on its way. Each (store, workstation,
business day) keeps the set of numbers seen as spans, the sums of its receipts, and what the till told when it closed the day.
The set grows with its holes and not with its numbers; a number that comes late fills its hole, and order does not matter.

What is missing lies between the lowest and the highest number that counts. Training, suspended and control numbers fill holes but
never stretch that range, since many tills number them from elsewhere. The till's own words at closing time stretch it: a last
number beyond the highest, a first one below the lowest, or a count larger than the range, whose rest can only lie before it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from engine.events.pos import DayClosed

MOST_HOLES = 500
"""Holes of one day that are kept one by one; beyond them the narrowest are closed, and their numbers counted only."""
KEPT_DAYS = 62
"""Business days of one workstation that are kept, the newest ones. What comes for an older day counts, and is not watched."""
_SEPARATOR = "\x1f"
Range = tuple[int, int]


class Day(Struct, frozen=True, array_like=True):
    """One business day of one workstation. `spans` are first and last numbers in turn; `amounts` the receipts' sum by currency,
    `voided` what of it was voided. `told` is what the till said at closing time; `since` is when its first hole was seen, on the
    server's clock, 0 without one."""

    spans: tuple[int, ...] = ()
    lowest: int = -1
    highest: int = -1
    receipts: int = 0
    amounts: dict[str, int] = {}
    voided: dict[str, int] = {}
    unlisted: int = 0
    since: int = 0
    newest: int = 0
    told: DayClosed | None = None

    def used(self, number: int, counts: bool) -> "Day":
        """After a number was used; `counts` stretches the range that has to be whole."""
        lowest, highest = self.lowest, self.highest
        if counts:
            lowest, highest = min(lowest, number) if lowest >= 0 else number, max(highest, number)
        spans, closed = _with(self.spans, number)
        if spans is self.spans and (lowest, highest) == (self.lowest, self.highest):
            return self
        return replace(self, spans=spans, lowest=lowest, highest=highest, unlisted=self.unlisted + closed)

    def paid(self, receipts: int, amount: int, voided: int, currency: str) -> "Day":
        """After the receipts' sum has changed."""
        if not (receipts or amount or voided):
            return self
        amounts = {**self.amounts, currency: self.amounts.get(currency, 0) + amount} if amount else self.amounts
        taken = {**self.voided, currency: self.voided.get(currency, 0) + voided} if voided else self.voided
        return replace(self, receipts=self.receipts + receipts, amounts=amounts, voided=taken)

    def looked_at(self, arrived: int) -> "Day":
        """With the time at which its first hole was seen, after an arrival."""
        since = (self.since or arrived or 1) if any(self.missing()) else 0
        newest = max(self.newest, arrived)
        return self if (since, newest) == (self.since, self.newest) else replace(self, since=since, newest=newest)

    def missing(self) -> Iterator[Range]:
        """Ranges of numbers that have to be there and are not, lowest first."""
        low, high = self._range()
        if high < 0:
            return
        for first, last in zip(self.spans[::2], self.spans[1::2], strict=True):
            if last < low:
                continue
            if first > high:
                break
            if first > low:
                yield low, first - 1
            low = max(low, last + 1)
        if low <= high:
            yield low, high

    def _range(self) -> Range:
        """What has to be whole, from what counted and what the till told; (0, -1) where nothing is known."""
        low, high, told = self.lowest, self.highest, self.told
        if told is not None:
            if told.last_sequence is not None:
                high = max(high, told.last_sequence)
            if told.first_sequence is not None:
                low = min(low, told.first_sequence) if low >= 0 else told.first_sequence
            elif told.count is not None and high >= 0:
                before = high - told.count + 1
                low = max(min(low, before), 0) if low >= 0 else max(before, 0)
        return (low, high) if low >= 0 else (0, -1)

    @property
    def difference(self) -> tuple[int, int] | None:
        """(told, seen) where the till's sum is another than that of its receipts, with or without those voided; None where it is
        not, or was not told."""
        if self.told is None or self.told.total is None:
            return None
        currency = self.told.currency or next(iter(self.amounts), "")
        gross = self.amounts.get(currency, 0)
        net = gross - self.voided.get(currency, 0)
        return None if self.told.total in (net, gross) else (self.told.total, net)


class Numbers:
    """All days of a shard's workstations, with how much is missing kept up to date."""

    def __init__(self, held: Mapping[str, Day]) -> None:
        self._days: dict[str, Day] = {}
        self._of: dict[str, list[str]] = {}
        self.gaps = self.missing = self.mismatched = 0
        for field, day in held.items():
            self._place(field, day)

    def day(self, store: str, workstation: str, name: str) -> Day | None:
        """A day, a new one where it is not known; None for one that is too old to be watched."""
        known = self._days.get(field_of(store, workstation, name))
        if known is not None:
            return known
        kept = self._of.get(_SEPARATOR.join((store, workstation)), [])
        return None if len(kept) >= KEPT_DAYS and name < kept[0] else Day()

    def put(self, store: str, workstation: str, name: str, day: Day) -> dict[str, Day | None]:
        """Keep a day; returns the fields that changed, None for one let go of."""
        field = field_of(store, workstation, name)
        changed: dict[str, Day | None] = {field: day}
        self._place(field, day)
        kept = self._of[_SEPARATOR.join((store, workstation))]
        while len(kept) > KEPT_DAYS:
            old = field_of(store, workstation, kept.pop(0))
            self._add(self._days.pop(old), -1)
            changed[old] = None
        return changed

    def _place(self, field: str, day: Day) -> None:
        before = self._days.get(field)
        if before is not None:
            self._add(before, -1)
        else:
            till, _, name = field.rpartition(_SEPARATOR)
            names = self._of.setdefault(till, [])
            names.insert(bisect_left(names, name), name)
        self._days[field] = day
        self._add(day, 1)

    def _add(self, day: Day, sign: int) -> None:
        if day.since:
            holes = list(day.missing())
            self.gaps += sign * len(holes)
            self.missing += sign * (listed(holes) + day.unlisted)
        self.mismatched += sign * (day.difference is not None)


def field_of(store: str, workstation: str, name: str) -> str:
    """The name of a day among those of a shard."""
    return _SEPARATOR.join((store, workstation, name))


def told_apart(field: str) -> tuple[str, str, str]:
    """Store, workstation and business day."""
    store, workstation, name = field.split(_SEPARATOR)
    return store, workstation, name


def listed(ranges: Iterable[Range]) -> int:
    """How many numbers are in ranges."""
    return sum(last - first + 1 for first, last in ranges)


def _with(spans: tuple[int, ...], number: int) -> tuple[tuple[int, ...], int]:
    """Spans with a number more, and how many missing numbers were given up to keep them few."""
    if not spans or number > spans[-1] + 1:
        return _few((*spans, number, number))
    if number == spans[-1] + 1:
        return (*spans[:-1], number), 0
    at = bisect_right(spans, number)
    if at % 2 or (at and spans[at - 1] == number):
        return spans, 0
    joins_before, joins_after = at > 0 and spans[at - 1] == number - 1, spans[at] == number + 1
    if joins_before and joins_after:
        return (*spans[: at - 1], *spans[at + 1 :]), 0
    if joins_before:
        return (*spans[: at - 1], number, *spans[at:]), 0
    if joins_after:
        return (*spans[:at], number, *spans[at + 1 :]), 0
    return _few((*spans[:at], number, number, *spans[at:]))


def _few(spans: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    if len(spans) <= 2 * MOST_HOLES + 2:
        return spans, 0
    width, at = min((after - before - 1, 2 * hole + 1) for hole, (before, after) in enumerate(_holes(spans)))
    return (*spans[:at], *spans[at + 2 :]), width


def _holes(spans: tuple[int, ...]) -> Iterator[Range]:
    """The last number before and the first one after each hole."""
    return zip(spans[1:-1:2], spans[2::2], strict=True)
