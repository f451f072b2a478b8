"""Laws of complaints, cases, orders and feedback: order does not matter, joining does not matter, nothing grows without bound."""

from functools import reduce
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.moments import DAY, HOUR
from engine.profiles.feedback import MOST_DONE, MOST_WISHES
from engine.profiles.profile import Part, Profile
from engine.profiles.service import MOST_CASES, MOST_ORDERS, MOST_UPKEEP
from engine.store.codec import decode_profile, encode_profile
from tests.builders import START, simple, taken

LIMITED = settings(max_examples=60, deadline=None)
TYPES = (
    "complaint_filed", "complaint_acknowledged", "complaint_escalated", "complaint_resolved", "support_case_opened",
    "support_case_escalated", "support_case_resolved", "order_shipped", "order_late", "order_delivered", "order_cancelled",
    "order_refunded", "feedback_submitted", "interaction_logged", "special_request_noted", "service_due", "service_completed",
    "warranty_claimed", "conversation_ended",
)  # fmt: skip


@st.composite
def logs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Events of one customer about few cases and orders, so that they meet."""
    log = []
    for index in range(draw(st.integers(1, 14))):
        kind = draw(st.sampled_from(TYPES))
        at = START + draw(st.integers(0, 40)) * HOUR
        name = draw(st.sampled_from(["", "k1", "k2"]))
        data: dict[str, Any] = {"order_id": name or "o", "currency": "EUR"} if kind.startswith("order") else {}
        if name and not data:
            data = {("claim_id" if kind == "warranty_claimed" else "case_id"): name}
        if kind == "feedback_submitted":
            data = {
                "nps": draw(st.integers(0, 10)),
                "csat": draw(st.integers(1, 5)),
                "sentiment": draw(st.sampled_from([-1, 0.5])),
            }
        elif kind == "conversation_ended":
            data = {"sentiment": draw(st.sampled_from(["negative", "positive"]))}
        elif kind == "interaction_logged":
            data |= {"action": draw(st.sampled_from(["recovery", "follow_up"]))}
        elif kind == "special_request_noted":
            data = {"request": draw(st.sampled_from(["no nuts", "ring twice"]))}
        elif kind == "service_due":
            data = {"service_id": name or "s", "due_at": draw(st.sampled_from(["2017-03-01T00:00:00Z", "2017-04-01T00:00:00Z"]))}
        elif kind == "service_completed":
            data = {"service_id": name or "s"} | draw(st.sampled_from([{}, {"next_due_at": "2018-01-01T00:00:00Z"}]))
        log.append(simple(kind, f"e{index}", "ann", at, **data))
    return log


def part_of(log: list[dict[str, Any]]) -> Part:
    profile = Profile("u:ann")
    for body in log:
        profile = profile.after(taken(body).event)
    return profile.part_of("u:ann")


@LIMITED
@given(logs(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing(log: list[dict[str, Any]], chance: Any) -> None:
    shuffled = list(log)
    chance.shuffle(shuffled)

    one, other = part_of(log), part_of(shuffled)

    assert one.service == other.service
    assert one.feedback == other.feedback


@LIMITED
@given(logs(), logs(), logs())
def test_parts_join_in_any_order(one: list[Any], two: list[Any], three: list[Any]) -> None:
    a, b, c = (part_of(log) for log in (one, two, three))

    joined = [a.merge(b).merge(c), a.merge(b.merge(c)), c.merge(b).merge(a)]

    assert len({repr((part.service, part.feedback)) for part in map(Part().merge, joined)}) == 1


@LIMITED
@given(logs())
def test_what_happens_to_service_is_stored_and_read_as_it_was(log: list[dict[str, Any]]) -> None:
    profile = reduce(lambda held, body: held.after(taken(body).event), log, Profile("u:ann"))

    assert decode_profile("u:ann", encode_profile(profile)) == profile


def test_nothing_grows_without_bound() -> None:
    profile = Profile("u:ann")
    for number in range(120):
        at = START + number * HOUR
        for body in (
            simple("complaint_filed", f"a{number}", "ann", at, complaint_id=f"k{number}", reason="r" * 400),
            simple("support_case_opened", f"b{number}", "ann", at, case_id=f"k{number}"),
            simple("order_late", f"c{number}", "ann", at, order_id=f"o{number}"),
            simple("service_due", f"d{number}", "ann", at, service_id=f"s{number}"),
            simple("interaction_logged", f"f{number}", "ann", at, action="recovery", case_id=f"k{number}"),
            simple("special_request_noted", f"g{number}", "ann", at, request=f"wish {number}"),
            simple("offer_dismissed", f"h{number}", "ann", at, offer_id=f"offer-{number}"),
        ):
            profile = profile.after(taken(body).event)

    held = profile.whole
    assert len(held.service.complaints) == MOST_CASES
    assert len(held.service.cases) == MOST_CASES
    assert len(held.service.orders) == MOST_ORDERS
    assert len(held.service.upkeep) == MOST_UPKEEP
    assert len(held.feedback.done) == MOST_DONE
    assert len(held.feedback.wishes) == MOST_WISHES
    assert len(encode_profile(profile)) < 32 * 1024


def test_a_complaint_too_many_is_not_forgotten_while_it_is_open() -> None:
    profile = Profile("u:ann")
    for number in range(MOST_CASES + 5):
        filed = simple("complaint_filed", f"f{number}", "ann", START + number * HOUR, complaint_id=f"k{number}")
        profile = profile.after(taken(filed).event)
    for number in range(5, MOST_CASES + 5):
        done = simple("complaint_resolved", f"r{number}", "ann", START + 90 * DAY, complaint_id=f"k{number}")
        profile = profile.after(taken(done).event)

    assert profile.service.open_complaints > 0
