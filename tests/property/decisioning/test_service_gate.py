"""Nothing is sold between a complaint and its resolution, whatever else happens in between."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decisioning.conditions import InService
from engine.decisioning.decide import decide
from engine.decisioning.decision import Decision
from engine.decisioning.explanation import explain
from engine.decisioning.offers import SERVICE_RECOVERY, Cap
from engine.decisioning.policy import Caps
from engine.decisioning.service import ServiceRule, SlaHours, actions_due, states_of, stopped_by
from engine.moments import DAY, HOUR, rfc3339
from engine.profiles.profile import Profile
from tests import shop
from tests.builders import simple, taken

OFFERS = [
    *shop.sells(3),
    shop.offer("put-right", kind="service", tags=(SERVICE_RECOVERY,), eligible_when=(InService(service=("recovery",)),)),
    shop.offer("thanks", kind="thank_you", eligible_when=(InService(service=("thank_you",)),)),
]
UNDER = shop.policy()
OF = shop.catalogue(OFFERS, UNDER)
SCORERS = shop.scorers(OF)


def after(*log: tuple[str, int, dict[str, Any]]) -> Profile:
    """Anna, to whom these things happened at these times after noon."""
    profile = shop.customer()
    for number, (kind, at, data) in enumerate(log):
        event = taken(simple(kind, f"e{number}", "anna", shop.NOON + at, **data), shop.NOON + at).event
        profile = profile.after(event)
    return profile


def decided(profile: Profile, at: int, count: int = 5) -> Decision:
    now = shop.NOON + at
    part = profile.whole
    asked = shop.situation(profile, now=now, count=count, states=states_of(part, UNDER.service, now))
    return decide(asked, OF, SCORERS, UNDER)


def kinds(decision: Decision) -> set[str]:
    return {offer.kind for offer in decision.offers}


STEPS = (
    "complaint_filed", "complaint_acknowledged", "complaint_escalated", "complaint_resolved", "order_completed", "offer_clicked",
    "product_viewed", "support_case_opened", "support_case_resolved", "feedback_submitted", "interaction_logged", "order_late",
    "order_delivered",
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from(["k1", "k2", "k3"])), min_size=1, max_size=25))
def test_no_sale_from_a_complaint_until_its_resolution(steps: list[tuple[str, str]]) -> None:
    profile, still_open = shop.customer(), set[str]()
    for number, (kind, name) in enumerate(steps):
        at = shop.NOON + (number + 1) * HOUR
        data: dict[str, Any] = {"complaint_id": name}
        if kind.startswith("order"):
            data = {"order_id": name, "currency": "EUR", "total": 100}
        elif kind in ("feedback_submitted", "product_viewed", "offer_clicked"):
            data = {"nps": 9} if kind == "feedback_submitted" else {}
        elif kind == "interaction_logged":
            data = {"action": "recovery", "case_id": name}
        profile = profile.after(taken(simple(kind, f"e{number}", "anna", at, **data), at).event)
        if kind in ("complaint_filed", "complaint_escalated"):
            still_open.add(name)
        elif kind == "complaint_resolved":
            still_open.discard(name)

        decision = decided(profile, (number + 1) * HOUR + 1)

        if still_open:
            assert not kinds(decision) & {"sell", "thank_you"}
        assert ("sell" in kinds(decision)) == (stopped_by(profile.whole, UNDER.service, at + 1) == "")


def test_each_thing_that_goes_wrong_stops_selling_and_says_how_it_ends() -> None:
    wrong: dict[str, tuple[tuple[str, int, dict[str, Any]], tuple[str, int, dict[str, Any]]]] = {
        "complaint_open": (("complaint_filed", 0, {"complaint_id": "k"}), ("complaint_resolved", HOUR, {"complaint_id": "k"})),
        "case_severe": (
            ("support_case_opened", 0, {"case_id": "k", "severity": "High"}),
            ("support_case_resolved", HOUR, {"case_id": "k"}),
        ),
        "case_escalated": (("support_case_escalated", 0, {"case_id": "k"}), ("support_case_resolved", HOUR, {"case_id": "k"})),
        "order_late": (("order_late", 0, {"order_id": "o"}), ("order_delivered", HOUR, {"order_id": "o"})),
        "low_nps": (("feedback_submitted", 0, {"nps": 6}), ("interaction_logged", HOUR, {"action": "follow_up"})),
    }
    for why, (happens, ends) in wrong.items():
        hurt, healed = after(happens), after(happens, ends)

        assert stopped_by(hurt.whole, UNDER.service, shop.NOON + 1) == why
        assert kinds(decided(hurt, 1)) == {"service"}
        assert "sell" in kinds(decided(healed, HOUR + 1))
        _, told = explain(shop.situation(hurt, now=shop.NOON + 1), OF, SCORERS, UNDER)
        assert any(one.stage == "service" and one.rule.endswith("nothing is sold meanwhile") for one in told)


def test_an_ordinary_case_and_a_good_score_stop_nothing() -> None:
    profile = after(("support_case_opened", 0, {"case_id": "k"}), ("feedback_submitted", 0, {"nps": 7}))

    assert "sell" in kinds(decided(profile, 1))


def test_a_late_order_and_a_low_score_are_over_after_their_days() -> None:
    profile = after(("order_late", 0, {"order_id": "o"}), ("feedback_submitted", 0, {"nps": 0}))

    days = [day for day in range(40) if stopped_by(profile.whole, UNDER.service, shop.NOON + day * DAY)]

    assert days == list(range(30))
    brief = ServiceRule(late_order_days=2, low_nps=-1)
    assert [day for day in range(40) if stopped_by(profile.whole, brief, shop.NOON + day * DAY)] == [0, 1]


def test_what_is_owed_is_due_when_the_policy_says() -> None:
    profile = after(
        ("complaint_filed", 0, {"complaint_id": "k"}),
        ("service_due", 0, {"service_id": "car", "due_at": rfc3339(shop.NOON + 40 * DAY)}),
    )
    rule = ServiceRule(sla_hours=SlaHours(complaint=24))

    def due(at: int, held: Profile = profile) -> list[tuple[str, str, int]]:
        return [
            (one.action, one.case_id, (one.due_at - shop.NOON) // HOUR) for one in actions_due(held.whole, rule, shop.NOON + at)
        ]

    assert due(1) == [("recovery", "k", 24)]
    assert due(25 * HOUR) == [("case_past_due", "k", 24), ("recovery", "k", 24)]
    called = profile.after(
        taken(simple("interaction_logged", "c", "anna", shop.NOON + HOUR, action="recovery", case_id="k"), shop.NOON + HOUR).event
    )
    assert due(25 * HOUR, called) == [("case_past_due", "k", 24)]
    resolved = called.after(
        taken(simple("complaint_resolved", "r", "anna", shop.NOON + DAY, complaint_id="k"), shop.NOON + DAY).event
    )
    assert [one[0] for one in due(2 * DAY, resolved)] == ["follow_up", "thank_you"]
    assert due(20 * DAY, resolved) == []
    assert due(27 * DAY, resolved) == [("service", "car", 960)]


def test_a_resolution_brings_thanks_that_take_no_sales_cap() -> None:
    resolved = after(("complaint_filed", 0, {"complaint_id": "k"}), ("complaint_resolved", HOUR, {"complaint_id": "k"}))
    under = shop.policy(caps=Caps(all_offers=(Cap(count=1, window_days=7),)))
    of = shop.catalogue(OFFERS, under)
    with_scorers = shop.scorers(of)
    now = shop.NOON + 2 * HOUR
    states = states_of(resolved.whole, under.service, now)

    asked = shop.situation(resolved, now=now, states=states)
    first = decide(asked, of, with_scorers, under)
    ledger = shop.admitted(asked, of, with_scorers, under)
    then = decide(shop.situation(resolved, now=now, states=states, ledger=ledger, count=5), of, with_scorers, under)

    assert [offer.offer_id for offer in first.offers] == ["thanks"]
    assert kinds(then) == {"thank_you", "sell"}


def test_what_was_dismissed_rests_for_its_days() -> None:
    offers = [shop.offer("a"), shop.offer("b", dismissed_days=2), shop.offer("c")]
    of = shop.catalogue(offers, UNDER)
    profile = after(("offer_dismissed", 0, {"offer_id": "a"}), ("offer_dismissed", 0, {"offer_id": "b"}))

    def shown(day: float) -> set[str]:
        asked = shop.situation(profile, now=shop.NOON + int(day * DAY), count=5)
        return {offer.offer_id for offer in decide(asked, of, shop.scorers(of), UNDER).offers}

    assert [shown(day) for day in (0.5, 2.5, 31)] == [{"c"}, {"b", "c"}, {"a", "b", "c"}]
    _, told = explain(shop.situation(profile, now=shop.NOON + DAY), of, shop.scorers(of), UNDER)
    assert {one.rule for one in told if one.offer_id == "a"} == {"dismissed 1.0 days ago"}


@pytest.mark.parametrize(
    ("kind", "state"),
    [("order_shipped", "order_underway"), ("order_delivered", "order_delivered"), ("order_refunded", "order_returned")],
)
def test_after_a_purchase_rules_know_where_the_order_is(kind: str, state: str) -> None:
    profile = after((kind, 0, {"order_id": "o", "currency": "EUR"}))

    assert states_of(profile.whole, UNDER.service, shop.NOON + HOUR) == {state}
