"""The world for offers is what it says, and the product's learner does in it what it should."""

from functools import cache

import numpy as np
import pytest
from rich.progress import Progress

from engine.decisioning.policy import Arbitration
from flows.evaluate_events import NothingToMeasure, opened
from flows.evaluate_offers import Played, Player, evaluate_offers, learner, newcomers, oracle, passed, play
from flows.evaluate_terms import Terms
from flows.offer_world import BY_RULE, CLICKED, EVEN, Scene, World, scene_of
from load_tests.offer_world import START, Households, Launch, launched, small_scene

DECISIONS = 1_600
BUDGET = Arbitration().loss_budget


@cache
def scene() -> Scene:
    return small_scene(3, DECISIONS, households=70)


@cache
def world() -> World:
    return World(scene(), 3)


@cache
def played() -> dict[str, Played]:
    with Progress(disable=True) as progress:
        return play(world(), progress)


@pytest.mark.slow
def test_an_even_draw_and_the_rule_are_taken_as_often_as_the_anchors_say() -> None:
    assert world().truth.mean() == pytest.approx(EVEN, abs=1e-6)
    assert played()["rule"].expected.mean() == pytest.approx(BY_RULE, abs=1e-3)
    assert played()["random"].expected.mean() == pytest.approx(EVEN, abs=0.01)


def test_what_is_drawn_is_taken_as_often_as_the_truth_says() -> None:
    one = played()["random"]

    spread = float(np.sqrt((one.expected * (1 - one.expected)).sum()))
    assert abs(one.taken.sum() - one.expected.sum()) < 4.5 * spread


def test_who_learns_beats_who_does_not_from_the_same_start() -> None:
    later = slice(DECISIONS // 2, None)

    assert played()["learned"].expected[later].mean() > played()["frozen"].expected[later].mean() + 0.003
    assert played()["learned"].expected.mean() < played()["oracle"].expected.mean()
    assert played()["learned"].learned > DECISIONS * 0.9


def test_a_model_that_starts_with_nothing_comes_to_the_rule() -> None:
    cold, rule = played()["cold"].expected, played()["rule"].expected

    assert cold[:100].mean() < rule[:100].mean()
    assert cold[-400:].mean() > 0.95 * rule[-400:].mean()


def test_no_decision_is_expected_to_lose_more_than_the_budget() -> None:
    for name in ("frozen", "learned", "cold"):
        one = played()[name]
        assert (one.lost <= BUDGET * one.best * (1 + 1e-9)).all()
        assert one.lost.max() > 0.0


@pytest.mark.slow
def test_the_same_run_gives_the_same_rewards_to_the_last_bit() -> None:
    with Progress(disable=True) as progress:
        again = Player(world(), "learned", Arbitration(), learner()).play(progress, "again")

    np.testing.assert_array_equal(again.expected, played()["learned"].expected)


@pytest.mark.slow
def test_an_offer_that_begins_later_is_shown_from_its_start_and_costs_little() -> None:
    launch = launched(scene(), 3, DECISIONS // 2)

    before, after = launch.share(-400, 0), launch.share(0, DECISIONS // 2)
    assert not set(launch.new) & set(launch.shown[: DECISIONS // 2])
    assert all(launch.impressions(DECISIONS // 2).values())
    assert after > before - 0.05
    assert after > 0.83


def test_showings_of_new_offers_are_counted_from_their_launch() -> None:
    nothing = Played(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0))
    launch = Launch(nothing, nothing, ["new", "old", "new", "old", "new"], ("new",), 1)

    assert launch.impressions(4) == {"new": 2}
    assert [launch.reached(count) for count in (1, 2, 3)] == [2, 4, None]


def test_the_best_offer_is_one_that_is_there() -> None:
    usual = int(np.bincount(world().best()).argmax())
    late = World(scene(), 3, {usual: DECISIONS})

    assert (late.best() != usual).all()
    assert oracle(late).expected.mean() < oracle(world()).expected.mean()


def test_clicks_are_more_often_than_redemptions_and_for_some_of_the_same_reasons() -> None:
    truth, clicks = world().truth, world().clicks

    assert clicks.mean() == pytest.approx(CLICKED, abs=1e-6)
    assert 0.3 < np.corrcoef(truth.ravel(), clicks.ravel())[0, 1] < 0.95
    assert world().clicked(0, 0) == world().clicked(0, 0)


@pytest.mark.slow
def test_somebody_new_gets_more_of_what_they_like_than_what_is_popular() -> None:
    brought = newcomers(World(small_scene(3, 600, households=60, groups=4), 3))

    assert brought["learned"].mean() > 1.1 * brought["rule"].mean()


def test_who_is_ahead_is_seen_over_a_window() -> None:
    behind = np.full(10, 0.5)

    assert passed(np.array([0.0] * 5 + [1.0] * 5), behind, window=4) == 7
    assert passed(np.zeros(10), behind, window=4) is None


def test_too_little_data_is_said_plainly() -> None:
    with Progress(disable=True) as progress, pytest.raises(NothingToMeasure, match="baskets that count"):
        evaluate_offers(Households(1, households=5, weeks=20), Terms(since=START), progress)


def test_the_seed_picks_the_moments() -> None:
    with Progress(disable=True) as progress:
        log = opened(Households(1, households=20, weeks=14), Terms(since=START), progress)
        one, same, other = (scene_of(log, seed, progress, 100, 10) for seed in (1, 1, 2))

    assert [moment.id for moment in one.moments] == [moment.id for moment in same.moments]
    assert [moment.id for moment in one.moments] != [moment.id for moment in other.moments]
