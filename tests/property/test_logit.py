"""The Bayesian logit against the same mathematics done the slow way, and its promises about bits and bad numbers."""

import math
import os
import subprocess
import sys
from collections.abc import Hashable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.models.expansion import PRIOR_READINGS, inputs, standardised
from engine.models.logit import MAX_WIDTH, BayesianLogit
from engine.models.snapshot import Numbers, SnapshotMismatch, decode_state, encode_state

NAMES = ("a", "b", "c")
READINGS = st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3)
EXAMPLES = st.lists(st.tuples(READINGS, st.sampled_from([0.0, 1.0])), min_size=1, max_size=25)
Rows = list[tuple[list[float], float]]


def a_logit() -> BayesianLogit:
    return BayesianLogit(names=NAMES, plain=("c",), prior_means=(("c", 1.0),), intercept=-1.0)


def learned(model: BayesianLogit, rows: Rows) -> BayesianLogit:
    for readings, label in rows:
        model.learn(np.array(readings), label)
    return model


def bits(model: BayesianLogit) -> bytes:
    return encode_state(model.state())


@settings(max_examples=40, deadline=None)
@given(EXAMPLES)
def test_each_step_is_the_laplace_update_of_precision_and_mean(rows: Rows) -> None:
    model = a_logit()
    width = model.layout.width
    precision = np.diag([0.1] + [10.0] * (width - 1))
    mean = model.weights

    for readings, label in rows:
        a = inputs(model.layout, standardised(model.layout, np.array(readings), model.mean, model.deviation))
        p = 1 / (1 + math.exp(-min(max(float(mean @ a), -30), 30)))
        precision = precision + p * (1 - p) * np.outer(a, a)
        mean = mean + np.linalg.solve(precision, a * (label - p))
        model.learn(np.array(readings), label)

    assert model.learned == len(rows)
    assert np.allclose(model.weights, mean, rtol=1e-6, atol=1e-7)
    assert np.allclose(model.variances, np.diag(np.linalg.inv(precision)), rtol=1e-6, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(EXAMPLES, st.integers(0, 25))
def test_restore_then_continue_is_continue(rows: Rows, cut: int) -> None:
    whole = learned(a_logit(), rows)

    before = learned(a_logit(), rows[:cut])
    after = learned(a_logit().from_state(decode_state(bits(before))), rows[cut:])

    assert bits(after) == bits(whole)


@settings(max_examples=30, deadline=None)
@given(EXAMPLES, st.sampled_from([math.nan, math.inf, -math.inf]), st.integers(0, 2))
def test_a_number_that_is_not_finite_teaches_nothing(rows: Rows, bad: float, place: int) -> None:
    model = learned(a_logit(), rows)
    weights, variances = model.weights, model.variances
    readings = np.array([1.0, 2.0, 3.0])
    readings[place] = bad

    assert model.learn(readings, 1.0) is None
    assert model.learn(np.zeros(3), 0.5) is None
    model.learn_one(dict(zip(NAMES, readings.tolist(), strict=True)), True)

    assert model.unlearnable == 3
    assert (model.weights == weights).all()
    assert (model.variances == variances).all()
    assert np.isfinite(model.weights).all()


@settings(max_examples=30, deadline=None)
@given(EXAMPLES)
def test_uncertainty_only_ever_shrinks(rows: Rows) -> None:
    model = a_logit()
    held = model.variances

    for readings, label in rows:
        model.learn(np.array(readings), label)
        now = model.variances
        assert (now <= held).all()
        assert (now > 0).all()
        held = now


@settings(max_examples=30, deadline=None)
@given(EXAMPLES)
def test_vectors_and_dictionaries_are_the_same_model(rows: Rows) -> None:
    by_vector, by_name = a_logit(), a_logit()

    for readings, label in rows:
        x: dict[Hashable, Any] = dict(zip(NAMES, readings, strict=True))
        assert by_name.predict_proba_one(x)[True] == pytest.approx(float(by_vector.probability(np.array(readings))))
        by_vector.learn(np.array(readings), label)
        by_name.learn_one(x, bool(label))

    assert bits(by_vector) == bits(by_name)


@settings(max_examples=30, deadline=None)
@given(EXAMPLES)
def test_a_reading_that_is_always_zero_changes_no_probability(rows: Rows) -> None:
    with_it, without = BayesianLogit(names=(*NAMES, "idle")), BayesianLogit(names=NAMES)

    for readings, label in rows:
        a, b = np.array([*readings, 0.0]), np.array(readings)
        assert float(with_it.probability(a)) == pytest.approx(float(without.probability(b)), rel=1e-9)
        with_it.learn(a, label)
        without.learn(b, label)


def test_readings_met_later_are_appended_and_leave_what_was_learned_alone() -> None:
    model, both = BayesianLogit(), BayesianLogit(names=("a", "b"))
    for value in range(30):
        model.learn_one({"a": value}, value > 15)
        both.learn_one({"a": value}, value > 15)

    model.learn_one({"b": 1.0, "a": 3.0}, False)
    both.learn_one({"b": 1.0, "a": 3.0}, False)

    assert model.predict_proba_one({"a": 9.0, "b": 2.0})[True] == pytest.approx(
        both.predict_proba_one({"a": 9.0, "b": 2.0})[True]
    )


def test_a_state_of_other_settings_is_refused() -> None:
    state = BayesianLogit(names=NAMES).state()

    with pytest.raises(SnapshotMismatch):
        BayesianLogit(names=NAMES, prior_precision=3.0).from_state(state)
    with pytest.raises(SnapshotMismatch):
        BayesianLogit(names=("a", "b", "d")).from_state(state)


def test_a_model_wider_than_it_can_learn_in_time_is_refused() -> None:
    with pytest.raises(ValueError, match=str(MAX_WIDTH)):
        BayesianLogit(names=tuple(f"r{place}" for place in range(200)))


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        BayesianLogit(prior_precision=0.0)


def test_the_first_reading_counts_as_one_beside_the_prior_ones() -> None:
    model = BayesianLogit(names=("a",))

    model.learn(np.array([math.e - 1.0]), 1.0)

    assert model.mean[0] == pytest.approx(1.0)
    assert model.deviation[0] == pytest.approx(math.sqrt(PRIOR_READINGS / (PRIOR_READINGS + 1)))


_DRIVE = """
import hashlib, numpy as np
from engine.models.logit import BayesianLogit
from engine.models.snapshot import encode_state
chance = np.random.default_rng(4)
model = BayesianLogit(names=tuple(f"r{i}" for i in range(63)))
for _ in range(400):
    model.learn(chance.lognormal(size=63), float(chance.random() < 0.3))
print(model.layout.width, hashlib.sha256(encode_state(model.state())).hexdigest())
"""


@pytest.mark.slow
def test_the_bits_do_not_depend_on_the_number_of_cores() -> None:
    told = [
        subprocess.run(
            [sys.executable, "-c", _DRIVE],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    ]

    assert told[0] == told[1]
    assert told[0].startswith("190 ")


def ranked(numbers: Numbers) -> list[int]:
    return [int(place) for place in np.argsort(numbers)]


def test_it_learns_what_there_is_to_learn() -> None:
    chance = np.random.default_rng(8)
    model = BayesianLogit(names=("signal", "noise"))
    for _ in range(3000):
        signal, noise = chance.normal(size=2)
        model.learn(np.array([signal, noise]), float(chance.random() < 1 / (1 + math.exp(-2 * signal))))

    probabilities = model.probability(np.array([[-2.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]))

    assert ranked(probabilities) == [0, 1, 2, 3, 4]
    assert probabilities[2] == pytest.approx(0.5, abs=0.05)
    assert probabilities[4] > 0.93
