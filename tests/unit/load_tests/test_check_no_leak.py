"""Leaks of the future give themselves away, on receipts of a small shop; the year of real ones is asked by the command."""

from pathlib import Path

import numpy as np
import orjson
import pytest
from rich.progress import Progress

from engine.models.base import Example
from engine.moments import DAY, WEEK
from flows.evaluate_events import opened
from flows.evaluate_terms import Terms
from flows.replay_source import EventFile
from load_tests.check_no_leak import checked, shuffled
from tests.builders import START, order


def example(customer: str, week: int, label: float) -> Example:
    return Example("churn", f"{customer}|{week}", customer, week * WEEK, (week + 4) * WEEK, label, "f", b"")


def a_shop(path: Path, customers: int, weeks: int) -> Path:
    """Orders of customers with a pace of their own who now and then stay away for long: as many in every week."""
    chance = np.random.default_rng(3)
    orders: list[tuple[int, str]] = []
    for customer in range(customers):
        pace, at = chance.gamma(2.0, 5.0) + 3.0, float(chance.uniform(0, 14))
        while at < 7 * weeks:
            orders.append((int(START + at * DAY), f"c-{customer}"))
            at += chance.exponential(pace) + (chance.random() < 0.06) * chance.uniform(20, 60)
    with path.open("wb") as file:
        for number, (when, name) in enumerate(sorted(orders)):
            file.write(orjson.dumps(order(f"o-{number}", name, when)) + b"\n")
    return path


@pytest.mark.slow
def test_the_model_knows_nothing_that_it_cannot_know(tmp_path: Path) -> None:
    with Progress(disable=True) as progress:
        log = opened(EventFile(a_shop(tmp_path / "shop.ndjson", customers=100, weeks=39)), Terms(), progress)
        found = checked(log, 0, progress)

    assert abs(found.shuffled.value - 0.5) < 0.05
    assert found.later.value <= found.plain.value + 0.01
    assert all(one.scores > 30 and one.different == 0 for one in found.shortened)


def test_shuffling_keeps_the_labels_of_each_boundary() -> None:
    drawn = np.random.default_rng(1).random(300) < 0.3
    examples = [example(f"u:{at}", at % 3, float(label)) for at, label in enumerate(drawn)]

    mixed = shuffled(examples, 3)

    for week in range(3):
        assert sorted(one.label for one in mixed[week::3]) == sorted(one.label for one in examples[week::3])
    assert [one.label for one in mixed] != [one.label for one in examples]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_seed_shuffles_the_same(seed: int) -> None:
    examples = [example(f"u:{at}", 0, float(at % 2)) for at in range(40)]

    assert shuffled(examples, seed) == shuffled(examples, seed)
