"""How good predicted probabilities are: ranking, calibration, and how sure we may be.

Every figure is exact over all the rows it is given (streaming approximations of AUC are off by tenths) and takes
weights, so that a bootstrap by customer is the same function with how often each customer was drawn.

Labels are 0 or 1, `scores` are probabilities of label 1. A figure that the labels do not allow (AUC of one class) is
NaN.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.models.snapshot import Numbers

LEAST_PROBABILITY = 1e-12
"""Probabilities are kept this far from 0 and 1 where a logarithm is taken."""

BINS = 15
REPLICATES = 200
"""Bootstrap samples behind an interval."""

LEVEL = 0.95
_MOST_STEPS, _LONG_STEP, _SMALL_STEP = 100, 0.5, 1e-9

Metric = Callable[[Numbers, Numbers, Numbers | None], float]


def auc(labels: Numbers, scores: Numbers, weights: Numbers | None = None) -> float:
    """The probability that a random positive scores above a random negative; a tie counts half."""
    positives, negatives = _by_score(labels, scores, weights)
    total = positives.sum() * negatives.sum()
    if total == 0:
        return float("nan")
    below = np.cumsum(negatives) - negatives
    return float((positives * (below + 0.5 * negatives)).sum() / total)


def average_precision(labels: Numbers, scores: Numbers, weights: Numbers | None = None) -> float:
    """The mean precision over the positives, from the top; equal scores are one step."""
    positives, negatives = _by_score(labels, scores, weights)
    total = positives.sum()
    if total == 0:
        return float("nan")
    hits = np.cumsum(positives[::-1])
    seen = np.cumsum((positives + negatives)[::-1])
    counted = seen > 0
    return float((positives[::-1][counted] * hits[counted] / seen[counted]).sum() / total)


def log_loss(labels: Numbers, scores: Numbers, weights: Numbers | None = None) -> float:
    """The mean negative log probability of what happened, in nats."""
    p = np.clip(scores, LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
    return _mean(-(labels * np.log(p) + (1.0 - labels) * np.log1p(-p)), weights)


def brier(labels: Numbers, scores: Numbers, weights: Numbers | None = None) -> float:
    """The mean squared difference between probability and label."""
    return _mean((scores - labels) ** 2, weights)


def calibration_error(labels: Numbers, scores: Numbers, weights: Numbers | None = None) -> float:
    """Expected calibration error: over 15 bins of equal mass, the mean distance of predicted from observed rate.

    A row that lies on the edge of two bins belongs to both, by its shares, and so do rows of equal scores: the order of
    the rows changes nothing.

    Source: Naeini, Cooper & Hauskrecht (2015), "Obtaining well calibrated probabilities using Bayesian binning", AAAI.
    """
    curve = calibration_curve(labels, scores, weights)
    total = curve.mass.sum()
    return float((np.abs(curve.observed - curve.predicted) * curve.mass).sum() / total) if total > 0 else float("nan")


class Curve(msgspec.Struct, frozen=True, eq=False):
    """By bin of equal mass, from the lowest scores to the highest: the mean score, the rate of label 1, and the mass."""

    predicted: Numbers
    observed: Numbers
    mass: Numbers


def calibration_curve(labels: Numbers, scores: Numbers, weights: Numbers | None = None, bins: int = BINS) -> Curve:
    """What was predicted against what came, in bins of equal mass; no bins without mass."""
    levels, positives, negatives = _steps(labels, scores, weights)
    reached = np.concatenate([[0.0], np.cumsum(positives + negatives)])
    if reached[-1] <= 0:
        return Curve(np.zeros(0), np.zeros(0), np.zeros(0))
    edges = np.linspace(0.0, reached[-1], bins + 1)
    told = np.concatenate([[0.0], np.cumsum((positives + negatives) * levels)])
    found = np.concatenate([[0.0], np.cumsum(positives)])
    mass = np.diff(edges)
    return Curve(np.diff(np.interp(edges, reached, told)) / mass, np.diff(np.interp(edges, reached, found)) / mass, mass)


def calibration_line(labels: Numbers, scores: Numbers, weights: Numbers | None = None) -> tuple[float, float]:
    """Intercept and slope of a logistic regression of the label on the predicted logit: 0 and 1 are right.

    A slope below 1 is overconfident; an intercept above 0 (at slope 1) says that more comes than was predicted. NaN where the
    scores separate the labels or do not differ: no line fits better than every other.

    Source: Cox (1958), "Two further applications of a model for binary regression", Biometrika 45, 562-565.
    """
    mass = np.ones(len(scores)) if weights is None else weights
    kept = mass > 0
    if not kept.all():
        labels, scores, mass = labels[kept], scores[kept], mass[kept]
    ones, zeros = scores[labels == 1.0], scores[labels == 0.0]
    unknown = float("nan"), float("nan")
    if not len(ones) or not len(zeros) or ones.min() >= zeros.max() or zeros.min() >= ones.max():
        return unknown
    p = np.clip(scores, LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
    return _fitted_line(labels, np.log(p) - np.log1p(-p), mass)


def _fitted_line(labels: Numbers, logits: Numbers, mass: Numbers) -> tuple[float, float]:
    """Newton's method from (0, 1); a long step is halved until it leads uphill, or it would jump to and fro."""
    line = np.array([0.0, 1.0])
    for _ in range(_MOST_STEPS):
        fitted = 1.0 / (1.0 + np.exp(-np.clip(line[0] + line[1] * logits, -30.0, 30.0)))
        pull, bend = mass * (labels - fitted), mass * fitted * (1.0 - fitted)
        bent = bend * logits
        g0, g1, h00, h01, h11 = pull.sum(), pull @ logits, bend.sum(), bent.sum(), bent @ logits
        determinant = h00 * h11 - h01 * h01
        if determinant <= 0:
            break
        step = np.array([h11 * g0 - h01 * g1, h00 * g1 - h01 * g0]) / determinant
        if np.abs(step).max() > _LONG_STEP:
            here = _likelihood(labels, logits, mass, line)
            while _likelihood(labels, logits, mass, line + step) < here and np.abs(step).max() > _SMALL_STEP:
                step = step / 2.0
        line = line + step
        if np.abs(step).max() < _SMALL_STEP:
            return float(line[0]), float(line[1])
    return float("nan"), float("nan")


def _likelihood(labels: Numbers, logits: Numbers, mass: Numbers, line: Numbers) -> float:
    told = line[0] + line[1] * logits
    return float(mass @ (labels * told - np.logaddexp(0.0, told)))


def calibration_intercept(labels: Numbers, scores: Numbers, weights: Numbers | None = None) -> float:
    """The intercept of `calibration_line`."""
    return calibration_line(labels, scores, weights)[0]


def calibration_slope(labels: Numbers, scores: Numbers, weights: Numbers | None = None) -> float:
    """The slope of `calibration_line`."""
    return calibration_line(labels, scores, weights)[1]


def top_decile_lift(labels: Numbers, scores: Numbers, weights: Numbers | None = None) -> float:
    """The rate among the tenth with the highest scores over the rate of all; equal scores share the cut evenly."""
    positives, negatives = _by_score(labels, scores, weights)
    mass = (positives + negatives)[::-1]
    rate = positives.sum() / mass.sum() if mass.sum() > 0 else 0.0
    if rate == 0:
        return float("nan")
    wanted = 0.1 * mass.sum()
    before = np.cumsum(mass) - mass
    share = np.clip((wanted - before) / np.where(mass > 0, mass, 1.0), 0.0, 1.0)
    return float((positives[::-1] * share).sum() / wanted / rate)


METRICS: Mapping[str, Metric] = {
    "auc": auc,
    "average_precision": average_precision,
    "log_loss": log_loss,
    "brier": brier,
    "calibration_error": calibration_error,
    "calibration_slope": calibration_slope,
    "calibration_intercept": calibration_intercept,
    "top_decile_lift": top_decile_lift,
}


class Figure(msgspec.Struct, frozen=True):
    """A figure with the interval in which it lies when other customers of the same kind had been watched."""

    value: float
    low: float
    high: float


class Rows(msgspec.Struct, frozen=True, eq=False):
    """Predictions whose label is known. `customers` numbers the customers from 0; `at` is when each was scored, in Millis."""

    labels: Numbers
    scores: Numbers
    customers: NDArray[np.intp]
    at: NDArray[np.int64]

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "Rows":
        """These rows alone, their customers numbered anew."""
        numbers = np.unique(self.customers[chosen], return_inverse=True)[1].astype(np.intp)
        return Rows(self.labels[chosen], self.scores[chosen], numbers, self.at[chosen])


class Figures(msgspec.Struct, frozen=True):
    """How good some predictions are: how many, of how many customers, how many of label 1, and the figures of `METRICS`."""

    rows: int
    customers: int
    positives: int
    figures: dict[str, Figure]


def figures_of(rows: Rows, replicates: int = REPLICATES, seed: int = 0) -> Figures:
    """Everything that is said about some predictions."""
    found = intervals(rows.labels, rows.scores, rows.customers, replicates, seed)
    return Figures(len(rows.labels), len(np.unique(rows.customers)), int(rows.labels.sum()), found)


def intervals(
    labels: Numbers,
    scores: Numbers,
    customers: NDArray[np.intp],
    replicates: int = REPLICATES,
    seed: int = 0,
    level: float = LEVEL,
    metrics: Mapping[str, Metric] = METRICS,
) -> dict[str, Figure]:
    """Every figure of `metrics` with its percentile bootstrap interval.

    Customers are drawn with replacement, each with all of their rows: rows of one customer are no independent
    evidence. `customers` numbers them from 0. The same seed gives the same intervals.

    Source: Efron & Tibshirani (1993), "An Introduction to the Bootstrap", chapters 6 and 13.
    """
    order = np.argsort(scores, kind="stable")
    labels, scores, customers = labels[order], scores[order], customers[order]
    samples: dict[str, list[float]] = {name: [] for name in metrics}
    for times in draws(customers, replicates, seed):
        for name, value in _every(metrics, labels, scores, times).items():
            samples[name].append(value)
    return {name: _figure(value, samples[name], level) for name, value in _every(metrics, labels, scores, None).items()}


def difference(
    metric: Metric,
    labels: Numbers,
    scores: Numbers,
    others: Numbers,
    customers: NDArray[np.intp],
    replicates: int = REPLICATES,
    seed: int = 0,
    level: float = LEVEL,
) -> Figure:
    """By how much a figure of `scores` is greater than that of `others` on the same rows, each sample drawn for both."""
    values = [metric(labels, scores, times) - metric(labels, others, times) for times in draws(customers, replicates, seed)]
    return _figure(metric(labels, scores, None) - metric(labels, others, None), values, level)


def mean_of(values: Numbers, customers: NDArray[np.intp], replicates: int = REPLICATES, seed: int = 0) -> Figure:
    """A mean over rows with its interval."""
    sums, rows = np.bincount(customers, values), np.bincount(customers)
    samples = [float(times @ sums) / max(float(times @ rows), 1.0) for times in _drawn(len(rows), replicates, seed)]
    return _figure(float(values.mean()), samples, LEVEL)


def draws(customers: NDArray[np.intp], replicates: int, seed: int) -> Iterator[Numbers]:
    """For each bootstrap sample: how often each row is in it. Customers come with all of their rows."""
    for times in _drawn(int(customers.max()) + 1 if len(customers) else 0, replicates, seed):
        yield times[customers]


def _drawn(count: int, replicates: int, seed: int) -> Iterator[Numbers]:
    chance = np.random.default_rng(seed)
    shares = np.full(count, 1.0 / max(count, 1))
    for _ in range(replicates):
        yield chance.multinomial(count, shares).astype(np.float64)


def _every(metrics: Mapping[str, Metric], labels: Numbers, scores: Numbers, weights: Numbers | None) -> dict[str, float]:
    """The figures of `metrics`, where those that share their work do it once."""
    known: dict[str, float] = {}
    if "calibration_slope" in metrics and "calibration_intercept" in metrics:
        known["calibration_intercept"], known["calibration_slope"] = calibration_line(labels, scores, weights)
    return {name: known[name] if name in known else metric(labels, scores, weights) for name, metric in metrics.items()}


def _figure(value: float, samples: Sequence[float], level: float) -> Figure:
    known = np.array([sample for sample in samples if sample == sample])
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(known, [tail, 1.0 - tail]) if len(known) else (float("nan"), float("nan"))
    return Figure(float(value), float(low), float(high))


def _by_score(labels: Numbers, scores: Numbers, weights: Numbers | None) -> tuple[Numbers, Numbers]:
    """Mass of positives and of negatives at each distinct score, ascending."""
    return _steps(labels, scores, weights)[1:]


def _steps(labels: Numbers, scores: Numbers, weights: Numbers | None) -> tuple[Numbers, Numbers, Numbers]:
    """The distinct scores, ascending, with the mass of positives and of negatives at each."""
    if not len(scores):
        return np.zeros(0), np.zeros(0), np.zeros(0)
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    starts = np.concatenate([[0], np.nonzero(np.diff(ranked))[0] + 1])
    mass = np.ones(len(scores)) if weights is None else weights[order]
    positive = labels[order] * mass
    return ranked[starts], np.add.reduceat(positive, starts), np.add.reduceat(mass - positive, starts)


def _mean(values: Numbers, weights: Numbers | None) -> float:
    if weights is None:
        return float(values.mean()) if len(values) else float("nan")
    total = weights.sum()
    return float((values * weights).sum() / total) if total > 0 else float("nan")
