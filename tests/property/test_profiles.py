"""Laws of customer state: merging, repeats, bounds, and what is stored."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import StoredFormatError
from engine.events.base import Event
from engine.features.vector import GROUPS, NO_REQUEST
from engine.moments import DAY, HOUR, Millis
from engine.profiles.browsing import Browsing, InCart
from engine.profiles.consent import Consents, Statement
from engine.profiles.habits import MOST_NAMES, Habits
from engine.profiles.identity import Identity
from engine.profiles.links import Awaited, Change, Link, Links
from engine.profiles.offer_history import MOST_OPEN, OfferHistory, OpenOffer, Tally
from engine.profiles.profile import Part, Profile
from engine.profiles.purchases import LAST, LAST_WITH_PRODUCTS, Purchase, Purchases
from engine.profiles.service import MOST_CASES, Complaint, Service
from engine.shards.commit import ShardRecord, Totals, Waiting
from engine.store.codec import (
    decode_pair,
    decode_profile,
    decode_record,
    encode_pair,
    encode_profile,
    encode_record,
)
from tests.builders import START, bodies, entries_of, folded, order, refund, simple, taken

LIMITED = settings(max_examples=30, deadline=None)
NOW = Millis(START + 400 * DAY)
STORED: list[Any] = [
    Profile, Part, Identity, Purchases, Purchase, Browsing, InCart, OfferHistory, OpenOffer, Tally, Service, Complaint,
    Consents, Statement, Habits, ShardRecord, Totals, Waiting, Links, Link, Change, Awaited,
]  # fmt: skip


def part_of(log: Sequence[dict[str, Any]]) -> Part:
    """One identity after its events."""
    profile = Profile("u:ann")
    for event in unique(log):
        profile = profile.after(event)
    return profile.part_of("u:ann")


def unique(log: Sequence[dict[str, Any]]) -> list[Event]:
    return [taken(body).event for body in {body["id"]: body for body in log}.values()]


def readings(part: Part) -> np.ndarray[Any, np.dtype[np.float64]]:
    """All readings before they are rounded to four bytes."""
    return np.array([number for group in GROUPS for number in group.read(part, NO_REQUEST, NOW)])


def renamed(log: Sequence[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    """The same log under other ids, so that several parts hold different purchases."""
    changed = []
    for body in log:
        data = body["data"]
        if "order_id" in data:
            data = data | {"order_id": prefix + data["order_id"]}
        changed.append(body | {"id": prefix + body["id"], "data": data})
    return changed


@LIMITED
@given(bodies(most=25), bodies(most=25), bodies(most=25))
def test_parts_join_in_any_order_and_any_grouping(one: list[Any], two: list[Any], three: list[Any]) -> None:
    a, b, c = (part_of(renamed(log, prefix)) for log, prefix in ((one, "a"), (two, "b"), (three, "c")))

    left, right, turned = a.merge(b).merge(c), a.merge(b.merge(c)), c.merge(b).merge(a)

    for other in (right, turned):
        np.testing.assert_allclose(readings(other), readings(left), rtol=1e-9, atol=1e-9)
        assert other.purchases.last == left.purchases.last
        assert other.purchases.spend == left.purchases.spend
        assert other.consent == left.consent
        assert other.service == left.service


@LIMITED
@given(bodies(most=25))
def test_joining_nothing_changes_no_reading(log: list[Any]) -> None:
    part = part_of(log)

    for joined in (part.merge(Part()), Part().merge(part)):
        np.testing.assert_allclose(readings(joined), readings(part), rtol=1e-12)


@LIMITED
@given(bodies(most=40), st.randoms(use_true_random=False))
def test_an_identity_split_in_two_reads_as_one(log: list[Any], chance: Any) -> None:
    """Events of one customer that came in under two identities, orders and their refunds apart."""
    events = unique([body | {"user_id": "ann"} for body in log if body["type"] != "complaint_filed"])
    whole, parts = Profile("u:ann"), [Profile("u:ann"), Profile("u:ann")]
    for event in events:
        whole = whole.after(event)
        side = int(chance.random() < 0.5)
        parts[side] = parts[side].after(event)

    joined = parts[0].whole.merge(parts[1].whole)

    assert joined.purchases.count == whole.whole.purchases.count
    assert joined.purchases.spend == whole.whole.purchases.spend
    assert joined.purchases.last == whole.whole.purchases.last
    np.testing.assert_allclose(readings(joined), readings(whole.whole), rtol=1e-6, atol=1e-6)


statements = st.tuples(
    st.sampled_from(["granted", "denied", "revoked"]),
    st.integers(0, 5),
    st.sampled_from([(), ("web",), ("email", "sms")]),
    st.sampled_from([None, 2, 900]),
    st.integers(0, 2),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(statements, min_size=1, max_size=8), st.sampled_from([None, "web", "sms", "pos"]))
def test_a_withdrawal_is_never_outvoted(
    said: list[tuple[str, int, tuple[str, ...], int | None, int]], channel: str | None
) -> None:
    parts = [Profile("u:ann") for _ in range(3)]
    for number, (status, day, channels, until, side) in enumerate(said):
        data: dict[str, Any] = {"purpose": "marketing", "status": status, "channels": channels}
        if until is not None:
            data["expires_at"] = taken(simple("page_viewed", "t", "x", START + until * DAY)).event.time.isoformat()
        parts[side] = parts[side].after(taken(simple("consent_updated", f"c{number}", "ann", START + day * DAY, **data)).event)
    merged = [reduce(Consents.merge, (part.consent for part in order_), Consents()) for order_ in (parts, parts[::-1])]

    heard = [one for one in said if not one[2] or channel is None or channel in one[2]]
    newest = max((day for _, day, *_ in heard), default=-1)
    for consents in merged:
        now = START + 400 * DAY
        if any(status != "granted" and day == newest for status, day, *_ in heard):
            assert consents.status("marketing", channel, now) not in ("granted", "unknown")
        elif heard:
            granted = any(day == newest and (until is None or until > 400) for _, day, _, until, _ in heard)
            assert consents.status("marketing", channel, now) in (("granted", "unknown") if granted else ("unknown",))
        else:
            assert consents.status("marketing", channel, now) == "unknown"


@LIMITED
@given(bodies(most=20), st.data())
def test_a_repeated_consent_or_complaint_changes_nothing(log: list[Any], data: st.DataObject) -> None:
    extra = simple("complaint_resolved", "z", "ann", START + DAY, complaint_id="k")
    events = unique([*log, extra, simple("consent_updated", "y", "ann", START, purpose="marketing", status="granted")])
    again = data.draw(
        st.sampled_from([event for event in events if event.type in ("consent_updated", "complaint_filed", "complaint_resolved")])
    )
    profile = Profile("u:ann")
    for event in events:
        profile = profile.after(event)

    repeated = profile.after(again)

    assert repeated.consent == profile.consent
    assert repeated.service == profile.service


@LIMITED
@given(st.permutations(range(4)), st.integers(1, 400), st.booleans())
def test_returns_count_the_same_before_and_after_their_purchase(turn: list[int], part: int, whole: bool) -> None:
    log = [
        order("1", "ann", START, 1_000, ("coffee", "bread")),
        order("2", "ann", START + DAY, 500, ("wine",)),
        refund("r1", "1", "ann", START + 2 * DAY, part),
        refund("r2", "1", "ann", START + 3 * DAY, None if whole else 100),
    ]

    profile = Profile("u:ann")
    for index in turn:
        profile = profile.after(taken(log[index]).event)

    bought = profile.purchases
    assert bought.count == (1 if whole else 2)
    assert bought.spend == {"EUR": 500 if whole else 1_400 - part}
    assert bought.early == ()
    assert bought.categories.reading("coffee")[2] == (0 if whole else 1)


@LIMITED
@given(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 40)), min_size=1, max_size=700), st.integers(0, 300))
def test_habits_keep_the_strongest_and_never_more_than_their_bound(seen: list[tuple[int, int]], split: int) -> None:
    one, other = Habits(), Habits()
    for index, (name, day) in enumerate(seen):
        if index < split:
            one = one.seen((f"n{name}",), START + day * DAY, 7.0)
        else:
            other = other.seen((f"n{name}",), START + day * DAY, 7.0)
    merged = one.merge(other, 7.0)

    for habits in (one, other, merged):
        assert len(habits.names) <= MOST_NAMES
        assert sorted(habits.names.values()) == list(range(len(habits.names)))
        assert len(habits.numbers) == 24 * len(habits.names)
    assert one.merge(other, 7.0).names.keys() == other.merge(one, 7.0).names.keys()


@LIMITED
@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 5)), min_size=1, max_size=80))
def test_the_list_of_purchases_is_bounded_in_order_and_sums_stay_exact(bought: list[tuple[int, int]]) -> None:
    profile = Profile("u:ann")
    for number, (day, categories) in enumerate(bought):
        chosen = [f"c{one}" for one in range(categories + 1)]
        profile = profile.after(taken(order(f"{number}", "ann", START + day * DAY + number, 600, chosen)).event)

    held = profile.purchases
    assert held.count == len(bought)
    assert held.spend == {"EUR": 600 * len(bought)}
    assert [one.at for one in held.last] == sorted(START + day * DAY + number for number, (day, _) in enumerate(bought))[-LAST:]
    assert sum(1 for one in held.last if one.joined_products) <= LAST_WITH_PRODUCTS


@pytest.mark.slow
def test_state_stays_small_whatever_a_customer_does() -> None:
    profile = Profile("u:ann")
    for number in range(1_500):
        at = START + number * HOUR
        for body in (
            order(f"{number}", "ann", at, 900, [f"c{number}", f"d{number % 7}"]),
            simple("product_added", f"a{number}", "ann", at, product_id=f"p{number}", category=f"v{number}"),
            simple("complaint_filed", f"k{number}", "ann", at, complaint_id=f"{number}"),
            simple("offer_dismissed", f"o{number}", "ann", at, offer_id=f"offer-{number}"),
            simple("customer_identified", f"i{number}", "ann", at, extra={f"t{number}": 1}) | {"anonymous_id": f"b{number}"},
            simple("consent_updated", f"s{number}", "ann", at, purpose=f"purpose-{number}", status="granted"),
        ):
            profile = profile.after(taken(body).event)

    part = profile.whole
    assert len(encode_profile(profile)) < 64 * 1024
    assert len(part.service.complaints) <= MOST_CASES
    assert len(part.offers.open) <= MOST_OPEN
    assert part.purchases.count == 1_500


@LIMITED
@given(bodies())
def test_everything_stored_decodes_to_itself(log: list[Any]) -> None:
    store = folded(entries_of(log))

    for (_, key), raw in store.profiles.items():
        profile = decode_profile(key, raw)
        assert encode_profile(profile) == raw
        assert decode_profile(key, encode_profile(profile)) == profile
    for record in store.records.values():
        assert decode_record("r", encode_record(record)) == record
    for raw in store.waiting.values():
        waiting = msgspec.msgpack.decode(raw, type=list[Waiting])
        assert msgspec.msgpack.encode(waiting) == raw
    for counts in store.popularity.values():
        assert {name: decode_pair(encode_pair(pair)) for name, pair in counts.items()} == counts


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.__name__)
def test_a_record_of_an_earlier_version_still_decodes(kind: Any) -> None:
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(kind()))

    for length in range(len(fields) + 1):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(fields[:length]), type=kind) == kind()


@LIMITED
@given(bodies(most=15))
def test_a_record_of_a_later_version_is_read_as_far_as_it_is_known(log: list[Any]) -> None:
    for (_, key), raw in folded(entries_of(log)).profiles.items():
        fields = msgspec.msgpack.decode(raw[1:])
        later = raw[:1] + msgspec.msgpack.encode([*fields, "something new"])

        assert decode_profile(key, later) == decode_profile(key, raw)


@LIMITED
@given(st.binary(max_size=60))
def test_what_cannot_be_read_is_named_and_never_guessed(raw: bytes) -> None:
    for decode in (decode_profile, decode_record):
        try:
            decode("prof:{1}:u:ann", raw)
        except StoredFormatError as error:
            assert error.key == "prof:{1}:u:ann"  # noqa: PT017
