"""The crowd does what its truth says, the engine counts exactly what the crowd did, and lift finds who can be persuaded."""

import numpy as np
import pytest

from engine.features.vector import FINGERPRINT, NAMES
from engine.models.base import numbers_of
from engine.models.churn import ChurnLearner
from engine.models.evaluation import auc
from engine.models.lift import EVERYTHING, HOLDOUT, added
from engine.models.scoring import ChurnScorer
from engine.moments import WEEK
from engine.store.codec import decode_sums
from load_tests.shoppers.crowd import KINDS, Crowd
from load_tests.shoppers.light import BEGIN, CURRENCY, Shop
from load_tests.shoppers.looks import WEEKS, always_covers, ever_significant, experiment, lifts


def test_the_same_seed_gives_the_same_people_and_another_treatment_the_same_luck() -> None:
    one, other = Crowd(3, 500), Crowd(3, 500)
    everybody, nobody = np.ones(500, dtype=bool), np.zeros(500, dtype=bool)

    np.testing.assert_array_equal(one.play(WEEKS, everybody).amounts, other.play(WEEKS, everybody).amounts)
    with_, without = one.play(WEEKS, everybody), one.play(WEEKS, nobody)
    np.testing.assert_array_equal(with_.gone, without.gone)
    same = np.isin(one.kind, [KINDS.index("sure_thing"), KINDS.index("lost_cause")])
    np.testing.assert_array_equal(with_.amounts[same], without.amounts[same])
    assert (with_.spend >= without.spend)[one.kind == KINDS.index("persuadable")].all()
    assert (with_.spend <= without.spend)[one.kind == KINDS.index("sleeping_dog")].all()


@pytest.mark.parametrize("treated", [False, True])
def test_customers_spend_on_average_what_the_truth_says(treated: bool) -> None:
    crowd = Crowd(5, 40_000)
    played = crowd.play(WEEKS, np.full(40_000, treated))

    error = played.spend - crowd.expected_spend(WEEKS, treated)

    for kind in range(len(KINDS)):
        some = error[crowd.kind == kind]
        assert abs(some.mean()) < 4.0 * some.std() / np.sqrt(len(some))


def test_customers_stay_away_as_often_as_their_hazard_says() -> None:
    crowd = Crowd(6, 40_000)
    played = crowd.play(WEEKS, np.zeros(40_000, dtype=bool))

    silent = played.purchases == 0
    chance = crowd.stays_away(28.0)

    assert silent.mean() == pytest.approx(chance.mean(), abs=0.01)
    low, high = chance < 0.3, chance > 0.7
    assert silent[low].mean() == pytest.approx(chance[low].mean(), abs=0.01)
    assert silent[high].mean() == pytest.approx(chance[high].mean(), abs=0.01)


@pytest.mark.slow
def test_the_engine_counts_exactly_what_the_crowd_did() -> None:
    shop = Shop(Crowd(8, 500), held_out=0.4)
    shop.run()
    crowd = shop.crowd
    held = {
        (campaign, arm): added(
            decode_sums(raw) for sums in shop.store.lift.values() for key, raw in sums.items() if key == (campaign, arm)
        )
        for campaign in (EVERYTHING, *KINDS)
        for arm in (HOLDOUT, "learned")
    }
    both = {arm: held[EVERYTHING, arm].customers for arm in (HOLDOUT, "learned")}

    assert sum(both.values()) == 500
    assert both[HOLDOUT] == pytest.approx(200, abs=50)
    with_, without = (crowd.play(WEEKS, np.full(500, treated)).spend for treated in (True, False))
    before = crowd.play(WEEKS, np.zeros(500, dtype=bool), "before").amounts[:, 1:].sum(axis=(1, 2))
    for campaign in KINDS:
        there = crowd.group == KINDS.index(campaign)
        counted = [held[campaign, arm].money[CURRENCY] for arm in (HOLDOUT, "learned")]
        assert sum(held[campaign, arm].customers for arm in (HOLDOUT, "learned")) == there.sum()
        assert sum(one.x for one in counted) == before[there].sum()
        assert counted[0].y <= without[there].sum()
        assert counted[1].y <= with_[there].sum()
    everything = [held[EVERYTHING, arm].money[CURRENCY] for arm in (HOLDOUT, "learned")]
    treated = shop.treated
    assert everything[0].y == without[~treated].sum()
    assert everything[1].y == with_[treated].sum()
    assert everything[1].yy == pytest.approx((with_[treated] ** 2).sum())
    assert held[EVERYTHING, "learned"].exposed == treated.sum()
    assert held[EVERYTHING, HOLDOUT].exposed == 0


@pytest.mark.slow
def test_who_will_stay_away_is_learned_from_what_customers_do() -> None:
    shop = Shop(Crowd(21, 500), held_out=0.0)
    played, examples = shop.watched(24)
    until = BEGIN + 18 * WEEK
    learner = ChurnLearner(NAMES, FINGERPRINT)
    learner.learn([one for one in sorted(examples, key=lambda one: one.closed_at) if one.closed_at <= until])
    scorer = ChurnScorer(NAMES, learner.publish())
    later = [one for one in examples if one.opened_at >= until]

    labels = np.array([one.label for one in later])
    learned = np.array([scorer.probability(numbers_of(one)) for one in later])
    truth = np.array([shop.stays_away(one, played) for one in later])

    assert scorer.status == "ready"
    assert auc(labels, learned) > auc(labels, truth) - 0.08
    assert learned.mean() == pytest.approx(truth.mean(), abs=0.04)


def test_lift_finds_whom_offers_persuade_and_whom_they_drive_away() -> None:
    crowd = Crowd(9, 24_000)
    treated = crowd.chance("assignment").random(crowd.customers) >= 0.2
    after = crowd.play(WEEKS, treated).spend
    before = crowd.play(WEEKS, np.zeros(crowd.customers, dtype=bool), "before").spend

    found = {}
    for group, kind in enumerate(KINDS):
        there = crowd.group == group
        spend = list(lifts(treated[there], after[there], before[there]))[-1].spend
        assert spend is not None
        assert spend.low <= crowd.effect(WEEKS, there) <= spend.high
        found[kind] = (spend.significant, spend.difference > 0)

    assert found["persuadable"] == (True, True)
    assert found["sleeping_dog"] == (True, False)
    assert not found["sure_thing"][0]
    assert not found["lost_cause"][0]


def test_of_experiments_without_a_difference_at_most_one_in_twenty_ever_finds_one() -> None:
    found = np.array([ever_significant(seed, 2_000, 0.4) for seed in range(100)])

    assert found[:, 0].mean() <= 0.05
    assert found[:, 1].mean() <= 0.05


def test_the_interval_holds_the_truth_at_every_look_in_nineteen_experiments_of_twenty() -> None:
    assert np.mean([always_covers(seed, 2_000, 0.4) for seed in range(100)]) >= 0.95


def test_nothing_is_said_before_there_are_enough_customers() -> None:
    looks = list(experiment(Crowd(1, 1_000), 0.3))

    assert looks[0].refused.startswith("the arm has")
    assert looks[4].spend is None
    assert looks[-1].spend is not None
