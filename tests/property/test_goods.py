"""Costs and goods are exact whatever arrives first, and what was bought together is told once, of nobody in particular."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events.base import Event
from engine.models.together import Together
from engine.moments import DAY, HOUR, rfc3339
from engine.profiles.goods import day_of, days_of, gap_days, name_of, returned_of
from engine.profiles.profile import Part, Profile
from engine.shards.baskets import Basket, decode_basket
from tests import tills
from tests.builders import SHARDS, START, bodies, entries_of, entry_of, folded, simple, taken

PRODUCTS = ("p-1", "p-2", "p-3", "p-4")
COSTS = {"p-1": 100, "p-2": 250, "p-3": 0}
"""Nobody knows what `p-4` costs."""


def line(product: str, quantity: int, price: int) -> dict[str, Any]:
    told = {"product_id": product, "quantity": quantity, "price": price}
    return {**told, "unit_cost": COSTS[product]} if product in COSTS else told


def sale(name: str, at: int, lines: Sequence[dict[str, Any]], **data: Any) -> dict[str, Any]:
    return simple("order_completed", f"e-{name}", "ann", at, order_id=name, currency="EUR", products=list(lines), **data)


def back(name: str, order_name: str, at: int, **data: Any) -> dict[str, Any]:
    return simple("order_refunded", name, "ann", at, order_id=order_name, currency="EUR", **data)


@st.composite
def shoppings(draw: st.DrawFn) -> list[dict[str, Any]]:
    """At most eight orders with returns of lines, of money, of everything, and cancellations."""
    log: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 8))):
        at = START + number * DAY + draw(st.integers(0, 5)) * HOUR
        lines = [
            line(product, draw(st.integers(1, 3)), draw(st.integers(0, 900)))
            for product in draw(st.lists(st.sampled_from(PRODUCTS), min_size=1, max_size=4, unique=True))
        ]
        total = {} if draw(st.booleans()) else {"total": draw(st.integers(1, 3000))}
        log.append(sale(f"{number}", at, lines, **total))
        for again in range(draw(st.integers(0, 2))):
            what = draw(st.integers(0, 3))
            name, later = f"r-{number}-{again}", at + draw(st.integers(1, 40)) * HOUR
            if what == 0:
                log.append(back(name, f"{number}", later))
            elif what == 1:
                log.append(back(name, f"{number}", later, products=[draw(st.sampled_from(lines))]))
            elif what == 2:
                log.append(back(name, f"{number}", later, total=draw(st.integers(0, 2000))))
            else:
                log.append(simple("order_cancelled", name, "ann", later, order_id=f"{number}"))
    return log


def counted_again(log: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """Cost and the revenue of known cost, order by order, from what was sent."""
    cost = costed = 0
    for body in log:
        if body["type"] != "order_completed":
            continue
        data = body["data"]
        lines = data["products"]
        paid = sum(one["price"] * one["quantity"] for one in lines)
        amount = data.get("total", paid)
        cost_here = sum(one["unit_cost"] * one["quantity"] for one in lines if "unit_cost" in one)
        paid_known = sum(one["price"] * one["quantity"] for one in lines if "unit_cost" in one)
        if len([one for one in lines if "unit_cost" in one]) == len(lines):
            known = amount
        else:
            known = amount * paid_known // paid if paid else paid_known
        backs = [one for one in log if one["type"] != "order_completed" and one["data"]["order_id"] == data["order_id"]]
        whole = [one for one in backs if one["type"] == "order_cancelled" or not {"total", "products"} & one["data"].keys()]
        named = [one for each in backs for one in each["data"].get("products", ())]
        costs_named = [one for one in named if "unit_cost" in one]
        returned = sum(one["data"].get("total", 0) for one in backs) + sum(one["price"] * one["quantity"] for one in named)
        if whole or (returned and returned >= amount):
            continue
        cost_back = sum(one["unit_cost"] * one["quantity"] for one in costs_named)
        known_back = sum(one["price"] * one["quantity"] for one in costs_named)
        if cost_back or known_back:
            cost, costed = cost + max(cost_here - cost_back, 0), costed + max(known - known_back, 0)
        elif returned:
            left = max(amount - returned, 0)
            cost, costed = cost + cost_here * left // amount, costed + known * left // amount
        else:
            cost, costed = cost + cost_here, costed + known
    return cost, costed


def events_of(log: Sequence[dict[str, Any]]) -> list[Event]:
    return [taken(body).event for body in log]


def profile_after(events: Sequence[Event]) -> Profile:
    profile = Profile("u:ann")
    for event in events:
        profile = profile.after(event)
    return profile


@given(shoppings(), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_costs_are_exact_whatever_arrives_first(log: list[dict[str, Any]], chance: Any) -> None:
    shuffled = list(log)
    chance.shuffle(shuffled)

    for order in (log, shuffled):
        bought = profile_after(events_of(order)).purchases
        assert (bought.cost.get("EUR", 0), bought.costed.get("EUR", 0)) == counted_again(log)


@given(shoppings(), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_two_identities_of_one_customer_come_to_the_same(log: list[dict[str, Any]], chance: Any) -> None:
    events = events_of(log)
    mine, theirs = Part(), Part()
    for event in events:
        if chance.random() < 0.5:
            mine = mine.after(event, int(event.time.timestamp() * 1000))
        else:
            theirs = theirs.after(event, int(event.time.timestamp() * 1000))

    for whole in (mine.merge(theirs), theirs.merge(mine)):
        assert (whole.purchases.cost.get("EUR", 0), whole.purchases.costed.get("EUR", 0)) == counted_again(log)
        assert whole.goods == profile_after(events).whole.goods


@given(shoppings(), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_goods_are_the_same_whatever_arrives_first(log: list[dict[str, Any]], chance: Any) -> None:
    shuffled = list(log)
    chance.shuffle(shuffled)
    one, other = profile_after(events_of(log)).whole, profile_after(events_of(shuffled)).whole

    assert one.goods == other.goods
    assert days_of(one.goods, one.purchases) == days_of(other.goods, other.purchases)


def test_days_leave_out_what_never_happened_and_returns_are_known_by_product() -> None:
    whole = profile_after(
        events_of(
            [
                sale("a", START, [line("p-1", 1, 500), line("p-2", 1, 500)]),
                sale("b", START + 10 * DAY, [line("p-1", 1, 500)]),
                sale("c", START + 20 * DAY, [line("p-1", 1, 500), line("p-4", 2, 10)]),
                simple("order_cancelled", "x", "ann", START + 21 * DAY, order_id="b"),
                back("r", "c", START + 22 * DAY, products=[line("p-4", 1, 10)]),
            ]
        )
    ).whole
    first = day_of(START)

    assert days_of(whole.goods, whole.purchases)[name_of("p-1")] == [first, first + 20]
    assert returned_of(whole.goods) == {name_of("p-4"): first + 22}
    assert gap_days(whole.goods, "p-2", START + 30 * DAY) == 30
    assert gap_days(whole.goods, "p-9", START + 30 * DAY) == 0


def test_baskets_are_told_once_without_a_customer_and_not_of_who_does_not_want_it() -> None:
    sent = [
        sale("a", START, [line("p-1", 1, 500), line("p-2", 1, 500)]),
        sale("a", START, [line("p-1", 1, 500), line("p-2", 1, 500)]),
        sale("b", START + 9 * DAY, [line("p-2", 1, 500)]),
        {
            **simple("consent_updated", "no", "ann", START + 10 * DAY, purpose="profiling", status="denied"),
            "time": rfc3339(START + 10 * DAY),
        },
        sale("c", START + 11 * DAY, [line("p-1", 1, 500), line("p-3", 1, 500)]),
    ]

    store = folded([entry_of(taken(body)) for body in sent])
    told = [raw for shard in range(SHARDS) for raw in store.baskets[shard]]

    assert [decode_basket(raw) for raw in told] == [Basket(("p-1", "p-2")), Basket(("p-2",), (9,))]
    assert not any(b"ann" in raw for raw in told)


@given(bodies())
@settings(max_examples=60, deadline=None)
def test_baskets_as_they_are_told_are_those_of_a_recount_of_the_log(log: list[dict[str, Any]]) -> None:
    store = folded(entries_of(log), most=7)
    told = [decode_basket(raw).products for shard in range(SHARDS) for raw in store.baskets[shard]]
    orders = {body["id"]: body["data"]["products"] for body in log if body["type"] == "order_completed"}
    again = [tuple(line["product_id"] for line in lines) for lines in orders.values()]

    assert Counter(basket for basket in told if len(basket) > 1) == Counter(basket for basket in again if len(basket) > 1)


@pytest.mark.parametrize("card_first", [None, False, True])
def test_a_receipt_of_nobody_tells_its_basket_once_also_when_a_card_is_shown_for_it(card_first: bool | None) -> None:
    one, other = tills.receipt(1, START + DAY), tills.receipt(2, START + 3 * DAY)
    shown = [tills.card_shown(each, "c-9", START + 4 * DAY) for each in (one, other)]
    log = [one, other] if card_first is None else [*shown, one, other] if card_first else [one, other, *shown]
    store = tills.settled([*log, *log])
    together = Together()
    told = [decode_basket(raw) for shard in range(SHARDS) for raw in store.baskets[shard]]
    for basket in sorted(told, key=lambda each: each.taken_back):
        if basket.taken_back:
            together.take_back(basket.products)
        else:
            together.add(basket.products, basket.gaps)

    assert (together.baskets, together.along_with("p-1").counts) == (2, {"p-2": 2})
    assert sum(any(basket.gaps) for basket in told) == (card_first is not None)
