"""Segments and lifecycle: where a customer stands among all customers, and in their own time with us.

**Tiers and RFM.** Three readings are compared between customers: when they last bought, how often, and for how much.
Frequency and money fade with a half-life of 224 days, so that they tell of about the last year. Faded sums have an
order that time does not change: all fade at one rate. So each is counted as log2(sum) + time / half-life, a number that
moves only when the customer buys or returns, and the histogram of all customers is exact although nobody recomputes it as
time passes. `heavy` is the upper share of customers by money, `light` the lower one, `moderate` the rest; `best` are the
best few by money who have not lapsed. The RFM cell is three digits, fifths of the customers by each reading, 5 best.
Only customers who are still scored are compared: those lost long ago would make everybody else heavy.

**Lifecycle**, in words; the first that holds is the stage:

| stage | is |
|---|---|
| `prospect` | has bought nothing that stands |
| `lost` | silent for `lost_days`, or so long that nobody scores them any more |
| `lapsed` | silent for `lapsed_days` |
| `new` | first bought within `new_days` |
| `at_risk` | silent for longer than `at_risk_gaps` times their usual gap, and for `at_risk_days` at least |
| `active` | everybody else |

The usual gap is the mean gap between the last purchases, drawn towards 30 days by the weight of one gap.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from math import floor, log2
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from engine.moments import DAY
from engine.profiles.purchases import SUMS, Purchases
from engine.profiles.standing import Lifecycle, Standing, Tier

HALF_LIFE_DAYS = 224.0
MEASURES = ("recency", "frequency", "money")
BINS_PER_UNIT = (4, 32, 32)
"""Of a day, and of a doubling twice: a bin of money is 2 % wide."""
FIFTHS = (0.2, 0.4, 0.6, 0.8)
SEGMENTS = "segments"
"""The name of the cut points as a reference fact and as a snapshot."""
USUAL_GAP_DAYS = 30.0

_COMPARED = SUMS.picked(("trips", HALF_LIFE_DAYS), ("spend", HALF_LIFE_DAYS))
_LEAST = 2.0**-10


class SegmentRule(msgspec.Struct, frozen=True):
    """Thresholds of segments and lifecycle; shares are of the customers who are compared."""

    heavy_share: float = 1 / 3
    light_share: float = 1 / 3
    best_share: float = 0.1
    new_days: float = 30.0
    at_risk_gaps: float = 2.5
    at_risk_days: float = 14.0
    lapsed_days: float = 90.0
    lost_days: float = 182.0


class Measured(NamedTuple):
    """A customer's readings in the order of `MEASURES`, larger is better: day of the last purchase, and two faded sums on
    the scale that time leaves alone."""

    recency: float
    frequency: float
    money: float

    def at(self, now: int) -> "Measured":
        """As of `now`: minus days of silence, and log2 of the faded sums."""
        days = now / DAY
        faded = days / HALF_LIFE_DAYS
        return Measured(self.recency - days, self.frequency - faded, self.money - faded)

    def places(self) -> tuple[int, ...]:
        """The bin of each reading."""
        recency, frequency, money = BINS_PER_UNIT
        return floor(self.recency * recency), floor(self.frequency * frequency), floor(self.money * money)


class Cuts(msgspec.Struct, frozen=True, array_like=True):
    """Cut points on the scale of `Measured.at`, as they were at `at`. Empty lists: not known yet.

    `tiers` are two points of money, `best` one; `fifths` four points for each of `MEASURES`.
    """

    at: int = 0
    customers: int = 0
    tiers: tuple[float, ...] = ()
    best: float = 0.0
    fifths: tuple[tuple[float, ...], ...] = ()

    @property
    def known(self) -> bool:
        """Whether there is something to compare with."""
        return bool(self.tiers)


NO_CUTS = Cuts()


def measured(purchases: Purchases, last_at: int | None = None) -> Measured:
    """The readings of somebody who has bought; `last_at` for a caller who has looked when that was last."""
    age = purchases.sums_at / DAY / HALF_LIFE_DAYS
    trips, spend = _COMPARED.held(purchases.sums)
    last = purchases.last_at if last_at is None else last_at
    return Measured(last / DAY, log2(max(trips, _LEAST)) + age, log2(max(spend, _LEAST)) + age)


def lifecycle_of(purchases: Purchases, now: int, rule: SegmentRule, scored: bool = True, last_at: int | None = None) -> Lifecycle:
    """The stage at `now`, by the table above. `scored` is false once nobody scores the customer any more."""
    if not purchases.count:
        return "prospect"
    silent = (now - (purchases.last_at if last_at is None else last_at)) / DAY
    if silent >= rule.lost_days or not scored:
        return "lost"
    if silent >= rule.lapsed_days:
        return "lapsed"
    if now - purchases.first_at <= rule.new_days * DAY:
        return "new"
    if silent > rule.at_risk_days and silent > rule.at_risk_gaps * usual_gap_days(purchases):
        return "at_risk"
    return "active"


def usual_gap_days(purchases: Purchases) -> float:
    """The mean gap between the last purchases, drawn towards 30 days by the weight of one gap."""
    first, gaps = 0, -1
    for one in purchases.last:
        if not one.taken_back:
            first, gaps = first or one.at, gaps + 1
    spanned = (purchases.last_at - first) / DAY if gaps > 0 else 0.0
    return (spanned + USUAL_GAP_DAYS) / (max(gaps, 0) + 1)


def standing_of(
    purchases: Purchases, now: int, cuts: Cuts, rule: SegmentRule, scored: bool = True, last_at: int | None = None
) -> Standing:
    """Where a customer stands at `now`. Without cut points the tier and the cell stay open. `last_at` is for a caller who has
    looked when the last purchase was."""
    if last_at is None:
        last_at = purchases.last_at
    stage = lifecycle_of(purchases, now, rule, scored, last_at)
    if stage in ("prospect", "lost"):
        return Standing(lifecycle=stage)
    whole = measured(purchases, last_at)
    places = whole.places()
    if not cuts.known:
        return Standing(lifecycle=stage, places=places)
    reading = whole.at(now)
    cell = "".join([str(1 + bisect_left(points, value)) for points, value in zip(cuts.fifths, reading, strict=True)])
    best = reading.money > cuts.best and stage != "lapsed"
    return Standing(tier_of(reading.money, cuts), cell, best, stage, places)


def placed(purchases: Purchases, held: Standing, cuts: Cuts, rule: SegmentRule) -> Standing:
    """A standing from before there were cut points, with tier, cell and `best` as of the time of the cut points."""
    if held.tier or not held.places or not cuts.known:
        return held
    now = standing_of(purchases, max(cuts.at, purchases.last_at), cuts, rule)
    return replace(held, tier=now.tier, rfm=now.rfm, best=now.best)


def tier_of(money: float, cuts: Cuts) -> Tier:
    """The tier of an amount on the scale of the cut points."""
    below, above = cuts.tiers
    if money > above:
        return "heavy"
    return "moderate" if money > below else "light"


def cuts_of(counts: Sequence[Mapping[int, int]], at: int, rule: SegmentRule) -> Cuts:
    """Cut points of the histograms, one for each of `MEASURES`, as of `at`; between two edges of a bin the line is straight."""
    recency, frequency, money = (_Sorted(one, bins) for one, bins in zip(counts, BINS_PER_UNIT, strict=True))
    if not money.total:
        return NO_CUTS
    days = at / DAY
    faded = days / HALF_LIFE_DAYS
    tiers = (money.point(rule.light_share) - faded, money.point(1.0 - rule.heavy_share) - faded)
    fifths = tuple(
        tuple(one.point(share) - back for share in FIFTHS) for one, back in ((recency, days), (frequency, faded), (money, faded))
    )
    return Cuts(at, money.total, tiers, money.point(1.0 - rule.best_share) - faded, fifths)


class _Sorted:
    """A histogram in order of its bins."""

    def __init__(self, counts: Mapping[int, int], bins_per_unit: int) -> None:
        self._counts = sorted((place, count) for place, count in counts.items() if count > 0)
        self._width = 1.0 / bins_per_unit
        self.total = sum(count for _, count in self._counts)

    def point(self, share: float) -> float:
        """The value that this share of the customers does not exceed."""
        wanted, below = share * self.total, 0
        for place, count in self._counts:
            if below + count >= wanted:
                return (place + (wanted - below) / count) * self._width
            below += count
        return (self._counts[-1][0] + 1) * self._width
