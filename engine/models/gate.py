"""The gate: whether a challenger has shown that it predicts better than what is served.

Both give each label a probability before they learn it; what counts is by how much the challenger's log loss is lower. The
bound holds whenever one looks, so it may be looked at after every label. Labels of overlapping horizons say partly the same
thing: a gate that is told how many overlap counts that many labels as one.

Source: Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), "Time-uniform central limit theory and asymptotic confidence
sequences", Annals of Statistics 52(6), 2613-2640.
"""

import math

import msgspec
import numpy as np

from engine.models.base import Report
from engine.models.evaluation import BINS
from engine.models.snapshot import Numbers

ALPHA = 0.05
MARGIN = 0.001
"""Nats a label by which a challenger must be better, at least."""

LEAST_LABELS = 1000
WORST_CALIBRATION = 0.02

_LEAST = 1e-3
_TUNED_FOR = 2000.0
"""The bound is tightest around this many labels, and valid at any number."""


class Evidence(msgspec.Struct, frozen=True):
    """Labels on which two models were compared, with the sum and the sum of squares of what the challenger was better by."""

    labels: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def improvement(self) -> float:
        """By how much its log loss is lower, nats a label."""
        return self.total / self.labels if self.labels else 0.0

    def and_(self, served: Numbers, challenger: Numbers, labels: Numbers) -> "Evidence":
        """The evidence with more labels: what each model gave them before it learned them."""
        better = _losses(served, labels) - _losses(challenger, labels)
        return Evidence(self.labels + len(labels), self.total + float(better.sum()), self.squares + float(better @ better))

    def lower(self, overlap: float = 1.0, alpha: float = ALPHA) -> float:
        """The lower bound of the improvement, valid at any time at once; minus infinity while there is too little."""
        if self.labels < 2:
            return -math.inf
        variance = max(self.squares / self.labels - self.improvement**2, 0.0)
        return self.improvement - margin_of_error(self.labels / overlap, variance, alpha)


def margin_of_error(count: float, variance: float, alpha: float = ALPHA) -> float:
    """How far below its mean over `count` observations a truth may lie, on one side, at all times with probability 1 - alpha."""
    tuned = -2.0 * math.log(2.0 * alpha)
    rho = (tuned + math.log(tuned + 1.0)) / _TUNED_FOR
    spread = count * rho + 1.0
    return math.sqrt(variance * 2.0 * spread / (count * count * rho) * math.log1p(math.sqrt(spread) / (2.0 * alpha)))


def _losses(probabilities: Numbers, labels: Numbers) -> Numbers:
    p = np.clip(probabilities, _LEAST, 1.0 - _LEAST)
    return np.asarray(-np.where(labels == 1.0, np.log(p), np.log1p(-p)))


def objection(evidence: Evidence, report: Report, overlap: float = 1.0) -> str:
    """Why this challenger is not promoted, in words; empty if it may be."""
    lower = evidence.lower(overlap)
    if evidence.labels < LEAST_LABELS:
        return f"compared on {evidence.labels} labels, at least {LEAST_LABELS} are needed"
    if lower <= MARGIN:
        return f"the lower 95 % bound of its improvement is {lower:+.4f} nats a label, it must pass {MARGIN:+.4f}"
    if report.calibration_error is None:
        return "its calibration error is unknown"
    error = beyond_chance(report.calibration_error, report.window, report.base_rate or 0.0)
    if error > WORST_CALIBRATION:
        return f"its calibration error is {error:.4f}, at most {WORST_CALIBRATION} is allowed"
    return ""


def beyond_chance(error: float, labels: int, base_rate: float) -> float:
    """What is left of a calibration error when that which chance alone shows over so many labels is taken away.

    The bins of a model that is exactly right differ from it by sqrt(rate (1 - rate) / labels in a bin), of which the mean
    distance is sqrt(2 / pi).
    """
    if not labels:
        return error
    by_chance = 2.0 / math.pi * BINS * base_rate * (1.0 - base_rate) / labels
    return math.sqrt(max(error * error - by_chance, 0.0))
