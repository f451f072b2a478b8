"""Offers of named products as the shelf stands: what cannot be bought is not offered, and margins are those of the products."""

from engine.decisioning.catalogue import Catalogue
from engine.decisioning.decide import decide
from engine.decisioning.explanation import explain
from engine.decisioning.offers import Money, Promotes
from engine.decisioning.shelf import Shelf
from engine.decisioning.stocktaking import as_on_shelf
from engine.events.products import Availability, ProductFacts
from tests import shop

POLICY = shop.policy()
SILENT = Money()
NAMED = shop.offer("named", promotes=Promotes(products=("a", "b")), margin=SILENT, boost=2.0)
WRITTEN = shop.offer("written", promotes=Promotes(products=("a",)))
OTHER = shop.offer("other")


def shelf(**availability: Availability) -> Shelf:
    held = Shelf()
    for number, (name, said) in enumerate(availability.items()):
        facts = ProductFacts(product_id=name, title=name, price=300, currency="EUR", unit_cost=100 * number, availability=said)
        held.take(facts)
    return held


def written() -> Catalogue:
    return shop.catalogue([NAMED, WRITTEN, OTHER], POLICY)


def worth(catalogue: Catalogue) -> dict[str, float]:
    return dict(zip(catalogue.columns.ids, catalogue.columns.worth.tolist(), strict=True))


def made(catalogue: Catalogue) -> set[str]:
    decision = decide(shop.situation(shop.customer(), count=5), catalogue, shop.scorers(catalogue), POLICY)
    return {offer.offer_id for offer in decision.offers}


def test_margins_of_named_products_are_what_an_offer_without_one_is_worth() -> None:
    catalogue = as_on_shelf(written(), shelf(a="in_stock", b="in_stock"))

    assert worth(written()) == {"named": 0.0, "written": 100.0, "other": 100.0}
    assert worth(catalogue) == {"named": 2.0 * (300 + 200) / 2, "written": 100.0, "other": 100.0}


def test_an_offer_goes_when_the_last_of_its_products_is_sold_out_and_comes_back() -> None:
    one_left = as_on_shelf(written(), shelf(a="out_of_stock", b="in_stock"))
    none_left = as_on_shelf(one_left, shelf(a="out_of_stock", b="discontinued"))
    again = as_on_shelf(none_left, shelf(a="in_stock", b="in_stock"))

    assert [made(each) for each in (one_left, none_left, again)] == [
        {"named", "other"},
        {"other"},
        {"named", "written", "other"},
    ]
    assert worth(one_left)["named"] == 2.0 * 200


def test_the_rule_says_that_they_are_not_available() -> None:
    catalogue = as_on_shelf(written(), shelf(a="out_of_stock", b="out_of_stock"))
    _, told = explain(shop.situation(shop.customer()), catalogue, shop.scorers(catalogue), POLICY)

    assert [(one.stage, one.rule) for one in told[:2]] == [
        ("eligibility", "none of a, b is available"),
        ("eligibility", "a is not available"),
    ]


def test_what_nobody_told_of_is_offered_and_nothing_is_made_anew_without_need() -> None:
    catalogue = written()
    known = shelf(a="in_stock", b="in_stock")
    told = as_on_shelf(catalogue, known)

    assert as_on_shelf(catalogue, Shelf()) is catalogue
    assert as_on_shelf(told, known) is told
    assert as_on_shelf(shop.catalogue([OTHER], POLICY), known).columns.gone.tolist() == [False]
    assert made(as_on_shelf(catalogue, shelf(b="out_of_stock"))) == {"named", "written", "other"}
