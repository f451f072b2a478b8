"""Every figure equals its definition, worked out the slow way."""

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.models.evaluation import (
    METRICS,
    Rows,
    auc,
    average_precision,
    brier,
    calibration_curve,
    calibration_error,
    calibration_line,
    calibration_slope,
    difference,
    figures_of,
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

    assert weighted == pytest.approx(plain, nan_ok=True, rel=1e-6, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(ROWS, st.randoms(use_true_random=False), st.sampled_from(sorted(METRICS)))
def test_the_order_of_the_rows_changes_no_figure(rows: list[tuple[float, float]], chance: Random, name: str) -> None:
    mixed = chance.sample(rows, len(rows))

    assert METRICS[name](*columns(mixed), None) == pytest.approx(METRICS[name](*columns(rows), None), nan_ok=True, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(1, 7))
def test_a_bin_holds_its_share_of_the_rows_and_of_those_with_equal_scores(rows: list[tuple[float, float]], bins: int) -> None:
    levels = sorted({score for _, score in rows})
    rate = {level: float(np.mean([label for label, score in rows if score == level])) for level in levels}
    spread = [(score, rate[score]) for score in sorted(score for _, score in rows) for _ in range(bins)]

    curve = calibration_curve(*columns(rows), bins=bins)

    for place in range(bins):
        held = spread[place * len(rows) : (place + 1) * len(rows)]
        assert curve.predicted[place] == pytest.approx(np.mean([score for score, _ in held]))
        assert curve.observed[place] == pytest.approx(np.mean([of for _, of in held]))
    assert curve.mass.sum() == pytest.approx(len(rows))


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_no_line_through_the_logits_fits_better(rows: list[tuple[float, float]]) -> None:
    labels, scores = columns(rows)
    intercept, slope = calibration_line(labels, scores)

    if math.isnan(slope):
        ones, zeros = scores[labels == 1.0], scores[labels == 0.0]
        assert not len(ones) or not len(zeros) or ones.min() >= zeros.max() or zeros.min() >= ones.max()
        return
    logits = np.log(scores) - np.log1p(-scores)
    missed = labels - 1.0 / (1.0 + np.exp(-(intercept + slope * logits)))
    assert missed.sum() == pytest.approx(0.0, abs=1e-6)
    assert (missed * logits).sum() == pytest.approx(0.0, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_top_decile_lift_takes_the_cut_evenly_from_equal_scores(rows: list[tuple[float, float]]) -> None:
    found = sum(label for label, _ in rows)
    left, hits = 0.1 * len(rows), 0.0
    for level in sorted({score for _, score in rows}, reverse=True):
        equal = [label for label, score in rows if score == level]
        taken = min(left, float(len(equal)))
        hits, left = hits + taken * sum(equal) / len(equal), left - taken

    lift = top_decile_lift(*columns(rows))

    assert math.isnan(lift) if not found else lift == pytest.approx(hits / (0.1 * len(rows)) / (found / len(rows)))


def test_a_difference_is_judged_on_the_same_samples() -> None:
    chance = np.random.default_rng(8)
    customers = np.repeat(np.arange(150), 4).astype(np.intp)
    truth = np.clip(chance.random(150)[customers], 0.02, 0.98)
    labels = (chance.random(600) < truth).astype(np.float64)
    worse = np.clip(truth + chance.normal(0.0, 0.4, 600), 0.01, 0.99)

    better = difference(auc, labels, truth, worse, customers, replicates=80, seed=2)

    assert difference(auc, labels, truth, truth, customers, replicates=20).low == 0.0
    assert better.value == pytest.approx(auc(labels, truth) - auc(labels, worse))
    assert 0.0 < better.low < better.value < better.high
    alone = [intervals(labels, scores, customers, replicates=80, seed=2)["auc"] for scores in (truth, worse)]
    assert better.high - better.low < sum(one.high - one.low for one in alone)


def test_figures_count_rows_customers_and_positives_of_a_part() -> None:
    rows = Rows(
        np.array([1.0, 0.0, 1.0, 0.0, 1.0]),
        np.array([0.9, 0.2, 0.4, 0.5, 0.7]),
        np.array([4, 4, 7, 9, 9], dtype=np.intp),
        np.array([1, 1, 2, 2, 3]),
    )

    part = rows.where(rows.at >= 2)

    assert part.customers.tolist() == [0, 1, 1]
    found = figures_of(part, replicates=5)
    assert (found.rows, found.customers, found.positives) == (3, 2, 2)
    assert set(found.figures) == set(METRICS)


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
