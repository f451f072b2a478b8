"""The learners against offers of known chances: what is new, what drifts, and answers that are lies."""

import numpy as np
import pytest

from engine.models.evaluation import auc
from engine.models.journal import encode_example
from engine.models.lineup import Lineup
from engine.models.next_best_offer import NextBestOfferLearner
from engine.models.roster import ROSTER
from engine.models.scoring import NEXT_BEST_OFFER, OfferScorer
from load_tests.shoppers.shelf import Shelf

CUSTOMERS = 400
FINGERPRINT = "shelf"


def learner(shelf: Shelf) -> NextBestOfferLearner:
    return NextBestOfferLearner(*shelf.names(), FINGERPRINT)


def shown(shelf: Shelf, week: int) -> np.ndarray:
    """An even draw over what is there."""
    there = np.nonzero(shelf.there(week))[0]
    return np.asarray(there[shelf.chance("shown", week).integers(0, len(there), CUSTOMERS)])


def taught(shelf: Shelf, weeks: range, model: NextBestOfferLearner | None = None) -> NextBestOfferLearner:
    model = model or learner(shelf)
    for week in weeks:
        some = shown(shelf, week)
        propensity = 1.0 / int(shelf.there(week).sum())
        model.learn(shelf.examples(shelf.traits(CUSTOMERS), some, week, FINGERPRINT, propensity))
    return model


def scores(shelf: Shelf, model: NextBestOfferLearner, offer: int) -> np.ndarray:
    """What the published numbers say of one offer for everybody."""
    traits = shelf.traits(CUSTOMERS)
    vectors = shelf.readings(traits, [offer] * CUSTOMERS)
    sizes = [len(names) for names in shelf.names()]
    customer, about, both = np.split(vectors, np.cumsum(sizes)[:2], axis=1)
    scorer = OfferScorer(model.publish(), FINGERPRINT)
    name = [f"offer-{offer}"]
    rows = [(customer[row], about[row : row + 1], both[row : row + 1]) for row in range(CUSTOMERS)]
    return np.array([scorer.score(one, offers, cross, name)[0] for one, offers, cross in rows])


def regret(shelf: Shelf, model: NextBestOfferLearner, week: int) -> tuple[float, float, float]:
    """The mean chance of the offers that the model puts first, of the best ones, and of an even draw."""
    truth = shelf.probability(shelf.traits(CUSTOMERS), week)
    offers = np.nonzero(shelf.there(week))[0]
    table = np.stack([scores(shelf, model, int(offer)) for offer in offers], axis=1)
    chosen = truth[np.arange(CUSTOMERS), offers[table.argmax(axis=1)]]
    return float(chosen.mean()), float(truth[:, offers].max(axis=1).mean()), float(truth[:, offers].mean())


def test_the_same_seed_gives_the_same_shelf_and_an_offer_is_there_when_it_has_come() -> None:
    one, other = Shelf(4, (0, 0, 5)), Shelf(4, (0, 0, 5))
    traits = one.traits(30)

    np.testing.assert_array_equal(one.probability(traits, 3), other.probability(traits, 3))
    assert one.there(4).tolist() == [True, True, False]
    assert one.there(5).tolist() == [True, True, True]
    np.testing.assert_array_equal(one.answers(one.probability(traits, 3), 3), other.answers(other.probability(traits, 3), 3))


def test_lies_are_told_in_their_weeks_only() -> None:
    honest, liar = Shelf(5, (0, 0)), Shelf(5, (0, 0), poisoned=(3, 4), lies=1.0)
    chances = honest.probability(honest.traits(200), 3)

    np.testing.assert_array_equal(liar.answers(chances, 3), 1.0 - honest.answers(chances, 3))
    np.testing.assert_array_equal(liar.answers(chances, 4), honest.answers(chances, 4))


def test_learning_comes_close_to_the_best_there_is() -> None:
    shelf = Shelf(11, (0,) * 8)

    learned, best, even = regret(shelf, taught(shelf, range(20)), 20)

    assert learned - even > 0.85 * (best - even)


def test_an_offer_that_nobody_has_seen_scores_from_what_it_promotes_at_once() -> None:
    shelf = Shelf(12, (0,) * 8 + (20,) * 4)
    model = taught(shelf, range(20))

    truth = shelf.probability(shelf.traits(CUSTOMERS), 20)

    for offer in range(8, 12):
        assert auc((truth[:, offer] > np.median(truth[:, offer])).astype(float), scores(shelf, model, offer)) > 0.9
    learned, best, even = regret(shelf, model, 20)
    assert learned - even > 0.8 * (best - even)


def test_tastes_that_drift_are_learned_anew() -> None:
    shelf = Shelf(13, (0,) * 8, drifts_at=12)
    stale = taught(shelf, range(12))
    before, best, even = regret(shelf, stale, 12)

    after, *_ = regret(shelf, taught(shelf, range(12, 40), stale), 40)

    assert before - even < 0.5 * (best - even)
    assert after - even > 0.7 * (best - even)


@pytest.mark.parametrize("seed", [14, 15, 16])
def test_of_poisoned_answers_the_last_good_version_comes_back_within_500_once(seed: int) -> None:
    shelf = Shelf(seed, (0,) * 8, poisoned=(20, 24), lies=0.8)
    lineup = Lineup(lambda: {NEXT_BEST_OFFER: learner(shelf)}, {NEXT_BEST_OFFER: ROSTER[NEXT_BEST_OFFER]})
    guard = lineup.guards[NEXT_BEST_OFFER]
    frozen_after: list[int] = []
    told = 0
    for week in range(30):
        examples = shelf.examples(shelf.traits(CUSTOMERS), shown(shelf, week), week, FINGERPRINT, 0.125)
        for start in range(0, len(examples), 50):
            lineup.take([encode_example(one) for one in examples[start : start + 50]])
            lineup.settle(week)
            told += 50 * (week >= 20)
            if guard.frozen and not frozen_after:
                frozen_after.append(told)

    assert 0 < frozen_after[0] <= 500
    assert guard.rollbacks == 1
    assert 4_000 < lineup.served_version(guard) <= 20 * CUSTOMERS
