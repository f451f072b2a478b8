"""Laws of deciding, over made-up shops and customers."""

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decisioning.catalogue import Catalogue
from engine.decisioning.conditions import Feature
from engine.decisioning.decide import decide, decide_all
from engine.decisioning.explanation import explain
from engine.decisioning.ledger import EMPTY, Ledger, commit, mark
from engine.decisioning.offer_features import OFFER_NAMES
from engine.decisioning.offers import KINDS, SERVICE_RECOVERY, Cap, Offer, Promotes
from engine.decisioning.policy import Caps, Experiment, Holdout, Placement, Policy, Ranker, Variation
from engine.decisioning.scoring import scorers_for
from engine.decisioning.situation import PlacementRequest, Situation
from engine.features.affinity import CROSS_NAMES
from engine.features.vector import NAMES
from engine.models.base import Example, recorded
from engine.models.next_best_offer import NextBestOfferLearner
from engine.models.scoring import OfferScorer
from engine.moments import DAY, HOUR
from engine.profiles.profile import Profile
from tests import shop

PLACEMENTS = {
    "hero": Placement(channel="web", max=3, sticky_seconds=600),
    "cart": Placement(channel="web", max=3),
    "till": Placement(channel="pos", max=2, shown_when="decided"),
}
names = st.sampled_from(sorted(PLACEMENTS))


def learned() -> OfferScorer:
    """A model with a say of its own on every reading."""
    chance = np.random.default_rng(5)
    learner = NextBestOfferLearner(NAMES, OFFER_NAMES, CROSS_NAMES, "f")
    rows = chance.lognormal(0.0, 2.0, (200, len(NAMES) + len(OFFER_NAMES) + len(CROSS_NAMES)))
    learner.learn(
        [
            Example("next_best_offer", str(at), "u:1", 0, 1, float(at % 3 == 0), "f", recorded(row), f"offer-{at % 4}")
            for at, row in enumerate(rows)
        ]
    )
    return OfferScorer(learner.publish())


LEARNED = learned()
caps = st.lists(st.builds(Cap, count=st.integers(1, 3), window_days=st.sampled_from([0.5, 1.0, 7.0])), max_size=2)


@st.composite
def offers(draw: Callable[[Any], Any]) -> list[Offer]:
    made = []
    for number in range(draw(st.integers(0, 9))):
        kind = draw(st.sampled_from([*KINDS, "sell", "sell", "sell"]))
        made.append(
            shop.offer(
                f"offer-{number}",
                kind,
                placements=tuple(draw(st.lists(names, min_size=1, max_size=3, unique=True))),
                status=draw(st.sampled_from(["live", "live", "live", "paused"])),
                purpose=draw(st.sampled_from(["marketing", "marketing", "profiling"])),
                tags=tuple(draw(st.lists(st.sampled_from(["drinks", SERVICE_RECOVERY]), max_size=1))),
                caps=tuple(draw(caps)),
                stock=draw(st.sampled_from([None, None, 0, 5])),
                promotes=Promotes(categories=tuple(draw(st.lists(st.sampled_from(shop.MARKET), max_size=2)))),
                eligible_when=draw(st.sampled_from([(), (Feature(feature="rfm.recency", below=10.0),)])),
                starts=draw(st.sampled_from([None, None, shop.NOON - DAY, shop.NOON + DAY])),
            )
        )
    return made


policies = st.builds(
    Policy,
    placements=st.just(PLACEMENTS),
    holdout=st.sampled_from([Holdout(share=0.0), Holdout(share=0.0), Holdout(share=1.0)]),
    experiment=st.builds(Variation, share=st.just(1.0), ranker=st.sampled_from(get_args(Ranker))).map(
        lambda only: Experiment(variations={"only": only})
    ),
    caps=st.sampled_from([Caps(), Caps(all_offers=(Cap(count=3, window_days=1),))]),
)
histories = st.lists(
    st.sampled_from(
        [
            shop.consented("granted", shop.NOON - 5 * DAY),
            shop.consented("granted", shop.NOON - 5 * DAY, purpose="profiling"),
            shop.consented("revoked", shop.NOON - 2 * DAY),
            shop.complained(shop.NOON - DAY),
            shop.bought(shop.NOON - 3 * DAY, ("p-1", "coffee")),
        ]
    )
    | st.builds(
        shop.bought, st.integers(shop.NOON - 200 * DAY, shop.NOON), st.tuples(st.just("p"), st.sampled_from(shop.MARKET))
    ),
    max_size=4,
)
requests = st.lists(st.builds(PlacementRequest, names, st.integers(1, 3)), min_size=1, max_size=3)


@st.composite
def worlds(draw: Callable[[Any], Any]) -> tuple[Situation, Catalogue, Policy]:
    policy = draw(policies)
    catalogue = shop.catalogue(draw(offers()), policy)
    situation = shop.situation(
        shop.customer(*draw(histories), consent=draw(st.booleans())),
        placements=tuple(draw(requests)),
        channel=draw(st.sampled_from(["", "web", "pos"])),
        stock_left=draw(st.sampled_from([{}, {"offer-1": 0}])),
        exclude=draw(st.sampled_from([frozenset(), frozenset({"offer-0"})])),
        late=draw(st.sampled_from([False, False, False, True])),
        decision_id=f"d-{draw(st.integers(0, 99))}",
    )
    return situation, catalogue, policy


@settings(max_examples=60, deadline=None)
@given(world=worlds())
def test_stages_add_up_to_the_catalogue_and_agree_with_the_explanation(world: tuple[Situation, Catalogue, Policy]) -> None:
    situation, catalogue, policy = world

    decision, entries = explain(situation, catalogue, shop.scorers(catalogue), policy)

    assert len(entries) == len(catalogue.offers) * len(situation.placements)
    for number, filled in enumerate(decision.placements):
        mine = entries[number * len(catalogue.offers) : (number + 1) * len(catalogue.offers)]
        assert sum(filled.stages.values()) == len(catalogue.offers)
        assert {stage: sum(entry.stage == stage for entry in mine) for stage in filled.stages} == filled.stages
        assert [entry.offer_id for entry in mine if entry.stage == "chosen"] == sorted(offer.offer_id for offer in filled.offers)
        assert all(entry.rule for entry in mine)


@settings(max_examples=60, deadline=None)
@given(world=worlds())
def test_explaining_and_repeating_change_nothing(world: tuple[Situation, Catalogue, Policy]) -> None:
    situation, catalogue, policy = world
    scorers = shop.scorers(catalogue)

    decision = decide(situation, catalogue, scorers, policy)

    explained, _ = explain(situation, catalogue, scorers, policy)
    assert decide(situation, catalogue, scorers, policy) == decision
    assert explained.placements == decision.placements
    assert (explained.claims, explained.takes, explained.writes) == ((), (), False)


@settings(max_examples=60, deadline=None)
@given(world=worlds())
def test_one_offer_stands_at_most_once_in_a_decision_and_no_placement_overflows(
    world: tuple[Situation, Catalogue, Policy],
) -> None:
    situation, catalogue, policy = world

    decision = decide(situation, catalogue, shop.scorers(catalogue), policy)

    chosen = [offer.offer_id for offer in decision.offers]
    assert len(chosen) == len(set(chosen))
    for wanted, filled in zip(situation.placements, decision.placements, strict=True):
        assert len(filled.offers) <= min(wanted.count, policy.placements[wanted.name].max)
        assert [offer.position for offer in filled.offers] == list(range(1, len(filled.offers) + 1))
        assert (filled.reason == "ok") == any(offer.kind != "fallback" for offer in filled.offers)
        assert bool(filled.hint) == (filled.reason != "ok")


@settings(max_examples=60, deadline=None)
@given(world=worlds())
def test_nothing_is_sold_without_consent_nor_under_a_complaint_nor_to_the_holdout(
    world: tuple[Situation, Catalogue, Policy],
) -> None:
    situation, catalogue, policy = world

    decision = decide(situation, catalogue, shop.scorers(catalogue), policy)

    assert situation.part is not None
    complaint = situation.part.service.open_complaints > 0
    for offer in decision.offers:
        written = catalogue.offers[offer.row]
        if offer.kind in ("sell", "thank_you"):
            assert situation.part.consent.status(written.purpose, "web", situation.now) == "granted"
            assert not decision.holdout
            assert not complaint or SERVICE_RECOVERY in written.tags


@settings(max_examples=60, deadline=None)
@given(world=worlds())
def test_while_the_store_is_away_only_kinds_with_a_basis_of_their_own_remain(
    world: tuple[Situation, Catalogue, Policy],
) -> None:
    known, catalogue, policy = world
    situation = shop.absent(placements=known.placements)

    decision = decide(situation, catalogue, shop.scorers(catalogue), policy)

    assert {offer.kind for offer in decision.offers} <= {"mandatory", "transactional", "service", "fallback"}
    assert not any(catalogue.columns.stocked[offer.row] for offer in decision.offers)
    assert (decision.claims, decision.takes, decision.writes) == ((), (), False)
    assert {"profile", "ledger"} <= set(decision.degraded)


@settings(max_examples=60, deadline=None)
@given(
    made=offers(),
    policy=policies,
    steps=st.lists(st.tuples(requests, st.sampled_from([0, HOUR, DAY]), st.booleans()), min_size=1, max_size=8),
)
def test_decisions_carried_out_one_after_another_are_never_refused(
    made: list[Offer], policy: Policy, steps: list[tuple[list[PlacementRequest], int, bool]]
) -> None:
    catalogue = shop.catalogue(made, policy)
    scorers, profile = shop.scorers(catalogue), shop.customer(shop.consented("granted", shop.NOON - DAY, purpose="profiling"))
    ledger, now = EMPTY, int(shop.NOON)
    for step, (wanted, wait, looks) in enumerate(steps):
        now += wait
        situation = shop.situation(
            profile, placements=tuple(wanted), ledger=ledger, now=now, decision_id=f"d-{step}", channel="web"
        )
        decision = decide(situation, catalogue, scorers, policy)
        after = commit(ledger, decision.claims, decision.sticky, now, catalogue.longest_window_ms)
        assert isinstance(after, Ledger)
        ledger = after
        for offer in decision.offers if looks else ():
            ledger, _ = mark(ledger, decision.decision_id, offer.offer_id, offer.placement, 1, now)


@settings(max_examples=60, deadline=None)
@given(world=worlds())
def test_an_empty_profile_is_an_answer_not_an_error(world: tuple[Situation, Catalogue, Policy]) -> None:
    known, catalogue, policy = world

    decision = decide(shop.situation(Profile("a:new"), placements=known.placements), catalogue, shop.scorers(catalogue), policy)

    assert not any(offer.kind in ("sell", "thank_you") for offer in decision.offers)
    assert decision.degraded == ()


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whoever_is_decided_together_with_others_gets_what_they_get_alone(data: st.DataObject) -> None:
    situation, catalogue, policy = data.draw(worlds())
    others = data.draw(st.lists(worlds().map(lambda world: world[0]), max_size=5))
    strangers = [shop.situation(Profile("a:new"), placements=situation.placements), shop.absent(placements=situation.placements)]
    group = data.draw(st.permutations([situation, *others, *strangers]))
    scorers = data.draw(st.sampled_from([shop.scorers(catalogue), scorers_for(catalogue, LEARNED, LEARNED)]))

    decisions = decide_all(group, catalogue, scorers, policy)

    assert decisions == [decide(one, catalogue, scorers, policy) for one in group]
