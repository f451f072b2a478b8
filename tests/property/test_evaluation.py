"""Every figure equals its definition, worked out the slow way."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.models.evaluation import (
    METRICS,
    auc,
    average_precision,
    brier,
    calibration_error,
    calibration_slope,
    intervals,
    log_loss,
    top_decile_lift,
)
from engine.models.snapshot import Numbers

ROWS = st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.05, 0.1, 0.2, 0.5, 0.8])), min_size=1, max_size=40)
TIMES = st.lists(st.integers(0, 3), min_size=40, max_size=40)


def columns(rows: list[tuple[float, float]]) -> tuple[Numbers, Numbers]:
    return np.array([label for label, _ in rows]), np.array([score for _, score in rows])


@settings(deadline=None)
@given(ROWS)
def test_auc_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[float, float]]) -> None:
    positives = [score for label, score in rows if label]
    negatives = [score for label, score in rows if not label]

    figure = auc(*columns(rows))

    if not positives or not negatives:
        assert math.isnan(figure)
    else:
        right = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
        assert figure == pytest.approx(right / len(positives) / len(negatives))


@settings(deadline=None)
@given(ROWS)
def test_average_precision_sums_precision_over_the_steps_of_recall(rows: list[tuple[float, float]]) -> None:
    found = sum(label for label, _ in rows)
    expected, recall = 0.0, 0.0
    for threshold in sorted({score for _, score in rows}, reverse=True):
        above = [label for label, score in rows if score >= threshold]
        reached = sum(above) / found if found else 0.0
        expected += (reached - recall) * sum(above) / len(above)
        recall = reached

    figure = average_precision(*columns(rows))

    assert math.isnan(figure) if not found else figure == pytest.approx(expected)


@settings(deadline=None)
@given(ROWS)
def test_log_loss_and_brier_are_means_over_rows(rows: list[tuple[float, float]]) -> None:
    losses = [-math.log(score if label else 1.0 - score) for label, score in rows]
    squares = [(score - label) ** 2 for label, score in rows]

    assert log_loss(*columns(rows)) == pytest.approx(sum(losses) / len(rows))
    assert brier(*columns(rows)) == pytest.approx(sum(squares) / len(rows))


@settings(max_examples=50, deadline=None)
@given(ROWS, TIMES, st.sampled_from(sorted(METRICS)))
def test_a_weight_counts_as_that_many_rows(rows: list[tuple[float, float]], times: list[int], name: str) -> None:
    labels, scores = columns(rows)
    weights = np.array(times[: len(rows)], dtype=np.float64)
    repeated = np.repeat(np.arange(len(rows)), times[: len(rows)])

    weighted = METRICS[name](labels, scores, weights)
    plain = METRICS[name](labels[repeated], scores[repeated], None)

    if name != "calibration_error":
        assert weighted == pytest.approx(plain, nan_ok=True, rel=1e-6, abs=1e-6)
    else:
        assert math.isnan(weighted) == (not len(repeated))
        assert math.isnan(weighted) or 0.0 <= weighted <= 1.0


@settings(deadline=None)
@given(st.integers(2, 200), st.integers(0, 5))
def test_perfectly_calibrated_bins_have_no_error(size: int, seed: int) -> None:
    scores = np.random.default_rng(seed).random(size)

    assert calibration_error(scores, scores) == pytest.approx(0.0, abs=1e-12)


def test_calibration_error_is_the_distance_of_a_constant_from_the_rate() -> None:
    labels = np.array([1.0] * 30 + [0.0] * 120)[np.random.default_rng(1).permutation(150)]
    scores = np.linspace(0.5, 0.5 + 1e-9, 150)

    assert calibration_error(labels, scores) == pytest.approx(0.3, abs=1e-6)


def test_calibration_slope_finds_how_much_too_sure_the_logits_are() -> None:
    chance = np.random.default_rng(3)
    logits = chance.normal(0, 1.5, 40_000)
    labels = (chance.random(40_000) < 1 / (1 + np.exp(-logits))).astype(np.float64)

    assert calibration_slope(labels, 1 / (1 + np.exp(-2 * logits))) == pytest.approx(0.5, abs=0.03)


def test_top_decile_lift_compares_the_best_tenth_with_everybody() -> None:
    labels = np.array([1.0] * 5 + [0.0] * 95)
    scores = np.linspace(1.0, 0.01, 100)

    assert top_decile_lift(labels, scores) == pytest.approx(10.0)
    assert top_decile_lift(labels, np.full(100, 0.5)) == pytest.approx(1.0)


def test_intervals_hold_the_figure_and_repeat_with_their_seed() -> None:
    chance = np.random.default_rng(5)
    customers = np.repeat(np.arange(200), 5)
    scores = np.clip(chance.random(200)[customers] + 0.1 * chance.random(1000), 0.01, 0.99)
    labels = (chance.random(1000) < scores).astype(np.float64)

    figures = intervals(labels, scores, customers, replicates=60, seed=9)

    assert figures == intervals(labels, scores, customers, replicates=60, seed=9)
    assert all(figure.low < figure.value < figure.high for name, figure in figures.items() if name != "calibration_error")
    assert figures["auc"].high - figures["auc"].low < 0.2
