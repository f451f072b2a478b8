"""BG/NBD against its definition: the closed forms against integrals, the slopes against differences, two ways of asking."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple
from scipy.special import hyp2f1, roots_jacobi

from engine.models import bgnbd
from engine.models.bgnbd import BgNbd

PUBLISHED = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)
"""The fit of the CDNOW sample in weeks, as its authors print it."""


@dataclass(frozen=True)
class History:
    repeats: int
    last: float
    age: float


@st.composite
def histories(draw: st.DrawFn) -> History:
    age = draw(st.floats(0.5, 700.0))
    repeats = draw(st.integers(0, 60))
    return History(repeats, draw(st.floats(0.0, age)) if repeats else 0.0, age)


models = st.builds(BgNbd, r=st.floats(0.1, 4.0), alpha=st.floats(0.5, 90.0), a=st.floats(0.1, 3.0), b=st.floats(0.2, 12.0))
spans = st.floats(0.5, 400.0)


def arrays(history: History) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.array([float(history.repeats)]), np.array([history.last]), np.array([history.age])


def test_published_example_of_an_expectation() -> None:
    expected = bgnbd.expected_purchases(PUBLISHED, repeats=2, last=30.43, age=38.86, span=39.0)

    assert expected == pytest.approx(1.226, abs=0.001)


@given(models, histories(), spans)
def test_expectation_is_the_integral_over_what_a_customer_may_be_like(model: BgNbd, history: History, span: float) -> None:
    shape, scale = model.r + history.repeats, model.alpha + history.age
    nodes, weights = roots_jacobi(400, model.b + history.repeats - 1.0, model.a - 1.0)
    leaving = (1.0 + nodes) / 2.0
    while_alive = float(weights @ (-np.expm1(-shape * np.log1p(leaving * span / scale)) / leaving) / weights.sum())

    expected = bgnbd.expected_purchases(model, history.repeats, history.last, history.age, span)

    alive = bgnbd.alive(model, history.repeats, history.last, history.age)
    assert expected == pytest.approx(while_alive * alive, rel=1e-7, abs=1e-12)


@pytest.mark.parametrize("a", [1.0 - 1e-9, 1.0, 1.0 + 1e-9])
def test_expectation_passes_smoothly_through_the_pole_of_its_textbook_form(a: float) -> None:
    near = bgnbd.expected_purchases(BgNbd(0.5, 20.0, 1.001, 3.0), 3, 40.0, 60.0, 365.0)

    assert bgnbd.expected_purchases(BgNbd(0.5, 20.0, a, 3.0), 3, 40.0, 60.0, 365.0) == pytest.approx(near, rel=1e-3)


def test_expectation_equals_the_textbook_form_away_from_its_pole() -> None:
    r, alpha, a, b = astuple(PUBLISHED)
    x, last, age, span = 4, 20.0, 30.0, 39.0

    inner = hyp2f1(r + x, b + x, a + b + x - 1, span / (alpha + age + span)) * ((alpha + age) / (alpha + age + span)) ** (r + x)
    textbook = (a + b + x - 1) / (a - 1) * (1 - inner) * bgnbd.alive(PUBLISHED, x, last, age)

    assert bgnbd.expected_purchases(PUBLISHED, x, last, age, span) == pytest.approx(textbook, rel=1e-10)


@given(models, histories(), spans)
def test_one_customer_and_many_read_the_same(model: BgNbd, history: History, span: float) -> None:
    facts = history.repeats, history.last, history.age

    assert bgnbd.alive_many(model, *arrays(history))[0] == pytest.approx(bgnbd.alive(model, *facts), rel=1e-9)
    assert bgnbd.buys_within_many(model, *arrays(history), span)[0] == pytest.approx(
        bgnbd.buys_within(model, *facts, span), rel=1e-9
    )
    assert bgnbd.expected_purchases_many(model, *arrays(history), span)[0] == pytest.approx(
        bgnbd.expected_purchases(model, *facts, span), rel=1e-9, abs=1e-12
    )


@given(models, histories(), spans)
def test_a_purchase_is_never_likelier_than_being_alive_and_never_more_than_expected(
    model: BgNbd, history: History, span: float
) -> None:
    facts = history.repeats, history.last, history.age

    chance = bgnbd.buys_within(model, *facts, span)

    assert 0.0 <= chance <= bgnbd.alive(model, *facts) <= 1.0
    assert chance <= bgnbd.expected_purchases(model, *facts, span) + 1e-9


@given(models, histories())
def test_longer_silence_makes_leaving_likelier(model: BgNbd, history: History) -> None:
    now = bgnbd.alive(model, history.repeats, history.last, history.age)
    later = bgnbd.alive(model, history.repeats, history.last, history.age + 30.0)

    assert later <= now


@given(models, histories())
def test_slopes_are_those_of_the_likelihood(model: BgNbd, history: History) -> None:
    facts = arrays(history)
    step = 1e-5
    logs = np.log(astuple(model))

    for place, slope in enumerate(bgnbd.slopes(model, *facts)[0]):
        moved = np.zeros(4)
        moved[place] = step
        above = bgnbd.log_likelihood(BgNbd(*map(float, np.exp(logs + moved))), *facts)[0]
        below = bgnbd.log_likelihood(BgNbd(*map(float, np.exp(logs - moved))), *facts)[0]
        assert slope == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-4)


def test_likelihood_is_finite_for_a_crowd_of_purchases_and_empty_for_nobody() -> None:
    nobody = np.zeros(0)

    assert bgnbd.log_likelihood(PUBLISHED, nobody, nobody, nobody).shape == (0,)
    assert np.isfinite(
        bgnbd.log_likelihood(PUBLISHED, np.array([0.0, 900.0]), np.array([0.0, 700.0]), np.array([1.0, 701.0]))
    ).all()
