"""The catalogues that ship are without a mistake and hold what they promise."""

from pathlib import Path

import pytest

import config
from config.catalogue_features import RULE_READINGS
from config.catalogue_files import Loaded, load_catalogue
from engine.decisioning.conditions import Feature
from engine.decisioning.decide import decide
from engine.decisioning.offers import SERVICE_RECOVERY
from engine.decisioning.situation import PlacementRequest
from engine.moments import DAY
from tests import shop

HERE = Path(config.__file__).parent


@pytest.fixture(scope="module")
def grocery() -> Loaded:
    return load_catalogue(HERE / "catalogue")


@pytest.fixture(scope="module")
def demo() -> Loaded:
    return load_catalogue(HERE / "catalogue_demo")


def asked_for(loaded: Loaded) -> list[str]:
    """The placements that somebody looks at; where a trigger finds nothing for a message, nothing is sent."""
    sent = {trigger.placement for trigger in loaded.triggers}
    return [name for name in loaded.policy.placements if name not in sent]


def test_the_grocery_shop_is_believable(grocery: Loaded) -> None:
    offers = grocery.catalogue.offers

    assert len(offers) >= 40
    assert set(asked_for(grocery)) == {"home_hero", "cart_cross_sell", "till", "receipt"}
    assert {offer.kind for offer in offers} >= {"sell", "fallback", "thank_you", "service"}
    assert any(SERVICE_RECOVERY in offer.tags for offer in offers)
    assert any("winback" in offer.id for offer in offers)
    assert all("de" in offer.content and offer.content["default"]["title"] for offer in offers)


def test_every_page_and_till_has_a_fallback_that_needs_nothing(grocery: Loaded, demo: Loaded) -> None:
    for loaded in (grocery, demo):
        for name in asked_for(loaded):
            decision = decide(
                shop.absent(placements=(PlacementRequest(name),)),
                loaded.catalogue,
                shop.scorers(loaded.catalogue),
                loaded.policy,
            )
            assert [offer.kind for offer in decision.offers] == ["fallback"]


def test_home_hero_has_a_stocked_and_a_capped_sale(grocery: Loaded) -> None:
    there = [offer for offer in grocery.catalogue.offers if "home_hero" in offer.placements and offer.kind == "sell"]

    assert any(offer.stock for offer in there)
    assert any(offer.caps for offer in there)


def test_a_consenting_newcomer_is_offered_something_everywhere(grocery: Loaded) -> None:
    for name in asked_for(grocery):
        decision = decide(
            shop.situation(shop.customer(), placements=(PlacementRequest(name),), unit="u:anna"),
            grocery.catalogue,
            shop.scorers(grocery.catalogue),
            grocery.policy,
        )
        assert decision.placements[0].reason == "ok"


def test_the_winback_is_for_the_silent_only(grocery: Loaded) -> None:
    silent = shop.customer(*[shop.bought(shop.NOON - days * DAY, ("p", "milk")) for days in (80, 70, 60)])
    active = shop.customer(*[shop.bought(shop.NOON - days * DAY, ("p", "milk")) for days in (20, 10, 2)])

    eligible = [
        "winback-5"
        in decide(
            shop.situation(profile, placements=(PlacementRequest("home_hero"),), channel="web"),
            grocery.catalogue,
            shop.scorers(grocery.catalogue),
            grocery.policy,
        )
        .placements[0]
        .eligible
        for profile in (silent, active)
    ]

    assert eligible == [True, False]


def test_the_demo_lets_nothing_but_the_ranking_tell_the_groups_apart(demo: Loaded) -> None:
    sales = [offer for offer in demo.catalogue.offers if offer.kind == "sell"]
    variations = demo.policy.experiment.variations

    assert {name: (v.share, v.ranker) for name, v in variations.items()} == {
        name: (0.25, name) for name in ("learned", "frozen", "popularity", "random")
    }
    assert demo.policy.holdout.share == 0.0
    assert len(sales) == 40
    assert len({(offer.margin, offer.price, offer.attribution_window_days) for offer in sales}) == 1
    assert not demo.catalogue.columns.stocked.any()
    assert not any(demo.catalogue.columns.caps)
    assert all(not offer.eligible_when for offer in sales)


def test_bounds_in_the_grocery_shop_lie_where_readings_can(grocery: Loaded) -> None:
    conditions = [
        condition
        for written in (*grocery.catalogue.offers, *grocery.catalogue.campaigns.values())
        for condition in getattr(written, "eligible_when", getattr(written, "target", ()))
        if isinstance(condition, Feature)
    ]

    assert len(conditions) >= 8
    for condition in conditions:
        reading = next(one for one in RULE_READINGS if one.name == condition.feature)
        for name in condition.bounds():
            bound = getattr(condition, name)
            for value in bound if isinstance(bound, tuple) else (bound,):
                assert reading.low <= value <= reading.high
