"""Offers whose products are found when it is decided: what goes along with the cart, and what is used up by now."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decisioning.decide import decide
from engine.decisioning.decision import Decision
from engine.decisioning.expanding import expanded
from engine.decisioning.explanation import explain
from engine.decisioning.offers import JustBought, Money, Promotes
from engine.decisioning.record import decided
from engine.decisioning.shelf import Shelf
from engine.decisioning.situation import CartLine, PlacementRequest, Situation
from engine.events.base import Event, Product
from engine.events.clickstream import ProductAdded, Viewing
from engine.events.consent import Consent, ConsentUpdated
from engine.events.orders import Order, OrderRefunded
from engine.events.products import Availability, ProductFacts
from engine.moments import DAY, moment
from engine.profiles.profile import Profile
from tests import shop
from tests.shop import NOON

POLICY = shop.policy()
TOGETHER = shop.offer("along", promotes=Promotes(products="bought_together"))
AGAIN = shop.offer("again", promotes=Promotes(products="replenishment"))
HERO = (PlacementRequest("hero"),)


def facts(name: str, availability: Availability = "in_stock", **more: Any) -> ProductFacts:
    return ProductFacts(product_id=name, title=name.upper(), price=300, currency="EUR", availability=availability, **more)


def shelf(*products: ProductFacts, baskets: Sequence[Sequence[str]] = (), gaps: Sequence[tuple[str, int]] = ()) -> Shelf:
    held = Shelf()
    for one in products or [facts(name) for name in ("a", "b", "c", "d", "e")]:
        held.take(one)
    for basket in baskets:
        held.together.add(basket)
    for name, gap in gaps:
        held.together.add([name], [gap])
    return held


def cart(*names: str) -> tuple[CartLine, ...]:
    return tuple(CartLine(product_id=name) for name in names)


def asked(held: Shelf, profile: Profile | None = None, lying: Sequence[str] = (), *offers: Any) -> tuple[Situation, Any]:
    catalogue = shop.catalogue(offers or [TOGETHER], POLICY)
    known = profile if profile is not None else shop.customer()
    found = expanded(catalogue, POLICY, held, HERO, known.whole, cart(*lying), NOON)
    return shop.situation(known, cart=cart(*lying), expanded=found, count=5), catalogue


def made(held: Shelf, profile: Profile | None = None, lying: Sequence[str] = (), *offers: Any) -> Decision:
    situation, catalogue = asked(held, profile, lying, *offers)
    return decide(situation, catalogue, shop.scorers(catalogue), POLICY)


def shown(decision: Decision) -> dict[str, list[str]]:
    return {offer.offer_id: [one.product_id for one in offer.products] for offer in decision.offers}


def why_not(held: Shelf, profile: Profile | None = None, lying: Sequence[str] = (), *offers: Any) -> str:
    situation, catalogue = asked(held, profile, lying, *offers)
    _, told = explain(situation, catalogue, shop.scorers(catalogue), POLICY)
    assert told[0].stage == "eligibility"
    return told[0].rule


def returned(at: int, *products: str) -> Event:
    order = Order(order_id="unknown", currency="EUR", products=tuple(Product(product_id=name, price=1) for name in products))
    return OrderRefunded(id=f"r-{at}", type="order_refunded", time=moment(at), user_id="anna", data=order)


BASKETS = [("a", "b"), ("a", "b", "c"), ("a", "c"), ("a", "b"), ("d", "e"), ("d", "e")]


def test_what_is_bought_along_with_the_cart_is_shown_the_most_frequent_first() -> None:
    decision = made(shelf(baskets=BASKETS), lying=("a",))

    assert shown(decision) == {"along": ["b", "c"]}
    product = decision.offers[0].products[0]
    assert (product.title, product.price, product.currency) == ("B", 300, "EUR")
    assert product.because == "bought along with a in 3 of 4 baskets"
    assert decision.offers[0].reasons[-1] == "bought_together"


def test_without_a_cart_in_the_request_the_one_of_the_profile_counts_then_the_last_basket() -> None:
    added = ProductAdded(id="x", type="product_added", time=moment(NOON), user_id="anna", data=Viewing(product_id="d"))
    assert shown(made(shelf(baskets=BASKETS), shop.customer(added))) == {"along": ["e"]}
    assert shown(made(shelf(baskets=BASKETS), shop.customer(shop.bought(NOON - DAY, ("a", "x"))))) == {"along": ["b", "c"]}


@pytest.mark.parametrize(
    ("profile", "lying", "left"),
    [
        (shop.customer(), ("a", "b"), ["c"]),
        (shop.customer(shop.bought(NOON - 6 * DAY, ("b", "x"))), ("a",), ["c"]),
        (shop.customer(shop.bought(NOON - 9 * DAY, ("b", "x"))), ("a",), ["b", "c"]),
        (shop.customer(returned(NOON - 80 * DAY, "b")), ("a",), ["c"]),
        (shop.customer(returned(NOON - 100 * DAY, "b")), ("a",), ["b", "c"]),
        (
            shop.customer(shop.bought(NOON - 60 * DAY, ("b", "x")), shop.cancelled(NOON - 60 * DAY)),
            ("a",),
            ["c"],
        ),
    ],
)
def test_never_what_is_in_the_cart_was_just_bought_or_given_back(profile: Profile, lying: Sequence[str], left: list[str]) -> None:
    assert shown(made(shelf(baskets=BASKETS), profile, lying)) == {"along": left}


def test_never_what_cannot_be_bought_or_is_not_known() -> None:
    held = shelf(facts("a"), facts("b", "out_of_stock"), facts("c", "discontinued"), baskets=BASKETS)

    assert made(held, lying=("a",)).offers == ()
    assert why_not(held, None, ("a",)).startswith("nothing goes along with a (in the cart)")


def test_where_nothing_can_be_found_the_rule_says_why_in_words() -> None:
    assert why_not(Shelf(), None, ("a",)) == "no products are known: tell them with POST /v1/products"
    assert why_not(shelf(baskets=BASKETS)) == "nothing lies in the cart or was bought lately that something could go along with"
    assert why_not(shelf(baskets=BASKETS), None, (), AGAIN) == "nothing is known to be bought again and again"


def test_who_does_not_want_to_be_profiled_gets_no_products_found() -> None:
    no = ConsentUpdated(
        id="p",
        type="consent_updated",
        time=moment(NOON - DAY),
        user_id="anna",
        data=Consent(purpose="profiling", status="denied"),
    )
    assert made(shelf(baskets=BASKETS), shop.customer(no), ("a",)).offers == ()


def test_products_are_of_the_categories_that_are_named_and_so_many_at_most() -> None:
    held = shelf(facts("a"), facts("b", category="x"), facts("c", category="y"), baskets=BASKETS)
    of_y = shop.offer("along", promotes=Promotes(products="bought_together", categories=("y",)))
    one = shop.offer("along", promotes=Promotes(products="bought_together", most=1))

    assert shown(made(held, None, ("a",), of_y)) == {"along": ["c"]}
    assert shown(made(held, None, ("a",), one)) == {"along": ["b"]}


def test_what_is_used_up_by_the_customers_own_gaps_is_shown() -> None:
    profile = shop.customer(*[shop.bought(NOON - days * DAY, ("a", "x")) for days in (60, 40, 20)])

    assert shown(made(shelf(), profile, (), AGAIN)) == {"again": ["a"]}
    assert why_not(shelf(), shop.customer(*[shop.bought(NOON - days * DAY, ("a", "x")) for days in (45, 25, 5)]), (), AGAIN) == (
        "nothing is used up by now: a is the first to be, in 13 days"
    )


def test_a_declared_interval_and_what_customers_make_of_it_say_when_one_purchase_is_used_up() -> None:
    profile = shop.customer(shop.bought(NOON - 28 * DAY, ("a", "x")))
    declared = shelf(facts("a", replenish_days=30))
    learned = shelf(gaps=[("a", 28), ("a", 30), ("a", 32), ("a", 30), ("a", 29)])

    assert shown(made(declared, profile, (), AGAIN)) == {"again": ["a"]}
    assert shown(made(learned, profile, (), AGAIN)) == {"again": ["a"]}
    assert made(shelf(), profile, (), AGAIN).offers == ()
    assert made(learned, profile, (), AGAIN).offers[0].products[0].because == "lasts 30 days, and was bought 28 days ago"


@pytest.mark.parametrize("lying", [("a",), ()])
def test_what_is_used_up_is_not_shown_from_the_cart_nor_after_it_was_given_back(lying: Sequence[str]) -> None:
    events = [shop.bought(NOON - days * DAY, ("a", "x")) for days in (60, 40, 20)]
    profile = shop.customer(*events, *([] if lying else [returned(NOON - 19 * DAY, "a")]))

    assert made(shelf(), profile, lying, AGAIN).offers == ()


def test_the_margins_of_the_products_are_what_the_offer_is_worth() -> None:
    held = shelf(facts("a"), facts("b", unit_cost=100), facts("c", unit_cost=200), baskets=BASKETS)
    silent = shop.offer("along", promotes=Promotes(products="bought_together"), margin=Money(), boost=2.0)
    written = shop.offer("written", promotes=Promotes(products="bought_together"))

    worth = {one.offer_id: one.value_minor for one in made(held, None, ("a",), silent, written, shop.offer("other")).offers}
    assert worth["along"] == 2.0 * (200 + 100) / 2
    assert worth["written"] == 100.0


def test_the_log_holds_the_products_so_that_buying_one_of_them_redeems() -> None:
    situation, catalogue = asked(shelf(baskets=BASKETS), None, ("a",))
    decision = decide(situation, catalogue, shop.scorers(catalogue), POLICY)
    (logged,) = decided(decision, catalogue, POLICY).offers

    assert (logged.products, logged.categories, logged.redeemed_when) == (("b", "c"), (), "buys")


def test_explain_tells_each_product_with_its_reason() -> None:
    situation, catalogue = asked(shelf(baskets=BASKETS), None, ("a",))
    _, told = explain(situation, catalogue, shop.scorers(catalogue), POLICY)

    assert told[0].stage == "chosen"
    assert told[0].rule.endswith(
        "; shows b (bought along with a in 3 of 4 baskets) and c (bought along with a in 2 of 4 baskets)"
    )


NAMES = ("a", "b", "c", "d", "e")
some = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True)


@given(
    baskets=st.lists(some, max_size=12),
    bought=st.lists(st.tuples(st.integers(0, 200), some), max_size=6, unique_by=lambda one: one[0]),
    back=st.lists(st.tuples(st.integers(0, 200), some), max_size=3, unique_by=lambda one: one[0]),
    lying=st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
    gone=st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
    days=st.integers(0, 30),
)
@settings(max_examples=200, deadline=None)
def test_law_nothing_lying_just_bought_given_back_or_unavailable_is_ever_shown(
    baskets: list[list[str]],
    bought: list[tuple[int, list[str]]],
    back: list[tuple[int, list[str]]],
    lying: list[str],
    gone: list[str],
    days: int,
) -> None:
    held = shelf(*(facts(name, "out_of_stock" if name in gone else "in_stock") for name in NAMES), baskets=[*baskets, *baskets])
    events = [shop.bought(NOON - ago * DAY - 1, *((name, "x") for name in names)) for ago, names in bought]
    events += [returned(NOON - ago * DAY, *names) for ago, names in back]
    rule = JustBought(days=float(days), returned_days=60.0)
    offers = [
        shop.offer("along", promotes=Promotes(products="bought_together", most=5), just_bought=rule),
        shop.offer("again", promotes=Promotes(products="replenishment", most=5), just_bought=rule),
    ]
    profile = shop.customer(*sorted(events, key=lambda event: event.time))
    seen = shown(made(held, profile, lying, *offers))
    lately = {name for ago, names in bought if ago < days for name in names}
    given = {name for ago, names in back if ago <= 60 for name in names}

    for products in seen.values():
        assert not set(products) & {*lying, *gone, *given}
    assert not set(seen.get("along", ())) & lately
