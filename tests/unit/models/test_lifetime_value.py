"""The learner of value, on a population whose numbers are known."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.models import bgnbd, spend
from engine.models.base import Example, recorded
from engine.models.bgnbd import BgNbd
from engine.models.lifetime_value import (
    BATCH,
    BUYING,
    FINGERPRINT,
    LIFETIME_VALUE,
    MOST_CUSTOMERS,
    LifetimeValueLearner,
    ValueScorer,
    bgnbd_of,
    fitted_buying,
)
from engine.models.likelihood import Climb
from engine.models.snapshot import SnapshotMismatch, State
from engine.moments import DAY
from engine.profiles.purchases import Purchases

TRUTH = BgNbd(r=0.8, alpha=15.0, a=0.7, b=3.5)
START = 1_483_228_800_000


@dataclass(frozen=True)
class Population:
    """Customers who bought as the model says, their mean purchases, and what they did in the year after."""

    repeats: NDArray[np.float64]
    last: NDArray[np.float64]
    age: NDArray[np.float64]
    mean: NDArray[np.float64]
    later: NDArray[np.float64]


def population(size: int, seed: int, truth: BgNbd = TRUTH) -> Population:
    chance = np.random.default_rng(seed)
    rates = chance.gamma(truth.r, 1.0 / truth.alpha, size)
    leaving = chance.beta(truth.a, truth.b, size)
    rows = []
    for rate, leaves in zip(rates, leaving, strict=True):
        age, at, bought, last, later, here = float(chance.uniform(60.0, 400.0)), 0.0, 0, 0.0, 0, True
        while here:
            at += float(chance.exponential(1.0 / rate))
            if at > age + 365.0:
                break
            if at <= age:
                bought, last = bought + 1, at
            else:
                later += 1
            here = bool(chance.random() >= leaves)
        own = 2000.0 * chance.gamma(4.0) / 4.0
        rows.append((bought, last, age, own, later))
    return Population(*np.array(rows, dtype=np.float64).T)


def example(number: int, facts: list[float], day: float = 400.0) -> Example:
    at = START + int(day * DAY)
    name = f"u:{number}"
    return Example(LIFETIME_VALUE, f"{name}|{at}", name, at, at, 0.0, FINGERPRINT, recorded(np.array(facts)))


def examples(people: Population, day: float = 400.0) -> list[Example]:
    rows = zip(people.repeats, people.last, people.age, people.mean, strict=True)
    return [example(number, list(row), day) for number, row in enumerate(rows)]


def loss(model: BgNbd, people: Population) -> float:
    return -float(bgnbd.log_likelihood(model, people.repeats, people.last, people.age).mean())


def best(people: Population) -> BgNbd:
    return bgnbd_of(fitted_buying(BUYING, people.repeats, people.last, people.age))


def test_the_fit_finds_the_numbers_that_made_the_population() -> None:
    people = population(6000, 1)

    found = best(people)

    assert loss(found, people) <= loss(TRUTH, people)
    assert found.r == pytest.approx(TRUTH.r, rel=0.1)
    assert found.alpha == pytest.approx(TRUTH.alpha, rel=0.15)
    assert found.a / (found.a + found.b) == pytest.approx(TRUTH.a / (TRUTH.a + TRUTH.b), rel=0.15)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_three_passes_in_the_stream_come_close_to_the_best_likelihood(seed: int) -> None:
    people, chance = population(2400, 2), np.random.default_rng(seed)
    climb = Climb(BUYING)
    for _ in range(3):
        for batch in np.array_split(chance.permutation(len(people.repeats)), len(people.repeats) // BATCH):
            facts = people.repeats[batch], people.last[batch], people.age[batch]
            climb.step(bgnbd.slopes(bgnbd_of(climb.logs), *facts))

    assert loss(bgnbd_of(climb.logs), people) - loss(best(people), people) < 3e-4


def test_expected_purchases_of_a_population_are_those_it_makes() -> None:
    people = population(6000, 3)

    expected = bgnbd.expected_purchases_many(TRUTH, people.repeats, people.last, people.age, 365.0)

    assert expected.sum() == pytest.approx(people.later.sum(), rel=0.05)
    for share in np.array_split(np.argsort(expected), 5)[1:]:
        assert expected[share].mean() == pytest.approx(people.later[share].mean(), rel=0.25, abs=0.05)


def test_a_day_that_passes_fits_everybody_together() -> None:
    people = population(3000, 4)
    learner = LifetimeValueLearner()

    learner.learn(examples(people))
    learner.learn([example(0, [1.0, 5.0, 30.0, 900.0], day=401.5)])

    assert loss(learner.buying, people) - loss(best(people), people) < 1e-4
    means = people.mean
    assert spend.expected_spend(learner.spending, 1, float(np.median(means))) == pytest.approx(np.mean(means), rel=0.2)


def test_a_customer_counts_once_with_what_was_seen_last() -> None:
    one, other = LifetimeValueLearner(), LifetimeValueLearner()
    newest = example(1, [3.0, 20.0, 40.0, 900.0], day=41.0)

    one.learn([example(1, [2.0, 10.0, 33.0, 900.0], day=34.0), newest])
    other.learn([newest, example(1, [2.0, 10.0, 33.0, 900.0], day=34.0)])

    assert one.publish().facts["customers"] == 1
    assert np.array_equal(one.state().arrays["sample"], other.state().arrays["sample"])


def test_the_sample_has_a_bound_and_does_not_depend_on_the_order() -> None:
    crowd = [example(number, [1.0, 5.0, 30.0, 900.0]) for number in range(MOST_CUSTOMERS + 700)]
    one, other = LifetimeValueLearner(), LifetimeValueLearner()

    one.learn(crowd)
    other.learn(crowd[::-1])

    assert len(one.state().arrays["names"]) == MOST_CUSTOMERS
    assert np.array_equal(one.state().arrays["names"], other.state().arrays["names"])


def test_time_passes_for_those_who_fell_silent() -> None:
    crowd = population(400, 5)
    heard, silent = LifetimeValueLearner(), LifetimeValueLearner()
    heard.learn(examples(crowd))
    silent.learn(examples(crowd))

    heard.learn([example(1_000_000, [0.0, 0.0, 1.0, 900.0], day=402.0)])
    silent.learn([example(1_000_000, [0.0, 0.0, 1.0, 900.0], day=800.0)])

    def alive(learner: LifetimeValueLearner) -> float:
        return bgnbd.alive(learner.buying, 6, 100.0, 130.0)

    assert alive(silent) < alive(heard)


def test_restored_in_the_middle_of_a_batch_it_continues_to_the_last_bit() -> None:
    given_examples = [one for day in (400.0, 401.0, 402.0) for one in examples(population(130, 6), day)]
    whole, half = LifetimeValueLearner(), LifetimeValueLearner()
    whole.learn(given_examples)
    half.learn(given_examples[:201])

    restored = LifetimeValueLearner().from_state(half.state())
    restored.learn(given_examples[201:])

    assert {name: array.tolist() for name, array in restored.state().arrays.items()} == {
        name: array.tolist() for name, array in whole.state().arrays.items()
    }
    assert restored.state().facts == whole.state().facts


def test_nonsense_is_counted_and_left() -> None:
    learner = LifetimeValueLearner()

    learner.learn(
        [example(1, [2.0, 50.0, 40.0, 900.0]), example(2, [-1.0, 0.0, 1.0, 9.0]), example(3, [float("nan"), 0.0, 1.0, 9.0])]
    )

    assert (learner.version, learner.report().unlearnable) == (0, 3)


def test_a_state_of_other_statistics_is_refused() -> None:
    with pytest.raises(SnapshotMismatch):
        LifetimeValueLearner().from_state(State(facts={"fingerprint": "another"}))


def test_what_is_published_scores_as_the_learner_would() -> None:
    learner = LifetimeValueLearner()
    learner.learn(examples(population(200, 7)))
    learner.learn([example(0, [1.0, 5.0, 30.0, 900.0], day=402.0)])
    bought = Purchases(count=3, spend={"EUR": 3000}, first_at=START)

    scorer = ValueScorer(learner.publish())

    now = START + 90 * DAY
    assert scorer.status == "ready"
    assert scorer.expected_purchases(bought, now, 365.0) == pytest.approx(
        bgnbd.expected_purchases(learner.buying, 2, 0.0, 90.0, 365.0), rel=1e-12
    )
    assert scorer.expected_spend(bought) > 0.0
