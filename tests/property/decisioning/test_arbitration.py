"""Laws of the draw: what is logged as its probability is its probability."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

from engine.decisioning.arbitration import draw, draw_all, expected_loss, propensities, sharpened, slate
from engine.decisioning.policy import Arbitration
from engine.ids import unit_interval

Numbers = NDArray[np.float64]
values = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=60).map(np.array)
arbitrations = st.builds(
    Arbitration,
    kind=st.sampled_from(["inverse_gap", "uniform"]),
    epsilon=st.floats(0.001, 1.0),
    gamma=st.floats(0.0, 1e6),
    loss_budget=st.one_of(st.just(1.0), st.floats(0.001, 0.999)),
)


@settings(max_examples=100)
@given(values=values, arbitration=arbitrations)
def test_propensities_sum_to_one_and_none_is_below_the_floor(values: Numbers, arbitration: Arbitration) -> None:
    weights = propensities(values, arbitration)

    unbound = expected_loss(values, replace(arbitration, loss_budget=1.0))
    allowed = arbitration.loss_budget * max(abs(values.max()), 1e-12)
    share = min(1.0, allowed / unbound) if unbound > 0.0 and arbitration.loss_budget < 1.0 else 1.0
    epsilon = 1.0 if arbitration.kind == "uniform" else arbitration.epsilon
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert (weights >= share * epsilon / len(values) * (1 - 1e-9)).all()


@settings(max_examples=200)
@given(values=values, arbitration=arbitrations.filter(lambda one: one.loss_budget < 1.0))
def test_no_draw_is_expected_to_lose_more_than_its_budget(values: Numbers, arbitration: Arbitration) -> None:
    loss = expected_loss(values, arbitration)

    assert loss <= arbitration.loss_budget * max(abs(values.max()), 1e-12) * (1 + 1e-9)


@settings(max_examples=100)
@given(values=values, arbitration=arbitrations)
def test_a_draw_that_the_budget_affords_is_made_as_without_one(values: Numbers, arbitration: Arbitration) -> None:
    without = replace(arbitration, loss_budget=1.0)

    affordable = expected_loss(values, without) <= arbitration.loss_budget * max(abs(values.max()), 1e-12)

    if affordable:
        assert np.allclose(propensities(values, arbitration), propensities(values, without), rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(0.0, 10.0), min_size=2, max_size=5).map(np.array), arbitration=arbitrations, count=st.integers(2, 3)
)
def test_a_whole_slate_is_expected_to_lose_no_more_than_its_share(values: Numbers, arbitration: Arbitration, count: int) -> None:
    greedy = np.sort(values)[::-1][:count].sum()

    expected = _expected_slate(values, arbitration, count)

    assert expected >= greedy * (1.0 - arbitration.loss_budget) - 1e-9


def _expected_slate(values: Numbers, arbitration: Arbitration, count: int) -> float:
    """What a slate is worth, over every way in which it may be drawn."""
    if not count or not len(values):
        return 0.0
    weights = propensities(values, arbitration)
    below = [_expected_slate(np.delete(values, arm), arbitration, count - 1) for arm in range(len(values))]
    return float(weights @ (values + np.array(below)))


@settings(max_examples=100)
@given(values=values, arbitration=arbitrations)
def test_a_better_arm_is_never_less_likely(values: Numbers, arbitration: Arbitration) -> None:
    weights = propensities(values, arbitration)

    order = np.argsort(values, kind="stable")

    assert (np.diff(weights[order]) >= -1e-12).all()


@settings(max_examples=100)
@given(values=values, arbitration=arbitrations, factor=st.floats(0.01, 1000))
def test_the_currency_of_values_changes_no_probability(values: Numbers, arbitration: Arbitration, factor: float) -> None:
    # Leaders are those that are exactly equal: values a last bit apart would lead together in one currency and not in the other.
    values = np.array([round(abs(value), 3) + 1.0 for value in values.tolist()])

    assert np.allclose(propensities(values, arbitration), propensities(values * factor, arbitration), rtol=1e-6)


@settings(max_examples=100)
@given(values=values, arbitration=arbitrations, point=st.floats(0.0, 1.0))
def test_what_is_drawn_carries_its_own_propensity(values: Numbers, arbitration: Arbitration, point: float) -> None:
    drawn = draw(values, arbitration, point)

    assert drawn.propensity == pytest.approx(propensities(values, arbitration)[drawn.arm], rel=1e-9)
    assert drawn.loss == pytest.approx(expected_loss(values, arbitration), rel=1e-6, abs=1e-9)
    assert drawn.best == values.max()


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.sampled_from([0.0, 1.0, 2.0, 5.0]), min_size=1, max_size=6).map(np.array), arbitration=arbitrations)
def test_the_points_that_fall_on_an_arm_are_as_many_as_its_propensity(values: Numbers, arbitration: Arbitration) -> None:
    points = (np.arange(2000) + 0.5) / 2000

    fallen = np.bincount([draw(values, arbitration, float(point)).arm for point in points], minlength=len(values)) / 2000

    assert np.allclose(fallen, propensities(values, arbitration), atol=0.004)


@settings(max_examples=50)
@given(values=values, arbitration=arbitrations, count=st.integers(1, 8), seed=st.text(max_size=10))
def test_a_slate_repeats_no_arm_and_is_as_long_as_it_can_be(
    values: Numbers, arbitration: Arbitration, count: int, seed: str
) -> None:
    chosen = list(slate(values, count, arbitration, (seed,), 1, lambda: None))

    assert len({one.arm for one in chosen}) == len(chosen) == min(count, len(values))
    assert all(0 < one.propensity <= 1 + 1e-12 for one in chosen)
    assert chosen == list(slate(values, count, arbitration, (seed,), 1, lambda: None))


@pytest.mark.parametrize(
    "arbitration",
    [
        Arbitration(epsilon=0.05, gamma=20, loss_budget=1.0),
        Arbitration(epsilon=0.05, gamma=20, loss_budget=0.05),
        Arbitration(kind="uniform", loss_budget=1.0),
        Arbitration(kind="uniform", loss_budget=0.2),
    ],
)
def test_arms_are_drawn_as_often_as_their_propensity_says(arbitration: Arbitration) -> None:
    values = np.array([5.0, 4.0, 4.9, 1.0, 0.0])
    weights = propensities(values, arbitration)
    draws = 20_000

    drawn = np.bincount([draw(values, arbitration, unit_interval("d", str(n))).arm for n in range(draws)], minlength=5) / draws

    tolerance = 4.5 * np.sqrt(weights * (1 - weights) / draws)
    assert (np.abs(drawn - weights) <= tolerance).all()


def test_lower_places_of_a_slate_are_drawn_as_their_conditional_propensities_say() -> None:
    values, arbitration = np.array([3.0, 2.0, 1.0]), Arbitration(epsilon=0.1, gamma=5, loss_budget=0.15)
    runs = [list(slate(values, 2, arbitration, (str(n),), 1, lambda: None)) for n in range(8_000)]
    after_first = [run[1] for run in runs if run[0].arm == 0]

    for arm in (1, 2):
        stated = next(one.propensity for one in after_first if one.arm == arm)
        observed = sum(one.arm == arm for one in after_first) / len(after_first)
        assert abs(observed - stated) <= 4.5 * np.sqrt(stated * (1 - stated) / len(after_first))


@given(st.lists(st.floats(0.01, 10.0), min_size=2, max_size=40), st.integers(1, 1_000_000))
def test_who_has_learned_more_explores_less_and_never_below_the_floor(values: list[float], labels: int) -> None:
    arbitration = Arbitration(epsilon=0.02, gamma=100.0, loss_budget=1.0)
    worth = np.array(values)

    before, after = propensities(worth, arbitration), propensities(worth, sharpened(arbitration, labels))

    leaders = worth == worth.max()
    assert after[leaders].sum() >= before[leaders].sum() - 1e-12
    assert after.min() >= arbitration.epsilon / len(worth) - 1e-15
    assert after.sum() == pytest.approx(1.0)


@settings(max_examples=100)
@given(
    group=st.lists(st.tuples(values, st.floats(0.0, 1.0, exclude_max=True)), min_size=1, max_size=12), arbitration=arbitrations
)
def test_who_is_drawn_together_with_others_is_drawn_as_alone(
    group: list[tuple[Numbers, float]], arbitration: Arbitration
) -> None:
    sizes = [len(own) for own, _ in group]
    starts = [sum(sizes[:at]) for at in range(len(sizes))]

    together = draw_all(np.concatenate([own for own, _ in group]), starts, arbitration, [point for _, point in group])

    assert together == [draw(own, arbitration, point) for own, point in group]


@settings(max_examples=60)
@given(
    size=st.integers(1, 70),
    points=st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=2, max_size=8),
    seed=st.integers(0, 1_000),
    arbitration=arbitrations,
)
def test_who_has_as_many_arms_as_everybody_else_is_drawn_as_alone(
    size: int, points: list[float], seed: int, arbitration: Arbitration
) -> None:
    rows = np.random.default_rng(seed).lognormal(size=(len(points), size))

    together = draw_all(rows.ravel(), [size * at for at in range(len(points))], arbitration, points)

    assert together == [draw(own, arbitration, point) for own, point in zip(rows, points, strict=True)]
