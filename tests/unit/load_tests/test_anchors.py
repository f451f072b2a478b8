"""The anchors beside our models: none of them knows a label before it has closed, and the checks for that check something."""

from collections import Counter

import numpy as np
import pytest

from engine.features.vector import FINGERPRINT, INDEX, NAMES
from engine.models.base import Example, recorded
from engine.models.evaluation import Figure, auc
from engine.moments import WEEK
from load_tests import anchors
from load_tests.check_no_leak import Found, Shortened, later, shuffled

WEEKS, CUSTOMERS, HORIZON = 14, 90, 2


def examples() -> list[Example]:
    """Who has been away for longer than they use to stay away for good, mostly."""
    chance = np.random.default_rng(4)
    found = []
    for week in range(WEEKS):
        for customer in range(CUSTOMERS):
            vector = chance.random(len(NAMES))
            recency = float(chance.gamma(2.0, 6.0))
            frequency, tenure = float(chance.integers(1, 30)), recency + float(chance.integers(1, 200))
            for name, value in (("recency", recency), ("frequency", frequency), ("tenure", tenure)):
                vector[INDEX[f"rfm.{name}"]] = value
            label = float(chance.random() < 1.0 / (1.0 + np.exp(3.0 - recency / 5.0)))
            opened, closed = week * WEEK, (week + HORIZON) * WEEK
            name = f"u:{customer}"
            found.append(Example("churn", f"{name}|{opened}", name, opened, closed, label, FINGERPRINT, recorded(vector)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", anchors.ANCHORS)
def test_an_anchor_learns_closed_labels_only(name: str) -> None:
    told = examples()
    rows = anchors.rows_of(told)
    cut = 10 * WEEK
    changed = rows.labels.copy()
    changed[rows.closed_at > cut] = 1.0 - changed[rows.closed_at > cut]

    scores = anchors.ANCHORS[name](rows, 14.0)
    others = anchors.ANCHORS[name](anchors.Rows(rows.vectors, changed, rows.opened_at, rows.closed_at), 14.0)

    assert np.array_equal(scores[rows.opened_at <= cut], others[rows.opened_at <= cut])


def test_anchors_that_learn_find_what_there_is() -> None:
    rows = anchors.rows_of(examples())
    counted = rows.opened_at >= 9 * WEEK

    for name in ("LightGBM, weekly", "River AdaGrad", "recency rule"):
        scores = anchors.ANCHORS[name](rows, 14.0)
        assert auc(rows.labels[counted], scores[counted]) > 0.7


def test_shuffled_labels_stay_in_their_week_and_their_number() -> None:
    told = examples()

    dealt = shuffled(told, seed=1)

    def counts(some: list[Example]) -> Counter[tuple[int, float]]:
        return Counter((one.opened_at, one.label) for one in some)

    assert counts(dealt) == counts(told)
    assert [one.id for one in dealt] == [one.id for one in told]
    assert sum(one.label != other.label for one, other in zip(dealt, told, strict=True)) > len(told) / 10


def test_later_labels_only_close_later() -> None:
    one = examples()[0]

    assert later([one], 4)[0].closed_at == one.closed_at + 4 * WEEK
    assert later([one], 4)[0].label == one.label


def test_each_kind_of_leak_is_named() -> None:
    good, half = Figure(0.86, 0.85, 0.87), Figure(0.5, 0.49, 0.51)
    clean = Found(good, half, Figure(0.85, 0.84, 0.86), half, [Shortened("t", 100, 0)])
    leaking = Found(good, Figure(0.6, 0.5, 0.7), Figure(0.87, 0.8, 0.9), half, [Shortened("t", 0, 0), Shortened("s", 9, 1)])

    assert clean.mistakes() == []
    assert len(leaking.mistakes()) == 4
