"""Laws of segments: counts that always tell of the present, moves told once, cut points that a log carries itself."""

from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import Rejected
from engine.events.announcing import OURSELVES, announcement
from engine.events.decode import decode, decode_canonical
from engine.events.reference import Reference
from engine.events.routing import has_customer
from engine.events.segments import SegmentChanged
from engine.models.base import Example, numbers_of
from engine.models.segments import (
    SEGMENTS,
    Cuts,
    SegmentRule,
    cuts_of,
    lifecycle_of,
    measured,
    placed,
    standing_of,
)
from engine.moments import DAY, HOUR, Millis, rfc3339
from engine.profiles.purchases import SUMS, Purchase, Purchases
from engine.shards.commit import Entry
from engine.shards.segments import bins_of, grouped, summed
from engine.store.codec import decode_profile
from engine.store.memory import MemoryStore
from tests.builders import SHARDS, START, bodies, entries_of, entry_of, folded, order, simple, taken

LIMITED = settings(max_examples=25, deadline=None)
RULE = SegmentRule()
CUTS = Cuts(1, 9, (3.0, 5.0), 6.0, ((-60.0, -30.0, -10.0, -3.0), (-1.0, 0.0, 1.0, 2.0), (2.0, 3.0, 4.0, 5.0)))


def announced(version: int = 1, value: object = CUTS, name: str = SEGMENTS) -> list[tuple[int, Entry]]:
    """One entry in the log of every shard."""
    ready = announcement(name, version, value, START)
    return [(shard, Entry("", ready.entry, ready.fingerprint, ready.key)) for shard in range(SHARDS)]


def moves(store: MemoryStore) -> list[SegmentChanged]:
    told = [decode_canonical(one.event) for outbox in store.outbox.values() for one in outbox]
    return [event for event in told if isinstance(event, SegmentChanged)]


def counted(store: MemoryStore) -> dict[int, dict[str, int]]:
    """The counts of each shard, taken anew from its profiles."""
    found: dict[int, Counter[str]] = {}
    for (shard, key), raw in store.profiles.items():
        found.setdefault(shard, Counter()).update(bins_of(decode_profile(key, raw).standing))
    return {shard: dict(counts) for shard, counts in found.items() if counts}


@LIMITED
@given(bodies(), st.integers(0, 40))
def test_counts_are_those_of_the_customers_as_they_stand(log: list[dict[str, Any]], at: int) -> None:
    entries = entries_of(log)

    store = folded([*entries[:at], *announced(), *entries[at:]])

    assert {shard: counts for shard, counts in store.histogram.items() if counts} == counted(store)


@LIMITED
@given(bodies(), st.integers(0, 40), st.integers(1, 7))
def test_a_log_that_carries_its_cut_points_folds_to_the_same_however_it_is_cut(
    log: list[dict[str, Any]], at: int, most: int
) -> None:
    entries = entries_of(log)
    carried = [*entries[:at], *announced(), *entries[at:]]

    whole, cut = folded(carried), folded(carried, most)

    assert (cut.profiles, cut.histogram, cut.references, cut.records) == (
        whole.profiles,
        whole.histogram,
        whole.references,
        whole.records,
    )
    assert [one.fingerprint for one in cut.outbox[0]] == [one.fingerprint for one in whole.outbox[0]]


@LIMITED
@given(bodies())
def test_moves_are_told_once_each_and_change_nothing_when_they_come_back(log: list[dict[str, Any]]) -> None:
    store = folded([*announced(), *entries_of(log)])
    moves = [one for outbox in store.outbox.values() for one in outbox if b'"segment_changed"' in one.event]
    told = [(one.shard, Entry("", one.event, one.fingerprint, one.key)) for one in moves]
    before = dict(store.profiles), {shard: record.totals for shard, record in store.records.items()}

    folded([*told, *told], store=store)

    assert len({one.fingerprint for _, one in told}) == len(told)
    assert store.profiles == before[0]
    for shard, record in store.records.items():
        again = sum(1 for number, _ in told if number == shard)
        assert record.totals == msgspec.structs.replace(before[1][shard], duplicates=before[1][shard].duplicates + again)
    assert sum(record.totals.segment_changes for record in store.records.values()) == len(told)


def test_a_customer_becomes_one_moves_up_and_is_lost_in_the_end() -> None:
    log = [
        order("1", "ann", START, 500),
        order("2", "ann", START + 3 * DAY, 9000),
        simple("page_viewed", "p", "bob", START + 300 * DAY),
    ]
    ticks = [(shard, Entry("", tick=START + 300 * DAY)) for shard in range(SHARDS)]

    told = [event.data for event in moves(folded([*announced(), *entries_of(log), *ticks]))]

    stages = [move.lifecycle for move in told if move.lifecycle != move.lifecycle_before]
    assert stages == ["new", "active", "at_risk", "lapsed", "lost"]
    assert ("light", "heavy") in [(move.tier_before, move.tier) for move in told]
    assert told[-1].tier == ""


def test_groups_count_everybody_who_ever_bought_once() -> None:
    log = [order(f"{number}", f"c{number}", START + number * DAY, 100 * (1 + number)) for number in range(40)]

    groups = grouped(list(folded([*announced(), *entries_of(log)]).histogram.values()))

    assert sum(groups[stage] for stage in ("new", "active", "at_risk", "lapsed", "lost")) == 40
    assert sum(groups[tier] for tier in ("heavy", "moderate", "light")) == 40
    assert groups["new"] > 0 < groups["light"]


def test_the_first_cut_points_move_nobody() -> None:
    log = [order("1", "ann", START, 500), order("2", "ann", START + DAY, 500)]

    store = folded([*entries_of(log[:1]), *announced(), *entries_of(log[1:])])

    assert [(event.data.lifecycle_before, event.data.lifecycle) for event in moves(store)] == [("prospect", "new")]
    assert next(decode_profile("u:ann", raw).standing.tier for raw in store.profiles.values()) == "moderate"


def test_an_older_version_changes_nothing() -> None:
    store = folded(
        [*announced(7, {"a": 1}, "promotions"), *announced(6, {"a": 2}, "promotions"), *announced(7, {"a": 3}, "promotions")]
    )

    assert store.references[0] == {"promotions": Reference(7, {"a": 1})}
    assert store.records[0].references == {"promotions": 7}
    assert store.records[0].totals.events == 0
    assert store.records[0].watermark == 0


def test_an_announcement_belongs_to_nobody() -> None:
    assert announcement("promotions", 1, {"a": 1}, START).key == OURSELVES
    assert not has_customer(OURSELVES)


def test_nobody_may_announce_or_move_from_outside() -> None:
    for kind in ("reference_changed", "segment_changed"):
        answer = decode(msgspec.json.encode({"id": "1", "type": kind, "user_id": "ann", "time": rfc3339(START), "data": {}}))
        assert isinstance(answer, Rejected)
        assert answer.code == "type.reserved"


def test_an_erased_customer_is_counted_nowhere() -> None:
    log = [order("1", "ann", START), simple("erasure_requested", "x", "ann", START + DAY)]

    store = folded([*announced(), *entries_of(log)])

    assert not any(store.histogram.values())


def test_an_identity_that_moves_is_counted_with_its_customer() -> None:
    browser = order("1", "", START) | {"user_id": None, "anonymous_id": "a-1"}
    store = folded(entries_of([browser]))
    folded(entries_of([order("2", "ann", START + HOUR) | {"anonymous_id": "a-1"}]), store=store)

    while any(store.outbox.values()):
        going = [one for outbox in store.outbox.values() for one in outbox]
        store.outbox.clear()
        folded([(one.shard, Entry("", one.event, one.fingerprint, one.key)) for one in going], store=store)

    whole = summed(list(store.histogram.values()))
    assert [sum(bins.values()) for bins in whole] == [1, 1, 1]
    assert {shard: counts for shard, counts in store.histogram.items() if counts} == counted(store)


def bought(*days: float, amount: int = 1000) -> Purchases:
    facet = Purchases()
    for number, day in enumerate(days):
        purchase = Purchase(bytes([number]), START + int(day * DAY), amount, currency="EUR")
        facet = facet.bought(purchase)
    return facet


@pytest.mark.parametrize(
    ("days", "now", "stage"),
    [
        ((), 10.0, "prospect"),
        ((0.0,), 20.0, "new"),
        ((0.0, 7.0, 14.0, 21.0, 28.0, 35.0), 40.0, "active"),
        ((0.0, 7.0, 14.0, 21.0, 28.0, 35.0), 70.0, "at_risk"),
        ((0.0, 40.0, 80.0), 110.0, "active"),
        ((0.0, 40.0, 80.0), 171.0, "lapsed"),
        ((0.0, 40.0, 80.0), 263.0, "lost"),
    ],
)
def test_the_stage_follows_the_customers_own_rhythm(days: tuple[float, ...], now: float, stage: str) -> None:
    assert lifecycle_of(bought(*days), START + int(now * DAY), RULE) == stage


def test_terciles_and_fifths_agree_with_exact_ones() -> None:
    chance, now = np.random.default_rng(5), START + 400 * DAY
    customers = [
        bought(*np.sort(chance.uniform(250.0, 400.0, 1 + chance.poisson(6))), amount=int(chance.lognormal(7.0, 1.0)) + 1)
        for _ in range(3000)
    ]
    counts = [Counter(places) for places in zip(*(measured(one).places() for one in customers), strict=True)]

    cuts = cuts_of(counts, now, RULE)

    standings = [standing_of(one, now, cuts, RULE) for one in customers]
    readings = np.array([measured(one).at(now) for one in customers])
    below, above = np.quantile(readings[:, 2], [1 / 3, 2 / 3])
    exact = np.where(readings[:, 2] > above, "heavy", np.where(readings[:, 2] > below, "moderate", "light"))
    assert np.mean([one.tier for one in standings] == exact) >= 0.99
    for place in range(3):
        fifths = 1 + np.searchsorted(np.quantile(readings[:, place], [0.2, 0.4, 0.6, 0.8]), readings[:, place])
        assert np.mean([int(one.rfm[place]) for one in standings] == fifths) >= 0.98
    assert np.mean([one.best for one in standings]) == pytest.approx(0.1, abs=0.005)


def test_who_was_last_looked_at_before_there_were_cut_points_is_placed_by_them() -> None:
    customer, cuts = bought(0.0, 30.0, amount=9000), msgspec.structs.replace(CUTS, at=START + 40 * DAY)
    held = standing_of(customer, START + 31 * DAY, Cuts(), RULE)

    later = placed(customer, held, cuts, RULE)

    assert (held.segments, later.segments) == ((), ("heavy", "rfm_335", "best"))
    assert (later.lifecycle, later.places) == (held.lifecycle, held.places)
    assert placed(customer, later, msgspec.structs.replace(cuts, tiers=(90.0, 99.0)), RULE) == later


def test_time_alone_changes_nobodys_bin() -> None:
    customer = bought(0.0, 30.0)
    sums, at = SUMS.add(customer.sums, customer.sums_at, START + 200 * DAY, (0.0,) * len(SUMS.quantities))
    later = msgspec.structs.replace(customer, sums=sums, sums_at=at)

    assert measured(later).places()[1:] == measured(customer).places()[1:]


def test_a_boundary_tells_what_was_bought_so_far() -> None:
    log = [order(str(week), "ann", START + week * 7 * DAY, 1200) for week in range(5)]
    store = folded(entries_of(log))

    examples = [msgspec.msgpack.decode(raw, type=Example) for raws in store.examples.values() for raw in raws]
    newest = max((one for one in examples if one.model == "lifetime_value"), key=lambda one: one.opened_at)

    repeats, last, age, mean = numbers_of(newest)
    assert (repeats, mean) == (round(last / 7), 1200.0)
    assert age == pytest.approx((newest.opened_at - START) / DAY, abs=1e-4)


def test_a_return_moves_the_customer_down() -> None:
    entry = entry_of(taken(order("1", "ann", START, 50_000), START))
    refund = {
        "id": "r", "type": "order_refunded", "user_id": "ann", "time": rfc3339(Millis(START + DAY)), "source": "web://shop",
        "data": {"order_id": "1", "currency": "EUR", "total": 49_500},
    }  # fmt: skip

    told = moves(folded([*announced(), entry, entry_of(taken(refund, START))]))

    assert [(event.data.tier_before, event.data.tier) for event in told] == [("", "heavy"), ("heavy", "light")]
