"""Laws of the loyalty programme: points are exact whatever order, repeats, returns and voids the log brings."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decisioning.loyalty import (
    Account,
    Earn,
    NextTier,
    Programme,
    Tier,
    account,
    earned_within,
    judged,
    lots,
    next_tier,
    reached_rank,
)
from engine.decisioning.offers import Money
from engine.moments import DAY, millis, moment, rfc3339
from engine.profiles.membership import Membership
from engine.profiles.monthly import month_of
from engine.profiles.profile import Part, Profile
from engine.shards.commit import Entry
from engine.store.codec import decode_profile
from engine.store.memory import MemoryStore
from tests.builders import START, entries_of, folded, order, refund, simple, taken

LIMITED = settings(max_examples=60, deadline=None)
PROGRAMME = Programme(
    earn=Earn(per=Money(100, "EUR"), points=1),
    tiers=(Tier(id="silver", from_points=50), Tier(id="gold", from_spend=Money(20_000, "EUR"))),
)


def receipt(number: int, at: int, points: list[int], total: int, who: dict[str, str]) -> dict[str, Any]:
    lines: list[dict[str, Any]] = [{"kind": "sale", "product_id": "p", "price": total}]
    lines += [{"kind": "loyalty", "points": each} for each in points]
    return till("pos_transaction_completed", number, at, who, lines=lines, total=total)


def till(kind: str, number: int, at: int, who: dict[str, str], **data: Any) -> dict[str, Any]:
    where = {"store": "s", "workstation": "w", "business_day": "2017-01-01", "sequence_number": number, "currency": "EUR"}
    return {"id": f"{kind}-{number}", "type": kind, "time": rfc3339(at), "source": "pos://s", "data": where | data, **who}


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[dict[str, Any]], int, int]:
    """Events of one customer under a card and an account, and what points and spend come to by plain arithmetic."""
    log: list[dict[str, Any]] = []
    points = spend = 0
    at: int = START
    for number in range(draw(st.integers(1, 16))):
        at += draw(st.integers(1, 40 * DAY))
        known, card = {"user_id": "ann", "loyalty_id": "c-1"}, {"loyalty_id": "c-1"}
        who = draw(st.sampled_from([known, card]))
        match draw(st.integers(0, 4)):
            case 0:
                moved = draw(st.integers(-20, 200))
                log.append(simple("points_earned", f"e{number}", "ann", at, points=moved) | who)
                points += moved
            case 1:
                moved = draw(st.integers(0, 150))
                log.append(simple("points_redeemed", f"u{number}", "ann", at, points=moved) | who)
                points -= moved
            case 2:
                earned, used, total = draw(st.integers(1, 90)), draw(st.integers(0, 40)), draw(st.integers(100, 9000))
                log.append(receipt(number, at, [earned, -used] if used else [earned], total, who))
                fate = draw(st.sampled_from(["kept", "void", "share", "told", "share twice"]))
                if fate == "void":
                    log.append(till("pos_transaction_voided", number, at + DAY, who))
                    continue
                original = f"s/w/2017-01-01/{number}"
                if fate.startswith("share"):
                    back = draw(st.integers(1, total // 2))
                    for again in range(2 if fate == "share twice" else 1):
                        log.append(
                            till(
                                "pos_return_completed", 1000 + 100 * again + number, at + DAY, who, total=back, original=original
                            )
                        )
                        total -= back
                        if not again:
                            paid = total + back
                    earned, spend = earned * total // paid, spend + total
                elif fate == "told":
                    lines = [{"kind": "return", "price": 50}, {"kind": "loyalty", "points": 7}]
                    log.append(till("pos_return_completed", 1000 + number, at + DAY, who, lines=lines, original=original))
                    earned, spend = earned - 7, spend + total - 50
                else:
                    spend += total
                points += earned - used
            case _:
                total, named = draw(st.integers(1, 9000)), draw(st.integers(0, 90))
                log.append(order(f"{number}", "ann", at, total) | who)
                if named:
                    log.append(simple("points_earned", f"n{number}", "ann", at, points=named, order_id=f"{number}") | who)
                back = draw(st.integers(0, total))
                fate = draw(st.sampled_from(["kept", "cancelled", "refunded"]))
                if fate == "cancelled":
                    log.append(refund(f"r{number}", f"{number}", "ann", at + DAY, None) | who)
                    continue
                if fate == "refunded" and back:
                    log.append(refund(f"r{number}", f"{number}", "ann", at + DAY, back) | who)
                    named, total = named * (total - back) // total, total - back
                points, spend = points + named, spend + total
    return log, points, spend


def whole(store: MemoryStore) -> Part:
    """All that is held of the one customer, wherever it lies."""
    profiles = [decode_profile(key, raw) for (_, key), raw in store.profiles.items()]
    return next((one for one in profiles if one.key == "u:ann"), next(one for one in profiles if not one.moved_to)).whole


def settled(log: list[dict[str, Any]]) -> MemoryStore:
    """A store after the log, and after everything that its shards sent each other."""
    return folded(entries_of([*log, simple("page_viewed", "last", "ann", START + 800 * DAY) | {"loyalty_id": "c-1"}]))


@LIMITED
@given(logs(), st.randoms(use_true_random=False))
def test_points_are_those_of_plain_arithmetic_in_whatever_order_and_however_often_events_come(
    made: tuple[list[dict[str, Any]], int, int], chance: random.Random
) -> None:
    log, points, spend = made
    shuffled = [*log, *chance.sample(log, len(log) // 2)]
    chance.shuffle(shuffled)
    until = START + 900 * DAY

    in_order, mixed = relayed(log), relayed(shuffled)

    for part in (in_order, mixed):
        assert part.loyalty.balance == points
        assert part.purchases.spend.get("EUR", 0) == spend
        assert account(part, PROGRAMME, until).points == points + spend // 100
    assert lots(in_order, PROGRAMME) == lots(mixed, PROGRAMME)
    window = month_of(until - 500 * DAY)
    within = sum(lot[1] for lot in lots(mixed, PROGRAMME) if lot[0] >= window)
    assert earned_within(mixed, PROGRAMME, 500, until) == within
    assert reached_rank(in_order, PROGRAMME, until) == reached_rank(mixed, PROGRAMME, until)


def relayed(log: list[dict[str, Any]]) -> Part:
    """The customer once every claim and every part has arrived."""
    store = settled(log)
    sent = 0
    while True:
        going = [one for shard in sorted(store.outbox) for one in store.outbox[shard]]
        if len(going) == sent:
            return whole(store)
        entries = [(one.shard, Entry("", one.event, one.fingerprint, one.key)) for one in going[sent:]]
        sent = len(going)
        folded(entries, store=store)


def bought(*orders: tuple[str, int, int], **told: int) -> Part:
    """A customer of a few orders (name, at, total), with points told besides."""
    profile = Profile("u:ann")
    for name, at, total in orders:
        profile = profile.after(taken(order(name, "ann", at, total), at).event)
    for kind, points in told.items():
        profile = profile.after(taken(simple(kind, kind, "ann", START, points=points), START).event)
    return profile.whole


def test_what_a_purchase_leaves_over_counts_with_the_next_and_a_return_takes_back_exactly_that() -> None:
    part = bought(("1", START, 150), ("2", START + DAY, 150))

    assert account(part, PROGRAMME, START + 2 * DAY).points == 3
    profile = Profile("u:ann", {"u:ann": part}).after(taken(refund("r", "1", "ann", START + DAY, None), START + DAY).event)
    assert account(profile.whole, PROGRAMME, START + 2 * DAY).points == 1


def test_points_used_and_then_taken_back_leave_the_balance_below_zero_until_they_are_earned_again() -> None:
    part = bought(("1", START, 5000), points_redeemed=50)
    profile = Profile("u:ann", {"u:ann": part}).after(taken(refund("r", "1", "ann", START + DAY, None), START + DAY).event)

    assert account(profile.whole, PROGRAMME, START + 2 * DAY).points == -50
    again = profile.after(taken(order("2", "ann", START + 3 * DAY, 7000), START + 3 * DAY).event)
    assert account(again.whole, PROGRAMME, START + 4 * DAY).points == 20


def test_points_expire_with_their_month_and_the_oldest_are_used_first() -> None:
    programme = Programme(expires_days=365)
    profile = Profile("u:ann")
    for day, kind, points in ((0, "points_earned", 100), (40, "points_earned", 30), (45, "points_redeemed", 60)):
        body = simple(kind, f"{day}", "ann", START + day * DAY, points=points)
        profile = profile.after(taken(body, START + day * DAY).event)
    ends = millis(moment(START).replace(year=2018, month=2))

    before, after = (account(profile.whole, programme, at) for at in (ends - 1, ends))

    assert before == Account(70, 130, 60, 0, 40, ends)
    assert (after.points, after.expired, after.expiring) == (30, 40, 30)


def test_a_tier_is_reached_at_once_and_left_at_its_review_only() -> None:
    part = bought(("1", START, 6000))
    reached = judged(Membership(), part, PROGRAMME, START + DAY)
    returned = Profile("u:ann", {"u:ann": part}).after(taken(refund("r", "1", "ann", START + DAY, None), START + DAY).event).whole

    assert reached == Membership("silver", START + DAY, START + 366 * DAY)
    assert judged(reached, returned, PROGRAMME, START + 100 * DAY) == reached
    assert judged(reached, returned, PROGRAMME, START + 366 * DAY) == Membership()
    assert judged(reached, bought(("1", START, 30_000)), PROGRAMME, START + 2 * DAY).tier == "gold"


def test_what_is_missing_to_the_next_tier_is_told_in_what_it_goes_by() -> None:
    part = bought(("1", START, 3000))

    first, second = (next_tier(tier, part, PROGRAMME, START + DAY) for tier in ("", "silver"))

    assert first == NextTier("silver", 20)
    assert second == NextTier("gold", None, Money(17_000, "EUR"))
    assert next_tier("gold", part, PROGRAMME, START + DAY) is None


@pytest.mark.parametrize("months", [1, 90])
def test_spend_stays_exact_when_months_are_let_go_of(months: int) -> None:
    part = bought(*((f"{number}", START + 31 * number * DAY, 199) for number in range(months)))

    assert account(part, PROGRAMME, START + 31 * months * DAY).points == months * 199 // 100
