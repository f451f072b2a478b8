"""From a situation to offers: which stage speaks, what fills a placement, and what a reload gets."""

import math

import pytest

from engine.decisioning.conditions import Span
from engine.decisioning.decide import decide
from engine.decisioning.decision import Decision
from engine.decisioning.ledger import EMPTY, VIEWED, Ledger, commit, mark
from engine.decisioning.offer_features import EXAMINATION, OFFER_NAMES, examination
from engine.decisioning.offers import SERVICE_RECOVERY, Campaign, Cap, Money, Offer, Promotes
from engine.decisioning.policy import Caps, Experiment, Holdout, Placement, Policy, QuietHours, Ranker, TagCaps, Variation
from engine.decisioning.scoring import scorers_for
from engine.decisioning.situation import PlacementRequest, Situation
from engine.features.affinity import CROSS_NAMES
from engine.features.vector import NAMES, unpacked
from engine.moments import DAY, HOUR, MINUTE, Millis
from engine.profiles.profile import Profile
from tests import shop

FALLBACK = shop.offer("house", "fallback")
ANNA = shop.customer()


def decided(offers: list[Offer], situation: Situation, policy: Policy | None = None) -> Decision:
    policy = policy or shop.policy()
    catalogue = shop.catalogue(offers, policy)
    return decide(situation, catalogue, shop.scorers(catalogue), policy)


def shown(decision: Decision) -> list[str]:
    return [offer.offer_id for offer in decision.offers]


def after(ledger: Ledger, decision: Decision, keep_ms: int = 7 * DAY) -> Ledger:
    """The ledger once the decision is admitted."""
    admitted = commit(ledger, decision.claims, decision.sticky, decision.at, keep_ms)
    assert isinstance(admitted, Ledger)
    return admitted


# -- who speaks first ------------------------------------------------------------------------------------------------


def test_without_consent_a_fallback_is_all_and_the_hint_says_what_to_send() -> None:
    decision = decided([*shop.sells(3), FALLBACK], shop.situation(shop.customer(consent=False), channel="web"))

    assert shown(decision) == ["house"]
    assert decision.placements[0].reason == "consent"
    assert decision.placements[0].hint == "no consent for marketing is known: send consent_updated"


def test_consent_for_another_channel_is_no_consent_here() -> None:
    mail_only = shop.customer(shop.consented("granted", shop.NOON - DAY, channels=("email",)), consent=False)

    assert decided(shop.sells(1), shop.situation(mail_only, channel="web")).placements[0].reason == "consent"


def test_request_on_one_channel_for_a_placement_on_another_needs_consent_for_both() -> None:
    web_only = shop.customer(shop.consented("granted", shop.NOON - DAY, channels=("web",)), consent=False)

    assert decided(shop.sells(1), shop.situation(web_only, channel="web")).placements[0].reason == "ok"
    assert decided(shop.sells(1), shop.situation(web_only, channel="email")).placements[0].reason == "consent"


@pytest.mark.parametrize("kind", ["mandatory", "transactional", "service", "fallback"])
def test_kinds_with_a_basis_of_their_own_need_no_consent(kind: str) -> None:
    decision = decided([shop.offer("a", kind)], shop.situation(Profile("u:new")))

    assert shown(decision) == ["a"]


def test_holdout_gets_the_fallback_and_every_decision_says_so() -> None:
    policy = shop.policy(holdout=Holdout(share=1.0))

    decision = decided([*shop.sells(2), FALLBACK], shop.situation(ANNA), policy)

    assert (shown(decision), decision.holdout, decision.placements[0].reason) == (["house"], True, "holdout")


def test_open_complaint_stops_sales_but_not_making_good() -> None:
    angry = shop.customer(shop.complained(shop.NOON - HOUR))
    sorry = shop.offer("sorry", "service", tags=(SERVICE_RECOVERY,))

    assert decided([*shop.sells(2), FALLBACK], shop.situation(angry)).placements[0].reason == "complaint_open"
    assert shown(decided([*shop.sells(2), sorry], shop.situation(angry))) == ["sorry"]


def test_latest_stage_that_a_sale_reached_is_the_reason() -> None:
    offers = [
        shop.offer("elsewhere", purpose="profiling"),
        shop.offer("later", starts=shop.NOON + 1),
        shop.offer("gone", stock=3),
    ]

    decision = decided(offers, shop.situation(ANNA, stock_left={"gone": 0}))

    assert decision.placements[0].reason == "capped"
    assert decision.placements[0].stages | {} == {
        "consent": 1,
        "holdout": 0,
        "placement": 0,
        "eligibility": 1,
        "service": 0,
        "cap": 0,
        "stock": 1,
        "quiet_hours": 0,
        "arbitration": 0,
        "chosen": 0,
    }


@pytest.mark.parametrize(("hour", "reason"), [(19, "ok"), (20, "quiet_hours"), (6, "quiet_hours"), (8, "ok")])
def test_quiet_hours_silence_push_channels_in_the_customers_own_time(hour: int, reason: str) -> None:
    policy = shop.policy(
        placements={"mail": Placement(channel="email")},
        quiet_hours=QuietHours(span=Span(start=21 * 60, end=8 * 60)),
    )
    now = shop.NOON + (hour - 12) * HOUR
    situation = shop.situation(ANNA, placements=(PlacementRequest("mail"),), now=now, timezone="Europe/Vienna")

    decision = decided([shop.offer("a", placements=("mail",))], situation, policy)

    assert decision.placements[0].reason == reason


def test_quiet_hours_leave_pages_and_tills_alone() -> None:
    policy = shop.policy(quiet_hours=QuietHours(span=Span(start=0, end=0)))

    assert decided(shop.sells(1), shop.situation(ANNA), policy).placements[0].reason == "ok"


# -- caps and stock --------------------------------------------------------------------------------------------------


def test_cap_slides_with_time() -> None:
    offers = [shop.offer("a", caps=(Cap(count=1, window_days=1),)), FALLBACK]
    first = decided(offers, shop.situation(ANNA))
    ledger, _ = mark(after(EMPTY, first), "d-1", "a", "hero", VIEWED, shop.NOON)

    again = [
        shown(decided(offers, shop.situation(ANNA, ledger=ledger, now=shop.NOON + wait, decision_id="d-2")))
        for wait in (DAY - 1, DAY)
    ]

    assert again == [["house"], ["a"]]


def test_reservation_that_nobody_viewed_comes_back() -> None:
    policy = shop.policy(reservation_seconds=600)
    offers = [shop.offer("a", caps=(Cap(count=1, window_days=1),), placements=("hero", "side"))]
    policy = shop.policy(reservation_seconds=600, placements={"hero": Placement(), "side": Placement()})
    ledger = after(EMPTY, decided(offers, shop.situation(ANNA), policy))

    there = [
        shown(
            decided(
                offers,
                shop.situation(ANNA, ledger=ledger, now=shop.NOON + wait, placements=(PlacementRequest("side"),)),
                policy,
            )
        )
        for wait in (9 * MINUTE, 10 * MINUTE)
    ]

    assert there == [[], ["a"]]


def test_live_reservation_is_joined_rather_than_doubled() -> None:
    offers = [shop.offer("a", caps=(Cap(count=1, window_days=1),), stock=1)]
    first = decided(offers, shop.situation(ANNA))
    ledger = after(EMPTY, first)

    second = decided(offers, shop.situation(ANNA, ledger=ledger, stock_left={"a": 0}, decision_id="d-2"))

    assert (shown(second), second.takes) == (["a"], ())
    assert [entry.decisions for entry in after(ledger, second).entries] == [("d-1", "d-2")]


def test_refused_offer_is_not_tried_again() -> None:
    decision = decided(shop.sells(2), shop.situation(ANNA, refused={"sell-0": "cap"}, attempt=1))

    assert shown(decision) == ["sell-1"]
    assert decision.seed == "d-1/1"


def test_caps_of_campaign_and_tag_count_over_all_their_offers_also_within_a_slate() -> None:
    weeks = Campaign(id="weeks", caps=(Cap(count=1, window_days=7),))
    policy = shop.policy(caps=Caps(tags=(TagCaps(tag="wine", caps=(Cap(count=1, window_days=7),)),)))
    offers = [
        shop.offer("a", campaign="weeks"),
        shop.offer("b", campaign="weeks", tags=("wine",)),
        shop.offer("c", tags=("wine",)),
    ]
    catalogue = shop.catalogue(offers, policy, (weeks,))

    for number in range(30):
        situation = shop.situation(ANNA, count=3, decision_id=f"d-{number}")
        chosen = set(shown(decide(situation, catalogue, shop.scorers(catalogue), policy)))
        assert chosen in ({"a", "c"}, {"b"})


def test_stocked_offer_takes_a_unit_and_of_a_budget_what_its_contact_and_redemption_cost() -> None:
    weeks = Campaign(id="weeks", budget=Money(1000, "EUR"))
    offers = [
        shop.offer("a", campaign="weeks", cost=Money(30, "EUR"), redemption_cost=Money(250, "EUR"), stock=5),
        shop.offer("b", campaign="weeks", cost=Money(40, "EUR"), status="paused"),
    ]
    policy = shop.policy()
    catalogue = shop.catalogue(offers, policy, (weeks,))

    decision = decide(shop.situation(ANNA), catalogue, shop.scorers(catalogue), policy)

    assert {(take.pool, take.capacity, take.amount, take.later) for take in decision.takes} == {
        ("a", 5, 1, 0),
        ("campaign:weeks", 1000, 30, 250),
    }


# -- ranking ---------------------------------------------------------------------------------------------------------


def test_customer_who_buys_coffee_is_mostly_offered_coffee() -> None:
    fond = shop.customer(*[shop.bought(shop.NOON - day * DAY, (f"p-{day}", "coffee")) for day in range(2, 30, 3)])

    chosen = [shown(decided(shop.sells(8), shop.situation(fond, decision_id=f"d-{n}")))[0] for n in range(60)]

    assert chosen.count("sell-0") > 40


def test_scored_offer_carries_exactly_the_readings_it_was_scored_with() -> None:
    decision = decided(shop.sells(3), shop.situation(ANNA))

    (offer,) = decision.offers
    assert offer.learn
    assert len(offer.vector) == 4 * (len(NAMES) + len(OFFER_NAMES) + len(CROSS_NAMES))
    assert offer.score == pytest.approx(offer.probability * offer.value_minor - offer.cost_minor)


def test_an_offer_is_recorded_in_the_place_it_got() -> None:
    decision = decided(shop.sells(4), shop.situation(ANNA, placements=(PlacementRequest("hero", 3),)))

    read = [unpacked(offer.vector)[len(NAMES) + EXAMINATION] for offer in decision.offers]
    assert [offer.position for offer in decision.offers] == [1, 2, 3]
    assert read == pytest.approx([examination(1), examination(2), examination(3)], abs=1e-6)


@pytest.mark.parametrize(("ranker", "even"), [("random", True), ("popularity", False), ("rule", False), ("frozen", False)])
def test_each_variation_has_its_ranker_and_logs_readings_all_the_same(ranker: Ranker, even: bool) -> None:
    policy = shop.policy(experiment=Experiment(variations={"arm": Variation(share=1.0, ranker=ranker)}))
    catalogue = shop.catalogue(shop.sells(4), policy)
    scorers = shop.scorers(catalogue, {"coffee": 0.5, "milk": 0.2, "bread": 0.1, "cheese": 0.05})

    decision = decide(shop.situation(ANNA), catalogue, scorers, policy)

    (offer,) = decision.offers
    assert (offer.propensity == 0.25) == even
    assert (decision.variation, decision.ranker, offer.learn) == ("arm", ranker, True)


def test_model_that_is_absent_gives_way_to_the_rule_and_the_decision_says_so() -> None:
    policy = shop.policy()
    catalogue = shop.catalogue(shop.sells(3), policy)

    decision = decide(shop.situation(ANNA), catalogue, scorers_for(catalogue, None), policy)

    assert (decision.degraded, len(decision.offers)) == (("model",), 1)


def test_late_decision_sells_nothing_and_says_deadline() -> None:
    decision = decided([*shop.sells(3), FALLBACK], shop.situation(ANNA, late=True))

    assert (shown(decision), decision.placements[0].reason, decision.degraded) == (["house"], "deadline", ("deadline",))


def test_catalogue_without_margins_ranks_by_probability_alone() -> None:
    free = [shop.offer(f"o-{n}", margin=Money(), promotes=Promotes(categories=(shop.MARKET[n],))) for n in range(4)]
    policy = shop.policy()
    catalogue = shop.catalogue(free, policy)

    decision = decide(shop.situation(ANNA), catalogue, shop.scorers(catalogue, {"coffee": 0.9}), policy)

    assert decision.offers[0].propensity != 0.25


def test_duties_come_first_in_their_order_and_are_never_learned_from() -> None:
    offers = [*shop.sells(2), shop.offer("thanks", "thank_you"), shop.offer("recall", "mandatory"), shop.offer("case", "service")]

    decision = decided(offers, shop.situation(ANNA, count=4))

    assert shown(decision)[:3] == ["recall", "case", "thanks"]
    assert [offer.learn for offer in decision.offers] == [False, False, False, True]
    assert [offer.propensity for offer in decision.offers[:3]] == [1.0, 1.0, 1.0]


# -- reloads ---------------------------------------------------------------------------------------------------------

STICKY = {"hero": Placement(channel="web", max=3, sticky_seconds=600)}


def reloaded(offers: list[Offer], profile: Profile, **fields: object) -> tuple[Decision, Decision]:
    """A decision, and what the same customer gets five minutes later."""
    policy = shop.policy(placements=STICKY)
    first = decided(offers, shop.situation(ANNA), policy)
    later: dict[str, object] = {"now": shop.NOON + 5 * MINUTE, "decision_id": "d-2", **fields}
    second = decided(offers, shop.situation(profile, ledger=after(EMPTY, first), **later), policy)
    return first, second


def test_reload_shows_the_same_decision_and_takes_nothing() -> None:
    first, second = reloaded(shop.sells(8, caps=(Cap(count=1, window_days=7),), stock=1), ANNA)

    assert (shown(second), second.decision_id, second.repeats, second.writes) == (shown(first), "d-1", True, False)
    assert (second.claims, second.takes, second.sticky) == ((), (), ())
    assert [o.propensity for o in second.offers] == [o.propensity for o in first.offers]
    assert not any(offer.learn for offer in second.offers)


def test_reload_after_the_sticky_time_is_a_new_decision() -> None:
    _, second = reloaded(shop.sells(8), ANNA, now=shop.NOON + 10 * MINUTE)

    assert (second.decision_id, second.repeats) == ("d-2", False)


def test_reload_obeys_what_has_happened_since() -> None:
    revoked = ANNA.after(shop.consented("revoked", shop.NOON + MINUTE))
    angry = ANNA.after(shop.complained(shop.NOON + MINUTE))

    _, without_consent = reloaded([*shop.sells(8), FALLBACK], revoked)
    _, with_complaint = reloaded([*shop.sells(8), FALLBACK], angry)

    assert [without_consent.placements[0].reason, with_complaint.placements[0].reason] == ["consent", "complaint_open"]


def test_reload_after_buying_the_product_shows_another_offer() -> None:
    offers = [shop.offer("only", promotes=Promotes(products=("p-1",))), FALLBACK]

    _, second = reloaded(offers, ANNA.after(shop.bought(shop.NOON + MINUTE, ("p-1", "coffee"))))

    assert shown(second) == ["house"]


def test_fallback_is_not_kept_when_something_personal_becomes_lawful() -> None:
    policy, offers = shop.policy(placements=STICKY), [shop.offer("a"), FALLBACK]
    stranger = shop.customer(consent=False)
    first = decided(offers, shop.situation(stranger), policy)

    second = decided(offers, shop.situation(ANNA, ledger=after(EMPTY, first), now=shop.NOON + MINUTE), policy)

    assert (shown(first), shown(second)) == (["house"], ["a"])


def test_new_duty_breaks_into_what_is_shown_again() -> None:
    policy = shop.policy(placements=STICKY)
    recall = shop.offer("recall", "mandatory", starts=shop.NOON + MINUTE)
    offers = [*shop.sells(3), recall]
    first = decided(offers, shop.situation(ANNA), policy)

    second = decided(offers, shop.situation(ANNA, ledger=after(EMPTY, first), now=shop.NOON + 2 * MINUTE), policy)

    assert shown(second) == ["recall"]


# -- several placements ----------------------------------------------------------------------------------------------


def test_what_one_placement_shows_the_next_does_not() -> None:
    policy = shop.policy(placements={"hero": Placement(), "side": Placement()})
    offers = [shop.offer("a", placements=("hero", "side"))]

    decision = decided(offers, shop.situation(ANNA, placements=(PlacementRequest("hero"), PlacementRequest("side"))), policy)

    assert [[o.offer_id for o in filled.offers] for filled in decision.placements] == [["a"], []]
    assert decision.placements[1].reason == "no_eligible"


def test_till_counts_as_shown_at_once_and_keeps_its_unit() -> None:
    policy = shop.policy(placements={"hero": Placement(channel="pos", shown_when="decided")})

    decision = decided([shop.offer("a", stock=3)], shop.situation(ANNA), policy)

    assert decision.claims[0].entry.state == VIEWED
    assert decision.takes[0].keep


def test_every_figure_of_a_decision_is_finite() -> None:
    decision = decided(shop.sells(5), shop.situation(Profile("u:new").after(shop.consented("granted", 1)), now=Millis(2)))

    assert all(math.isfinite(n) for o in decision.offers for n in (o.propensity, o.probability, o.score))
