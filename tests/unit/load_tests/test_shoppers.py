"""The simulated shoppers are the same for the same seed, and do what their truth says."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import config
from engine.errors import Rejected
from engine.events.decode import decode_value
from engine.moments import DAY, WEEK, Millis
from load_tests.shoppers.driver import promotions_of
from load_tests.shoppers.truth import Truth
from load_tests.shoppers.visit import Ask, Outcome, Shown, Tell, visit
from load_tests.shoppers.world import Arrival, Promotion, Shopper, World

CATEGORIES = ("milk", "bread", "cheese", "soup", "eggs", "tea")
OFFERS = [Promotion(f"{name}-10", (name,), 50 + 10 * index) for index, name in enumerate(CATEGORIES)]
OFFERS.append(Promotion("breakfast", ("bread", "tea"), 120))
START = Millis(1_500_000_000_000)

Answer = Callable[[Ask], Shown | None]


def played(world: World, arrival: Arrival, answer: Answer) -> tuple[list[Tell | Ask], Outcome]:
    steps = visit(world, arrival)
    told: list[Tell | Ask] = []
    reply: Shown | None = None
    while True:
        try:
            step = steps.send(reply) if told else next(steps)
        except StopIteration as end:
            return told, end.value
        told.append(step)
        reply = answer(step) if isinstance(step, Ask) else None


def always(offer_id: str) -> Answer:
    return lambda _: Shown("d-1", offer_id)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), shoppers=st.integers(1, 12))
def test_the_same_seed_gives_the_same_people_and_the_same_visits(seed: int, shoppers: int) -> None:
    one, other = World(seed, OFFERS, shoppers), World(seed, OFFERS, shoppers)

    assert one.shoppers == other.shoppers
    arrivals = list(one.arrivals(START, START + 4 * WEEK))
    assert arrivals == list(other.arrivals(START, START + 4 * WEEK))
    for arrival in arrivals[:5]:
        assert played(one, arrival, always("breakfast")) == played(other, arrival, always("breakfast"))


def test_twins_are_one_person_with_names_of_their_own() -> None:
    names = [f"{person}-{twin}" for person in range(6) for twin in "abcd"]
    world = World(9, OFFERS, 24, twins=4, names=names)
    arrivals = list(world.arrivals(START, START + 3 * WEEK))

    assert [shopper.user_id for shopper in world.shoppers] == names
    for first in range(0, 24, 4):
        ones = [[(one.at, one.number) for one in arrivals if one.shopper == first + twin] for twin in range(4)]
        assert ones[0] == ones[1] == ones[2] == ones[3]
    for arrival in arrivals[:20]:
        twin = Arrival(arrival.at, arrival.shopper // 4 * 4, arrival.number)
        assert played(world, arrival, always("tea-10"))[1] == played(world, twin, always("tea-10"))[1]


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_more_shoppers_do_not_change_those_who_were_there(seed: int) -> None:
    few, many = World(seed, OFFERS, 5), World(seed, OFFERS, 50)

    assert many.shoppers[:5] == few.shoppers


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_no_policy_is_worth_more_than_the_optimum(seed: int, data: st.DataObject) -> None:
    world = World(seed, OFFERS, 6)
    showing = st.tuples(st.integers(0, 5), st.sampled_from([*world.promotions, "unknown"]))

    worth = Truth(world).worth(data.draw(st.lists(showing, min_size=1, max_size=40)))

    assert 0.0 <= worth.accepted <= worth.accepted_best + 1e-9
    assert 0.0 <= worth.caused <= worth.caused_best + 1e-9
    assert worth.accepted_even <= worth.accepted_best
    assert worth.captured <= 1.0 + 1e-9


def test_the_best_offer_for_each_shopper_captures_everything_and_an_even_draw_nothing() -> None:
    world = World(3, OFFERS, 40)
    truth = Truth(world)
    best = truth.worth((row, truth.offers[column]) for row, column in enumerate(truth.accepted.argmax(axis=1)))
    even = truth.worth((row, offer) for row in range(40) for offer in truth.offers)
    popular = truth.worth((row, truth.most_popular()) for row in range(40))

    assert best.captured == pytest.approx(1.0)
    assert even.captured == pytest.approx(0.0, abs=1e-9)
    assert 0.0 < popular.captured < 1.0


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32), offer=st.sampled_from(OFFERS))
def test_chances_are_chances_and_an_offer_never_lowers_a_sale(seed: int, offer: Promotion) -> None:
    shopper = World(seed, OFFERS, 1).shoppers[0]

    for chance in (shopper.interest(offer), shopper.click(offer), shopper.swayed(offer), shopper.hazard):
        assert 0.0 <= chance <= 1.0
    assert shopper.interest(offer) <= shopper.accepted(offer) <= 1.0


def test_visits_come_out_as_often_as_the_truth_says() -> None:
    world = World(11, OFFERS, 1)
    person = Shopper(0, {"milk": 0.3, "tea": 0.2}, 0.9, 0.0, 1.0)
    world.shoppers = (person,)
    offer = world.promotions["breakfast"]

    outcomes = [played(world, Arrival(START, 0, number), always("breakfast"))[1] for number in range(4_000)]

    error = 4 * 0.5 / np.sqrt(len(outcomes))
    assert np.mean([one.bought for one in outcomes]) == pytest.approx(person.accepted(offer), abs=error)
    assert np.mean([one.caused for one in outcomes]) == pytest.approx(person.caused(offer), abs=error)
    assert np.mean([one.clicked for one in outcomes]) == pytest.approx(person.click(offer), abs=error)


def test_a_shopper_likes_the_same_things_whatever_is_shown() -> None:
    world = World(5, OFFERS, 10)
    arrivals = list(world.arrivals(START, START + 2 * WEEK))

    for arrival in arrivals:
        with_offer, without = (played(world, arrival, answer)[1] for answer in (always("soup-10"), lambda _: None))
        assert without.spend_minor <= with_offer.spend_minor
        assert not without.caused


def test_everybody_leaves_in_the_end_and_not_before_their_time() -> None:
    world = World(7, OFFERS, 60)
    until = START + 400 * WEEK

    arrivals = list(world.arrivals(START, until))

    assert arrivals == sorted(arrivals)
    assert arrivals[0].at >= START
    assert arrivals[-1].at < until
    last = {arrival.shopper: arrival.at for arrival in arrivals}
    assert len([at for at in last.values() if at < until - 60 * WEEK]) > 20
    assert all(0.0 <= shopper.stays(28) < 1.0 for shopper in world.shoppers)


def test_the_door_takes_everything_a_visit_sends() -> None:
    world = World(2, OFFERS, 25)

    for arrival in world.arrivals(START, START + WEEK):
        steps, _ = played(world, arrival, always("milk-10"))
        events = [event for step in steps if isinstance(step, Tell) for event in step.events]
        assert len({event["id"] for event in events}) == len(events)
        assert [event["time"] for event in events] == sorted(event["time"] for event in events)
        for event in events:
            assert not isinstance(decode_value(event, Millis(START + 30 * DAY)), Rejected)


def test_the_demo_catalogue_gives_the_shoppers_their_offers() -> None:
    promotions = promotions_of(Path(config.__file__).parent / "catalogue_demo")

    assert len(promotions) == 40
    assert all(offer.margin_minor > 0 for offer in promotions)


def test_a_generator_is_named_by_what_it_is_for() -> None:
    world = World(1, OFFERS, 1)

    assert isinstance(world.chance("a"), Random)
    assert world.chance("a").random() == world.chance("a").random() != world.chance("b").random()
