"""What every store of shards promises, held over the one in memory and the one on Redis."""

import threading
import time
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from engine.errors import Fenced, Rejected, StoreUnavailable
from engine.events.reference import Reference
from engine.ids import erased_name
from engine.models.lift import ArmSums, Moments
from engine.moments import DAY
from engine.profiles.profile import Part, Profile
from engine.profiles.purchases import Purchases
from engine.shards.commit import Commit, DeadLetter, Entry, Needs, Opened, Outgoing, ShardRecord, Totals
from engine.shards.complaints import ComplaintSums
from engine.shards.receipts import Receipt
from engine.shards.sequences import Day
from engine.shards.timeline import MOST_KEPT
from engine.store import keys
from engine.store.codec import encode_profile
from engine.store.redis_writer import SEEN_SECONDS
from flows.owner import Owner
from flows.runner import run_until_idle
from tests.builders import SHARDS, START, bodies, entries_of, entry_of, order, processor, simple, taken
from tests.conformance.stores import Held, InMemory, OnRedis

S = 1
MARK = bytes(range(12))
OTHER = bytes(range(12, 24))


def profile_of(key: str, spend: int = 100) -> Profile:
    return Profile(key, {key: Part(purchases=Purchases(count=1, spend={"EUR": spend}))}, 5, 6, 1)


def commit_of(expected: str, offset: str, **what: Any) -> Commit:
    return Commit(S, expected, offset, what.pop("record", ShardRecord(7, Totals(events=3, spend={"EUR": 5}), True)), **what)


FULL: dict[str, Any] = {
    "profiles": {"u:ann": profile_of("u:ann"), "u:bob": profile_of("u:bob", 7)},
    "seen": {("u:ann", 3): MARK},
    "waiting": {"c|1|u:ann": b"readings", "c|2|u:ann": b"more"},
    "timers": {"c|1|u:ann": 1_483_228_800_123, "b|u:ann": 12},
    "examples": [b"x-1", b"x-2"],
    "dead": [DeadLetter("1-1", b"{\xff", Rejected("json.invalid", "no", "time", "e-1"), "u:cem", MARK)],
    "outbox": [Outgoing(0, "u:dan", b"{}", OTHER)],
    "decisions": [b'{"id":"d"}'],
    "actions": [b'{"id":"act-1"}'],
    "popularity": {"": (2.5, 9), "coffee": (1.25, 8)},
    "lift": {("*", "holdout"): ArmSums(2, 1, money={"EUR": Moments(5.0, 25.0)}), ("winback", "a|b"): ArmSums(1)},
    "erased": {"u:eve": erased_name("u:eve", b"salt")},
    "histogram": {"money:3": 2, "money:-4": 1},
    "references": {"segments": Reference(9, [1, [0.5, 2.5]])},
    "timeline": {"u:ann": [b"a line", b"another"]},
    "reached": [("email-hash", "u:ann", True), ("other-hash", "u:bob", True), ("other-hash", "u:bob", False)],
    "complaints": {"damaged\x1fp-1\x1f\x1f2930": ComplaintSums(2, 1, 1, 5)},
    "receipts": {"s/1/2026-03-02/7": Receipt("u:ann", True, 1990, "EUR"), "s/1/2026-03-02/8": Receipt(events=((b"{}", MARK),))},
    "days": {"s\x1f1\x1f2026-03-02": Day((1, 4, 7, 8), 1, 8, amounts={"EUR": 5}), "s\x1f1\x1f2025-12-01": None},
    "baskets": [b"p-1\x1fp-2", b"p-3\x1e9"],
}


def written(held: Held, *commits: Commit) -> None:
    assert held.store.commit(commits) == ["written"] * len(commits)


def test_a_shard_that_nobody_wrote_opens_empty(held: Held) -> None:
    assert replace(held.store.open(S), salt=b"") == Opened(S)
    assert held.profile(S, "u:ann") is None


def test_a_commit_is_found_again_whole(held: Held) -> None:
    written(held, commit_of("0-0", "5-1", **FULL))

    opened = held.store.open(S)
    receipts = (*FULL["receipts"], "s/1/2026-03-02/9")
    needs = Needs(S, ("u:ann", "u:bob", "u:new"), (("u:ann", 3), ("u:ann", 2)), ("c|1|u:ann", "c|9|u:ann"), receipts)
    loaded = held.store.load([needs])[0]

    assert replace(opened, salt=b"") == Opened(
        S,
        "5-1",
        ShardRecord(7, Totals(events=3, spend={"EUR": 5}), True),
        FULL["timers"],
        frozenset({erased_name("u:eve", b"salt")}),
        FULL["popularity"],
        lift=FULL["lift"],
        histogram=FULL["histogram"],
        references=FULL["references"],
        complaints=FULL["complaints"],
        days={"s\x1f1\x1f2026-03-02": FULL["days"]["s\x1f1\x1f2026-03-02"]},
    )
    assert loaded.profiles == FULL["profiles"]
    assert loaded.seen == {("u:ann", 3): MARK}
    assert loaded.waiting == {"c|1|u:ann": b"readings"}
    assert loaded.receipts == FULL["receipts"]
    assert held.profile(S, "u:ann") == encode_profile(profile_of("u:ann"))
    assert held.stream("examples", S) == [b"x-1", b"x-2"]
    assert held.stream("decisions", S) == [b'{"id":"d"}']
    assert held.stream("actions", S) == [b'{"id":"act-1"}']
    assert held.stream("baskets", S) == FULL["baskets"]
    assert held.stream("dead", S) == [(b"{\xff", Rejected("json.invalid", "no", "time", "e-1"), "u:cem", MARK, "1-1")]
    assert held.stream("outbox", S) == [(0, "u:dan", b"{}", OTHER)]


def test_shards_do_not_see_each_other(held: Held) -> None:
    written(held, commit_of("0-0", "5-1", **FULL))

    assert replace(held.store.open(0), salt=b"") == Opened(0)
    assert held.store.load([Needs(0, ("u:ann",), (("u:ann", 3),), ("c|1|u:ann",))])[0].profiles == {}


def test_loading_nothing_is_an_answer_of_nothing(held: Held) -> None:
    answers = held.store.load([Needs(S), Needs(0)])

    assert [(one.profiles, one.seen, one.waiting) for one in answers] == [({}, {}, {})] * 2


def test_a_stale_owner_changes_nothing_at_all(held: Held) -> None:
    written(held, commit_of("0-0", "5-1", **FULL))
    before = held.everything()
    changed = FULL | {"profiles": {"u:ann": profile_of("u:ann", 999)}, "waiting_done": ["c|1|u:ann"], "settled": ["u:ann"]}

    answers = held.store.commit([commit_of("0-0", "6-0", **changed), commit_of("4-0", "9-0", **changed)])

    assert answers == ["fenced", "fenced"]
    assert held.everything() == before


def test_a_commit_sent_again_is_known_and_changes_nothing(held: Held) -> None:
    first, second = commit_of("0-0", "5-1", **FULL), commit_of("5-1", "6-0", seen={("u:ann", 3): OTHER}, examples=[b"x-3"])
    written(held, first)
    written(held, second)
    before = held.everything()

    assert held.store.commit([second]) == ["already"]
    assert held.everything() == before


def test_an_owner_that_was_overtaken_is_stale_even_where_the_offsets_meet(held: Held) -> None:
    log = entries_of([order(f"{number}", "ann", START + number * DAY, 100 * number) for number in (1, 2, 3)])
    shard = log[0][0]
    fast, slow = (Owner(held.store, processor(), [shard]) for _ in range(2))
    held.store.append(log[:1])
    first = held.store.read({shard: "0-0"}, 500, 0)
    fast.write(fast.process(first))
    commits = slow.process(first)

    with pytest.raises(Fenced):
        slow.write(commits)

    held.store.append(log[1:])
    run_until_idle(fast, held.store)
    assert held.store.open(shard).record.totals.spend == {"EUR": 600}


def test_commits_of_one_call_follow_each_other(held: Held) -> None:
    chain = [commit_of("0-0", "1-0", examples=[b"1"]), commit_of("1-0", "2-0", examples=[b"2"])]

    written(held, *chain)

    assert held.store.open(S).offset == "2-0"
    assert held.stream("examples", S) == [b"1", b"2"]


def test_fingerprints_are_appended_and_never_replaced(held: Held) -> None:
    written(held, commit_of("0-0", "1-0", seen={("u:ann", 3): MARK}))
    written(held, commit_of("1-0", "2-0", seen={("u:ann", 3): OTHER, ("u:ann", 4): MARK}))

    loaded = held.store.load([Needs(S, (), (("u:ann", 3), ("u:ann", 4)), ())])[0]

    assert loaded.seen == {("u:ann", 3): MARK + OTHER, ("u:ann", 4): MARK}


def test_alarms_are_moved_and_dropped_in_one_commit(held: Held) -> None:
    written(held, commit_of("0-0", "1-0", timers={"b|u:ann": 10, "b|u:bob": 11, "c|1|u:ann": 12}))

    written(held, commit_of("1-0", "2-0", timers={"b|u:ann": 20}, timers_done=["b|u:ann", "c|1|u:ann", "never|set"]))

    assert held.store.open(S).timers == {"b|u:ann": 20, "b|u:bob": 11}


def test_a_bin_that_nobody_is_left_in_is_forgotten(held: Held) -> None:
    written(held, commit_of("0-0", "1-0", histogram={"money:3": 2, "money:4": 1}))

    written(held, commit_of("1-0", "2-0", histogram={"money:3": 0, "money:4": 2, "money:9": 0}))

    assert held.store.open(S).histogram == {"money:4": 2}


def test_thousands_of_changes_fit_into_one_commit(held: Held) -> None:
    names = [f"u:{number}" for number in range(2_500)]
    many: dict[str, Any] = {
        "profiles": {name: profile_of(name) for name in names},
        "timers": {f"b|{name}": at for at, name in enumerate(names)},
        "waiting": {f"c|1|{name}": b"w" for name in names},
        "erased": {f"{name}x": erased_name(name, b"salt") for name in names},
        "examples": [name.encode() for name in names],
        "popularity": {name: (1.0, at) for at, name in enumerate(names)},
        "histogram": {f"money:{at}": at % 2 for at in range(5_000)},
    }

    written(held, commit_of("0-0", "1-0", **many))
    dropped = [f"b|{name}" for name in names[1:]]
    written(held, commit_of("1-0", "2-0", timers_done=dropped, waiting_done=[f"c|1|{name}" for name in names[1:]]))

    opened = held.store.open(S)
    assert (opened.timers, len(opened.gone), len(opened.popularity)) == ({"b|u:0": 0}, 2_500, 2_500)
    assert len(opened.histogram) == 2_500
    assert held.store.load([Needs(S, tuple(names), (), tuple(f"c|1|{name}" for name in names))])[0].waiting == {"c|1|u:0": b"w"}
    assert held.stream("examples", S) == [name.encode() for name in names]


def test_an_erased_customer_is_gone_and_remembered_by_a_hash_only(held: Held) -> None:
    written(
        held,
        commit_of("0-0", "1-0", profiles={"u:eve": profile_of("u:eve")}, waiting={"c|1|u:eve": b"w"}, seen={("u:eve", 3): MARK}),
    )

    forgotten: dict[str, Any] = {"waiting_done": ["c|1|u:eve"], "unseen": [("u:eve", 2), ("u:eve", 3)]}
    written(held, commit_of("1-0", "2-0", erased={"u:eve": erased_name("u:eve", b"salt")}, **forgotten))

    assert held.profile(S, "u:eve") is None
    assert held.store.open(S).gone == {erased_name("u:eve", b"salt")}
    assert "u:eve" not in repr(held.everything())


def test_a_timeline_keeps_its_last_lines_and_goes_with_its_customer(held: Held) -> None:
    lines = [b"%d" % number for number in range(MOST_KEPT + 10)]
    written(held, commit_of("0-0", "1-0", timeline={"u:ann": lines[:20], "u:eve": [b"gone"]}))
    written(held, commit_of("1-0", "2-0", timeline={"u:ann": lines[20:]}, erased={"u:eve": erased_name("u:eve", b"salt")}))

    assert held.timeline(S, "u:ann") == lines[-MOST_KEPT:]
    assert held.timeline(S, "u:eve") == []


def test_an_address_names_all_its_customers_until_they_have_another(held: Held) -> None:
    written(held, commit_of("0-0", "1-0", reached=[("h1", "u:ann", True), ("h1", "u:bob", True), ("h2", "u:bob", True)]))
    written(held, commit_of("1-0", "2-0", reached=[("h1", "u:ann", False), ("h2", "u:bob", False)]))

    assert held.reached(S, "h1") == {"u:bob"}
    assert held.reached(S, "h2") == set()


def test_entries_come_back_in_order_as_they_were_appended(held: Held) -> None:
    sent = [(shard, Entry("", b"{}%d" % number, MARK, f"u:\xe9{number}")) for number in range(5) for shard in (0, 1)]

    names = held.store.append([*sent, (S, Entry("", tick=77))])
    batches = {batch.shard: batch.entries for batch in held.store.read({0: "0-0", 1: "0-0"}, 100, 0)}

    assert [names[at] for at, (shard, _) in enumerate(sent) if shard == 0] == [entry.id for entry in batches[0]]
    assert [entry.event for entry in batches[0]] == [entry.event for shard, entry in sent if shard == 0]
    assert [(entry.key, entry.fingerprint) for entry in batches[0]] == [(e.key, e.fingerprint) for shard, e in sent if shard == 0]
    assert (batches[S][-1].tick, batches[S][-1].event, batches[0][0].tick) == (77, b"", 0)


def test_reading_goes_on_where_it_stopped(held: Held) -> None:
    held.store.append([(S, Entry("", b"%d" % number, MARK, "u:ann")) for number in range(7)])

    found, after = [], "0-0"
    while batches := held.store.read({S: after}, 3, 0):
        assert len(batches[0].entries) <= 3
        found += [entry.event for entry in batches[0].entries]
        after = batches[0].entries[-1].id

    assert found == [b"%d" % number for number in range(7)]


@given(bodies())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_stores_end_with_the_same_bits(redis_held: OnRedis, log: list[dict[str, Any]]) -> None:
    redis_held.store.client.flushall()
    entries = [*entries_of(log), *((shard, Entry("", tick=START + 90 * DAY)) for shard in range(SHARDS))]
    memory = InMemory()
    for store in (memory.store, redis_held.store):
        store.append(entries)
        owner = Owner(store, processor(), range(SHARDS))
        run_until_idle(owner, store, most=7)
        while own := [one for shard in range(SHARDS) for one in memory.store.outbox.pop(shard, [])]:
            memory.store.append([(one.shard, Entry("", one.event, one.fingerprint, one.key)) for one in own])
            run_until_idle(owner, store, most=7)

    for shard in range(SHARDS):
        mine, theirs = memory.store.open(shard), redis_held.store.open(shard)
        assert replace(mine, offset="") == replace(theirs, offset="", salt=b"")
        for family in ("examples", "decisions", "actions", "baskets", "outbox"):
            assert memory.stream(family, shard) == redis_held.stream(family, shard)
        assert [one[:4] for one in memory.stream("dead", shard)] == [one[:4] for one in redis_held.stream("dead", shard)]
    client = redis_held.store.client
    for kind, expected in (
        ("prof", {keys.profile(*name): raw for name, raw in memory.store.profiles.items()}),
        ("ids", {keys.seen(*name): raw for name, raw in memory.store.seen.items()}),
        ("wait", {keys.waiting(*name): raw for name, raw in memory.store.waiting.items()}),
    ):
        assert {name.decode(): client.get(name) for name in client.scan_iter(f"{kind}:*", count=1000)} == expected


def test_pending_events_are_settled_up_to_the_offset_and_no_further(redis_held: OnRedis) -> None:
    client = redis_held.store.client
    client.set(keys.pending(S, "u:ann"), b'4-9 {"a":1}\n5-1 {"a":2}\n5-2 {"a":3}\n10-0 {"a":4}\n')
    client.set(keys.pending(S, "u:bob"), b"5-1 {}\n")
    client.set(keys.pending(S, "u:cem"), b"1-1 {}\n")

    written(redis_held, commit_of("0-0", "5-1", settled=["u:ann", "u:bob", "u:ann", "u:nobody"]))

    assert client.get(keys.pending(S, "u:ann")) == b'5-2 {"a":3}\n10-0 {"a":4}\n'
    assert client.get(keys.pending(S, "u:bob")) is None
    assert client.get(keys.pending(S, "u:cem")) == b"1-1 {}\n"


def test_erasure_takes_the_contact_ledger_along(redis_held: OnRedis) -> None:
    redis_held.store.client.set(keys.ledger(S, "u:eve"), b"contacts")

    written(redis_held, commit_of("0-0", "1-0", erased={"u:eve": erased_name("u:eve", b"salt")}))

    assert redis_held.store.client.get(keys.ledger(S, "u:eve")) is None


def test_fingerprints_stay_for_two_weeks_of_arrival(redis_held: OnRedis) -> None:
    written(redis_held, commit_of("0-0", "1-0", seen={("u:ann", 3): MARK}))

    assert 0 < redis_held.store.client.ttl(keys.seen(S, "u:ann", 3)) <= SEEN_SECONDS


def test_what_is_passed_on_stays_pending_until_it_stands_beside_the_receiver(redis_held: OnRedis) -> None:
    client, marketing = redis_held.store.client, {"purpose": "marketing", "status": "revoked"}
    target, entry = entry_of(taken(simple("consent_updated", "no", "ann", START, **marketing), START))
    sender = 1 - target
    outbox = [
        Outgoing(target, entry.key, entry.event, entry.fingerprint, "a:1", "5-1"),
        Outgoing(target, entry.key, b"", b"", "a:2", "5-2"),
    ]
    for name in ("a:1", "a:2"):
        client.set(keys.pending(sender, name), b"5-1 {}\n5-2 {}\n6-0 {}\n")
    assert redis_held.store.commit([Commit(sender, "0-0", "5-2", ShardRecord(), outbox=outbox)]) == ["written"]
    assert client.get(keys.pending(sender, "a:1")) == b"5-1 {}\n5-2 {}\n6-0 {}\n"

    assert redis_held.store.relay(sender) == 2

    assert client.get(keys.pending(sender, "a:1")) == b"5-2 {}\n6-0 {}\n"
    assert client.get(keys.pending(sender, "a:2")) == b"6-0 {}\n"
    ((name, passed_on),) = cast("Any", client.xrange(keys.events(target)))
    assert passed_on == {b"e": entry.event, b"h": entry.fingerprint, b"k": entry.key.encode()}
    assert client.get(keys.pending(target, entry.key)) == name + b" " + entry.event + b"\n"


def test_what_a_commit_sends_away_stands_beside_its_source_or_at_once_beside_its_receiver(redis_held: OnRedis) -> None:
    client = redis_held.store.client
    away, here = Outgoing(1 - S, "u:ann", b"{1}", MARK, "a:1", "5-1", True), Outgoing(S, "u:bob", b"{2}", OTHER, "a:2", "5-2")
    client.set(keys.pending(S, "a:2"), b"5-2 {2}\n")

    written(redis_held, commit_of("0-0", "5-2", outbox=[away, here], settled=["a:2"]))

    assert client.get(keys.pending(S, "a:1")) == b"5-1 {1}\n"
    ((name, told),) = cast("Any", client.xrange(keys.events(S)))
    assert told[b"k"] == b"u:bob"
    assert client.get(keys.pending(S, "u:bob")) == name + b" {2}\n"
    assert client.get(keys.pending(S, "a:2")) is None
    assert redis_held.store.relay(S) == 1
    assert client.get(keys.pending(S, "a:1")) is None
    assert cast("bytes", client.get(keys.pending(1 - S, "u:ann"))).endswith(b" {1}\n")


def test_what_is_relayed_twice_counts_once_at_the_receiver(redis_held: OnRedis) -> None:
    target, entry = entry_of(taken(order("1", "ann", START, 1_250), START))
    outgoing = Outgoing(target, entry.key, entry.event, entry.fingerprint)
    sender = 1 - target
    assert redis_held.store.commit([Commit(sender, "0-0", "1-0", ShardRecord(), outbox=[outgoing])]) == ["written"]
    crashed_before_the_end = redis_held.store.client.dump(keys.outbox(sender)) or b""

    assert redis_held.store.relay(sender) == 1
    redis_held.store.client.restore(keys.outbox(sender), 0, crashed_before_the_end, replace=True)
    assert redis_held.store.relay(sender) == 1
    assert redis_held.store.relay(sender) == 0

    owner = Owner(redis_held.store, processor(), [target])
    run_until_idle(owner, redis_held.store)
    totals = owner.shards[target].record.totals
    assert (totals.events, totals.duplicates, totals.spend) == (1, 1, {"EUR": 1_250})


def test_a_refused_write_changes_nothing_and_succeeds_once_there_is_memory(redis_held: OnRedis) -> None:
    client = redis_held.store.client
    written(redis_held, commit_of("0-0", "5-1", **FULL))
    client.set(keys.pending(S, "u:ann"), b"6-0 {}\n")
    before = redis_held.everything()
    gone: dict[str, Any] = {"timers_done": ["b|u:ann"], "waiting_done": ["c|1|u:ann"], "settled": ["u:ann"]}
    next_one = commit_of("5-1", "6-0", profiles={"u:ann": profile_of("u:ann", 1)}, erased={"u:bob": MARK}, **gone)

    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable):
            redis_held.store.commit([next_one])
        assert redis_held.everything() == before
    finally:
        client.config_set("maxmemory", "512mb")

    written(redis_held, next_one)
    assert redis_held.profile(S, "u:ann") == encode_profile(profile_of("u:ann", 1))


def test_an_owner_waits_for_memory_and_then_goes_on(redis_held: OnRedis) -> None:
    redis_held.store.append(entries_of([order("1", "ann", START, 500), order("2", "bob", START, 700)]))
    owner = Owner(redis_held.store, processor(), range(SHARDS))
    commits = owner.process(redis_held.store.read(owner.offsets, 500, 0))
    client = redis_held.store.client
    client.config_set("maxmemory", 1)
    relief = threading.Timer(0.3, lambda: client.config_set("maxmemory", "512mb"))
    relief.start()
    started = time.monotonic()

    owner.write(commits)

    relief.join()
    assert time.monotonic() - started >= 0.25
    opened = [redis_held.store.open(shard) for shard in range(SHARDS)]
    assert sum(one.record.totals.spend.get("EUR", 0) for one in opened) == 1_200


def test_a_script_that_redis_forgot_is_sent_again(redis_held: OnRedis) -> None:
    written(redis_held, commit_of("0-0", "1-0", examples=[b"1"]))
    redis_held.store.client.script_flush()

    written(redis_held, commit_of("1-0", "2-0", examples=[b"2"]))

    assert redis_held.stream("examples", S) == [b"1", b"2"]


def test_a_day_that_is_let_go_of_is_gone(held: Held) -> None:
    day = {"s\x1f1\x1f2026-03-02": Day((1, 4), 1, 4)}
    written(held, commit_of("0-0", "5-1", days=day), commit_of("5-1", "6-1", days=dict.fromkeys(day)))

    assert held.store.open(S).days == {}


def test_what_a_shard_tells_itself_lies_in_its_log_with_the_commit_and_needs_no_relay(redis_held: OnRedis) -> None:
    own, other = Outgoing(S, "u:ann", b'{"type":"segment_changed"}', MARK), Outgoing(1 - S, "u:bob", b"{}", OTHER)
    budget = Outgoing(S, "u:cem", b'{"type":"budget_spent"}', OTHER)

    written(redis_held, commit_of("0-0", "5-1", outbox=[other, own, budget]))

    (batch,) = redis_held.store.read({S: "0-0"}, 10, 0)
    assert [(one.key, one.event, one.fingerprint) for one in batch.entries] == [(own.key, own.event, own.fingerprint)]
    assert [going[1] for going in redis_held.stream("outbox", S)] == [other.key, budget.key]
