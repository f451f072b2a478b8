"""How good predicted probabilities are: ranking, calibration, and how sure we may be.

Every figure is exact over all the rows it is given (streaming approximations of AUC are off by tenths) and takes
weights, so that a bootstrap by customer is the same function with how often each customer was drawn.

Labels are 0 or 1, `scores` are probabilities of label 1. A figure that the labels do not allow (AUC of one class) is
NaN.
"""

from collections.abc import Callable, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.models.snapshot import Numbers

LEAST_PROBABILITY = 1e-12
"""Probabilities are kept this far from 0 and 1 where a logarithm is taken."""

BINS = 15

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

    Source: Naeini, Cooper & Hauskrecht (2015), "Obtaining well calibrated probabilities using Bayesian binning", AAAI.
    """
    order = np.argsort(scores, kind="stable")
    mass = (np.ones(len(scores)) if weights is None else weights)[order]
    total = mass.sum()
    if total == 0:
        return float("nan")
    middle = np.cumsum(mass) - 0.5 * mass
    bins = np.minimum((middle / total * BINS).astype(np.intp), BINS - 1)
    gaps = np.bincount(bins, weights=mass * (labels[order] - scores[order]), minlength=BINS)
    return float(np.abs(gaps).sum() / total)


def calibration_slope(labels: Numbers, scores: Numbers, weights: Numbers | None = None) -> float:
    """The slope of a logistic regression of the label on the predicted logit: 1 is right, below 1 is overconfident.

    Source: Cox (1958), "Two further applications of a model for binary regression", Biometrika 45, 562-565.
    """
    mass = np.ones(len(scores)) if weights is None else weights
    if len(np.unique(labels[mass > 0])) < 2:
        return float("nan")
    p = np.clip(scores, LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
    design = np.column_stack([np.ones(len(p)), np.log(p) - np.log1p(-p)])
    beta = np.array([0.0, 1.0])
    for _ in range(50):
        fitted = 1.0 / (1.0 + np.exp(-np.clip(design @ beta, -30.0, 30.0)))
        gradient = design.T @ (mass * (labels - fitted))
        curvature = (design * (mass * fitted * (1.0 - fitted))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        beta = beta + np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-10:
            break
    return float(beta[1])


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
    "top_decile_lift": top_decile_lift,
}


class Figure(msgspec.Struct, frozen=True):
    """A figure with the interval in which it lies when other customers of the same kind had been watched."""

    value: float
    low: float
    high: float


def intervals(
    labels: Numbers,
    scores: Numbers,
    customers: NDArray[np.intp],
    replicates: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Figure]:
    """Every figure of `METRICS` with its percentile bootstrap interval.

    Customers are drawn with replacement, each with all of their rows: rows of one customer are no independent
    evidence. `customers` numbers them from 0. The same seed gives the same intervals.

    Source: Efron & Tibshirani (1993), "An Introduction to the Bootstrap", chapters 6 and 13.
    """
    order = np.argsort(scores, kind="stable")
    labels, scores, customers = labels[order], scores[order], customers[order]
    count = int(customers.max()) + 1 if len(customers) else 0
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1.0 / max(count, 1)), size=replicates)
    tail = (1.0 - level) / 2.0
    figures = {}
    for name, metric in METRICS.items():
        values = [metric(labels, scores, times[customers].astype(np.float64)) for times in drawn]
        known = np.array([value for value in values if value == value])
        low, high = np.quantile(known, [tail, 1.0 - tail]) if len(known) else (float("nan"), float("nan"))
        figures[name] = Figure(metric(labels, scores, None), float(low), float(high))
    return figures


def _by_score(labels: Numbers, scores: Numbers, weights: Numbers | None) -> tuple[Numbers, Numbers]:
    """Mass of positives and of negatives at each distinct score, ascending."""
    if not len(scores):
        return np.zeros(0), np.zeros(0)
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    starts = np.concatenate([[0], np.nonzero(np.diff(ranked))[0] + 1])
    mass = np.ones(len(scores)) if weights is None else weights[order]
    positive = labels[order] * mass
    return np.add.reduceat(positive, starts), np.add.reduceat(mass - positive, starts)


def _mean(values: Numbers, weights: Numbers | None) -> float:
    if weights is None:
        return float(values.mean()) if len(values) else float("nan")
    total = weights.sum()
    return float((values * weights).sum() / total) if total > 0 else float("nan")
