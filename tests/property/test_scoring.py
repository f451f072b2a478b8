"""Serving computes what learning learned, and explains it to the last term."""

import math
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decisioning.offer_features import OFFER_NAMES
from engine.features.affinity import CROSS_NAMES, Promotions, cross_all, strange
from engine.features.vector import NAMES
from engine.models.base import Example, recorded
from engine.models.bgnbd import BgNbd
from engine.models.churn import ChurnLearner
from engine.models.next_best_offer import NextBestOfferLearner, with_popularity
from engine.models.purchase import PurchaseLearner
from engine.models.scoring import ChurnScorer, Known, OfferScorer, PurchaseScorer, arm_fingerprint
from engine.models.snapshot import Numbers, Snapshot, SnapshotMismatch, decode_snapshot, encode_snapshot
from engine.moments import DAY, Millis
from engine.profiles.browsing import Browsing, InCart
from engine.profiles.habits import Habits
from engine.profiles.offer_history import OfferHistory, Tally
from engine.profiles.profile import Part
from engine.profiles.purchases import Purchases

CUSTOMER = ("rfm.recency", "rfm.known", "rfm.trips_56d", "service.open_complaints")
HISTORY = ("rfm.recency", "rfm.tenure", "rfm.frequency")
OFFER = ("offer.discount_share", "offer.margin")
CROSS = ("affinity.rule_logit", "affinity.days_since", "affinity.popularity")
FINGERPRINT = arm_fingerprint("f", OFFER, CROSS)
SEEDS = st.integers(0, 2**32 - 1)


def vectors(seed: int, count: int, size: int) -> Numbers:
    drawn = np.random.default_rng(seed).lognormal(1.0, 1.0, (count, size))
    return drawn.astype(np.float32).astype(np.float64)


def example(vector: Numbers, label: float, number: int, model: str, fingerprint: str, offer_id: str = "") -> Example:
    return Example(model, str(number), "u:1", 0, 1, label, fingerprint, recorded(vector), offer_id)


def a_churn_learner(seed: int, count: int = 700) -> ChurnLearner:
    learner = ChurnLearner(CUSTOMER, "f")
    labels = np.random.default_rng(seed).random(count) < 0.3
    rows = vectors(seed, count, len(CUSTOMER))
    learner.learn([example(rows[at], float(labels[at]), at, "churn", "f") for at in range(count)])
    return learner


def an_offer_learner(seed: int, count: int = 60) -> NextBestOfferLearner:
    learner = NextBestOfferLearner(CUSTOMER, OFFER, CROSS, FINGERPRINT)
    rows = vectors(seed, count, len(CUSTOMER) + len(OFFER) + len(CROSS))
    labels = np.random.default_rng(seed).random(count) < 0.2
    learner.learn(
        [example(rows[at], float(labels[at]), at, "next_best_offer", FINGERPRINT, f"offer-{at % 5}") for at in range(count)]
    )
    return learner


GOODS = tuple("abcdef")
HABITS = st.dictionaries(st.sampled_from(GOODS), st.tuples(st.integers(0, 40), st.integers(1, 3)))


@st.composite
def parts(draw: st.DrawFn) -> Part:
    """A customer of a small shop: some goods bought and maybe taken back, some looked at, a cart, offers seen."""
    bought, viewed = Habits(), Habits()
    for name, (day, times) in draw(HABITS).items():
        for _ in range(times):
            bought = bought.seen((name,), day * DAY, 56.0)
        bought = bought.taken_back((name,), day * DAY, 56.0, {}) if draw(st.booleans()) else bought
    for name, (day, times) in draw(HABITS).items():
        for _ in range(times):
            viewed = viewed.seen((name,), day * DAY, 7.0)
    cart = tuple(InCart(category=name) for name in draw(st.lists(st.sampled_from(GOODS), max_size=2)))
    seen = draw(st.dictionaries(st.sampled_from(["offer-0", "offer-3"]), st.builds(Tally, shown=st.integers(0, 60))))
    return Part(
        purchases=Purchases(categories=bought), browsing=Browsing(viewed=viewed, cart=cart), offers=OfferHistory(tallies=seen)
    )


def a_learner_of_all_readings() -> NextBestOfferLearner:
    fingerprint = arm_fingerprint("f", OFFER_NAMES, CROSS_NAMES)
    learner = NextBestOfferLearner(NAMES, OFFER_NAMES, CROSS_NAMES, fingerprint)
    rows = vectors(5, 80, len(NAMES) + len(OFFER_NAMES) + len(CROSS_NAMES))
    learner.learn([example(rows[at], float(at % 4 == 0), at, "next_best_offer", fingerprint) for at in range(len(rows))])
    return learner


def published(snapshot: Snapshot) -> Snapshot:
    return decode_snapshot(encode_snapshot(snapshot))


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_churn_is_served_as_it_was_learned_and_its_terms_add_up(seed: int) -> None:
    learner = a_churn_learner(seed)
    scorer = ChurnScorer(CUSTOMER, published(learner.publish()))
    vector = vectors(seed + 1, 1, len(CUSTOMER))[0]

    served = scorer.probability(vector)
    terms = scorer.contributions(vector)

    assert scorer.status == "ready"
    assert served == pytest.approx(float(learner.logit.probability(vector)), rel=1e-12)
    assert math.log(served / (1 - served)) == pytest.approx(sum(terms.values()) + learner.logit.weights[0], rel=1e-9)
    assert set(terms) == set(CUSTOMER)


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_offers_are_served_as_they_were_learned_and_their_terms_add_up(seed: int) -> None:
    learner = an_offer_learner(seed)
    snapshot = published(learner.publish())
    scorer = OfferScorer(snapshot, FINGERPRINT)
    rows = vectors(seed + 1, 6, len(CUSTOMER) + len(OFFER) + len(CROSS))
    rows[:, : len(CUSTOMER)] = rows[0, : len(CUSTOMER)]
    customer, offers, cross = rows[0, :4], rows[:, 4:6], rows[:, 6:]
    ids = [f"offer-{at}" for at in range(6)]

    probabilities = scorer.score(customer, offers, cross, ids)

    own = dict(zip(snapshot.facts["offers"], snapshot.arrays["offer_intercepts"], strict=True))  # type: ignore[arg-type]
    logits = learner.logit.logit(rows) + np.array([own.get(offer_id, 0.0) for offer_id in ids])
    assert np.log(probabilities / (1 - probabilities)) == pytest.approx(np.clip(logits, -30, 30), rel=1e-9, abs=1e-9)
    for at, offer_id in enumerate(ids):
        terms = scorer.contributions(customer, offers[at], cross[at], offer_id)
        assert sum(terms.values()) + snapshot.arrays["weights"][0] == pytest.approx(logits[at], rel=1e-9, abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.lists(st.booleans(), min_size=6, max_size=6))
def test_offers_left_out_change_nothing_for_the_others(seed: int, kept: list[bool]) -> None:
    scorer = OfferScorer(an_offer_learner(seed).publish())
    rows = vectors(seed + 1, 6, len(OFFER) + len(CROSS))
    customer = vectors(seed + 2, 1, len(CUSTOMER))[0]
    prepared = scorer.prepare([f"offer-{at}" for at in range(6)], rows[:, :2])

    everything = scorer.score_prepared(customer, prepared, rows[:, 2:])
    some = scorer.score_prepared(customer, prepared[kept], rows[kept, 2:])

    assert some == pytest.approx(everything[kept], rel=1e-12)


TAUGHT = OfferScorer(a_learner_of_all_readings().publish())


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    shoppers=st.lists(parts(), min_size=1, max_size=4),
    promoted=st.lists(st.lists(st.sampled_from(GOODS), unique=True, max_size=3), min_size=4, max_size=8),
)
def test_what_is_taken_for_granted_of_strangers_moves_no_score(shoppers: list[Part], promoted: list[list[str]]) -> None:
    promotions = Promotions([f"offer-{at}" for at in range(len(promoted))], promoted)
    crowd = promotions.popularity({name: 0.02 * (at + 1) for at, name in enumerate(GOODS)})
    customers, nows = vectors(3, len(shoppers), len(NAMES)), [Millis(50 * DAY)] * len(shoppers)
    strangers = TAUGHT.strangers(strange(promotions, crowd))

    crossed = cross_all(shoppers, promotions, crowd, nows)
    odds = TAUGHT.odds(customers, crossed.rows, crossed.whose, Known(strangers, crossed.kind, crossed.known))

    assert odds == pytest.approx(TAUGHT.odds(customers, crossed.rows, crossed.whose), rel=1e-9)
    for at, one in enumerate(shoppers):
        alone = cross_all([one], promotions, crowd, nows[:1])
        known = Known(strangers, alone.kind, alone.known)
        mine = TAUGHT.odds(customers[at : at + 1], alone.rows, alone.whose, known)
        assert (odds[crossed.row[at]] == mine[alone.row[0]]).all()


@settings(deadline=None)
@given(st.lists(st.floats(-7, 7), min_size=1, max_size=10))
def test_without_a_snapshot_the_rule_answers(logits: list[float]) -> None:
    cross = np.zeros((len(logits), 3))
    cross[:, 0] = logits

    cold, unlearned = OfferScorer(), OfferScorer(NextBestOfferLearner(CUSTOMER, OFFER, CROSS, FINGERPRINT).publish())

    for scorer in (cold, unlearned):
        probabilities = scorer.score(np.zeros(4), np.zeros((len(logits), 2)), cross)
        assert probabilities == pytest.approx(1 / (1 + np.exp(-np.array(logits))))
    assert cold.contributions(np.zeros(4), np.zeros(2), cross[0]) == {"affinity.rule_logit": logits[0]}


def test_too_few_labels_say_warming_up_and_the_prior_answers() -> None:
    names = (*CUSTOMER, "rfm.tenure", "rfm.frequency")
    scorer = ChurnScorer(names, a_churn_learner(1, count=40).publish())
    often, seldom = np.array([2.0, 1.0, 8.0, 0.0, 300.0, 90.0]), np.array([2.0, 1.0, 0.5, 0.0, 300.0, 4.0])

    assert scorer.status == ChurnScorer(names).status == "warming_up"
    assert scorer.contributions(often) == {}
    assert 0.0 < scorer.probability(often) < 0.15 < scorer.probability(seldom) < 1.0
    assert ChurnScorer(("rfm.recency",)).probability(np.array([3.0])) == 0.5


@settings(deadline=None)
@given(count=st.integers(0, 400), tenure=st.floats(0, 3650), recency=st.floats(0, 3650))
def test_before_labels_churn_and_purchase_over_the_same_days_are_opposites(count: int, tenure: float, recency: float) -> None:
    vector = np.array([recency, tenure, float(count)])

    stays, buys = ChurnScorer(HISTORY, None, 7.0).probability(vector), PurchaseScorer(HISTORY).probability(vector)

    assert stays + buys == pytest.approx(1.0)
    assert 0.0 <= buys <= 1.0


def test_the_prior_knows_silence_and_the_population() -> None:
    lately, long_ago = np.array([5.0, 200.0, 20.0]), np.array([150.0, 200.0, 20.0])
    eager = BgNbd(r=5.0, alpha=5.0, a=0.1, b=10.0)

    assert ChurnScorer(HISTORY).probability(lately) < 0.2 < 0.8 < ChurnScorer(HISTORY).probability(long_ago)
    newcomer = np.array([0.0, 0.0, 1.0])
    assert PurchaseScorer(HISTORY, population=eager).probability(newcomer) > PurchaseScorer(HISTORY).probability(newcomer)


def test_purchase_is_served_as_it_was_learned() -> None:
    learner = PurchaseLearner(CUSTOMER, "f")
    labels = np.random.default_rng(5).random(700) < 0.6
    rows = vectors(5, 700, len(CUSTOMER))
    learner.learn([example(rows[at], float(labels[at]), at, "purchase", "f") for at in range(700)])
    scorer = PurchaseScorer(CUSTOMER, published(learner.publish()))

    assert (scorer.status, scorer.horizon_days) == ("ready", 7.0)
    assert scorer.probability(rows[0]) == pytest.approx(float(learner.logit.probability(rows[0])), rel=1e-12)
    with pytest.raises(SnapshotMismatch):
        ChurnScorer(CUSTOMER, learner.publish())


def test_newcomers_get_the_prior_until_newcomers_have_been_learned() -> None:
    names = (*CUSTOMER, "rfm.tenure", "rfm.frequency")

    def scorer(newcomers: int) -> ChurnScorer:
        learner, chance = ChurnLearner(names, "f"), np.random.default_rng(9)
        rows = vectors(9, 1300, len(names))
        rows[:, -1] = np.where(np.arange(1300) < newcomers, 1.0, 9.0)
        labels = chance.random(1300) < 0.4
        learner.learn([example(row, float(label), 1, "churn", "f") for row, label in zip(rows, labels, strict=True)])
        return ChurnScorer(names, published(learner.publish()))

    newcomer, regular = np.array([5.0, 0.3, 1.0, 0.0, 20.0, 2.0]), np.array([5.0, 0.3, 1.0, 0.0, 20.0, 3.0])
    for among, known in ((scorer(400), False), (scorer(700), True)):
        assert among.status == "ready"
        assert (among.probability(newcomer) == among.prior(newcomer)) is not known
        assert bool(among.contributions(newcomer)) is known
        assert among.probability(regular) != among.prior(regular)


def test_the_shops_own_customers_make_the_prior() -> None:
    scorer, newcomer = PurchaseScorer(HISTORY), np.array([0.0, 0.0, 1.0])

    eager = scorer.among(BgNbd(r=5.0, alpha=5.0, a=0.1, b=10.0))

    assert eager.probability(newcomer) > scorer.probability(newcomer)


def test_a_new_reading_does_not_break_an_older_snapshot_and_a_lost_one_does() -> None:
    snapshot = a_churn_learner(2).publish()
    vector = vectors(3, 1, 4)[0]

    wider = ChurnScorer(("rfm.new", *CUSTOMER), snapshot).probability(np.array([9.0, *vector]))

    assert wider == ChurnScorer(CUSTOMER, snapshot).probability(vector)
    with pytest.raises(SnapshotMismatch, match="open_complaints"):
        ChurnScorer(CUSTOMER[:3], snapshot)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"arrays": {}},
        {"facts": {}},
        {"name": "churn"},
        {"fingerprint": "other"},
    ],
)
def test_a_snapshot_that_does_not_fit_is_refused(spoilt: dict[str, object]) -> None:
    snapshot = msgspec.structs.replace(an_offer_learner(1).publish(), **spoilt)

    with pytest.raises(SnapshotMismatch):
        OfferScorer(snapshot, FINGERPRINT)


def test_weights_that_are_not_finite_are_refused() -> None:
    snapshot = an_offer_learner(1).publish()
    weights = snapshot.arrays["weights"].copy()
    weights[3] = np.nan

    with pytest.raises(SnapshotMismatch, match="weights"):
        OfferScorer(msgspec.structs.replace(snapshot, arrays={**snapshot.arrays, "weights": weights}), FINGERPRINT)


def test_popularity_rides_along_with_the_offers() -> None:
    snapshot = with_popularity(an_offer_learner(1).publish(), {"tea": 0.25, "coffee": 0.5})

    assert OfferScorer(published(snapshot)).popularity == {"coffee": 0.5, "tea": 0.25}
    assert OfferScorer().popularity == {}


def test_serving_needs_neither_river_nor_scipy() -> None:
    asked = "import sys, engine.models.scoring; sys.exit(bool({'river', 'scipy'} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0
