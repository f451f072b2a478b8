"""Rules that say whether an offer may be made at all."""

import pytest

from engine.decisioning.catalogue import Catalogue
from engine.decisioning.decide import decide
from engine.decisioning.eligibility import RULES
from engine.decisioning.explanation import explain
from engine.decisioning.offers import Campaign, JustBought, Offer, Promotes
from engine.decisioning.policy import Placement, Policy
from engine.decisioning.situation import CartLine, Situation
from engine.moments import DAY, HOUR
from tests import shop

POLICY = shop.policy()


def fate(offer: Offer, situation: Situation, policy: Policy = POLICY, campaigns: tuple[Campaign, ...] = ()) -> str:
    """What the explanation says of a lone offer: its stage, and the rule where it was not chosen."""
    catalogue = shop.catalogue([offer], policy, campaigns)
    _, (entry,) = explain(situation, catalogue, shop.scorers(catalogue), policy)
    return entry.stage if entry.stage == "chosen" else f"{entry.stage}: {entry.rule}"


COFFEE = Promotes(categories=("coffee",), products=("p-1",))
ANNA = shop.situation(shop.customer(), channel="web")
BOUGHT = shop.situation(shop.customer(shop.bought(shop.NOON - 2 * DAY, ("p-1", "coffee"))), channel="web")


@pytest.mark.parametrize(
    ("offer", "situation", "told"),
    [
        (shop.offer("a"), ANNA, "chosen"),
        (shop.offer("a", status="draft"), ANNA, "eligibility: the offer is a draft"),
        (shop.offer("a", status="paused"), ANNA, "eligibility: the offer is paused"),
        (shop.offer("a", starts=shop.NOON), ANNA, "chosen"),
        (shop.offer("a", starts=shop.NOON + 1), ANNA, "eligibility: starts at 2026-03-02T12:00:00.001Z"),
        (shop.offer("a", ends=shop.NOON + 1), ANNA, "chosen"),
        (shop.offer("a", ends=shop.NOON), ANNA, "eligibility: ended at 2026-03-02T12:00:00.000Z"),
        (shop.offer("a", channels=("web", "app")), ANNA, "chosen"),
        (shop.offer("a", channels=("pos",)), ANNA, "eligibility: not on channel web, only on pos"),
        (shop.offer("a", locales=("de",)), ANNA, "eligibility: not for locale unknown, only de"),
        (shop.offer("a", content={"de": {"title": "A"}}), ANNA, "eligibility: not for locale unknown, only de"),
        (shop.offer("a", promotes=COFFEE), BOUGHT, "eligibility: bought 2.0 days ago"),
        (shop.offer("a", promotes=COFFEE, just_bought=JustBought(days=2)), BOUGHT, "chosen"),
        (shop.offer("a", promotes=Promotes(categories=("coffee",))), BOUGHT, "chosen"),
        (
            shop.offer("a", promotes=Promotes(categories=("coffee",)), just_bought=JustBought(category_days=3)),
            BOUGHT,
            "eligibility: bought 2.0 days ago",
        ),
    ],
)
def test_a_rule_lets_an_offer_pass_or_says_why_not(offer: Offer, situation: Situation, told: str) -> None:
    assert fate(offer, situation) == told


@pytest.mark.parametrize(("locale", "eligible"), [("de-AT", True), ("de_DE", True), ("de", True), ("en", False)])
def test_content_in_a_language_serves_its_regions_too(locale: str, eligible: bool) -> None:
    situation = shop.situation(shop.customer(), locale=locale)

    told = fate(shop.offer("a", content={"de": {"title": "Kaffee"}}), situation)

    assert (told == "chosen") == eligible


def test_what_lies_in_the_cart_is_not_offered_again() -> None:
    situation = shop.situation(shop.customer(), cart=(CartLine(product_id="p-1"),))

    assert fate(shop.offer("a", promotes=COFFEE), situation) == "eligibility: already in the cart"


@pytest.mark.parametrize(("hours", "eligible"), [(2, False), (23, False), (24, True)])
def test_a_category_rests_for_a_day_after_it_was_bought(hours: int, eligible: bool) -> None:
    bought = shop.customer(shop.bought(shop.NOON - hours * HOUR, ("p-7", "coffee")))

    told = fate(shop.offer("a", promotes=Promotes(categories=("coffee",))), shop.situation(bought))

    assert (told == "chosen") == eligible


def test_what_was_taken_back_is_not_offered_again_either() -> None:
    returned = shop.customer(shop.bought(shop.NOON - DAY, ("p-1", "coffee")), shop.cancelled(shop.NOON - DAY))

    assert fate(shop.offer("a", promotes=COFFEE), shop.situation(returned)).startswith("eligibility: bought 1.0 days")


def test_request_can_exclude_an_offer_and_unknown_names_do_no_harm() -> None:
    situation = shop.situation(shop.customer(), exclude=frozenset({"a", "never-heard-of"}))

    assert fate(shop.offer("a"), situation) == "eligibility: the request excludes it"


def test_campaign_binds_its_offers() -> None:
    campaign = Campaign(id="weeks", status="paused", channels=("web",))

    assert fate(shop.offer("a", campaign="weeks"), ANNA, campaigns=(campaign,)) == "eligibility: the campaign weeks is paused"


def test_channel_of_the_placement_counts_where_the_request_names_none() -> None:
    policy = shop.policy(placements={"hero": Placement(channel="pos")})

    assert fate(shop.offer("a", channels=("pos",)), shop.situation(shop.customer()), policy) == "chosen"


def test_content_comes_in_the_nearest_language_with_the_rest_from_the_default() -> None:
    content = {"default": {"title": "Coffee", "url": "/c"}, "de": {"title": "Kaffee"}, "de-AT": {"title": "Kafä"}}
    catalogue = shop.catalogue([shop.offer("a", content=content)], POLICY)

    titles = {
        locale: decide(shop.situation(shop.customer(), locale=locale), catalogue, shop.scorers(catalogue), POLICY)
        .offers[0]
        .content
        for locale in ("de-AT", "de-CH", "en-GB")
    }

    assert titles == {
        "de-AT": {"title": "Kafä", "url": "/c"},
        "de-CH": {"title": "Kaffee", "url": "/c"},
        "en-GB": {"title": "Coffee", "url": "/c"},
    }


def test_rules_that_concern_no_offer_cost_nothing() -> None:
    plain = shop.catalogue([shop.offer("a")], POLICY)
    everything: Catalogue = shop.catalogue(
        [
            shop.offer("a", status="paused", starts=1, channels=("web",), locales=("de",), promotes=COFFEE),
            shop.offer("b", eligible_when=shop.RECENT),
            shop.offer("c", promotes=Promotes(products="bought_together")),
        ],
        POLICY,
    )

    assert [type(rule).__name__ for rule in plain.rules] == ["Excluded", "Dismissed"]
    assert {type(rule).__name__ for rule in RULES} - {type(rule).__name__ for rule in everything.rules} == {"OnShelf"}
