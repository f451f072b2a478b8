"""The shared offer model: it starts at the rule, and what an offer has of its own stays small and bounded."""

import math

import numpy as np
import pytest

from engine.models.base import Example, recorded
from engine.models.evaluation import log_loss
from engine.models.legible import terms_of
from engine.models.next_best_offer import OFFER_VARIANCE, TOLD_EVERY, NextBestOfferLearner
from engine.models.scoring import OfferScorer, arm_fingerprint
from engine.models.snapshot import Numbers

CUSTOMER = ("rfm.recency", "rfm.trips_56d")
OFFER = ("offer.discount_share",)
CROSS = ("affinity.rule_logit", "affinity.days_since")
FINGERPRINT = arm_fingerprint("f", OFFER, CROSS)


def a_learner(max_offers: int = 100) -> NextBestOfferLearner:
    return NextBestOfferLearner(CUSTOMER, OFFER, CROSS, FINGERPRINT, max_offers=max_offers)


def example(vector: Numbers, label: float, offer_id: str = "o", propensity: float = 0.2) -> Example:
    return Example("next_best_offer", "id", "u:1", 0, 1, label, FINGERPRINT, recorded(vector), offer_id, propensity)


def some_vectors(count: int, seed: int = 1) -> Numbers:
    chance = np.random.default_rng(seed)
    drawn = chance.lognormal(size=(count, 5))
    drawn[:, 3] = chance.normal(-2.0, 1.5, count)
    return drawn.astype(np.float32).astype(np.float64)


def test_before_any_label_it_is_the_rule() -> None:
    vectors = some_vectors(20)

    logits = a_learner().logit.logit(vectors)

    assert logits == pytest.approx(vectors[:, 3])


def test_it_gets_better_than_the_rule_where_the_rule_is_wrong() -> None:
    chance, learner = np.random.default_rng(2), a_learner()
    vectors = some_vectors(6000)
    truth = 1 / (1 + np.exp(-(0.6 * vectors[:, 3] - 1.0 + 0.8 * np.log1p(vectors[:, 2]))))
    labels = (chance.random(6000) < truth).astype(np.float64)

    learner.learn([example(vector, label) for vector, label in zip(vectors[:5000], labels[:5000], strict=True)])

    scored = OfferScorer(learner.publish()).score(vectors[0, :2], vectors[:1, 2:3], vectors[:1, 3:], ["o"])
    learned = learner.logit.probability(vectors[5000:])
    rule = 1 / (1 + np.exp(-vectors[5000:, 3]))
    assert log_loss(labels[5000:], learned) < log_loss(labels[5000:], rule) - 0.03
    assert log_loss(labels[5000:], learned) < log_loss(labels[5000:], truth[5000:]) + 0.01
    assert scored.shape == (1,)


def test_two_offers_with_the_same_readings_come_apart() -> None:
    learner, vector = a_learner(), some_vectors(1)[0]
    for _ in range(60):
        learner.learn([example(vector, 1.0, "good"), example(vector, 0.0, "bad")])
    scorer = OfferScorer(learner.publish())

    readings = (vector[:2], np.tile(vector[2:3], (3, 1)), np.tile(vector[3:], (3, 1)))
    good, fresh, bad = scorer.score(*readings, ["good", "fresh", "bad"])

    assert good > fresh > bad
    assert abs(scorer.contributions(vector[:2], vector[2:3], vector[3:], "good")["offer.itself"]) < 6 * math.sqrt(OFFER_VARIANCE)


def test_what_was_not_drawn_is_not_learned() -> None:
    learner = a_learner()

    learner.learn([example(some_vectors(1)[0], 1.0, propensity=propensity) for propensity in (0.0, -1.0, 1.5, math.nan)])

    assert learner.version == 0
    assert learner.report().ignored == 4


def test_the_offer_learned_longest_ago_makes_room() -> None:
    learner, vector = a_learner(max_offers=3), some_vectors(1)[0]

    for offer_id in ("a", "b", "c", "a", "d"):
        learner.learn([example(vector, 1.0, offer_id)])

    assert learner.publish().facts["offers"] == ["a", "c", "d"]


def of_many(deviation: float, labels: int = 6000) -> NextBestOfferLearner:
    """A learner of 40 offers that differ by so much and by nothing that is read of them."""
    chance, learner = np.random.default_rng(7), a_learner()
    own = deviation * chance.standard_normal(40)
    vectors, shown = some_vectors(labels), chance.integers(0, 40, labels)
    truth = 1 / (1 + np.exp(-(vectors[:, 3] + 1.0 + own[shown])))
    drawn = zip(vectors, (chance.random(labels) < truth).astype(float), shown, strict=True)
    learner.learn([example(vector, label, f"o-{number}") for vector, label, number in drawn])
    return learner


def test_how_much_offers_differ_by_themselves_is_learned_from_the_offers() -> None:
    alike, apart = of_many(0.05), of_many(1.0)

    assert alike.spread < 0.5 * OFFER_VARIANCE < 2.0 * OFFER_VARIANCE < apart.spread


def test_what_was_learned_of_an_offer_stays_when_the_spread_is_told_anew() -> None:
    learner, vector = a_learner(), some_vectors(1)[0]
    for _ in range(TOLD_EVERY - 1):
        learner.learn([example(vector, 1.0, "good")])
    before = learner.publish().arrays

    learner.learn([example(vector, 1.0, "good")])

    after = learner.publish().arrays
    told = [arrays["offer_intercepts"][0] / arrays["offer_variances"][0] for arrays in (before, after)]
    assert learner.spread != OFFER_VARIANCE
    assert told[0] == pytest.approx(told[1], rel=0.02)
    assert 0.0 < after["offer_variances"][0] < learner.spread


def with_clicks(clicks: bool, labels: int = 1500, rate: float = -3.0, placement: str = "home") -> NextBestOfferLearner:
    """Redemptions are rare; clicks are many and come for the same reason."""
    chance, learner = np.random.default_rng(11), a_learner()
    vectors = some_vectors(labels)
    wish = 0.5 * vectors[:, 3] + 1.5 * np.log1p(vectors[:, 2])
    taken, clicked = (chance.random(labels) < 1 / (1 + np.exp(-(wish + level))) for level in (rate, rate + 2.5))
    learner.learn(
        [
            Example(
                "next_best_offer", f"d|o|{placement}", "u:1", 0, 1, float(one), FINGERPRINT, recorded(vector), "o", 0.2, click
            )
            for vector, one, click in zip(vectors, taken, (clicked & clicks).tolist(), strict=True)
        ]
    )
    return learner


def test_clicks_tell_of_redemptions_that_are_rare() -> None:
    vectors = some_vectors(4000, seed=5)
    truth = 1 / (1 + np.exp(-(0.5 * vectors[:, 3] + 1.5 * np.log1p(vectors[:, 2]) - 3.0)))

    with_them, without = (with_clicks(clicks).logit.probability(vectors) for clicks in (True, False))

    assert np.corrcoef(with_them, truth)[0, 1] > np.corrcoef(without, truth)[0, 1]


def test_a_placement_where_nobody_clicks_gives_no_hints() -> None:
    silent, untaught = with_clicks(clicks=False), a_learner()
    untaught.click_weight = 0.0

    chance = np.random.default_rng(3)
    drawn = [example(vector, float(chance.random() < 0.3)) for vector in some_vectors(200)]
    never_clicked = a_learner()
    never_clicked.learn(drawn)
    untaught.learn(drawn)

    assert silent.publish().facts["clicks"] == {}
    assert (never_clicked.logit.weights == untaught.logit.weights).all()


def test_what_is_clicked_is_a_hint_and_no_label() -> None:
    learner = with_clicks(clicks=True)

    assert learner.version == 1500
    assert learner.report().positives < 500
    assert learner.publish().facts["clicks"]["home"] == pytest.approx(2.5, abs=0.7)  # type: ignore[index,call-overload]


def test_how_likely_a_click_is_goes_by_the_placement_and_by_how_likely_the_offer_is_taken() -> None:
    snapshot = with_clicks(clicks=True).publish()
    scorer = OfferScorer(snapshot, FINGERPRINT)

    rare, usual = scorer.click_probability("home", 0.02), scorer.click_probability("home", 0.1)

    assert rare is not None
    assert usual is not None
    assert 0.02 < rare < usual < 1.0
    assert scorer.click_probability("till", 0.1) is None
    assert OfferScorer(None).click_probability("home", 0.1) is None
    assert terms_of(snapshot)["clicks on home"] == pytest.approx(math.log(usual / (1 - usual)) - math.log(0.1 / 0.9))
