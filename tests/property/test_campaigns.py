"""What a campaign did is counted once, to the minor unit, however the log is cut or repeated."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.moments import DAY, HOUR
from engine.shards.campaigns import COUNTS, told
from engine.shards.commit import Entry
from engine.store.memory import MemoryStore
from tests.builders import START, folded, simple
from tests.property.test_trials import decision, stream

OFFER = {
    "placement": "hero",
    "attribution_window_ms": 14 * DAY,
    "redeemed_when": "event",
    "cost_minor": 7,
    "redemption_cost_minor": 150,
}


def decided(name: str, user: str, at: int, offers: list[tuple[str, str]], shown: str = "viewed", **who: str) -> dict[str, Any]:
    body = decision(name, user, at, [], **who)
    body["data"] = {
        "offers": [OFFER | {"offer_id": offer, "campaign": campaign, "shown_when": shown} for offer, campaign in offers]
    }
    return body


def response(kind: str, user: str, at: int, of: str, offer: str, **who: str) -> dict[str, Any]:
    body = simple(f"offer_{kind}", f"{kind}-{of}-{offer}", user, at)
    return {**body, **who, "decision_id": of, "offer_id": offer}


def counts(store: MemoryStore) -> dict[str, dict[str, int]]:
    return told(list(store.histogram.values()))


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, dict[str, int]]]:
    """A log of decisions and responses, and what a marketer would count by hand."""
    log: list[dict[str, Any]] = []
    expected: dict[str, dict[str, int]] = {}
    reached: set[tuple[str, str]] = set()
    for number in range(draw(st.integers(1, 8))):
        user, campaign = draw(st.sampled_from(["ann", "bob"])), draw(st.sampled_from(["spring", "a:b", ""]))
        at = START + number * HOUR
        log.append(decided(f"d{number}", user, at, [("o", campaign)]))
        kinds = [kind for kind in ("viewed", "clicked", "accepted") if draw(st.booleans())]
        log += [response(kind, user, at + 1000, f"d{number}", "o") for kind in kinds]
        if not campaign:
            continue
        held = expected.setdefault(campaign, dict.fromkeys(COUNTS, 0))
        shown = bool({"viewed", "clicked"} & set(kinds))
        redeemed = shown and "accepted" in kinds
        held["decided"] += 1
        held["shown"] += shown
        held["clicked"] += "clicked" in kinds
        held["redeemed"] += redeemed
        held["spent"] += 7 * shown + 150 * redeemed
        held["reached"] += shown and (user, campaign) not in reached
        reached |= {(user, campaign)} if shown else set()
    return log, expected


@settings(max_examples=40, deadline=None)
@given(made=histories(), size=st.integers(1, 5), repeat=st.booleans())
def test_counts_are_those_of_a_count_by_hand_however_the_log_is_cut_or_repeated(
    made: tuple[list[dict[str, Any]], dict[str, dict[str, int]]], size: int, repeat: bool
) -> None:
    log, expected = made
    entries = stream(log)

    store = folded([*entries, *entries] if repeat else entries, most=size)

    assert counts(store) == expected


def test_a_decision_that_is_the_contact_counts_as_shown_at_once() -> None:
    found = counts(folded(stream([decided("d", "ann", START, [("o", "till"), ("p", "till")], "decided")])))

    assert found == {"till": {"reached": 1, "decided": 2, "shown": 2, "clicked": 0, "redeemed": 0, "spent": 14}}


def test_a_customer_reached_under_two_identities_is_one_once_they_are_known_to_be_one() -> None:
    log = [
        decided("d1", "", START, [("o", "spring")], "decided", anonymous_id="x"),
        decided("d2", "ann", START + HOUR, [("o", "spring")], "decided"),
    ]
    login = simple("customer_identified", "login", "ann", START + 2 * HOUR) | {"anonymous_id": "x"}
    later = decided("d3", "ann", START + 3 * HOUR, [("o", "spring")], "decided")

    apart = counts(folded(stream(log)))
    store = folded(stream([*log, login]))
    while any(store.outbox.values()):
        going = [one for outbox in store.outbox.values() for one in outbox]
        store.outbox.clear()
        folded([(one.shard, Entry("", one.event, one.fingerprint, one.key)) for one in (*going, *going)], store=store)
    together = counts(folded(stream([later]), store=store))

    assert (apart["spring"]["reached"], together["spring"]["reached"]) == (2, 1)
    assert together["spring"]["shown"] == 3
