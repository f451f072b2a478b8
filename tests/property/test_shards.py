"""Laws of the shard processor: what must hold for any log."""

from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import Rejected
from engine.events.decode import decode_canonical
from engine.events.routing import admitted
from engine.features.vector import NAMES, NO_REQUEST, read_features, unpacked
from engine.models.base import Example
from engine.moments import DAY, HOUR, WEEK, Millis, millis
from engine.profiles.profile import Profile
from engine.shards.commit import Entry, Waiting
from engine.store.codec import decode_profile
from engine.store.memory import MemoryStore
from tests.builders import SHARDS, START, bodies, decided, entries_of, entry_of, folded, order, refund, simple, taken

LIMITED = settings(max_examples=30, deadline=None)


def _state(store: MemoryStore) -> tuple[Any, ...]:
    return (
        store.profiles,
        store.seen,
        store.waiting,
        dict(store.timers),
        dict(store.examples),
        dict(store.popularity),
        store.records,
        {shard: [letter.reason for letter in letters] for shard, letters in store.dead.items()},
    )


def _examples(store: MemoryStore) -> list[Example]:
    return [msgspec.msgpack.decode(raw, type=Example) for raws in store.examples.values() for raw in raws]


def _customers(store: MemoryStore) -> dict[str, Profile]:
    return {key: decode_profile(key, raw) for (_, key), raw in store.profiles.items()}


@LIMITED
@given(bodies(), st.integers(1, 7))
def test_cutting_the_log_into_other_batches_changes_nothing(log: list[dict[str, Any]], most: int) -> None:
    entries = entries_of(log)

    whole, cut = folded(entries), folded(entries, most)

    assert _state(cut) == _state(whole)


@LIMITED
@given(bodies(), st.data())
def test_a_new_owner_continues_exactly_where_the_last_commit_ended(log: list[dict[str, Any]], data: st.DataObject) -> None:
    entries = entries_of(log)
    at = data.draw(st.integers(0, len(entries)))

    resumed = folded(entries[at:], store=folded(entries[:at]) if at else None)

    assert _state(resumed) == _state(folded(entries))


@LIMITED
@given(bodies())
def test_sending_everything_twice_counts_once(log: list[dict[str, Any]]) -> None:
    entries = entries_of(log)

    once, twice = folded(entries), folded([*entries, *entries])

    assert twice.profiles == once.profiles
    assert sum(record.totals.events for record in twice.records.values()) == sum(
        record.totals.events for record in once.records.values()
    )


@LIMITED
@given(bodies(), st.integers(1, 26))
def test_scores_at_a_boundary_do_not_know_what_comes_after_it(log: list[dict[str, Any]], weeks: int) -> None:
    until = START + weeks * WEEK
    entries = entries_of(log)
    times = [millis(_event(entry).time) for _, entry in entries]
    kept = [pair for pair, at in zip(entries, times, strict=True) if at < until]
    ticks = [(shard, Entry("", tick=until + 8 * DAY)) for shard in range(SHARDS)]

    full, cut = _scored(folded(entries), until), _scored(folded([*kept, *ticks]), until)

    assert {key: raw for key, raw in cut.items() if key in full} == {key: raw for key, raw in full.items() if key in cut}
    assert not {key for key in full if key not in cut}


def _event(entry: Entry) -> Any:
    event = decode_canonical(entry.event)
    assert not isinstance(event, Rejected)
    return event


def _scored(store: MemoryStore, until: int) -> dict[tuple[str, int], bytes]:
    """Every churn vector recorded before `until`, closed or still waiting."""
    found = {(one.customer, one.opened_at): one.vector for one in _examples(store) if one.opened_at <= until}
    for (_, tag), raw in store.waiting.items():
        for one in msgspec.msgpack.decode(raw, type=list[Waiting]):
            if one.model == "churn" and one.opened_at <= until:
                found[tag.split("|", 2)[2], one.opened_at] = one.vector
    return found


@LIMITED
@given(bodies(most=30), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_change_the_readings(log: list[dict[str, Any]], chance: Any) -> None:
    unique = list({body["id"]: body for body in log}.values())
    entries = entries_of(unique)
    shuffled = list(entries)
    chance.shuffle(shuffled)
    now = Millis(START + 400 * DAY)

    straight, mixed = _customers(folded(entries)), _customers(folded(shuffled))

    assert straight.keys() == mixed.keys()
    for key, profile in straight.items():
        assert mixed[key].purchases.spend == profile.purchases.spend
        np.testing.assert_allclose(
            read_features(mixed[key], NO_REQUEST, now), read_features(profile, NO_REQUEST, now), rtol=1e-6, atol=1e-6
        )


@LIMITED
@given(bodies())
def test_every_label_matures_once_and_tells_whether_a_purchase_followed(log: list[dict[str, Any]]) -> None:
    unique = list({body["id"]: body for body in log}.values())
    ticks = [(shard, Entry("", tick=START + 500 * DAY)) for shard in range(SHARDS)]

    store = folded([*entries_of(unique), *ticks])

    examples = [one for one in _examples(store) if one.model == "churn"]
    assert len({one.id for one in examples}) == len(examples)
    for one in examples:
        bought = _customers(store)[one.customer].purchases.last
        inside = any(one.opened_at <= purchase.at < one.closed_at and not purchase.taken_back for purchase in bought)
        if all(body["type"] != "order_refunded" for body in unique):
            assert one.label == (0.0 if inside else 1.0)
        assert unpacked(one.vector).shape == (len(NAMES),)


@LIMITED
@given(bodies(), st.randoms(use_true_random=False))
def test_no_label_matures_twice_in_whichever_order_events_arrive(log: list[dict[str, Any]], chance: Any) -> None:
    mixed = list(log)
    chance.shuffle(mixed)
    ticks = [(shard, Entry("", tick=START + 500 * DAY)) for shard in range(SHARDS)]

    examples = _examples(folded([*entries_of(mixed), *ticks]))

    assert len({(one.model, one.id) for one in examples}) == len(examples)


def test_who_was_scored_and_let_go_of_is_not_scored_there_again_by_an_order_that_arrives_late() -> None:
    ticks = [[(shard, Entry("", tick=START + days * DAY)) for shard in range(SHARDS)] for days in (30, 80)]
    given_back = [order("1", "ann", START + DAY), refund("2", "1", "ann", START + 2 * DAY, None)]
    late = order("3", "ann", START + 3 * HOUR)

    store = folded([*entries_of(given_back), *ticks[0]])
    before = [one.opened_at for one in _examples(store) if one.model == "purchase"]
    store = folded([entry_of(taken(late, START + 40 * DAY)), *ticks[1]], store=store)

    examples = [one for one in _examples(store) if one.model == "purchase"]
    opened = [one.opened_at for one in examples]
    assert opened[: len(before)] == before
    assert opened == sorted(set(opened))
    assert len(opened) > len(before) + 4, "scored again, from the week behind on"


def test_a_browser_that_comes_home_is_not_scored_again_where_it_was_before_it_went() -> None:
    bought = order("1", "x", START + DAY)
    bought["anonymous_id"] = bought.pop("user_id")
    said = [
        {**simple(f"identity_{what}", what, "ann", START + DAY + hours * HOUR), "anonymous_id": "x"}
        for what, hours in (("linked", 1), ("unlinked", 2))
    ]
    ticks = [[(shard, Entry("", tick=START + days * DAY)) for shard in range(SHARDS)] for days in (19, 80)]

    store = folded([*entries_of([bought]), *ticks[0]])
    scored = [one.id for one in _examples(store) if one.model == "lifetime_value"]
    for late in said:
        store = _relayed(folded([entry_of(taken(late, START + 41 * DAY))], store=store))
    store = folded(ticks[1], store=store)

    named = [(one.model, one.id) for one in _examples(store) if one.customer == "a:x"]
    assert len(set(named)) == len(named)
    assert len({name for model, name in named if model == "lifetime_value"}) > len(scored) > 1


def test_an_id_with_another_content_is_a_conflict_and_never_a_silent_pick() -> None:
    first, second = order("1", "ann", START, 100), order("1", "ann", START, 200)

    store = folded(entries_of([first, second]))

    assert [letter.reason.code for letters in store.dead.values() for letter in letters] == ["id.conflict"]
    assert _customers(store)["u:ann"].purchases.spend == {"EUR": 100}


def test_an_event_from_the_future_counts_and_moves_no_watermark() -> None:
    arrival = START + DAY
    ahead = taken(order("1", "ann", START + 90 * DAY), arrival)

    store = folded([entry_of(ahead)])

    record = store.records[entry_of(ahead)[0]]
    assert (record.totals.from_the_future, record.totals.events, record.watermark) == (1, 1, 0)
    assert _customers(store)["u:ann"].purchases.last_at == arrival


def test_an_offer_teaches_what_it_brought_inside_its_window_and_only_if_it_was_shown() -> None:
    shown, unseen, late = "d-1", "d-2", "d-3"
    log = [
        admitted(_canonical(decided(shown, "ann", START))),
        admitted(_canonical(decided(unseen, "ann", START))),
        admitted(_canonical(decided(late, "bob", START))),
        taken(simple("offer_viewed", "v1", "ann", START + 1, decision_id=shown, offer_id="o-1"), START + 1),
        taken(simple("offer_viewed", "v3", "bob", START + 1, decision_id=late, offer_id="o-1"), START + 1),
        taken(order("1", "ann", START + DAY), START + DAY),
        taken(order("2", "bob", START + 15 * DAY), START + 15 * DAY),
    ]
    ticks = [(shard, Entry("", tick=START + 40 * DAY)) for shard in range(SHARDS)]

    store = folded([*(entry_of(one) for one in log), *ticks])

    examples = {one.id: one.label for one in _examples(store) if one.model == "next_best_offer"}
    assert examples == {"d-1|o-1|home_hero": 1.0, "d-3|o-1|home_hero": 0.0}


def _canonical(body: dict[str, Any]) -> Any:
    event = decode_canonical(msgspec.json.encode(body))
    assert not isinstance(event, Rejected)
    return event


def test_an_erased_customer_leaves_nothing_and_late_events_are_refused() -> None:
    log = [
        order("1", "ann", START),
        order("2", "ann", START + 10 * DAY),
        simple("erasure_requested", "x", "ann", START + 11 * DAY),
        order("3", "ann", START + 12 * DAY),
    ]

    store = folded(entries_of(log))

    assert _customers(store) == {}
    assert store.seen == {}
    assert store.waiting == {}
    assert [letter.reason.code for letters in store.dead.values() for letter in letters] == ["customer.erased"]
    assert [(letter.raw, letter.key) for letters in store.dead.values() for letter in letters] == [(b"", "")]
    assert all(not timers for timers in store.timers.values())


def _relayed(store: MemoryStore) -> MemoryStore:
    """Deliver outboxes until nothing is left in them, twice each, as a crash would."""
    while any(store.outbox.values()):
        going = [one for outbox in store.outbox.values() for one in outbox]
        store.outbox.clear()
        folded([(one.shard, Entry("", one.event, one.fingerprint, one.key)) for one in (*going, *going)], store=store)
    return store


@LIMITED
@given(bodies(most=20), st.integers(0, 20))
def test_an_anonymous_visitor_who_logs_in_reads_as_one_customer(log: list[dict[str, Any]], login: int) -> None:
    unique = [body for body in {body["id"]: body for body in log}.values() if body["user_id"] == "ann"]
    anonymous = [{key: value for key, value in body.items() if key != "user_id"} | {"anonymous_id": "x"} for body in unique]
    linked = simple("customer_identified", "login", "ann", START) | {"anonymous_id": "x"}
    now = Millis(START + 400 * DAY)

    apart = _relayed(folded(entries_of([*anonymous[:login], linked, *anonymous[login:]])))
    together = folded(entries_of([*unique, linked]))

    one, other = _customers(apart)["u:ann"], _customers(together)["u:ann"]
    assert one.purchases.spend == other.purchases.spend
    assert one.service.open.keys() == other.service.open.keys()
    np.testing.assert_allclose(read_features(one, NO_REQUEST, now), read_features(other, NO_REQUEST, now), rtol=1e-6, atol=1e-6)
