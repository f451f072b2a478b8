"""Lift: what is summed, what the interval covers however often it is looked at, and when nothing is said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.models.lift import LEAST_CUSTOMERS, ArmSums, Moments, Observed, added, lift, squared_reach

MONEY = st.integers(-10_000, 10_000_000)


@st.composite
def observations(draw: st.DrawFn) -> Observed:
    spend = st.dictionaries(st.sampled_from(["EUR", "USD"]), MONEY, max_size=2)
    return Observed(
        draw(spend), draw(spend), draw(st.booleans()), draw(st.booleans()), draw(st.integers(0, 3)), draw(st.booleans())
    )


def arm(spend: np.ndarray, before: np.ndarray) -> ArmSums:
    """The sums of an arm, from columns."""
    y, x = spend.astype(np.float64), before.astype(np.float64)
    sums = Moments(*(float(one) for one in (y.sum(), y @ y, x.sum(), x @ x, x @ y)))
    return ArmSums(len(y), int((y > 0).sum()), money={"EUR": sums})


def shoppers(chance: np.random.Generator, count: int, lift_by: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Spend after and before of customers who come at their own pace and pay amounts of which few are large."""
    pace = chance.gamma(1.2, 1.0, count)
    columns = []
    for rate in (pace * (1.0 + lift_by), pace):
        visits = chance.poisson(rate)
        spend = np.zeros(count)
        for times in range(1, int(visits.max()) + 1):
            again = visits >= times
            spend[again] += chance.lognormal(7.0, 0.9, int(again.sum()))
        columns.append(spend.round())
    return columns[0], columns[1]


@pytest.mark.slow
@given(st.lists(observations(), max_size=8), st.lists(observations(), max_size=8))
def test_two_shards_add_up_to_all_customers_in_one(some: list[Observed], more: list[Observed]) -> None:
    def summed(customers: list[Observed]) -> ArmSums:
        sums = ArmSums()
        for one in customers:
            sums = sums.with_customer(one)
        return sums

    apart, together = added([summed(some), summed(more)]), summed([*some, *more])

    assert apart.customers == together.customers
    assert apart.buyers == together.buyers
    assert apart.money.keys() == together.money.keys()
    for currency, held in together.money.items():
        np.testing.assert_allclose(
            [apart.money[currency].yy, apart.money[currency].xy], [held.yy, held.xy], rtol=1e-12, atol=1e-3
        )


def test_spend_before_narrows_the_interval_and_moves_no_mean_far() -> None:
    chance = np.random.default_rng(5)
    (y1, x1), (y0, x0) = shoppers(chance, 20_000, 0.1), shoppers(chance, 20_000)

    with_before = lift(arm(y1, x1), arm(y0, x0), "EUR").spend
    without = lift(arm(y1, 0 * x1), arm(y0, 0 * x0), "EUR").spend

    assert with_before is not None
    assert without is not None
    assert with_before.high - with_before.low < 0.97 * (without.high - without.low)
    assert without.difference == pytest.approx(y1.mean() - y0.mean())
    assert with_before.low < y0.mean() * 0.1 < with_before.high


def test_the_ratio_excludes_nothing_exactly_when_the_difference_does() -> None:
    chance = np.random.default_rng(6)
    for lift_by in (0.0, 0.02, 0.05, 0.1, 0.2):
        (y1, x1), (y0, x0) = shoppers(chance, 8_000, lift_by), shoppers(chance, 2_000)
        found = lift(arm(y1, x1), arm(y0, x0), "EUR").spend
        assert found is not None
        assert found.relative_low is not None
        assert found.relative_high is not None
        assert (found.relative_low > 0.0) == (found.low > 0.0)
        assert found.relative_low < (found.relative or 0.0) < found.relative_high


def test_a_small_arm_is_refused_with_the_reason() -> None:
    chance = np.random.default_rng(7)
    large, small = shoppers(chance, 1_000), shoppers(chance, LEAST_CUSTOMERS - 1)

    found = lift(arm(*large), arm(*small), "EUR")

    assert found.spend is None
    assert found.refused == "the control has 249 customers whose time is over; 250 are needed"
    nobody_buys = lift(arm(*large), arm(np.zeros(400), np.zeros(400)), "EUR")
    assert nobody_buys.refused == "the control has 0 customers who bought; 20 are needed"


def test_an_unknown_currency_has_no_spend_and_no_ratio() -> None:
    chance = np.random.default_rng(8)

    found = lift(arm(*shoppers(chance, 500)), arm(*shoppers(chance, 500)), "JPY").spend

    assert found is not None
    assert (found.difference, found.relative) == (0.0, None)
    assert not found.significant


def test_looking_again_and_again_costs_half_as_much_again() -> None:
    reaches = [squared_reach(customers) ** 0.5 for customers in (500, 2_000, 10_000, 100_000, 1_000_000)]

    assert min(reaches) == reaches[2]
    assert 1.3 * 1.96 < reaches[2] < 1.6 * 1.96
    assert max(reaches[1:]) < 2.3 * 1.96


@pytest.mark.slow
@pytest.mark.parametrize(("held_out", "customers"), [(0.05, 12_000), (0.5, 6_000)])
def test_of_300_experiments_without_a_difference_at_most_one_in_twenty_ever_finds_one(held_out: float, customers: int) -> None:
    chance = np.random.default_rng(2026)
    found = [ever_significant(chance, held_out, customers) for _ in range(300)]

    assert np.mean([spend for spend, _ in found]) <= 0.05
    assert np.mean([buyers for _, buyers in found]) <= 0.05


def ever_significant(chance: np.random.Generator, held_out: float, customers: int) -> tuple[bool, bool]:
    """Whether spend, or the share of buyers, differs at any of the looks, one every hundred customers."""
    treated = chance.random(customers) >= held_out
    spend, before = shoppers(chance, customers)
    looks = np.arange(99, customers, 100)
    columns = (np.ones(customers), spend > 0, spend, spend * spend, before, before * before, before * spend)
    running = [
        np.stack([np.cumsum(np.where(mask, column, 0.0))[looks] for column in columns], axis=1) for mask in (treated, ~treated)
    ]
    sums = [[ArmSums(int(row[0]), int(row[1]), money={"EUR": Moments(*row[2:].tolist())}) for row in each] for each in running]
    seen = [lift(one, other, "EUR") for one, other in zip(*sums, strict=True)]
    return (
        any(look.spend.significant for look in seen if look.spend is not None),
        any(look.buyers.significant for look in seen if look.buyers is not None),
    )
