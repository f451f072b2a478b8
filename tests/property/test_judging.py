"""Rules that a policy changes while a shop runs: they hold from their entry in the log on, however the log is cut."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.decisioning.service import ServiceRule, SlaHours
from engine.events.announcing import announcement
from engine.events.decode import decode_canonical
from engine.events.service import PastDue
from engine.models.segments import SegmentRule
from engine.moments import DAY, HOUR
from engine.shards.commit import Entry
from engine.shards.judging import JUDGING, Judging
from engine.store.codec import decode_profile
from engine.store.memory import MemoryStore
from tests.builders import SHARDS, START, bodies, entries_of, entry_of, folded, order, simple, taken
from tests.property.test_shards import LIMITED

OTHER = Judging(ServiceRule(sla_hours=SlaHours(complaint=2.0)), SegmentRule(new_days=5.0), profiling=False)


def announced(rules: Judging, version: int = 1) -> list[tuple[int, Entry]]:
    ready = announcement(JUDGING, version, rules, START)
    return [(shard, Entry("", ready.entry, ready.fingerprint, ready.key)) for shard in range(SHARDS)]


def ticks(at: int) -> list[tuple[int, Entry]]:
    return [(shard, Entry("", tick=at)) for shard in range(SHARDS)]


def past_due(store: MemoryStore) -> list[str | None]:
    events = [decode_canonical(one.event) for shard in sorted(store.outbox) for one in store.outbox[shard]]
    return [event.user_id for event in events if isinstance(event, PastDue)]


def filed(user: str, at: int) -> tuple[int, Entry]:
    return entry_of(taken(simple("complaint_filed", f"c-{user}", user, at, complaint_id=f"k-{user}"), at))


@LIMITED
@given(bodies(), st.integers(0, 40), st.integers(1, 7))
def test_a_log_that_carries_the_rules_comes_out_the_same_however_it_is_cut(log: list[dict[str, Any]], at: int, most: int) -> None:
    entries = entries_of(log)
    carried = [*entries[:at], *announced(OTHER), *entries[at:], *ticks(START + 500 * DAY)]

    whole, cut = folded(carried), folded(carried, most)

    assert (cut.profiles, cut.histogram, cut.timers, cut.examples) == (
        whole.profiles,
        whole.histogram,
        whole.timers,
        whole.examples,
    )


def test_a_complaint_is_past_due_by_the_rules_that_hold_when_it_is_filed() -> None:
    late = START + 3 * HOUR

    before = folded([filed("ann", START), *ticks(late)], lateness_ms=0)
    after = folded([*announced(OTHER), filed("bob", START), *ticks(late)], lateness_ms=0)
    back = folded([*announced(OTHER), *announced(Judging(), 2), filed("cem", START), *ticks(late)], lateness_ms=0)

    assert (past_due(before), past_due(after), past_due(back)) == ([], ["bob"], [])


def test_who_says_nothing_is_placed_nowhere_once_the_shop_asks_first() -> None:
    bought = [entry_of(taken(order(f"o-{user}", user, START), START)) for user in ("ann", "bob")]

    store = folded([*announced(Judging(profiling=False)), *bought])

    stages = [decode_profile(key, raw).standing.lifecycle for (_, key), raw in store.profiles.items()]
    assert stages == ["prospect", "prospect"]
    assert [decode_profile(key, raw).standing.lifecycle for (_, key), raw in folded(bought).profiles.items()] == ["new", "new"]
