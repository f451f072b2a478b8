"""Why an offer was not shown, in the words that a marketer reads."""

import pytest

from engine.decisioning.conditions import AnyOf, Bought, Feature, Not, Span, Things
from engine.decisioning.explanation import Explained, explain
from engine.decisioning.ledger import VIEWED, Entry, Ledger
from engine.decisioning.offers import Campaign, Cap, Offer, Promotes
from engine.decisioning.policy import Experiment, Holdout, Placement, Policy, QuietHours, Ranker, Variation
from engine.decisioning.situation import PlacementRequest, Situation
from engine.moments import DAY, HOUR, Millis
from tests import shop

ANNA = shop.customer()


def told(offers: list[Offer], situation: Situation, policy: Policy | None = None, *campaigns: Campaign) -> list[Explained]:
    policy = policy or shop.policy()
    catalogue = shop.catalogue(offers, policy, campaigns)
    return list(explain(situation, catalogue, shop.scorers(catalogue, {"coffee": 0.4}), policy)[1])


def rule(offer: Offer, situation: Situation, policy: Policy | None = None, *campaigns: Campaign) -> str:
    (entry,) = told([offer], situation, policy, *campaigns)
    return f"{entry.stage}: {entry.rule}"


SEEN = Ledger(
    entries=tuple(
        Entry((f"d-{n}",), "a", "hero", VIEWED, Millis(shop.NOON - n * HOUR), Millis(0), ("o:a", "c:weeks", "sell"))
        for n in range(3)
    )
)


@pytest.mark.parametrize(
    ("offer", "situation", "words"),
    [
        (
            shop.offer("a"),
            shop.situation(shop.customer(consent=False), channel="web"),
            "consent: needs consent for marketing, which is unknown on web",
        ),
        (shop.offer("a", placements=("side",)), shop.situation(ANNA), "placement: not made for hero, only for side"),
        (
            shop.offer("a"),
            shop.situation(shop.customer(shop.complained(shop.NOON - HOUR))),
            "service: a complaint is open, and nothing is sold meanwhile",
        ),
        (
            shop.offer("a", caps=(Cap(count=3, window_days=7),)),
            shop.situation(ANNA, ledger=SEEN),
            "cap: it was shown 3 times in 7 days, cap 3",
        ),
        (
            shop.offer("a"),
            shop.situation(ANNA, refused={"a": "cap"}),
            "cap: the ledger refused it: its cap was reached meanwhile",
        ),
        (
            shop.offer("a", stock=9),
            shop.situation(ANNA, stock_left={"a": 0}),
            "stock: its stock (9 in all) is used up",
        ),
        (shop.offer("a", stock=9), shop.situation(ANNA, refused={"a": "stock"}), "stock: the last unit was taken meanwhile"),
        (
            shop.offer("a", "fallback", stock=9),
            shop.absent(),
            "stock: stock cannot be reserved while the ledger is away",
        ),
        (shop.offer("a"), shop.situation(ANNA, late=True), "arbitration: the deadline passed before it was scored"),
        (shop.offer("a"), shop.situation(ANNA), "chosen: drawn for position 1 with probability 1.0000"),
        (shop.offer("a", "fallback"), shop.situation(ANNA), "chosen: nothing else is left: no_eligible"),
        (shop.offer("a", "thank_you"), shop.situation(ANNA), "chosen: a thank you offer is placed before anything is drawn"),
    ],
)
def test_the_rule_is_told_in_words(offer: Offer, situation: Situation, words: str) -> None:
    assert rule(offer, situation) == words


def test_shared_caps_name_what_they_are_about() -> None:
    weeks = Campaign(id="weeks", caps=(Cap(count=2, window_days=1),))

    words = rule(shop.offer("a", campaign="weeks"), shop.situation(ANNA, ledger=SEEN), None, weeks)

    assert words == "cap: the campaign weeks was shown 3 times in 1 days, cap 2"


def test_holdout_and_quiet_hours_are_told() -> None:
    mail = {"hero": Placement(channel="email")}
    quiet = shop.policy(placements=mail, quiet_hours=QuietHours(span=Span(start=0, end=13 * 60)))

    assert rule(shop.offer("a"), shop.situation(ANNA), shop.policy(holdout=Holdout(share=1.0))).startswith("holdout: ")
    assert rule(shop.offer("a"), shop.situation(ANNA), quiet) == "quiet_hours: quiet hours until 13:00"


def test_conditions_that_do_not_hold_are_told_as_they_were_written() -> None:
    buys_tea = Bought(bought=Things(categories=("tea",)), within_days=30)
    conditions = (
        Feature(feature="rfm.recency", below=60, at_least=1),
        AnyOf(any_of=(buys_tea, Not(negated=Feature(feature="rfm.frequency", between=(0, 3))))),
    )

    words = rule(shop.offer("a", eligible_when=conditions), shop.situation(ANNA))

    assert words == (
        "eligibility: needs rfm.recency at least 1 and below 60; tea bought within 30 days or not (rfm.frequency between 0 and 3)"
    )


def test_offers_of_a_decision_do_not_stand_in_each_others_light_unsaid() -> None:
    policy = shop.policy(placements={"hero": Placement(), "side": Placement()})
    offers = [shop.offer("a", placements=("hero", "side")), shop.offer("house", "fallback", placements=("hero", "side"))]
    places = (PlacementRequest("hero"), PlacementRequest("side"))

    entries = told(offers, shop.situation(ANNA, placements=places), policy)

    assert [(entry.placement, entry.offer_id, entry.rule) for entry in entries][1:] == [
        ("hero", "house", "a fallback waits until nothing else is left"),
        ("side", "a", "chosen in another placement of this decision"),
        ("side", "house", "nothing else is left: no_eligible"),
    ]


@pytest.mark.parametrize(
    ("ranker", "named"),
    [
        ("learned", {"affinity.rule_logit"}),
        ("frozen", {"affinity.rule_logit"}),
        ("rule", {"affinity.rule_logit"}),
        ("popularity", {"affinity.popularity"}),
        ("random", set()),
    ],
)
def test_scored_offers_say_what_made_their_score(ranker: Ranker, named: set[str]) -> None:
    policy = shop.policy(experiment=Experiment(variations={"arm": Variation(share=1.0, ranker=ranker)}))

    entries = told([*shop.sells(3), shop.offer("house", "fallback")], shop.situation(ANNA), policy)

    assert [set(entry.contributions) for entry in entries] == [named, named, named, set()]


def test_a_reload_is_explained_as_one() -> None:
    policy = shop.policy(placements={"hero": Placement(sticky_seconds=600)})
    catalogue = shop.catalogue(shop.sells(2), policy)
    scorers = shop.scorers(catalogue)
    first = shop.admitted(shop.situation(ANNA), catalogue, scorers, policy)

    later = shop.situation(ANNA, ledger=first, now=shop.NOON + 1000, decision_id="d-2")
    _, entries = explain(later, catalogue, scorers, policy)

    assert sorted(entry.rule for entry in entries) == [
        "shown again as decided in d-1",
        "the placement shows its earlier decision again",
    ]


def test_unpopular_categories_still_explain_themselves() -> None:
    (entry,) = told([shop.offer("a", promotes=Promotes(categories=("soup",)))], shop.situation(ANNA, now=shop.NOON + DAY))

    assert entry.contributions["affinity.rule_logit"] < 0
