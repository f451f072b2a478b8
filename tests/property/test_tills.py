"""What a shard holds for its workstations: receipts of nobody, receipts that change hands, numbers that are missing."""

from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.features.vector import NO_REQUEST, read_features
from engine.ids import shard_of
from engine.moments import DAY, HOUR, MINUTE, Millis, millis
from engine.shards.popularity import Popularity
from engine.shards.sequences import KEPT_DAYS, MOST_HOLES, Day, Numbers, field_of, listed
from engine.store.memory import MemoryStore
from tests.builders import SHARDS, START
from tests.tills import card_shown, close, day_of, days, goods_back, missing, name_of, profile, receipt, settled, totals, void

LIMITED = settings(max_examples=25, deadline=None)
NOON = Millis(START + 100 * DAY + 12 * HOUR)
TODAY = day_of(NOON)
CHANCE = st.randoms(use_true_random=False)


def popularity(store: MemoryStore) -> float:
    return sum(counts[""][0] for counts in store.popularity.values() if "" in counts)


def test_a_receipt_of_nobody_counts_in_totals_and_popularity_and_in_no_profile() -> None:
    store = settled([receipt(1, NOON, 1990), receipt(2, NOON, 500)])

    assert totals(store) == (2, 2490)
    assert store.profiles == {}
    assert Popularity(store.popularity[shard_of("w:s-1/1", SHARDS)]).bought(("coffee",), NOON)["coffee"][0] == 3.0


@pytest.mark.parametrize("card_first", [False, True])
def test_a_card_shown_later_moves_the_receipt_into_the_profile_once(card_first: bool) -> None:
    sale, shown = receipt(1, NOON, 1990), [card_shown(receipt(1, NOON), "c-9", NOON + DAY)]
    log = [*shown, sale] if card_first else [sale, *shown]
    log += [sale, card_shown(sale, "c-other", NOON + 2 * DAY), {**shown[0], "id": "again"}]

    store = settled(log)

    assert profile(store, "l:c-9").purchases.spend == {"EUR": 1990}
    assert profile(store, "l:c-9").purchases.count == 1
    assert not profile(store, "l:c-other").purchases.count
    assert totals(store) == (1, 1990)
    assert popularity(store) == pytest.approx(1.0)
    assert missing(store) == {}


def test_what_is_taken_back_before_and_after_a_card_is_shown_finds_its_customer() -> None:
    sale, other, kept = receipt(1, NOON, 1990), receipt(2, NOON, 700), receipt(3, NOON, 300)
    log = [sale, other, kept, goods_back(sale, 4, NOON + HOUR, 990)]
    log += [card_shown(one, "c-9", NOON + DAY) for one in (sale, other, kept)]
    log += [goods_back(kept, 5, NOON + 2 * DAY, 100), void(other, NOON + 3 * DAY)]

    store = settled(log)

    assert profile(store, "l:c-9").purchases.spend == {"EUR": 1200}
    assert profile(store, "l:c-9").purchases.count == 2
    assert totals(store) == (2, 1200)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[dict[str, Any]], tuple[int, int], dict[str, int]]:
    """Receipts with what becomes of each, in any order; how many stand and what they come to; and by card."""
    log: list[dict[str, Any]] = []
    count = spend = number = 0
    of: dict[str, int] = {}
    for index in range(draw(st.integers(1, 6))):
        number += 1
        total, card = draw(st.integers(1, 5000)), draw(st.sampled_from(["", "", "c-1", "c-2"]))
        sale = receipt(number, NOON + index * HOUR, total, card)
        fate = draw(st.sampled_from(["stays", "void", "return", "part", "void of return"]))
        log.append(sale)
        left = total
        if fate == "void":
            log.append(void(sale, NOON + 40 * DAY, card if draw(st.booleans()) else ""))
            left = 0
        elif fate != "stays":
            number += 1
            back = total if fate != "part" else draw(st.integers(0, total - 1))
            given_back = goods_back(sale, number, NOON + 35 * DAY, back, card if draw(st.booleans()) else "", business_day=TODAY)
            log.append(given_back)
            left = total - back
            if fate == "void of return":
                log.append(void(given_back, NOON + 36 * DAY))
                left = total
        if not card and draw(st.booleans()):
            card = draw(st.sampled_from(["c-1", "c-2"]))
            log.append(card_shown(sale, card, NOON + 50 * DAY))
        count, spend = count + (left > 0), spend + left
        of[card] = of.get(card, 0) + left
    return draw(st.permutations(log)), (count, spend), of


@LIMITED
@given(histories(), st.integers(1, 7))
def test_totals_and_profiles_are_the_truth_in_whatever_order_it_comes(
    history: tuple[list[dict[str, Any]], tuple[int, int], dict[str, int]], most: int
) -> None:
    log, truth, of = history

    store = settled([*log, *log], most)

    assert totals(store) == truth
    for card, spend in of.items():
        if card:
            assert profile(store, f"l:{card}").purchases.spend.get("EUR", 0) == spend
    assert missing(store) == {}


@LIMITED
@given(histories(), CHANCE, st.integers(1, 7))
def test_days_of_workstations_do_not_depend_on_order_or_batches(
    history: tuple[list[dict[str, Any]], tuple[int, int], dict[str, int]], chance: Any, most: int
) -> None:
    log, _, _ = history
    shuffled = list(log)
    chance.shuffle(shuffled)

    straight, mixed = days(settled(log)), days(settled(shuffled, most))

    assert {name: (day.spans, day.amounts, day.voided, day.receipts) for name, day in mixed.items()} == {
        name: (day.spans, day.amounts, day.voided, day.receipts) for name, day in straight.items()
    }


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(CHANCE)
def test_a_hundred_numbers_left_out_are_found_and_none_besides(chance: Any) -> None:
    kept: list[dict[str, Any]] = []
    lost: dict[str, list[int]] = {}
    for workstation in ("1", "2", "3", "4"):
        first = chance.randint(1, 500)
        gone = sorted(chance.sample(range(first, first + 120), 25))
        lost[field_of("s-1", workstation, TODAY)] = gone
        kept += [
            receipt(number, NOON, 100, chance.choice(["", "c-1", "c-2"]), workstation=workstation)
            for number in range(first, first + 120)
            if number not in gone
        ]
        told = {"first_sequence": first} if chance.random() < 0.5 else {"count": 120}
        kept.append(close(TODAY, NOON, workstation, last_sequence=first + 119, **told))
    log = [*kept, *chance.sample(kept, 50)]
    chance.shuffle(log)

    found = settled(log, most=chance.randint(1, 90))

    assert missing(found) == dict(sorted(lost.items()))


def test_a_burst_that_comes_shuffled_and_twice_leaves_no_gap() -> None:
    log = [receipt(number, NOON + number * MINUTE, 100) for number in range(1, 400)]

    store = settled([*log[200:], *reversed(log[:250]), *log])

    assert missing(store) == {}
    assert totals(store) == (399, 39_900)


@LIMITED
@given(histories(), CHANCE)
def test_a_day_offline_and_then_a_burst_leave_what_a_day_online_does(
    history: tuple[list[dict[str, Any]], tuple[int, int], dict[str, int]], chance: Any
) -> None:
    log = sorted(history[0], key=lambda body: str(body["time"]))
    burst = list(log)
    chance.shuffle(burst)
    times = [millis(datetime.fromisoformat(body["time"])) for body in log]

    online = settled(log, arrivals=[at + 2_000 for at in times])
    offline = settled(burst, most=7, arrivals=[times[-1] + DAY] * len(burst))

    assert totals(offline) == totals(online)
    assert {name: day.spans for name, day in days(offline).items()} == {name: day.spans for name, day in days(online).items()}
    now = Millis(times[-1] + 2 * DAY)
    for card in ("l:c-1", "l:c-2"):
        mine, theirs = profile(offline, card), profile(online, card)
        assert (mine.purchases.count, mine.purchases.spend) == (theirs.purchases.count, theirs.purchases.spend)
        np.testing.assert_allclose(
            read_features(mine, NO_REQUEST, now), read_features(theirs, NO_REQUEST, now), rtol=1e-6, atol=1e-6
        )


def test_training_and_suspended_numbers_fill_holes_and_stretch_nothing() -> None:
    numbers = {3: "training", 900_001: "training", 5: "suspended"}
    aside = [receipt(number, NOON, status=status) for number, status in numbers.items()]

    store = settled([receipt(2, NOON), receipt(6, NOON), *aside])

    assert list(missing(store).values()) == [[4]]
    assert totals(store) == (2, 3980)


def test_a_void_with_a_number_of_its_own_leaves_no_gap() -> None:
    sale = receipt(1, NOON)
    undone = void(sale, NOON + HOUR)
    undone["data"]["voided_on"] = name_of(receipt(2, NOON))

    store = settled([sale, undone, receipt(3, NOON)])

    assert missing(store) == {}


def test_a_receipt_voided_twice_is_void_and_both_numbers_are_used() -> None:
    sale = receipt(1, NOON, card="c-9")
    undone = [void(sale, NOON + HOUR), void(sale, NOON + 2 * HOUR, "c-9")]
    for number, one in zip((2, 3), undone, strict=True):
        one["data"]["voided_on"] = name_of(receipt(number, NOON))

    store = settled([sale, *undone, receipt(4, NOON)])

    assert missing(store) == {}
    assert totals(store) == (1, 1990)


def test_what_a_till_tells_at_closing_time_is_held_against_its_receipts() -> None:
    sales = [receipt(number, NOON, 1000) for number in (1, 2, 3)]
    back, undone = goods_back(sales[0], 4, NOON, 400), void(sales[1], NOON + HOUR)

    def difference(total: int) -> tuple[int, int] | None:
        store = settled([*sales, back, undone, close(TODAY, NOON, last_sequence=4, count=4, total=total)])
        return next(iter(days(store).values())).difference

    assert difference(1600) is None
    assert difference(2600) is None, "told before the void, or with it"
    assert difference(2100) == (2100, 1600)


def test_a_day_of_which_nothing_came_is_missing_whole_once_it_is_closed() -> None:
    store = settled([close(TODAY, NOON, last_sequence=3, count=3)])

    assert list(missing(store).values()) == [[1, 2, 3]]


def test_old_days_are_let_go_of_and_what_comes_for_them_still_counts() -> None:
    sales = [receipt(1, START + day * DAY, 100) for day in range(KEPT_DAYS + 5)]

    store = settled([*sales, receipt(9, START, 100)])

    assert len(days(store)) == KEPT_DAYS
    assert min(days(store)) == field_of("s-1", "1", day_of(START + 5 * DAY))
    assert totals(store) == (KEPT_DAYS + 6, 100 * (KEPT_DAYS + 6))


@LIMITED
@given(st.lists(st.integers(0, 200), min_size=1, max_size=120))
def test_spans_hold_exactly_the_numbers_that_came(numbers: list[int]) -> None:
    day = Day()
    for number in numbers:
        day = day.used(number, counts=True)

    there = set(numbers)
    assert [n for first, last in day.missing() for n in range(first, last + 1)] == [
        number for number in range(min(there), max(there) + 1) if number not in there
    ]


def test_a_day_full_of_holes_stays_small_and_says_how_many_are_not_listed() -> None:
    day = Day()
    for number in range(0, 4 * MOST_HOLES, 2):
        day = day.used(number, counts=True)

    assert len(day.spans) <= 2 * MOST_HOLES + 2
    assert listed(day.missing()) + day.unlisted == 2 * MOST_HOLES - 1


def test_sums_of_what_is_missing_follow_every_change() -> None:
    numbers = Numbers({})
    day = Day().used(1, True).used(5, True).looked_at(7)

    numbers.put("s", "1", TODAY, day)
    assert (numbers.gaps, numbers.missing) == (1, 3)
    numbers.put("s", "1", TODAY, day.used(3, True).looked_at(8))
    assert (numbers.gaps, numbers.missing) == (2, 2)
    numbers.put("s", "1", TODAY, day.used(3, True).used(2, True).used(4, True).looked_at(9))
    assert (numbers.gaps, numbers.missing) == (0, 0)
