"""Profit is exact to the minor unit: under returns, voids and cancellations, in whatever order things arrive."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decisioning.offers import Money
from engine.decisioning.policy import Policy, Value
from engine.decisioning.profit import profit_of
from engine.events.base import Event
from engine.moments import DAY
from engine.profiles.profile import Part, Profile
from tests import shop
from tests.builders import START, simple, taken
from tests.property.test_goods import back, counted_again, events_of, line, profile_after, sale, shoppings

COSTS = {"order_refunded": Money(450, "EUR"), "order_cancelled": Money(100, "EUR"), "interaction_logged": Money(999, "USD")}
PLACES = shop.policy().placements


def policy(rate: float | None = None, costs: dict[str, Money] | None = None) -> Policy:
    return Policy(placements=PLACES, value=Value(margin_rate=rate), cost_to_serve=COSTS if costs is None else costs)


def spent(log: Sequence[dict[str, Any]]) -> int:
    """What was paid and not given back, order by order."""
    total = 0
    for body in log:
        if body["type"] != "order_completed":
            continue
        data = body["data"]
        amount = data.get("total", sum(one["price"] * one["quantity"] for one in data["products"]))
        mine = [one for one in log if one["type"] != "order_completed" and one["data"]["order_id"] == data["order_id"]]
        if any(one["type"] == "order_cancelled" or not {"total", "products"} & one["data"].keys() for one in mine):
            continue
        total += amount - sum(
            one["data"].get("total", sum(each["price"] * each["quantity"] for each in one["data"].get("products", ())))
            for one in mine
        )
    return total


@given(shoppings(), st.randoms(use_true_random=False), st.sampled_from([None, 0.1, 0.25, 0.333]))
@settings(max_examples=150, deadline=None)
def test_profit_is_exact_whatever_arrives_first(log: list[dict[str, Any]], chance: Any, rate: float | None) -> None:
    shuffled = list(log)
    chance.shuffle(shuffled)
    cost, costed = counted_again(log)
    rest = spent(log) - costed
    served = sum(COSTS[one["type"]].minor for one in log if one["type"] in COSTS)
    known = rate is not None or not rest or cost or costed
    expected = costed - cost + (round(rest * Decimal(str(rate))) if rate is not None else 0) - served

    for order in (log, shuffled):
        brought = profit_of(profile_after(events_of(order)).whole, policy(rate))
        assert brought.profit == (expected if known else None)


@given(shoppings(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_profit_of_two_identities_is_that_of_the_customer(log: list[dict[str, Any]], chance: Any) -> None:
    parts = [Part(), Part()]
    for event in events_of(log):
        which = chance.randrange(2)
        parts[which] = parts[which].after(event, int(event.time.timestamp() * 1000))
    alone = profit_of(profile_after(events_of(log)).whole, policy(0.2))

    assert profit_of(parts[0].merge(parts[1]), policy(0.2)) == profit_of(parts[1].merge(parts[0]), policy(0.2)) == alone


def bodies(*log: dict[str, Any]) -> Profile:
    events: list[Event] = [taken(body).event for body in log]
    return profile_after(events)


TELEVISION, CABLE = {"unit_cost": 9500}, {"unit_cost": 1000}
BOTH = [
    {**line("tv", 1, 10_000), **TELEVISION},
    {**line("cable", 1, 10_000), **CABLE},
]


@pytest.mark.parametrize(
    ("more", "profit"),
    [
        ([], 20_000 - 10_500),
        ([back("r", "1", START + DAY, products=BOTH[:1])], 10_000 - 1_000),
        ([back("r", "1", START + DAY, products=BOTH[1:])], 10_000 - 9_500),
        ([back("r", "1", START + DAY, total=10_000)], 10_000 - 5_250),
        ([back("r", "1", START + DAY)], 0),
        ([simple("order_cancelled", "x", "ann", START + DAY, order_id="1")], 0),
    ],
)
def test_a_return_takes_back_the_margin_of_what_is_returned(more: list[dict[str, Any]], profit: int) -> None:
    assert profit_of(bodies(sale("1", START, BOTH), *more).whole, policy(costs={})).profit == profit


def test_discounts_come_off_the_margin() -> None:
    lines = [{**line("tv", 2, 10_000), **TELEVISION, "discount": 300}]

    assert profit_of(bodies(sale("1", START, lines)).whole, policy(costs={})).profit == 20_000 - 300 - 19_000
    assert profit_of(bodies(sale("1", START, lines, total=19_000)).whole, policy(costs={})).profit == 0


def receipt(kind: str, name: str, number: int, lines: list[dict[str, Any]], **data: Any) -> dict[str, Any]:
    till = {"store": "s", "workstation": "w", "business_day": "2017-01-02", "sequence_number": number, "currency": "EUR"}
    return {**simple(kind, name, "ann", START + DAY, **till, lines=lines, **data), "source": "pos://s/w"}


@pytest.mark.parametrize("turned", [False, True])
def test_receipts_that_are_voided_or_returned_leave_no_profit_behind(turned: bool) -> None:
    log = [
        receipt("pos_transaction_completed", "a", 1, BOTH),
        receipt("pos_transaction_completed", "b", 2, BOTH),
        receipt("pos_transaction_completed", "c", 3, BOTH),
        receipt("pos_transaction_voided", "d", 1, []),
        receipt("pos_return_completed", "e", 4, [{**one, "kind": "return"} for one in BOTH], original="s/w/2017-01-02/2"),
    ]
    kept = bodies(*(reversed(log) if turned else log)).whole

    assert profit_of(kept, policy(costs={})).profit == 20_000 - 10_500
    costs = {"pos_return_completed": Money(120, "EUR"), "pos_transaction_voided": Money(5, "EUR")}
    assert profit_of(kept, policy(costs=costs)).profit == 20_000 - 10_500 - 125


def test_what_is_not_known_is_not_guessed() -> None:
    uncosted = bodies(sale("1", START, [line("p-4", 1, 500)])).whole
    partly = bodies(sale("1", START, [line("p-4", 1, 500), line("p-1", 1, 300)])).whole

    assert profit_of(uncosted, policy()).profit is None
    assert profit_of(Part(), policy()).profit is None
    assert (profit_of(partly, policy()).profit, profit_of(partly, policy()).costed) == (200, 300)
    assert profit_of(partly, policy(0.1)).profit == 250


def test_serving_alone_is_a_loss_and_only_in_the_currency_of_the_costs() -> None:
    asked = bodies(simple("support_case_opened", "i", "ann", START, case_id="k")).whole

    assert profit_of(asked, policy(costs={"support_case_opened": Money(250, "EUR")})).profit == -250
    assert profit_of(asked, policy(costs={"order_refunded": Money(250, "EUR")})).profit is None
