"""The demo's own counting: hits, arms, and how much fits into the time."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import config
from config.catalogue_files import load_catalogue
from engine.decisioning.experiment import variation_of
from engine.events.decode import decode_value
from engine.events.offers import ChosenOffer, Decided, OfferDecided
from engine.moments import DAY, Millis, moment, rfc3339
from engine.profiles.offer_history import HANDLERS, OfferHistory
from load_tests.demo_arms import Showing, Showings, arm_of, arms_of
from load_tests.demo_plan import (
    LEAST_HOUSEHOLDS,
    LONGEST_LOAD_S,
    Habit,
    Rates,
    arm_of_household,
    in_turn,
    plan,
    richest,
    shopper_names,
)
from load_tests.demo_story import in_words

WINDOW = 14 * DAY
START = 1_500_000_000_000
POLICY = load_catalogue(Path(config.__file__).parent / "catalogue_demo").policy


def showing(at: int, category: str = "MILK", customer: str = "7") -> Showing:
    return Showing(customer, "learned", f"{category}-{at}", frozenset({category}), at, at + WINDOW)


def test_the_basket_of_the_very_moment_counts_and_so_does_the_last_moment() -> None:
    showings = Showings()
    showings.shown("d1", showing(START))
    showings.shown("d2", showing(START, "TEA"))
    showings.shown("d3", showing(START, "EGGS"))

    assert [fate.what for fate in showings.bought("7", START, ["MILK"])] == ["hit"]
    assert [fate.what for fate in showings.bought("7", START + WINDOW, ["TEA"])] == ["hit"]
    assert [fate.what for fate in showings.bought("7", START + WINDOW + 1, ["EGGS"])] == ["miss"]
    assert (showings.total, showings.redeemed) == (3, 2)


def test_a_showing_is_hit_once_and_a_repeated_decision_shows_nothing_new() -> None:
    showings = Showings()
    assert showings.shown("d1", showing(START))
    assert not showings.shown("d1", showing(START))

    hits = [len(showings.bought("7", START + day * DAY, ["MILK"])) for day in (1, 2)]

    assert (hits, showings.total, showings.redeemed) == ([1, 0], 1, 1)


def test_what_others_buy_is_no_hit() -> None:
    showings = Showings()
    showings.shown("d1", showing(START))

    assert showings.bought("8", START + DAY, ["MILK"]) == []
    assert showings.redeemed == 0


Step = tuple[str, int, str]
CATEGORIES = ("MILK", "TEA", "EGGS")
STEPS = st.lists(st.tuples(st.sampled_from(["decide", "buy"]), st.integers(0, 5 * DAY), st.sampled_from(CATEGORIES)), max_size=30)


@settings(max_examples=60)
@given(steps=STEPS)
def test_the_engine_counts_the_same_hits_from_the_same_events(steps: list[Step]) -> None:
    showings, history, at = Showings(), OfferHistory(), START

    for number, (what, later, category) in enumerate(steps):
        at += later
        if what == "decide":
            shown = showing(at, category)
            showings.shown(f"d{number}", shown)
            chosen = ChosenOffer(
                offer_id=shown.offer_id,
                placement="till",
                categories=(category,),
                attribution_window_ms=WINDOW,
                shown_when="decided",
            )
            event = OfferDecided(id=f"d{number}", type="offer_decided", time=moment(at), data=Decided(offers=(chosen,)))
            history = HANDLERS["offer_decided"](history, event, at)
        else:
            showings.bought("7", at, [category])
            bought = decode_value(receipt(number, at, category), Millis(at))
            history = HANDLERS["pos_transaction_completed"](history, bought, at)

    assert (history.shown, history.redeemed) == (showings.total, showings.redeemed)


def receipt(number: int, at: int, category: str) -> dict[str, object]:
    return {
        "type": "pos_transaction_completed",
        "time": rfc3339(at),
        "loyalty_id": "7",
        "data": {
            "store": "1",
            "workstation": "1",
            "business_day": "2017-07-14",
            "sequence_number": number,
            "currency": "USD",
            "lines": [{"product_id": "p", "category": category, "amount": 100}],
        },
    }


@settings(max_examples=30)
@given(counts=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30)).map(lambda pair: (pair[0], min(pair))), min_size=1))
def test_an_interval_holds_its_rate_and_stays_between_none_and_all(counts: list[tuple[int, int]]) -> None:
    arm = arm_of("learned", counts)

    low, high = arm.interval
    assert 0.0 <= low <= arm.rate + 1e-9
    assert arm.rate - 1e-9 <= high <= 1.0
    assert arm == arm_of("learned", counts)


def test_more_households_make_a_narrower_interval() -> None:
    few, many = (arm_of("random", [(10, number % 10) for number in range(size)]) for size in (20, 2000))

    assert many.interval[1] - many.interval[0] < 0.3 * (few.interval[1] - few.interval[0])


def test_arms_without_anybody_are_in_the_table_all_the_same() -> None:
    assert [(arm.name, arm.shown, arm.rate) for arm in arms_of(Showings())] == [
        ("learned", 0, 0.0),
        ("frozen", 0, 0.0),
        ("popularity", 0, 0.0),
        ("random", 0, 0.0),
    ]


def some_habits(count: int) -> dict[str, Habit]:
    chance = Random(count)
    return {str(number): Habit(chance.randint(1, 90), chance.random()) for number in range(1, count + 1)}


def test_households_come_in_a_seeded_order_with_equal_and_matched_arms() -> None:
    habits = some_habits(2400)

    order = in_turn(habits, POLICY, 2017)

    assert order == in_turn(dict(reversed(habits.items())), POLICY, 2017) != in_turn(habits, POLICY, 2018)
    assert len(set(order)) == len(order) > 1500
    for size in (8, 40, 400):
        arms = [arm_of_household(household, POLICY) for household in order[:size]]
        assert {arms.count(arm) for arm in POLICY.experiment.variations} == {size // 4}
    for first in range(0, 400, 4):
        group = [habits[household] for household in order[first : first + 4]]
        assert max(one.receipts for one in group) - min(one.receipts for one in group) < 25
        assert max(one.favourite for one in group) - min(one.favourite for one in group) < 0.3


def test_each_simulated_person_is_in_each_arm_once() -> None:
    names = shopper_names(10, POLICY)

    assert len(set(names)) == 40
    arms = list(POLICY.experiment.variations)
    assert [variation_of(f"u:{name}", POLICY)[0] for name in names] == arms * 10


@settings(max_examples=40)
@given(seconds=st.floats(1, 2000), receipts=st.floats(1, 1e5), pairs=st.floats(0.5, 5e3))
def test_a_plan_fits_the_seconds_and_a_faster_machine_does_no_less(seconds: float, receipts: float, pairs: float) -> None:
    households = 600
    shared = [62] * households, [31] * households

    planned, faster = (plan(seconds, Rates(receipts * by, pairs * by), *shared) for by in (1.0, 2.0))

    assert planned.load_s <= LONGEST_LOAD_S
    assert planned.load_s + planned.replay_s <= max(seconds, 1.0 + LONGEST_LOAD_S)
    assert LEAST_HOUSEHOLDS <= planned.households <= faster.households <= households


def test_the_followed_household_is_of_the_learned_arm() -> None:
    order = in_turn(some_habits(400), POLICY, 1)

    followed = richest(order, {name: int(name) for name in order}, "learned", POLICY)

    assert arm_of_household(followed, POLICY) == "learned"


def test_reasons_are_told_in_words_first_what_speaks_for_it() -> None:
    words = in_words({"rfm.recency": 0.1, "affinity.rule_logit": -2.0, "unheard.of": 0.5, "rfm.frequency": -0.01})

    assert words == (
        "unheard.of (+0.50); days since the last purchase (+0.10);"
        " how often they buy it, against how often everybody does (-2.00)"
    )


@pytest.mark.parametrize("seconds", [1.0, 20.0, 150.0])
def test_even_an_hour_glass_of_a_machine_gets_a_few_households(seconds: float) -> None:
    planned = plan(seconds, Rates(1.0, 0.1), [62] * 50, [31] * 50)

    assert planned.households == LEAST_HOUSEHOLDS
    assert planned.shoppers >= 1
