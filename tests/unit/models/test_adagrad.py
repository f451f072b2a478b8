"""The challenger of the churn model: River inside, the champion's scorer outside."""

import numpy as np
import pytest

from engine.models.adagrad import AdaGradLearner
from engine.models.base import Example, recorded
from engine.models.scoring import ChurnScorer
from engine.models.snapshot import Numbers, SnapshotMismatch, decode_snapshot, encode_snapshot

NAMES = ("rfm.recency", "rfm.frequency", "rfm.trips_28d", "offers.shown_7d")


def rows_of(seed: int, count: int) -> Numbers:
    rows = np.random.default_rng(seed).lognormal(1.0, 1.0, (count, len(NAMES)))
    rows[:, -1] = 0.0
    return rows.astype(np.float32).astype(np.float64)


def a_learner(count: int = 800) -> AdaGradLearner:
    learner, rows = AdaGradLearner(NAMES, "f"), rows_of(1, count)
    labels = rows[:, 0] > rows[:, 2]
    learner.learn(
        [
            Example("churn", str(at), "u:1", 0, 1, float(label), "f", recorded(row))
            for at, (row, label) in enumerate(zip(rows, labels, strict=True))
        ]
    )
    return learner


def test_the_scorer_says_what_river_says() -> None:
    learner = a_learner()
    scorer = ChurnScorer(NAMES, decode_snapshot(encode_snapshot(learner.publish())))
    chosen = [NAMES.index(name) for name in learner.readings]

    assert scorer.status == "ready"
    for row in rows_of(2, 50):
        river = learner.pipeline.predict_proba_one(learner.told(row[chosen]))[True]
        assert scorer.probability(row) == pytest.approx(river, rel=1e-9)


def test_it_learns_what_there_is_to_learn() -> None:
    learner = a_learner(2000)

    assert learner.report().auc is not None
    assert learner.report().auc > 0.85  # type: ignore[operator]
    assert learner.name == "churn.adagrad"


def test_a_state_of_another_horizon_is_refused() -> None:
    with pytest.raises(SnapshotMismatch, match="horizon"):
        AdaGradLearner(NAMES, "f", 28.0).from_state(AdaGradLearner(NAMES, "f", 7.0).state())


def test_after_drift_it_follows_faster() -> None:
    steady, loosened = a_learner(), a_learner()
    loosened.loosen()
    example = Example("churn", "x", "u:1", 0, 1, 1.0, "f", recorded(np.array([1.0, 5.0, 9.0, 0.0])))
    before = steady.publish().arrays["weights"]

    steady.learn([example])
    loosened.learn([example])

    moved = [np.abs(one.publish().arrays["weights"][1:] - before[1:]).sum() for one in (steady, loosened)]
    assert moved[1] > 1.5 * moved[0]
