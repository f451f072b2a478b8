"""What is counted for each arm: everybody once, with exactly what they spent in their time, whatever order it is told in."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events.decode import decode_canonical
from engine.events.offers import OfferDecided
from engine.events.routing import admitted
from engine.models.lift import EVERYTHING, HOLDOUT, ArmSums, added
from engine.moments import DAY, HOUR, MINUTE, Millis, millis, rfc3339
from engine.shards.commit import Entry
from engine.store.codec import decode_profile, decode_sums
from engine.store.memory import MemoryStore
from tests.builders import SHARDS, START, bodies, entry_of, folded, order, refund, simple, taken

LIMITED = settings(max_examples=25, deadline=None)
SPAN = 28 * DAY
Stream = list[tuple[int, Entry]]


def decision(name: str, user: str, at: int, campaigns: Sequence[str], arm: str = HOLDOUT, **who: str) -> dict[str, Any]:
    """A decision as the API logs it; one of the treated shows an offer of the first campaign, if there is one."""
    named = [name for name in campaigns if name != EVERYTHING][: arm != HOLDOUT]
    offers = [
        {"offer_id": f"o-{one}", "placement": "till", "campaign": one, "categories": ["coffee"], "shown_when": "decided",
         "attribution_window_ms": 14 * DAY}
        for one in named
    ]  # fmt: skip
    said = {"offers": offers, "holdout": arm == HOLDOUT, "variation": "" if arm == HOLDOUT else arm}
    return {
        "id": name,
        "decision_id": name,
        "type": "offer_decided",
        **(who or {"user_id": user}),
        "time": rfc3339(at),
        "received_at": rfc3339(at),
        "source": "regulars",
        "data": said | {"campaigns": [EVERYTHING, *campaigns], "outcome_ms": SPAN},
    }


def stream(log: Sequence[dict[str, Any]]) -> Stream:
    """Stream entries; decisions are ours, so they come from no door."""
    found = []
    for index, body in enumerate(log):
        if body["type"] == "offer_decided":
            event = decode_canonical(msgspec.json.encode(body))
            assert isinstance(event, OfferDecided)
            found.append(entry_of(admitted(event)))
        else:
            found.append(entry_of(taken(body, START + 800 * DAY + index * MINUTE)))
    return found


def at_the_end(entries: Stream, **more: Any) -> MemoryStore:
    """After the log and as much time as every enrolment needs."""
    ticks = [(shard, Entry("", tick=START + 700 * DAY)) for shard in range(SHARDS)]
    return folded([*entries, *ticks], **more)


def sums(store: MemoryStore) -> dict[tuple[str, str], ArmSums]:
    """Of all shards together."""
    found: dict[tuple[str, str], list[ArmSums]] = {}
    for arms in store.lift.values():
        for arm, raw in arms.items():
            found.setdefault(arm, []).append(decode_sums(raw))
    return {arm: added(some) for arm, some in found.items()}


@st.composite
def trials(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A log of a few customers with decisions in it; each customer stays in one arm."""
    log = draw(bodies(most=30))
    for index in range(draw(st.integers(1, 6))):
        user = draw(st.sampled_from(["ann", "bob", "cem"]))
        campaigns = draw(st.lists(st.sampled_from(["winback", "welcome"]), unique=True, max_size=2))
        place = draw(st.integers(0, len(log) - 1))
        at = millis(decode_time(log[place]))
        log.insert(place, decision(f"d-{index}", user, at, campaigns, "learned" if user == "ann" else HOLDOUT))
    return log


def decode_time(body: dict[str, Any]) -> Any:
    event = decode_canonical(msgspec.json.encode({"id": "x", "type": "page_viewed", "time": body["time"]}))
    return event.time  # type: ignore[union-attr]


@LIMITED
@given(trials(), st.integers(1, 7))
def test_cutting_the_log_into_other_batches_or_sending_it_twice_changes_no_sum(log: list[dict[str, Any]], most: int) -> None:
    entries = stream(log)

    whole = at_the_end(entries)

    assert sums(at_the_end(entries, most=most)) == sums(whole)
    assert sums(at_the_end([*entries, *entries])) == sums(whole)


@pytest.mark.slow
@LIMITED
@given(trials())
def test_everybody_counts_once_with_what_they_spent_in_their_time(log: list[dict[str, Any]]) -> None:
    first: dict[tuple[str, str], int] = {}
    for body in log:
        if body["type"] == "offer_decided":
            at = millis(decode_time(body))
            for name in body["data"]["campaigns"]:
                first.setdefault((name, body["user_id"]), at)
    spent: dict[str, list[float]] = {}
    cancelled = {b["data"]["order_id"] for b in log if b["type"] == "order_refunded" and "total" not in b["data"]}
    for (name, user), since in first.items():
        total = 0
        for body in {body["id"]: body for body in log}.values():
            inside = body["user_id"] == user and since <= millis(decode_time(body)) < since + SPAN
            if inside and body["type"] == "order_completed":
                total += body["data"]["total"]
        spent.setdefault(name, []).append(float(total))
    found = sums(at_the_end(stream(log)))

    for name, totals in spent.items():
        both = added(held for (campaign, _), held in found.items() if campaign == name)
        assert both.customers == len(totals)
        refunds = any(body["type"] == "order_refunded" for body in log)
        held = both.money.get("EUR")
        if not refunds and not cancelled:
            assert (held.y if held else 0.0) == sum(totals)
            assert (held.yy if held else 0.0) == sum(total * total for total in totals)


def test_spend_counts_for_the_weeks_after_the_first_decision_and_as_many_before() -> None:
    day = [START + number * DAY for number in range(200)]
    log = [
        order("too-early", "ann", day[10], 5_000),
        order("before", "ann", day[80], 300),
        decision("d-1", "ann", day[100], ["winback"], "learned"),
        order("taken", "ann", day[101], 1_000),
        refund("r-1", "taken", "ann", day[105], 200),
        decision("d-2", "ann", day[120], ["winback", "welcome"], "learned"),
        order("late", "ann", day[128] - HOUR, 70),
        order("over", "ann", day[128], 9_000),
    ]

    found = sums(at_the_end(stream(log)))

    one = found["winback", "learned"]
    assert (one.customers, one.buyers, one.exposed, one.redemptions, one.mixed) == (1, 1, 1, 2, 0)
    assert (one.money["EUR"].y, one.money["EUR"].x) == (870.0, 300.0)
    assert found[EVERYTHING, "learned"] == one
    assert found["welcome", "learned"].money["EUR"].y == 9_070.0
    assert (found["welcome", "learned"].exposed, found["welcome", "learned"].redemptions) == (0, 0)


def test_a_decision_that_arrives_after_a_purchase_still_counts_it() -> None:
    decided, bought = decision("d-1", "ann", START + 50 * DAY, ["winback"]), order("o-1", "ann", START + 51 * DAY, 400)

    assert sums(at_the_end(stream([bought, decided]))) == sums(at_the_end(stream([decided, bought])))


def test_a_customer_who_is_still_in_their_time_is_in_no_sum() -> None:
    log = [decision("d-1", "ann", START, ["winback"]), order("o-1", "ann", START + 2 * DAY)]

    assert sums(folded(stream(log))) == {}


def test_a_customer_met_under_two_identities_counts_once_in_the_first_arm_and_is_marked() -> None:
    day = [START + number * DAY for number in range(60)]
    anonymous = decision("d-1", "", day[1], ["winback"], "learned", anonymous_id="x")
    known = decision("d-2", "ann", day[3], ["winback"], HOLDOUT)
    login = simple("customer_identified", "login", "ann", day[4]) | {"anonymous_id": "x"}
    log = [order("o-1", "ann", day[2], 500), anonymous, known, login, order("o-2", "ann", day[5], 70)]

    store = folded(stream(log))
    while any(store.outbox.values()):
        going = [one for outbox in store.outbox.values() for one in outbox]
        store.outbox.clear()
        folded([(one.shard, Entry("", one.event, one.fingerprint, one.key)) for one in (*going, *going)], store=store)
    found = sums(at_the_end([], store=store))

    assert {arm for arm, _ in ((arm, one) for (_, arm), one in found.items())} == {"learned"}
    one = found["winback", "learned"]
    assert (one.customers, one.mixed, one.exposed) == (1, 1, 1)
    assert one.money["EUR"].y == 570.0
    profile = decode_profile("u:ann", next(raw for (_, key), raw in store.profiles.items() if key == "u:ann"))
    assert all(held.counted and not held.after for part in profile.parts.values() for held in part.experiment.enrolments)


def test_an_arm_that_changes_in_between_is_marked() -> None:
    log = [decision("d-1", "ann", START, ["winback"]), decision("d-2", "ann", START + DAY, ["winback"], "learned")]

    found = sums(at_the_end(stream(log)))

    assert found["winback", HOLDOUT].mixed == 1
    assert ("winback", "learned") not in found


def test_an_erased_customer_is_counted_nowhere() -> None:
    log = [
        decision("d-1", "ann", START, ["winback"]),
        order("o-1", "ann", START + DAY),
        simple("erasure_requested", "gone", "ann", START + 2 * DAY),
    ]

    assert sums(at_the_end(stream(log))) == {}


def test_the_time_of_an_enrolment_is_an_alarm_like_any_other() -> None:
    store = folded(stream([decision("d-1", "ann", START, ["winback", "welcome"])]))

    alarms = [tag for held in store.timers.values() for tag in held if tag.startswith("x|")]

    assert alarms == [f"x|{Millis(START + SPAN)}|u:ann"]
