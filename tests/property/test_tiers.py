"""Laws of tiers: each move is told once, wherever the log is cut and however often it comes; a tier holds until its review."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decisioning.loyalty import LOYALTY, Earn, Programme, Tier
from engine.decisioning.offers import Money
from engine.events.announcing import announcement
from engine.events.decode import decode_canonical
from engine.events.loyalty import TierChanged
from engine.moments import DAY
from engine.shards.commit import Entry
from engine.shards.leads import OPEN, decode_queued
from engine.shards.tiers import members
from engine.store.codec import decode_profile
from engine.store.memory import MemoryStore
from tests.builders import SHARDS, START, bodies, entries_of, folded, order, refund, simple

LIMITED = settings(max_examples=25, deadline=None)
PROGRAMME = Programme(
    earn=Earn(per=Money(100, "EUR")),
    hold_days=60,
    tiers=(Tier(id="silver", from_points=40, window_days=90), Tier(id="gold", from_points=120, window_days=90)),
)


def announced(programme: Programme = PROGRAMME, version: int = 1) -> list[tuple[int, Entry]]:
    ready = announcement(LOYALTY, version, programme, START)
    return [(shard, Entry("", ready.entry, ready.fingerprint, ready.key)) for shard in range(SHARDS)]


def told(store: MemoryStore) -> list[TierChanged]:
    events = [decode_canonical(one.event) for shard in sorted(store.outbox) for one in store.outbox[shard]]
    return [event for event in events if isinstance(event, TierChanged)]


def ticks(at: int) -> list[tuple[int, Entry]]:
    return [(shard, Entry("", tick=at)) for shard in range(SHARDS)]


@LIMITED
@given(bodies(), st.integers(0, 40), st.integers(1, 7))
def test_a_log_that_carries_the_programme_tells_the_same_moves_however_it_is_cut(
    log: list[dict[str, Any]], at: int, most: int
) -> None:
    entries = entries_of(log)
    carried = [*entries[:at], *announced(), *entries[at:], *ticks(START + 500 * DAY)]

    whole, cut = folded(carried), folded(carried, most)

    assert (cut.profiles, cut.histogram, cut.timers) == (whole.profiles, whole.histogram, whole.timers)
    assert told(cut) == told(whole)


@LIMITED
@given(bodies())
def test_moves_lead_from_one_to_the_next_and_change_nothing_when_they_come_back(log: list[dict[str, Any]]) -> None:
    store = folded([*announced(), *entries_of(log), *ticks(START + 300 * DAY)])
    held: dict[str, str] = {}
    for event in told(store):
        assert event.data.tier_before == held.get(event.user_id or "", "")
        assert event.data.tier != event.data.tier_before
        held[event.user_id or ""] = event.data.tier
    before = dict(store.profiles)
    counts = dict.fromkeys(("silver", "gold"), 0)
    for (_, key), raw in store.profiles.items():
        tier = decode_profile(key, raw).membership.tier
        assert tier == held.get(key[2:], "")
        counts[tier] = counts.get(tier, 0) + 1
    counted = [members(histogram) for histogram in store.histogram.values()]
    assert {name: sum(one.get(name, 0) for one in counted) for name in ("silver", "gold")} == {
        name: counts[name] for name in ("silver", "gold")
    }

    going = [(one.shard, Entry("", one.event, one.fingerprint, one.key)) for box in store.outbox.values() for one in box]
    folded([*going, *going], store=store)

    assert store.profiles == before


def test_a_tier_is_reached_by_a_purchase_kept_over_its_return_and_left_at_the_review() -> None:
    log = [order("1", "ann", START, 5000), refund("r", "1", "ann", START + DAY, None)]

    store = folded([*announced(), *entries_of(log), *ticks(START + 400 * DAY)])

    moves = [(event.data.tier_before, event.data.tier, event.data.points) for event in told(store)]
    assert moves == [("", "silver", 50), ("silver", "", 0)]
    assert not any(tag.startswith("t|") for timers in store.timers.values() for tag in timers)


def test_a_card_that_turns_out_to_be_a_customers_brings_its_points_and_leaves_its_tier_behind() -> None:
    card = {"user_id": None, "loyalty_id": "c-1"}
    log = [
        simple("points_earned", "1", "ann", START, points=50) | card,
        simple("points_earned", "2", "ann", START + DAY, points=80) | {"loyalty_id": "c-1"},
    ]
    store = folded([*announced(), *entries_of(log)])
    for _ in range(3):
        going = [(one.shard, Entry("", one.event, one.fingerprint, one.key)) for box in store.outbox.values() for one in box]
        folded(going, store=store)

    profiles = {key: decode_profile(key, raw) for (_, key), raw in store.profiles.items()}
    assert (profiles["u:ann"].membership.tier, profiles["u:ann"].whole.loyalty.balance) == ("gold", 130)
    assert (profiles["l:c-1"].membership.tier, profiles["l:c-1"].moved_to) == ("", "u:ann")
    assert sum(members(one).get("gold", 0) + members(one).get("silver", 0) for one in store.histogram.values()) == 1


def queued(store: MemoryStore) -> dict[str, list[str]]:
    return {key: [lead.lead_id for lead in decode_queued(raw)] for box in store.leads.values() for key, raw in box.items()}


def test_open_leads_stand_in_the_queue_and_leave_it_when_they_are_lost_won_or_erased() -> None:
    nobody = {"user_id": None}
    log = [
        simple("lead_created", "1", "ann", START, lead_id="L1", value=9000, currency="EUR") | nobody,
        simple("lead_created", "2", "bob", START + 1, lead_id="L2") | nobody,
        simple("lead_created", "3", "cem", START + 2, lead_id="L3"),
        simple("lead_qualified", "4", "ann", START + 3, lead_id="L1") | nobody,
    ]
    store = folded(entries_of(log))
    assert queued(store) == {"a:lead:L1": ["L1"], "a:lead:L2": ["L2"], "u:cem": ["L3"]}
    assert sum(counts.get(OPEN, 0) for counts in store.histogram.values()) == 3

    later = [
        simple("lead_lost", "5", "bob", START + 4, lead_id="L2", reason="price") | nobody,
        simple("lead_converted", "6", "ann", START + 5, lead_id="L1"),
        {**simple("erasure_requested", "7", "cem", START + 6)},
    ]
    folded(entries_of(later), store=store)
    for _ in range(3):
        going = [(one.shard, Entry("", one.event, one.fingerprint, one.key)) for box in store.outbox.values() for one in box]
        folded(going, store=store)

    assert queued(store) == {}
    assert sum(counts.get(OPEN, 0) for counts in store.histogram.values()) == 0
    ann = next(decode_profile(key, raw) for (_, key), raw in store.profiles.items() if key == "u:ann").whole
    assert ann.leads.by_id["L1"].status == "converted"
    assert (ann.leads.by_id["L1"].amount, ann.leads.by_id["L1"].created_at) == (9000, START)
