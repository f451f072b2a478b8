"""What stands further down is looked at less; a model that knows the place does not blame the offer."""

import numpy as np

from engine.decisioning.offer_features import EXAMINATION, OFFER_NAMES, examination
from engine.models.base import Example, recorded
from engine.models.next_best_offer import NextBestOfferLearner
from engine.models.scoring import OfferScorer

EXAMINED = (1.0, 0.6, 0.4)
"""How often each place is looked at."""


def taught(knows_places: bool) -> OfferScorer:
    """Two offers that are equally good; one mostly stands first, the other mostly last."""
    chance = np.random.default_rng(4)
    learner = NextBestOfferLearner((), OFFER_NAMES, ("affinity.rule_logit",), "f")
    examples = []
    for number in range(6_000):
        offer = ("first", "last")[number % 2]
        usual, place = (0, 2)[number % 2], int(chance.integers(3))
        place = usual if chance.random() < 0.6 else place
        readings = np.zeros(len(OFFER_NAMES) + 1)
        readings[EXAMINATION] = examination(1 + place * knows_places)
        readings[-1] = -1.4
        taken = float(chance.random() < 0.2 * EXAMINED[place])
        examples.append(Example("next_best_offer", f"e-{number}", "u:1", 0, 1, taken, "f", recorded(readings), offer, 0.5))
    learner.learn(examples)
    return OfferScorer(learner.publish(), "f")


def judged(scorer: OfferScorer) -> list[float]:
    """Both offers as in the first place."""
    offers, both = np.zeros((2, len(OFFER_NAMES))), np.full((2, 1), -1.4)
    return [float(chance) for chance in scorer.score(np.zeros(0), offers, both, ["first", "last"])]


def test_an_offer_is_not_worse_for_having_stood_further_down() -> None:
    first, last = judged(taught(knows_places=True))
    blamed_first, blamed_last = judged(taught(knows_places=False))

    assert last > 0.85 * first
    assert blamed_last < 0.7 * blamed_first


def test_an_offer_is_judged_as_in_the_first_place() -> None:
    first, last = judged(taught(knows_places=True))

    assert abs(first - 0.2) < 0.03
    assert abs(last - 0.2) < 0.05
