"""The churn model's own promises beside those of every learner."""

import numpy as np
import pytest

from engine.features.vector import FINGERPRINT, NAMES
from engine.models.base import Example, recorded
from engine.models.churn import ChurnLearner
from engine.models.snapshot import SnapshotMismatch


def example(recency: float, label: float) -> Example:
    vector = np.zeros(len(NAMES))
    vector[NAMES.index("rfm.recency")] = recency
    return Example("churn", "id", "u:1", 0, 1, label, FINGERPRINT, recorded(vector))


def test_figures_are_of_customers_who_were_active_when_scored() -> None:
    learner = ChurnLearner(NAMES, FINGERPRINT, activity_days=28)

    learner.learn([example(recency, 1.0) for recency in (3.0, 27.9, 28.0, 300.0)])

    assert learner.version == 4
    assert learner.report().window == 2


def test_longer_silence_is_learned_as_more_churn() -> None:
    learner, chance = ChurnLearner(NAMES, FINGERPRINT), np.random.default_rng(3)
    for _ in range(1500):
        recency = float(chance.uniform(0, 60))
        learner.learn([example(recency, float(chance.random() < recency / 70))])

    vectors = np.zeros((3, len(learner.logit.layout.names)))
    vectors[:, learner.logit.layout.names.index("rfm.recency")] = (1.0, 20.0, 55.0)
    week, month, long_gone = learner.logit.probability(vectors)

    assert week < month < long_gone
    assert long_gone > 0.6


def test_a_state_of_another_horizon_is_refused() -> None:
    with pytest.raises(SnapshotMismatch, match="horizon"):
        ChurnLearner(NAMES, FINGERPRINT, 28.0).from_state(ChurnLearner(NAMES, FINGERPRINT, 7.0).state())
