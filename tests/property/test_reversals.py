"""What is taken back weeks later leaves nothing behind: readings, counts, spend and points are those of who never bought it."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decisioning.loyalty import Earn, Programme, account
from engine.decisioning.offers import Money
from engine.features.vector import NAMES, NO_REQUEST, read_features
from engine.models.base import Example
from engine.moments import DAY, HOUR, Millis
from engine.profiles.profile import Profile
from engine.store.memory import MemoryStore
from tests.builders import START, decided, simple
from tests.tills import goods_back, profile, receipt, settled, totals, void, week_of_shopping

NOON = Millis(START + 100 * DAY + 12 * HOUR)
WEEKS = st.lists(st.integers(0, 30), unique=True, max_size=6).map(sorted)
POINTS = [{"kind": "loyalty", "points": 20}]


def known(card: str) -> dict[str, Any]:
    return simple("page_viewed", "hello", "", START) | {"user_id": None, "loyalty_id": card}


def taken_back(how: str, sale: dict[str, Any], at: int, card: str) -> list[dict[str, Any]]:
    """Ways to take a receipt back thirty days later, with the card or without."""
    with_card = card if how.endswith("with the card") else ""
    if how.startswith("void"):
        return [void(sale, at, with_card)]
    if how.startswith("return elsewhere"):
        return [goods_back(sale, 1, at, card=with_card, store="s-2", workstation="7")]
    if how.startswith("return in parts"):
        part = sale["data"]["total"] // 3
        rest = sale["data"]["total"] - part
        return [goods_back(sale, 5, at, part, with_card), goods_back(sale, 6, at + HOUR, rest, with_card)]
    return [goods_back(sale, 5, at, card=with_card)]


WHATS = ("void", "return", "return elsewhere", "return in parts")
WAYS = [f"{what}, {who}" for what in WHATS for who in ("with the card", "without")]


OF_PURCHASES = [NAMES.index(name) for name in NAMES if name.startswith(("rfm.", "affinity.", "offers."))]


def read(one: Profile, now: int) -> np.ndarray[Any, Any]:
    """All readings of what was bought; that somebody was at a till stays true."""
    return read_features(one, NO_REQUEST, Millis(now))[OF_PURCHASES]


@pytest.mark.parametrize("how", WAYS)
@given(weeks=WEEKS, total=st.integers(3, 90_000), shuffle=st.randoms(use_true_random=False))
@settings(max_examples=12, deadline=None)
def test_a_receipt_taken_back_after_thirty_days_reads_as_if_it_had_never_been(
    how: str, weeks: list[int], total: int, shuffle: Any
) -> None:
    others = [known("c-9"), *week_of_shopping("c-9", weeks)]
    sale = receipt(7, NOON, total, "c-9")
    sale["data"]["lines"] += POINTS
    log = [*others, sale, *taken_back(how, sale, NOON + 30 * DAY, "c-9")]
    shuffle.shuffle(log)

    left, never = settled(log), settled(others)

    mine, theirs = profile(left, "l:c-9"), profile(never, "l:c-9")
    assert (mine.purchases.count, mine.purchases.spend.get("EUR", 0)) == (
        theirs.purchases.count,
        theirs.purchases.spend.get("EUR", 0),
    )
    assert mine.whole.loyalty.balance == theirs.whole.loyalty.balance == 0
    assert mine.purchases.first_at == theirs.purchases.first_at
    assert mine.purchases.categories.names.keys() == theirs.purchases.categories.names.keys()
    now = START + 400 * DAY
    np.testing.assert_allclose(read(mine, now), read(theirs, now), rtol=1e-6, atol=1e-6)
    assert totals(left) == totals(never)


@pytest.mark.parametrize("how", WAYS)
def test_points_by_spend_go_back_with_what_brought_them(how: str) -> None:
    programme = Programme(earn=Earn(per=Money(100, "EUR"), points=3))
    sale, kept = receipt(7, NOON, 4_990, "c-9"), receipt(8, NOON + HOUR, 1_050, "c-9")
    both = [sale, kept]

    before, after = (
        profile(settled(log), "l:c-9").whole for log in (both, [*both, *taken_back(how, sale, NOON + 30 * DAY, "c-9")])
    )

    now = NOON + 31 * DAY
    assert account(before, programme, now).points == 181
    assert account(after, programme, now).points == 31
    assert after.purchases.spend == {"EUR": 1_050}


def test_a_void_of_a_return_gives_the_purchase_back_to_every_reading() -> None:
    sale = receipt(7, NOON, 4_990, "c-9")
    back = goods_back(sale, 5, NOON + DAY, card="c-9")
    undone = void(back, NOON + 2 * DAY)
    now = START + 200 * DAY

    whole, again = settled([sale]), settled([undone, back, sale])

    mine, theirs = profile(again, "l:c-9"), profile(whole, "l:c-9")
    assert (mine.purchases.count, mine.purchases.spend) == (1, {"EUR": 4_990})
    np.testing.assert_allclose(read(mine, now), read(theirs, now), rtol=1e-6, atol=1e-6)
    assert totals(again) == totals(whole) == (1, 4_990)


def test_a_void_from_before_the_list_of_last_purchases_is_exact_in_counts_and_spend() -> None:
    sale = receipt(7, NOON, 4_990, "c-9")
    later = [receipt(20 + number, NOON + (5 + number) * DAY, 100 + number, "c-9") for number in range(40)]
    undone = void(sale, NOON + 60 * DAY, "c-9")
    undone["data"]["total"] = 4_990

    left, never = settled([sale, *later, undone]), settled(later)

    mine, theirs = profile(left, "l:c-9").purchases, profile(never, "l:c-9").purchases
    assert (mine.count, mine.spend) == (theirs.count, theirs.spend)
    assert totals(left) == totals(never)


def taught(how: str, back_after_days: int) -> tuple[float, Profile]:
    """The label of an offer of coffee that was seen, and whose coffee was taken back so many days later."""
    until = NOON + 30 * DAY
    sale = receipt(7, NOON + 2 * HOUR, 4_990, "c-9")
    seen = simple("offer_viewed", "seen", "", NOON + HOUR, decision_id="d-1", offer_id="o-1") | {"user_id": None}
    seen |= {"loyalty_id": "c-9", "decision_id": "d-1", "offer_id": "o-1"}
    decision = {**decided("d-1", "", NOON, window=7 * DAY), "user_id": None, "loyalty_id": "c-9"}
    back = taken_back(how, sale, NOON + back_after_days * DAY, "c-9")
    steps = [[seen, sale], back, [receipt(99, until, 10, workstation="9"), receipt(97, until, 10, "c-other")]]
    steps = steps if back_after_days < 14 else [steps[0], steps[2], back]
    store = MemoryStore()
    for step in steps:
        store = settled(step, ours=[decision] if step is steps[0] else (), store=store)
    store = settled([receipt(98, until + 60 * DAY, 10, "c-9"), known("c-9")], store=store)
    examples = [msgspec.msgpack.decode(raw, type=Example) for raws in store.examples.values() for raw in raws]
    return next(one.label for one in examples if one.model == "next_best_offer"), profile(store, "l:c-9")


@pytest.mark.parametrize("how", [way for way in WAYS if "parts" not in way])
def test_an_offer_whose_purchase_is_taken_back_in_its_window_teaches_that_it_was_not_taken(how: str) -> None:
    label, left = taught(how, 3)

    assert label == 0.0
    assert left.whole.offers.redeemed == 0
    assert left.whole.offers.shown == 1


@pytest.mark.parametrize("how", [way for way in WAYS if "parts" not in way])
def test_what_was_learned_before_a_purchase_is_taken_back_stays_learned(how: str) -> None:
    label, left = taught(how, 40)

    assert label == 1.0
    assert left.purchases.spend["EUR"] == 10
