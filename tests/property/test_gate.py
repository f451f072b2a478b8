"""The gate: a challenger that is no better is hardly ever let through, however often one looks; a better one is, soon."""

import numpy as np
import pytest

from engine.models.base import Report
from engine.models.evaluation import calibration_error
from engine.models.gate import LEAST_LABELS, MARGIN, Evidence, beyond_chance, objection
from engine.models.snapshot import Numbers

GOOD_REPORT = Report("churn.adagrad", calibration_error=0.01, window=4096, base_rate=0.2)
PEEK = 100


def believed(truth: Numbers, noise: float, chance: np.random.Generator) -> Numbers:
    """What a model that errs by so much in its logits says."""
    logits = np.log(truth / (1.0 - truth)) + chance.normal(0.0, noise, len(truth))
    return np.asarray(1.0 / (1.0 + np.exp(-logits)))


def course(seed: int, served: float, challenger: float, count: int = 6000) -> tuple[Numbers, Numbers, Numbers]:
    chance = np.random.default_rng(seed)
    truth = chance.beta(0.8, 4.0, count).clip(0.01, 0.99)
    labels = (chance.random(count) < truth).astype(np.float64)
    return believed(truth, served, chance), believed(truth, challenger, chance), labels


def lowest_objection_at(seed: int, served: float, challenger: float) -> int | None:
    """After how many labels the challenger is let through first, looking every hundred labels."""
    ours, theirs, labels = course(seed, served, challenger)
    evidence = Evidence()
    for start in range(0, len(labels), PEEK):
        part = slice(start, start + PEEK)
        evidence = evidence.and_(ours[part], theirs[part], labels[part])
        if not objection(evidence, GOOD_REPORT):
            return evidence.labels
    return None


def test_of_300_equal_challengers_looked_at_again_and_again_hardly_any_is_let_through() -> None:
    let_through = sum(lowest_objection_at(seed, 0.3, 0.3) is not None for seed in range(300))

    assert let_through <= 0.05 * 300


def test_a_better_challenger_is_let_through() -> None:
    after = [lowest_objection_at(seed, 0.8, 0.2) for seed in range(20)]

    assert all(count is not None and LEAST_LABELS <= count <= 4000 for count in after)


def test_the_bound_stays_below_the_improvement_and_closes_in_on_it() -> None:
    ours, theirs, labels = course(1, 0.8, 0.2)
    some = Evidence().and_(ours[:1000], theirs[:1000], labels[:1000])
    all_of_them = Evidence().and_(ours, theirs, labels)

    assert some.lower() < some.improvement
    assert all_of_them.improvement - all_of_them.lower() < some.improvement - some.lower()
    assert all_of_them.lower(overlap=4.0) < all_of_them.lower()
    assert Evidence().lower() == float("-inf")


@pytest.mark.parametrize(
    ("evidence", "report", "words"),
    [
        (Evidence(), GOOD_REPORT, "at least 1000 are needed"),
        (Evidence(5000, 0.5, 5.0), GOOD_REPORT, "lower 95 % bound"),
        (Evidence(5000, 5000.0, 5001.0), Report("x", calibration_error=0.03), "calibration error is 0.0300"),
        (Evidence(5000, 5000.0, 5001.0), Report("x"), "calibration error is unknown"),
        (Evidence(5000, 5000.0, 5001.0), GOOD_REPORT, ""),
    ],
)
def test_the_objection_says_what_is_missing(evidence: Evidence, report: Report, words: str) -> None:
    told = objection(evidence, report)

    assert words in told
    assert bool(told) == bool(words)
    assert MARGIN > 0.0


def test_an_exactly_right_model_has_hardly_any_calibration_error_beyond_chance() -> None:
    errors = []
    for seed in range(40):
        chance = np.random.default_rng(seed)
        truth = chance.beta(0.8, 2.0, 4096)
        labels = (chance.random(4096) < truth).astype(np.float64)
        errors.append(beyond_chance(calibration_error(labels, truth), 4096, float(labels.mean())))

    assert max(errors) < 0.015
    assert beyond_chance(0.05, 4096, 0.2) == pytest.approx(0.0454, abs=1e-3)
    assert beyond_chance(0.03, 0, 0.0) == 0.03
