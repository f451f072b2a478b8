"""Fitting a few numbers of a population to many customers: in the stream as they come, and all together.

Both climb the likelihood in the logarithms of the numbers, so that none can leave its range, and neither has a step size to
tune. In the stream slopes are weighed by the information that they carry themselves (Fisher's: the sum of their outer
products); all together the curvature is measured.
"""

from collections.abc import Callable
from typing import Self

import numpy as np

from engine.models.snapshot import Numbers

Slopes = Callable[[Numbers], Numbers]
"""From the logarithms of the numbers to one row of derivatives for each customer."""
Fit = Callable[[Numbers], float]
"""From the logarithms of the numbers to the log-likelihood of everybody together."""

_LONGEST_STEP = 0.5
_SHORTEST_MEMORY = 256.0
_PULL = 1e-5
"""How strongly the start holds, so that what the data say nothing about does not run away."""
_NUDGE = 1e-4


class Climb:
    """Mini-batches in the stream.

    Information taken far from the top is wrong about the top, so its memory reaches back over half of what was seen and
    at most over `memory` customers.
    """

    def __init__(self, start: Numbers, memory: float = 4096.0) -> None:
        self.logs = np.array(start, dtype=np.float64)
        self.memory = memory
        self.information = 20.0 * np.eye(len(self.logs))
        self.seen = 0

    def step(self, slopes: Numbers) -> None:
        """Learn one batch, given its rows of derivatives at the present numbers; rows that are not finite are left out."""
        kept = slopes[np.isfinite(slopes).all(axis=1)]
        if not len(kept):
            return
        self.seen += len(kept)
        fading = 1.0 - len(kept) / min(max(self.seen / 2.0, _SHORTEST_MEMORY), self.memory)
        self.information = max(fading, 0.0) * self.information + kept.T @ kept
        move = np.linalg.solve(self.information + np.eye(len(self.logs)), kept.sum(axis=0))
        self.logs = self.logs + _bounded(np.asarray(move, dtype=np.float64))

    def continued(self, logs: Numbers, information: Numbers, seen: int) -> Self:
        """The same kind of climb from where another one stood."""
        fresh = type(self)(logs, self.memory)
        fresh.information = np.array(information, dtype=np.float64)
        fresh.seen = seen
        return fresh


def climbed(start: Numbers, anchor: Numbers, fit: Fit, slopes: Slopes, most: int = 40, enough: float = 1e-6) -> Numbers:
    """The top of the likelihood of all customers together, from `start`; stops where a step promises less than `enough`.

    The numbers are drawn to `anchor`, by less than one customer could, where the data say nothing.
    """
    logs = np.array(start, dtype=np.float64)
    height = _height(logs, anchor, fit)
    for _ in range(most):
        slope, curvature = _curved(logs, anchor, slopes)
        move = np.asarray(np.linalg.solve(curvature, slope), dtype=np.float64)
        if not np.isfinite(move).all() or float(slope @ move) < enough:
            break
        move = _bounded(move, 1.0)
        for _ in range(12):
            reached = _height(logs + move, anchor, fit)
            if reached >= height:
                break
            move = move / 2.0
        else:
            break
        logs, height = logs + move, reached
    return logs


def _curved(logs: Numbers, anchor: Numbers, slopes: Slopes) -> tuple[Numbers, Numbers]:
    """The slope, and a curvature that is positive: measured by differences, or that of the information where that is not."""
    rows, size = slopes(logs), len(logs)
    slope = rows.sum(axis=0)
    nudged = [slopes(logs + _NUDGE * np.eye(size)[place]).sum(axis=0) for place in range(size)]
    measured = -(np.stack(nudged) - slope) / _NUDGE
    measured = (measured + measured.T) / 2.0
    flat = _PULL * np.eye(size)
    usable = bool(np.isfinite(measured).all()) and float(np.linalg.eigvalsh(measured + flat)[0]) > 0.0
    return slope - _PULL * (logs - anchor), (measured if usable else rows.T @ rows) + flat


def _height(logs: Numbers, anchor: Numbers, fit: Fit) -> float:
    return fit(logs) - 0.5 * _PULL * float((logs - anchor) @ (logs - anchor))


def _bounded(move: Numbers, longest: float = _LONGEST_STEP) -> Numbers:
    length = float(np.abs(move).max())
    return move if length <= longest else move * (longest / length)
