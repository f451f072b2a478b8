"""A drift alarm on matured labels: have they stopped being what the model says they are?

Theory of operation. Each label comes with the probability p that the model gave before it learned it. The model need not
be right: a true probability whose odds lie within a factor of `TOLERANCE` of p counts as well, so a season, a campaign or
a model that is still learning raises nothing. Against that stand a few ways in which labels go wrong, each with
the probability q that it would give label 1: a share of them flipped, a share all 1 or all 0, a share that has nothing to
do with the customer any more. For one label the odds of "went wrong" against the most favourable tolerated probability n are

    q/n for label 1,   (1 − q)/(1 − n) for label 0,   n = q held within the tolerated band around p,

whose expectation is at most 1 while nothing is wrong, whatever is true within the band: a bet nobody can expect to win.
Each way bets again and again and starts anew whenever it has lost its stake (a CUSUM of the logarithms). The alarm is the
mean fortune over all ways passing `RARITY`: while nothing is wrong that takes more than `RARITY` labels on average, however
often one looks. Where the leading way last started anew is where the trouble began.

ADWIN would answer the same question with a wider window and keeps its state in an opaque object; this one is plain numbers.

Source: Shin, Ramdas & Rinaldo (2024), "E-detectors: a nonparametric framework for sequential change detection", New England
Journal of Statistics in Data Science 2(2), 229-260.
"""

import math
from collections.abc import Mapping
from typing import Self

import msgspec
import numpy as np

from engine.models.snapshot import Fact, Numbers

TOLERANCE = 1.25
"""Odds within this factor of what the model said are no drift."""

RARITY = 1e7
"""Labels between two false alarms, at least, on average."""

BLOCK = 32
"""Labels are judged in blocks of this many, wherever the batches that bring them are cut."""

WAYS: tuple[tuple[float, float, float], ...] = (
    (0.1, 1.0, 0.0),
    (0.2, 1.0, 0.0),
    (0.3, 1.0, 0.0),
    (0.5, 1.0, 0.0),
    (0.9, 1.0, 0.0),
    (0.2, 0.0, 1.0),
    (0.6, 0.0, 1.0),
    (0.97, 0.0, 1.0),
    (0.5, 0.0, 0.0),
    (0.97, 0.0, 0.0),
    (0.5, 0.0, -1.0),
    (0.97, 0.0, -1.0),
)
"""Ways in which labels go wrong: the share that does, how much of the label is flipped, and the rate that takes its place
otherwise (1 all bought, 0 nobody, -1 the base rate)."""

_LEAST = 1e-3
"""Probabilities are held this far from 0 and 1: one surprise is worth at most seven."""


class Alarm(msgspec.Struct, frozen=True):
    """Labels have gone wrong: at which label it was certain, and the label after which it began."""

    at: int
    began: int


class Drift:
    """Watches labels in the order in which they are learned. Plain numbers in, plain numbers out."""

    def __init__(self, tolerance: float = TOLERANCE, seen: int = 0) -> None:
        self.tolerance = tolerance
        self.seen = seen
        self._waiting: list[tuple[float, float]] = []
        self._fortunes = np.zeros(len(WAYS))
        self._began = np.full(len(WAYS), float(seen))

    @property
    def level(self) -> float:
        """How near the alarm is: 0 calm, 1 certain."""
        return _level(self._fortunes)

    def take(self, probabilities: Numbers, labels: Numbers, base_rate: float) -> Alarm | None:
        """Watch labels with what the model gave them before learning; `base_rate` is the share of label 1 so far.

        Returns the first alarm among them, and starts anew after it.
        """
        self._waiting += zip(probabilities.tolist(), labels.tolist(), strict=True)
        while len(self._waiting) >= BLOCK:
            block, self._waiting = np.array(self._waiting[:BLOCK]), self._waiting[BLOCK:]
            alarm = self._judge(block[:, 0], block[:, 1], base_rate)
            if alarm is not None:
                self.restart(self.seen)
                return alarm
        return None

    def restart(self, seen: int) -> None:
        """Forget all suspicion; labels that wait to be judged are let go."""
        self.seen = seen
        self._waiting = []
        self._fortunes = np.zeros(len(WAYS))
        self._began = np.full(len(WAYS), float(seen))

    def _judge(self, p: Numbers, y: Numbers, base_rate: float) -> Alarm | None:
        steps = log_odds(p, y, self.tolerance, base_rate)
        walk = np.cumsum(np.vstack([self._fortunes, steps]), axis=0)
        lowest = np.minimum(np.minimum.accumulate(walk, axis=0), 0.0)
        fortunes = walk - lowest
        anew = fortunes[1:] == 0.0
        counted = self.seen + np.arange(1.0, len(p) + 1.0)
        started = np.maximum.accumulate(np.vstack([self._began, np.where(anew, counted[:, None], 0.0)]), axis=0)
        level = _levels(fortunes[1:])
        certain = np.nonzero(level >= 1.0)[0]
        if certain.size:
            first = int(certain[0]) + 1
            leading = int(np.argmax(fortunes[first]))
            alarm = Alarm(self.seen + first, int(started[first, leading]))
            self.seen += len(p)
            return alarm
        self.seen += len(p)
        self._fortunes, self._began = fortunes[-1].copy(), started[-1].copy()
        return None

    def arrays(self) -> dict[str, Numbers]:
        """The complete state."""
        waiting = np.array(self._waiting).reshape(len(self._waiting), 2)
        return {"drift_fortunes": self._fortunes.copy(), "drift_began": self._began.copy(), "drift_waiting": waiting}

    def facts(self) -> dict[str, Fact]:
        """What belongs to the state beside the arrays."""
        return {"drift_seen": self.seen}

    def restored(self, arrays: Mapping[str, Numbers], seen: int) -> Self:
        """This watch as it was; one that knew other ways begins anew."""
        self.restart(seen)
        if arrays["drift_fortunes"].shape == self._fortunes.shape:
            self._fortunes, self._began = arrays["drift_fortunes"].copy(), arrays["drift_began"].copy()
            self._waiting = [(float(p), float(y)) for p, y in arrays["drift_waiting"].tolist()]
        return self


def log_odds(p: Numbers, y: Numbers, tolerance: float, base_rate: float) -> Numbers:
    """(labels, ways) the logarithm of what each way's bet makes of each label."""
    p = np.clip(p, _LEAST, 1.0 - _LEAST)[:, None]
    share, flipped, rate = np.array(WAYS).T
    instead = np.where(flipped > 0, 1.0 - p, np.where(rate < 0, base_rate, rate))
    q = np.clip(p + share * (instead - p), _LEAST, 1.0 - _LEAST)
    odds = p / (1.0 - p)
    low, high = odds / tolerance, odds * tolerance
    tolerated = np.clip(q, low / (1.0 + low), high / (1.0 + high))
    return np.asarray(np.where(y[:, None] == 1.0, np.log(q / tolerated), np.log((1.0 - q) / (1.0 - tolerated))))


def _levels(fortunes: Numbers) -> Numbers:
    mean: Numbers = np.logaddexp.reduce(fortunes, axis=-1) - math.log(len(WAYS))
    return mean / math.log(RARITY)


def _level(fortunes: Numbers) -> float:
    return max(0.0, float(_levels(fortunes)))
