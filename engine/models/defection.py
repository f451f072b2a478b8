"""Why customers leave: what had moved with those who then stayed away, beside those who came again.

It listens to the churn examples: readings recorded at a boundary, and whether a purchase followed within the horizon. Only
boundaries in whose last week the customer bought are counted, and not before the fourth purchase. So each departure
counts once, at its last purchase, and the silence itself is not taken for its own cause: what is compared is how things
stood while everything still looked well.

Customers are told apart by what they used to spend: the upper, middle and lower third. The sums fade by half in half a
year, since reasons change; nothing of a single customer is kept.
"""

from collections.abc import Sequence
from math import exp, log2
from typing import Self

import msgspec
import numpy as np

from engine.features.movement import MOVEMENTS, Movement, moved, readable
from engine.models.base import Example, Report, numbers_of
from engine.models.snapshot import Fact, Numbers, Snapshot, SnapshotMismatch, State
from engine.moments import DAY

DEFECTION = "defection"
TIERS = ("light", "moderate", "heavy")
BOUGHT_WITHIN_DAYS = 7.0
LEAST_PURCHASES = 4
HALF_LIFE_DAYS = 182.0
BINS = 128
"""Of spend, each a quarter of a doubling, from a hundredth of a unit of money."""
STAYED, LEFT = 0, 1
SUMS = ("shift", "shift_squared", "now", "before")


class _Counts(msgspec.Struct, frozen=True):
    """What a state says of the past, beside the sums."""

    version: int = 0
    departures: int = 0
    unlearnable: int = 0
    foreign: int = 0
    ignored: int = 0
    day: int = 0


class Defection:
    """The sums of movements by tier and by what came of it."""

    def __init__(self, names: Sequence[str], fingerprint: str, horizon_days: float = 28.0) -> None:
        self.names = tuple(names)
        self.fingerprint = fingerprint
        self.horizon_days = horizon_days
        self.movements: tuple[Movement, ...] = readable(self.names)
        self._place = {name: place for place, name in enumerate(self.names)}
        self._counts = _Counts()
        self._spend = np.zeros(BINS)
        self._customers = np.zeros((len(TIERS), 2))
        self._sums = {name: np.zeros((len(TIERS), 2, len(self.movements))) for name in SUMS}

    @property
    def name(self) -> str:
        """`defection`."""
        return DEFECTION

    @property
    def version(self) -> int:
        """How many examples are in the sums."""
        return self._counts.version

    def learn(self, examples: Sequence[Example]) -> None:
        """Add matured examples in this order; what is not counted is counted as such."""
        for example in examples:
            self._learn(example)

    def _learn(self, example: Example) -> None:
        vector = numbers_of(example)
        if example.fingerprint != self.fingerprint or len(vector) != len(self.names):
            self._count(foreign=1)
        elif example.label not in (0.0, 1.0) or not np.isfinite(vector).all():
            self._count(unlearnable=1)
        elif self._read(vector, "rfm.recency") > BOUGHT_WITHIN_DAYS or not self._known(vector):
            self._count(ignored=1)
        else:
            self._fade(example.closed_at // DAY)
            self._add(vector, LEFT if example.label == 1.0 else STAYED)
            self._count(version=1, departures=int(example.label))

    def _known(self, vector: Numbers) -> bool:
        """Whether there is a before to compare with."""
        return "rfm.frequency" not in self._place or self._read(vector, "rfm.frequency") >= LEAST_PURCHASES

    def _read(self, vector: Numbers, name: str) -> float:
        place = self._place.get(name)
        return float(vector[place]) if place is not None else 0.0

    def _count(self, **more: int) -> None:
        self._counts = msgspec.structs.replace(self._counts, **{name: getattr(self._counts, name) + more[name] for name in more})

    def _fade(self, day: int) -> None:
        """Sums of earlier days weigh less; time never goes back."""
        if day <= self._counts.day:
            return
        fade = 2.0 ** (-(day - self._counts.day) / HALF_LIFE_DAYS) if self._counts.day else 1.0
        for held in (self._spend, self._customers, *self._sums.values()):
            held *= fade
        self._counts = msgspec.structs.replace(self._counts, day=day)

    def _add(self, vector: Numbers, fate: int) -> None:
        spend = _bin(self._read(vector, "rfm.spend_112d"))
        self._spend[spend] += 1.0
        tier = self._tier(spend)
        self._customers[tier, fate] += 1.0
        readings = dict(zip(self.names, vector.tolist(), strict=True))
        each = [moved(movement, readings.__getitem__) for movement in self.movements]
        numbers = np.array([(one.shift, one.shift * one.shift, one.now, one.before) for one in each]).reshape(-1, len(SUMS))
        for name, column in zip(SUMS, numbers.T, strict=True):
            self._sums[name][tier, fate] += column

    def _tier(self, spend: int) -> int:
        """The third of all customers that a bin of spend lies in."""
        below = float(self._spend[:spend].sum()) + 0.5 * float(self._spend[spend])
        return min(int(len(TIERS) * below / float(self._spend.sum())), len(TIERS) - 1)

    def report(self) -> Report:
        """The counts; it predicts nothing, so there is nothing to measure."""
        counts = self._counts
        return Report(
            model=DEFECTION,
            version=counts.version,
            positives=counts.departures,
            unlearnable=counts.unlearnable,
            foreign=counts.foreign,
            ignored=counts.ignored,
            base_rate=counts.departures / counts.version if counts.version else None,
        )

    def state(self) -> State:
        """Everything that influences what comes next."""
        facts: dict[str, Fact] = {"fingerprint": self.fingerprint, "horizon_days": self.horizon_days}
        facts["movements"] = self._movement_names()
        return State(self._arrays(), facts | msgspec.structs.asdict(self._counts))

    def from_state(self, state: State) -> Self:
        """A learner of the same make that continues from a state."""
        told = (state.facts.get("fingerprint"), state.facts.get("horizon_days"), state.facts.get("movements"))
        if told != (self.fingerprint, self.horizon_days, self._movement_names()):
            raise SnapshotMismatch("this state is of other readings, another horizon or other movements")
        fresh = type(self)(self.names, self.fingerprint, self.horizon_days)
        fresh._counts = msgspec.convert(dict(state.facts), _Counts)
        fresh._spend, fresh._customers = state.arrays["spend"].copy(), state.arrays["customers"].copy()
        fresh._sums = {name: state.arrays[name].copy() for name in SUMS}
        return fresh

    def publish(self) -> Snapshot:
        """The sums, and what their places stand for."""
        facts: dict[str, Fact] = {"horizon_days": self.horizon_days, "movements": self._movement_names()}
        facts["departures"] = self._counts.departures
        return Snapshot(DEFECTION, self.version, self.fingerprint, self._arrays(), facts)

    def _arrays(self) -> dict[str, Numbers]:
        held = {"spend": self._spend.copy(), "customers": self._customers.copy()}
        return held | {name: numbers.copy() for name, numbers in self._sums.items()}

    def _movement_names(self) -> list[str]:
        return [movement.name for movement in self.movements]


def _bin(spend: float) -> int:
    return min(max(int(4.0 * log2(max(spend, 0.01) / 0.01)), 0), BINS - 1)


class Driver(msgspec.Struct, frozen=True):
    """One movement of those who left beside those who stayed: means, and how far apart the two stand.

    A shift is a mean logarithm of now ÷ before. `separation` is the difference of the mean shifts in standard deviations,
    `error` its standard error.
    """

    movement: Movement
    left_before: float
    left_now: float
    left_shift: float
    stayed_before: float
    stayed_now: float
    stayed_shift: float
    separation: float
    error: float

    @property
    def shown(self) -> bool:
        """Whether the difference is more than chance would make of it, at three standard errors: several are looked at."""
        return abs(self.separation) > 3.0 * self.error

    @property
    def words(self) -> str:
        """The driver in a sentence."""
        what = self.movement.less if self.separation < 0 else self.movement.more
        left, stayed = (f"{exp(shift) - 1.0:+.0%}" for shift in (self.left_shift, self.stayed_shift))
        return f"{what}: {self.movement.words} {left} against before with those who left, {stayed} with those who stayed"


class Departures(msgspec.Struct, frozen=True):
    """One tier: how many left and stayed (fading counts), and all drivers, strongest first."""

    tier: str
    left: float
    stayed: float
    drivers: tuple[Driver, ...]


def departures(snapshot: Snapshot) -> list[Departures]:
    """What a snapshot says, all tiers together first. `SnapshotMismatch` for one of something else."""
    names, customers = snapshot.facts.get("movements"), snapshot.arrays.get("customers")
    if snapshot.name != DEFECTION or not isinstance(names, list) or customers is None:
        raise SnapshotMismatch(f"{snapshot.name}: not sums of movements")
    known = {movement.name: movement for movement in MOVEMENTS}
    if not set(names) <= set(known):
        raise SnapshotMismatch(f"{snapshot.name}: unknown movements")
    sums = [snapshot.arrays[name] for name in SUMS]
    movements = [known[name] for name in names]
    tiers = [_departures(tier, customers[row], [held[row] for held in sums], movements) for row, tier in enumerate(TIERS)]
    return [_together(tiers, movements), *reversed(tiers)]


def _departures(tier: str, customers: Numbers, sums: Sequence[Numbers], movements: Sequence[Movement]) -> Departures:
    stayed, left = float(customers[STAYED]), float(customers[LEFT])
    if stayed < 2.0 or left < 2.0:
        return Departures(tier, left, stayed, ())
    shift, squared, now, before = (held / customers[:, np.newaxis] for held in sums)
    variance = np.maximum(squared - shift * shift, 1e-6)
    pooled = np.sqrt((left * variance[LEFT] + stayed * variance[STAYED]) / (left + stayed))
    separation = (shift[LEFT] - shift[STAYED]) / pooled
    error = float(np.sqrt(1.0 / left + 1.0 / stayed))
    drivers = [
        Driver(
            movement,
            left_before=float(before[LEFT, place]),
            left_now=float(now[LEFT, place]),
            left_shift=float(shift[LEFT, place]),
            stayed_before=float(before[STAYED, place]),
            stayed_now=float(now[STAYED, place]),
            stayed_shift=float(shift[STAYED, place]),
            separation=float(apart),
            error=error,
        )
        for place, (movement, apart) in enumerate(zip(movements, separation, strict=True))
    ]
    return Departures(tier, left, stayed, tuple(sorted(drivers, key=lambda one: -abs(one.separation))))


def _together(tiers: Sequence[Departures], movements: Sequence[Movement]) -> Departures:
    """All tiers, each compared within itself and counted by how many left it: who buys little moves otherwise than who buys
    much, and that is no reason to leave."""
    told = [tier for tier in tiers if tier.drivers]
    left, stayed = sum(tier.left for tier in tiers), sum(tier.stayed for tier in tiers)
    shares = [tier.left / sum(one.left for one in told) for tier in told]
    drivers = []
    for movement in movements if told else ():
        parts = [next(one for one in tier.drivers if one.movement is movement) for tier in told]

        def mean(name: str, parts: Sequence[Driver] = parts) -> float:
            return sum(share * float(getattr(part, name)) for share, part in zip(shares, parts, strict=True))

        numbers = ("left_before", "left_now", "left_shift", "stayed_before", "stayed_now", "stayed_shift", "separation")
        error = sum((share * part.error) ** 2 for share, part in zip(shares, parts, strict=True)) ** 0.5
        drivers.append(Driver(movement, **{name: mean(name) for name in numbers}, error=error))
    return Departures("all", left, stayed, tuple(sorted(drivers, key=lambda one: -abs(one.separation))))
