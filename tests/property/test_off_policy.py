"""Off-policy estimates against a world whose truth is known."""

import math

import numpy as np
import pytest

from engine.models.off_policy import LEAST_REWARDS, Verdict, doubly_robust, snips
from engine.models.snapshot import Numbers

ARMS = 10


class Log:
    """Decisions of a soft policy over ten offers whose reward depends on the customer."""

    def __init__(self, seed: int, count: int = 8000, softness: float = 2.0) -> None:
        chance = np.random.default_rng(seed)
        taste = chance.normal(size=(count, ARMS))
        self.truth = 1.0 / (1.0 + np.exp(2.0 - taste))
        self.propensities = soft(taste[:, ::-1], 1.0 / softness)
        self.target = soft(taste, 1.0)
        self.chosen = (self.propensities.cumsum(axis=1) > chance.random((count, 1))).argmax(axis=1)
        self.rewards = (chance.random(count) < self.of(self.truth)).astype(np.float64)
        self.model = np.clip(self.truth * chance.uniform(0.6, 1.2, self.truth.shape), 0.0, 1.0)

    def of(self, matrix: Numbers) -> Numbers:
        return np.asarray(matrix[np.arange(len(self.chosen)), self.chosen])

    @property
    def weights(self) -> Numbers:
        return self.of(self.target) / self.of(self.propensities)

    @property
    def worth(self) -> float:
        """What the other way of choosing would really bring."""
        return float((self.target * self.truth).sum(axis=1).mean())

    def snips(self) -> Verdict:
        return snips(self.weights, self.rewards)

    def doubly_robust(self) -> Verdict:
        return doubly_robust(self.weights, self.rewards, self.of(self.model), (self.target * self.model).sum(axis=1))


def soft(scores: Numbers, sharpness: float) -> Numbers:
    raised = np.exp(sharpness * scores)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def test_both_estimates_are_near_the_truth_where_the_plain_mean_is_far_off() -> None:
    logs = [Log(seed) for seed in range(40)]
    worth = np.array([log.worth for log in logs])

    def error(values: list[float]) -> float:
        return float(np.sqrt(np.mean((np.array(values) / worth - 1.0) ** 2)))

    assert error([float(log.rewards.mean()) for log in logs]) > 0.25
    assert error([log.snips().value for log in logs]) < 0.05
    assert error([log.doubly_robust().value for log in logs]) < 0.034


def test_the_interval_covers_the_truth_and_a_model_makes_it_narrower() -> None:
    logs = [Log(seed, 4000) for seed in range(60)]

    for estimate in (Log.snips, Log.doubly_robust):
        verdicts = [(estimate(log), log.worth) for log in logs]
        assert sum(verdict.lower <= worth <= verdict.upper for verdict, worth in verdicts) >= 57
    assert logs[0].doubly_robust().upper - logs[0].doubly_robust().lower < logs[0].snips().upper - logs[0].snips().lower


def test_doubly_robust_is_right_with_a_wrong_model() -> None:
    log = Log(3, 20_000)
    wrong = np.full_like(log.truth, 0.5)

    verdict = doubly_robust(log.weights, log.rewards, log.of(wrong), (log.target * wrong).sum(axis=1))

    assert verdict.value == pytest.approx(log.worth, rel=0.05)


def test_a_log_judged_by_its_own_policy_is_its_mean() -> None:
    log = Log(4, 3000)

    verdict = snips(np.ones(3000), log.rewards)

    assert verdict.value == pytest.approx(float(log.rewards.mean()))
    assert (verdict.effective, verdict.refused) == (1.0, "")


def test_a_verdict_that_a_few_decisions_carry_is_refused() -> None:
    weights = np.zeros(5000)
    weights[:400] = 12.5

    verdict = snips(weights, np.ones(5000))

    assert "effective sample is 8.0%" in verdict.refused


def test_a_verdict_on_few_rewards_is_refused() -> None:
    rewards = np.zeros(5000)
    rewards[: LEAST_REWARDS - 1] = 1.0

    assert "299 decisions brought a reward" in snips(np.ones(5000), rewards).refused


def test_nothing_decided_is_no_verdict() -> None:
    for verdict in (snips(np.zeros(0), np.zeros(0)), snips(np.zeros(5), np.ones(5))):
        assert verdict.refused
        assert math.isnan(verdict.value)
