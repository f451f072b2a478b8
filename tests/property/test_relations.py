"""Dates that pass, counts that move and lines that are kept: exact, told once, and gone with their customer."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events.decode import decode_canonical
from engine.events.service import PastDue, ServiceDue
from engine.ids import shard_of
from engine.moments import DAY, HOUR, rfc3339
from engine.shards.commit import Entry
from engine.shards.complaints import ComplaintSums, summed, told_apart
from engine.shards.timeline import read_touch_point
from engine.store.codec import decode_complaints, decode_profile
from engine.store.memory import MemoryStore
from tests.builders import SHARDS, START, entries_of, entry_of, folded, order, simple, taken

LIMITED = settings(max_examples=40, deadline=None)


def live(*log: dict[str, Any]) -> list[tuple[int, Entry]]:
    """Entries that arrive as they happen."""
    return [entry_of(taken(body, at_of(body))) for body in log]


def at_of(body: dict[str, Any]) -> int:
    admitted = taken(body)
    return int(admitted.event.time.timestamp() * 1000)


def passed_on(store: MemoryStore) -> list[Any]:
    """Folds what the shards sent each other, until nothing is left; returns the events."""
    told = []
    while any(store.outbox.values()):
        going = [one for outbox in store.outbox.values() for one in outbox]
        store.outbox.clear()
        told += [decode_canonical(one.event) for one in going]
        folded([(one.shard, Entry("", one.event, one.fingerprint, one.key)) for one in going], store=store, lateness_ms=0)
    return told


def past_due(store: MemoryStore) -> int:
    return sum(record.totals.cases_past_due for record in store.records.values())


def counts(store: MemoryStore) -> dict[tuple[str, str, str], ComplaintSums]:
    held = [{cell: decode_complaints(raw) for cell, raw in shard.items()} for shard in store.complaints.values()]
    found: dict[tuple[str, str, str], ComplaintSums] = {}
    for cell, one in summed(held).items():
        found[told_apart(cell)] = found.get(told_apart(cell), ComplaintSums()).plus(one)
    return {kind: one for kind, one in found.items() if one.count or one.open}


def everybody_at(at: int) -> list[tuple[int, Entry]]:
    return [(shard, Entry("", tick=at)) for shard in range(SHARDS)]


def test_a_complaint_that_is_past_due_is_told_once_and_counted_until_it_is_resolved() -> None:
    filed = simple("complaint_filed", "f", "ann", START, complaint_id="k|1", reason="damaged", store="12")
    store = folded(live(filed), lateness_ms=0)
    folded(everybody_at(START + 47 * HOUR), store=store, lateness_ms=0)
    assert past_due(store) == 0

    folded(everybody_at(START + 48 * HOUR), store=store, lateness_ms=0)
    told = passed_on(store)
    folded(everybody_at(START + 96 * HOUR), store=store, lateness_ms=0)

    assert past_due(store) == 1
    assert [(type(one), one.data["complaint_id"], one.mode) for one in told] == [(PastDue, "k|1", "live")]
    assert passed_on(store) == []
    folded(live(simple("complaint_resolved", "r", "ann", START + 5 * DAY, complaint_id="k|1")), store=store, lateness_ms=0)
    assert past_due(store) == 0


def test_a_service_is_told_in_time_before_its_date_and_again_for_the_next_one() -> None:
    due, after = START + 60 * DAY, START + 400 * DAY
    store = folded(live(simple("service_due", "d", "ann", START, service_id="car", due_at=rfc3339(due))), lateness_ms=0)
    folded(everybody_at(due - 14 * DAY), store=store, lateness_ms=0)
    told = passed_on(store)
    done = simple("service_completed", "c", "ann", due - 2 * DAY, service_id="car", next_due_at=rfc3339(after))
    folded(live(done), store=store, lateness_ms=0)
    folded(everybody_at(after), store=store, lateness_ms=0)
    again = passed_on(store)

    assert [type(one) for one in (*told, *again)] == [ServiceDue, ServiceDue]
    assert [one.data.due_at.timestamp() * 1000 for one in (*told, *again)] == [due, after]
    assert [one.time.timestamp() * 1000 for one in told] == [due - 14 * DAY]


complaints = st.lists(
    st.tuples(
        st.sampled_from(["complaint_filed", "complaint_filed", "complaint_resolved", "complaint_escalated", "erasure_requested"]),
        st.sampled_from(["ann", "bob", "cem"]),
        st.sampled_from(["k1", "k2"]),
        st.sampled_from(["damaged", "late"]),
        st.integers(0, 30),
    ),
    min_size=1,
    max_size=25,
)


@LIMITED
@given(complaints, st.integers(1, 5))
def test_counts_are_those_of_the_profiles_however_the_log_is_cut(steps: list[tuple[str, str, str, str, int]], most: int) -> None:
    at, log = int(START), []
    for number, (kind, user, name, reason, hours) in enumerate(steps):
        at += hours * HOUR
        data = {} if kind == "erasure_requested" else {"complaint_id": name, "reason": reason}
        log.append(simple(kind, f"e{number}", user, at, **data))
    entries = live(*log)

    whole, cut = folded(entries, lateness_ms=0), folded(entries, most, lateness_ms=0)

    profiles = [decode_profile(key, raw) for (_, key), raw in whole.profiles.items()]
    assert sum(one.open for one in counts(whole).values()) == sum(one.service.open_complaints for one in profiles)
    assert past_due(whole) == sum(one.service.past_due for one in profiles)
    assert (cut.complaints, cut.timeline, cut.records, cut.timers) == (
        whole.complaints,
        whole.timeline,
        whole.records,
        whole.timers,
    )


def test_what_customers_complain_of_is_counted_with_the_time_it_took() -> None:
    log = [
        simple("complaint_filed", "1", "ann", START, complaint_id="a", reason="damaged", product_id="p-1", store="12"),
        simple("complaint_filed", "2", "bob", START, complaint_id="b", reason="damaged", product_id="p-1", store="12"),
        simple("complaint_resolved", "3", "ann", START + 10 * HOUR, complaint_id="a"),
        simple("complaint_filed", "4", "cem", START, complaint_id="c", reason="rude"),
    ]

    told = counts(folded(live(*log), lateness_ms=0))

    damaged = told["damaged", "p-1", "12"]
    assert (damaged.count, damaged.open, damaged.resolved, damaged.took_ms) == (2, 1, 1, 10 * HOUR)
    assert 8 * HOUR <= damaged.median_ms <= 16 * HOUR
    assert told["rude", "", ""] == ComplaintSums(1, 1)


def test_a_complaint_moves_with_the_identity_that_logs_in() -> None:
    filed = simple("complaint_filed", "f", "x", START, complaint_id="k", reason="damaged") | {"anonymous_id": "a-1"}
    del filed["user_id"]
    store = folded(live(filed), lateness_ms=0)
    folded(everybody_at(START + 3 * DAY), store=store, lateness_ms=0)
    folded(live(order("1", "ann", START + 4 * DAY) | {"anonymous_id": "a-1"}), store=store, lateness_ms=0)
    passed_on(store)

    assert counts(store) == {("damaged", "", ""): ComplaintSums(1, 1)}
    assert past_due(store) == 1


def test_a_timeline_names_touch_points_and_no_page_views() -> None:
    log = [
        order("1", "ann", START, 1999),
        simple("page_viewed", "p", "ann", START + HOUR),
        simple("feedback_submitted", "f", "ann", START + 2 * HOUR, nps=3, csat=2, text="private"),
        simple("complaint_filed", "k", "ann", START + 3 * HOUR, complaint_id="c-1", reason="damaged", text="private"),
    ]

    store = folded(entries_of(log))

    lines = [read_touch_point(raw) for raw in store.timeline[shard_of("u:ann", SHARDS), "u:ann"]]
    assert [(line.type, line.words, line.ref) for line in lines] == [
        ("order_completed", "order completed: 19.99 EUR", "1"),
        ("feedback_submitted", "feedback submitted: nps 3, csat 2", ""),
        ("complaint_filed", "complaint filed: damaged", "c-1"),
    ]


def test_an_erasure_takes_the_lines_of_all_identities_and_what_is_found_by_address() -> None:
    browsing = simple("complaint_filed", "f", "x", START, complaint_id="k") | {"anonymous_id": "a-1"}
    del browsing["user_id"]
    known = simple("customer_identified", "i", "ann", START + HOUR, reached_by={"email": "digest"}) | {"anonymous_id": "a-1"}
    store = folded(live(browsing, known), lateness_ms=0)
    passed_on(store)
    assert len(store.timeline) == 2
    assert list(store.reached.values()) == [{"u:ann"}]

    folded(live(simple("erasure_requested", "e", "ann", START + DAY)), store=store, lateness_ms=0)
    passed_on(store)

    assert store.timeline == {}
    assert store.reached == {}
    assert store.profiles == {}
    assert sum(one.open for one in counts(store).values()) == 0
