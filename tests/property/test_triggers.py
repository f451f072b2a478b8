"""Laws of triggers: what starts them, what stops them, and that their wait ends once and in time."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decisioning.triggers import TRIGGERS, Action, Rule, Rules
from engine.events.announcing import announcement, price_drop
from engine.ids import shard_of
from engine.moments import DAY, HOUR, MINUTE, Millis, rfc3339
from engine.shards.commit import Entry
from engine.shards.triggers import next_birthday
from engine.store.memory import MemoryStore
from tests.builders import SHARDS, START, bodies, entry_of, folded, order, refund, simple, taken

LIMITED = settings(max_examples=30, deadline=None)
RULES = Rules(
    triggers=(
        Rule(id="cart", event="cart_abandoned", wait_ms=HOUR, unless=("order_completed",)),
        Rule(id="sorry", event="complaint_resolved", wait_ms=DAY, unless=("complaint_filed",)),
        Rule(id="winback", event="weekly_review", every_ms=30 * DAY),
        Rule(id="birthday", event="birthday"),
        Rule(id="moved", event="segment_changed"),
        Rule(id="cheaper", event="price_dropped"),
        Rule(id="thanks", event="order_completed", wait_ms=10 * MINUTE),
        Rule(id="tier", event="points_changed", wait_ms=10 * MINUTE),
    ),
    cart_idle_ms=30 * MINUTE,
    zone="Europe/Vienna",
)
Entries = list[tuple[int, Entry]]


def ruled(rules: Rules = RULES, version: int = 1) -> Entries:
    """The entries that tell every shard its rules."""
    told = announcement(TRIGGERS, version, rules, START)
    return [(shard, Entry("", told.entry, told.fingerprint, told.key)) for shard in range(SHARDS)]


def live(*sent: dict[str, Any]) -> Entries:
    """Events that arrive when they happen."""
    return [entry_of(taken(body, moment_of(body))) for body in sent]


def moment_of(body: dict[str, Any]) -> int:
    return int(taken(body).event.time.timestamp() * 1000)


def waits(store: MemoryStore) -> list[str]:
    """Tags of triggers that wait, and of looks at products."""
    return [tag for held in store.timers.values() for tag in held if tag[0] in "gv"]


def ticks(at: int) -> Entries:
    return [(shard, Entry("", tick=at)) for shard in range(SHARDS)]


def relayed(store: MemoryStore) -> MemoryStore:
    """After what the shards told each other has been passed on and folded."""
    while any(store.outbox.values()):
        going = [one for held in store.outbox.values() for one in held]
        store.outbox.clear()
        folded([(one.shard, Entry("", one.event, one.fingerprint, one.key)) for one in going], store=store)
    return store


def after(*parts: Entries, most: int = 500) -> MemoryStore:
    store = MemoryStore()
    for part in parts:
        relayed(folded(part, most, store))
    return store


def fired(store: MemoryStore) -> list[Action]:
    found = [msgspec.json.decode(raw, type=Action) for held in store.actions.values() for raw in held]
    return sorted(found, key=lambda one: (one.due_at, one.id))


def told(store: MemoryStore) -> list[tuple[str, str, int]]:
    return [(one.trigger, one.customer, one.due_at) for one in fired(store)]


def test_the_wait_ends_when_time_reaches_it_and_not_a_lateness_later() -> None:
    resolved = live(simple("complaint_resolved", "r", "ann", START))

    early = after(ruled(), resolved, ticks(START + DAY - 1))
    due = after(ruled(), resolved, ticks(START + DAY))

    assert told(early) == []
    assert told(due) == [("sorry", "u:ann", START + DAY)]


def test_an_event_that_rules_it_out_cancels_the_wait() -> None:
    first, filed = simple("complaint_resolved", "r", "ann", START), simple("complaint_filed", "f", "ann", START + HOUR)

    store = after(ruled(), live(first, filed), ticks(START + 2 * DAY))

    assert told(store) == []
    assert waits(store) == []
    assert not store.waiting


def test_a_new_occasion_starts_the_wait_again_and_takes_the_place_of_the_one_before() -> None:
    twice = live(simple("complaint_resolved", "r1", "ann", START), simple("complaint_resolved", "r2", "ann", START + HOUR))

    store = after(ruled(), twice, ticks(START + 3 * DAY))

    assert told(store) == [("sorry", "u:ann", START + HOUR + DAY)]
    assert fired(store)[0].occasion.id == "r2"


@pytest.mark.parametrize("late_by", [2 * HOUR, 30 * DAY])
def test_what_arrives_long_after_it_happened_starts_nothing(late_by: int) -> None:
    entry = entry_of(taken(simple("complaint_resolved", "r", "ann", START), START + late_by))

    assert told(after(ruled(), [entry], ticks(START + 60 * DAY))) == []


def test_history_that_is_filled_in_starts_nothing() -> None:
    entry = entry_of(taken(simple("complaint_resolved", "r", "ann", START), START, backfill=True))

    assert told(after(ruled(), [entry], ticks(START + 60 * DAY))) == []


def test_a_cart_left_alone_is_noticed_once_and_an_order_empties_it() -> None:
    added = simple("product_added", "a", "ann", START, product_id="p-1", category="coffee")
    again = simple("product_added", "b", "ann", START + 20 * MINUTE, product_id="p-2")
    bought = order("1", "bob", START + 25 * MINUTE)
    of_bob = simple("product_added", "c", "bob", START, product_id="p-9")

    store = after(
        ruled(), live(added, of_bob, again, bought), ticks(START + HOUR), ticks(START + 2 * HOUR), ticks(START + 9 * HOUR)
    )

    carts = [one for one in fired(store) if one.trigger == "cart"]
    assert [(one.customer, one.due_at) for one in carts] == [("u:ann", START + 20 * MINUTE + 30 * MINUTE + HOUR)]
    assert carts[0].occasion.data == {"products": ["p-1", "p-2"]}
    assert sum(record.totals.events for record in store.records.values()) == 4


def test_an_order_after_the_cart_was_abandoned_cancels_the_message() -> None:
    added = simple("product_added", "a", "ann", START, product_id="p-1")

    store = after(ruled(), live(added), ticks(START + 31 * MINUTE), live(order("1", "ann", START + HOUR)), ticks(START + DAY))

    assert [one for one in told(store) if one[0] == "cart"] == []


def test_a_cart_filled_before_the_login_is_the_customers_and_is_told_once() -> None:
    anonymous = simple("product_added", "a", "", START, product_id="p-1") | {"anonymous_id": "b-1"}
    del anonymous["user_id"]
    login = simple("customer_identified", "i", "ann", START + MINUTE, locale="de") | {"anonymous_id": "b-1"}

    store = after(ruled(), live(anonymous), live(login), ticks(START + HOUR), ticks(START + 5 * HOUR))

    assert [one for one in told(store) if one[0] == "cart"] == [("cart", "u:ann", START + 30 * MINUTE + HOUR)]


def test_a_wait_of_somebody_who_has_logged_in_since_ends_for_the_customer_they_are() -> None:
    anonymous = simple("complaint_resolved", "r", "", START) | {"anonymous_id": "b-1"}
    del anonymous["user_id"]
    login = simple("customer_identified", "i", "ann", START + MINUTE, locale="de") | {"anonymous_id": "b-1"}

    store = after(ruled(), live(anonymous), live(login), ticks(START + 2 * DAY))

    assert told(store) == [("sorry", "u:ann", START + DAY)]


def test_what_a_feed_brings_late_does_not_stop_the_waits_of_the_present() -> None:
    resolved = live(simple("complaint_resolved", "r", "ann", START))
    late = [
        entry_of(taken(simple("page_viewed", f"old-{user}", user, START - 9 * DAY), START + HOUR, backfill=user == "bob"))
        for user in ("ann", "bob", "cem", "dan")
    ]

    store = after(ruled(), resolved, late)

    mine = shard_of("u:ann", SHARDS)
    assert store.records[mine].live


def test_history_that_is_filled_in_after_a_long_silence_is_not_the_present() -> None:
    viewed = live(simple("page_viewed", "r", "ann", START))
    history = [entry_of(taken(simple("page_viewed", "h", "ann", START + 2 * DAY), START + 60 * DAY, backfill=True))]

    store = after(ruled(), viewed, history)

    assert not store.records[shard_of("u:ann", SHARDS)].live


def test_a_receipt_of_nobody_starts_nothing() -> None:
    lines = [{"kind": "sale", "product_id": "p", "amount": 100}]
    data = {"store": "s", "workstation": "1", "business_day": "2017-01-01", "sequence_number": 1, "currency": "EUR", "total": 100}
    till = {"type": "pos_transaction_completed", "time": rfc3339(START), "source": "pos://s", "data": data | {"lines": lines}}
    rules = Rules(triggers=(Rule(id="paid", event="pos_transaction_completed"),))

    assert told(after(ruled(rules), live(till))) == []


def test_a_birthday_comes_every_year_also_where_history_told_it() -> None:
    known = entry_of(taken(simple("customer_identified", "i", "ann", START, birthday="1990-05-17"), START, backfill=True))
    vienna = Millis(START + 136 * DAY - 2 * HOUR)  # 17 May 2017, 00:00 in summer time
    steps = [live(simple("page_viewed", f"v{year}", "ann", vienna - DAY + year * 365 * DAY)) for year in range(2)]

    store = after(ruled(), [known], steps[0], ticks(vienna), steps[1], ticks(vienna + 365 * DAY))

    assert told(store) == [("birthday", "u:ann", vienna), ("birthday", "u:ann", vienna + 365 * DAY)]


@pytest.mark.parametrize(
    ("told_as", "after_day", "expected"),
    [
        ("1992-02-29", "2017-01-01", "2017-02-28"),
        ("1992-02-29", "2020-01-01", "2020-02-29"),
        ("--12-24", "2017-12-24", "2018-12-24"),
        ("1980-07-01T00:00:00Z", "2017-01-01", "2017-07-01"),
    ],
)
def test_the_next_birthday_is_a_day_of_the_calendar(told_as: str, after_day: str, expected: str) -> None:
    zone = ZoneInfo("UTC")
    from_ms = moment_of(simple("page_viewed", "x", "ann", START) | {"time": f"{after_day}T00:00:00Z"})

    assert rfc3339(next_birthday(told_as, from_ms, zone))[:10] == expected


@pytest.mark.parametrize("told_as", [None, 17, "soon", "1990-13-40", ""])
def test_what_is_no_date_has_no_birthday(told_as: object) -> None:
    assert next_birthday(told_as, START, ZoneInfo("UTC")) == 0


def test_once_in_so_many_days_holds_over_weekly_reviews() -> None:
    weeks = [order(str(week), "ann", START + week * 7 * DAY) for week in range(12)]

    store = after(ruled(), live(*weeks))

    reviews = [due for name, _, due in told(store) if name == "winback"]
    assert 2 <= len(reviews) <= 3
    assert all(later - earlier >= 30 * DAY for earlier, later in pairwise(reviews))


def test_who_does_not_want_to_be_profiled_is_not_reviewed() -> None:
    refused = simple("consent_updated", "no", "ann", START, purpose="profiling", status="denied")
    weeks = [order(f"{user}-{week}", user, START + HOUR + week * 7 * DAY) for week in range(6) for user in ("ann", "bob")]

    store = after(ruled(), live(refused, *weeks))

    assert {customer for name, customer, _ in told(store) if name == "winback"} == {"u:bob"}


def test_whatever_moves_points_is_an_occasion_and_nothing_else_is() -> None:
    earned = simple("points_earned", "p", "ann", START, points=30, reason="birthday")
    used = simple("points_redeemed", "q", "bob", START, points=5)
    seen = simple("product_viewed", "v", "cem", START, product_id="p-1")
    bought, back = order("1", "dan", START), refund("r", "1", "dan", START + HOUR, None)

    store = after(ruled(), live(earned, used, seen, bought, back), ticks(START + DAY))

    occasions = [(one.customer, one.occasion.id) for one in fired(store) if one.trigger == "tier"]
    assert sorted(occasions) == [("u:ann", "p"), ("u:bob", "q"), ("u:dan", "r")]


def test_an_erased_customer_leaves_no_wait_behind() -> None:
    resolved = simple("complaint_resolved", "r", "ann", START)
    store = after(ruled(), live(resolved, simple("erasure_requested", "x", "ann", START + HOUR)), ticks(START + 9 * DAY))

    assert told(store) == []
    assert not store.waiting
    assert waits(store) == []


def test_a_trigger_that_is_withdrawn_ends_its_waits() -> None:
    resolved = live(simple("complaint_resolved", "r", "ann", START))

    store = after(ruled(), resolved, ruled(Rules(), version=2), ticks(START + 9 * DAY))

    assert told(store) == []


def cheaper(product: str, was: int, now: int, at: int) -> Entries:
    """A product became cheaper, as every shard is told it."""
    told_ = price_drop(product, was, now, "EUR", at)
    return [(shard, Entry("", told_.entry, told_.fingerprint, told_.key)) for shard in range(SHARDS)]


def look(name: str, user: str, at: int, product: str = "p-coffee") -> dict[str, Any]:
    return simple("product_viewed", name, user, at, product_id=product)


def test_who_looked_at_a_product_before_is_told_once_that_it_became_cheaper() -> None:
    before = live(look("a", "ann", START), look("b", "bob", START, "p|other"), look("c", "cem", START + HOUR))
    after_it = live(look("d", "dan", START + 3 * HOUR))
    drop = cheaper("p-coffee", 900, 700, START + 2 * HOUR)

    store = after(ruled(), before, drop, after_it, drop)

    assert sorted(told(store)) == [("cheaper", f"u:{name}", START + 2 * HOUR) for name in ("ann", "cem")]
    assert fired(store)[0].occasion.data == {"product_id": "p-coffee", "price": 700, "was": 900, "currency": "EUR"}


def test_who_bought_it_looked_long_ago_or_was_erased_is_told_nothing() -> None:
    looks = live(look("a", "ann", START), look("b", "bob", START + 10 * DAY), look("c", "cem", START + 10 * DAY))
    bought = live(order("1", "bob", START + 11 * DAY))
    erased = live(simple("erasure_requested", "x", "cem", START + 11 * DAY))

    store = after(ruled(), looks, bought, erased, cheaper("p-coffee", 900, 700, START + 15 * DAY))

    assert [one for one in told(store) if one[0] == "cheaper"] == []


def test_a_new_owner_knows_who_looked() -> None:
    store = after(ruled(), live(look("a", "ann", START)))

    folded(cheaper("p-coffee", 900, 700, START + HOUR), store=store)

    assert [customer for _, customer, _ in told(store)] == ["u:ann"]


def _state(store: MemoryStore) -> Sequence[Any]:
    return dict(store.actions), dict(store.timers), store.waiting, store.profiles, store.records, dict(store.outbox)


@pytest.mark.slow
@LIMITED
@given(bodies(), st.integers(1, 7))
def test_cutting_the_log_into_other_batches_fires_the_same_triggers(log: list[dict[str, Any]], most: int) -> None:
    entries = [*ruled(), *(entry_of(taken(body, moment_of(body))) for body in log), *ticks(START + 300 * DAY)]

    assert _state(folded(entries, most)) == _state(folded(entries))


@pytest.mark.slow
@LIMITED
@given(bodies(), st.data())
def test_a_new_owner_goes_on_with_the_waits_of_the_one_before(log: list[dict[str, Any]], data: st.DataObject) -> None:
    entries = [*ruled(), *(entry_of(taken(body, moment_of(body))) for body in log), *ticks(START + 300 * DAY)]
    at = data.draw(st.integers(1, len(entries)))

    assert _state(folded(entries[at:], store=folded(entries[:at]))) == _state(folded(entries))


@LIMITED
@given(bodies())
def test_sending_everything_twice_fires_each_action_once(log: list[dict[str, Any]]) -> None:
    entries = [entry_of(taken(body, moment_of(body))) for body in log]

    twice = after(ruled(), [*entries, *entries], ticks(START + 300 * DAY))

    names = [one.id for one in fired(twice)]
    assert len(set(names)) == len(names)
    assert sorted(names) == sorted(one.id for one in fired(after(ruled(), entries, ticks(START + 300 * DAY))))
