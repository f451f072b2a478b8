"""Does the churn model know what it cannot know? Three questions to which a leak would give itself away.

* Labels are shuffled among those who were scored at the same boundary: nothing is left to be known, so AUC is one half.
* Labels are those of the same customer four weeks later: further away is not easier, so AUC is no higher than for the true ones
  of the same rows.
* Every event from a boundary on is deleted: what was scored until then is the same to the last bit.

`python -m load_tests.check_leaks` asks them of a year of real receipts (some minutes); exit code 1 where one answer is wrong.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from msgspec.structs import replace
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from engine.features.vector import FINGERPRINT, INDEX, NAMES
from engine.models.base import Example, numbers_of
from engine.models.churn import ChurnLearner
from engine.models.evaluation import auc
from engine.moments import DAY, WEEK
from flows.evaluate_churn import Collected, Predictions, collect, predict
from flows.evaluate_events import Log, opened
from flows.evaluate_terms import Terms
from flows.replay_source import Source, source_of

NOTHING: Final = 0.5
TOLERANCE: Final = 0.02
LATER_WEEKS: Final = 4
CUT_WEEKS: Final = 26


def shuffled(examples: Sequence[Example], seed: int = 0) -> list[Example]:
    """The same examples, labels drawn anew among those of one boundary."""
    chance = np.random.default_rng(seed)
    places: dict[int, list[int]] = {}
    for place, example in enumerate(examples):
        places.setdefault(example.opened_at, []).append(place)
    labels = np.zeros(len(examples))
    for together in places.values():
        labels[together] = chance.permutation([examples[place].label for place in together])
    return [replace(example, label=float(label)) for example, label in zip(examples, labels, strict=True)]


def later(examples: Sequence[Example], weeks: int = LATER_WEEKS) -> list[Example]:
    """The examples of which a label so many weeks later exists, with that label, which closes so much later."""
    apart = weeks * WEEK
    labels = {(example.customer, example.opened_at): example.label for example in examples}
    return [
        replace(example, label=labels[example.customer, example.opened_at + apart], closed_at=example.closed_at + apart)
        for example in examples
        if (example.customer, example.opened_at + apart) in labels
    ]


def predicted(examples: list[Example], horizon_days: int, progress: Progress) -> Predictions:
    """What a fresh learner said of each example before it learned any label that was still open."""
    learner = ChurnLearner(NAMES, FINGERPRINT, float(horizon_days))
    return predict(Collected(examples, 0, 0, 0.0), learner, horizon_days, progress)


def auc_of(log: Log, predictions: Predictions, only: frozenset[str] | None = None) -> float:
    """Over the scores that count of customers who were active; with `only`, of these examples."""
    recency = INDEX["rfm.recency"]
    active = np.array([numbers_of(one)[recency] < 28.0 for one in predictions.examples], dtype=bool)
    wanted = np.array([only is None or one.id in only for one in predictions.examples], dtype=bool)
    chosen = log.counted(predictions.examples) & active & wanted
    labels = np.array([one.label for one in predictions.examples])
    return auc(labels[chosen], predictions.scores[chosen])


def answers(
    source: Source, horizon_days: int, progress: Progress, cut_weeks: int = CUT_WEEKS, tolerance: float = TOLERANCE
) -> Iterator[tuple[str, str, bool]]:
    """Each question with what was found, and whether that is as it has to be. Chance alone moves the AUC of n rows by 1/√n."""
    log = opened(source, Terms(horizon_days=horizon_days), progress)
    examples = collect(log, horizon_days, progress).examples
    true = predicted(examples, horizon_days, progress)
    nothing = auc_of(log, predicted(shuffled(examples), horizon_days, progress))
    yield "labels shuffled within a boundary", f"AUC {nothing:.4f}", abs(nothing - NOTHING) <= tolerance
    further = later(examples)
    rows = frozenset(example.id for example in further)
    near, far = auc_of(log, true, rows), auc_of(log, predicted(further, horizon_days, progress))
    yield f"labels {LATER_WEEKS} weeks later", f"AUC {far:.4f}, true labels {near:.4f}", far <= near
    cut = log.start + cut_weeks * WEEK
    shorter = opened(source, Terms(horizon_days=horizon_days, since=log.since, until=cut), progress)
    before = predicted(collect(shorter, horizon_days, progress).examples, horizon_days, progress)
    scores = {one.id: score for one, score in zip(true.examples, true.scores, strict=True)}
    same = sum(scores.get(one.id) == score for one, score in zip(before.examples, before.scores, strict=True))
    told = f"{same:,} of {len(before.examples):,} scores are the same to the last bit"
    yield f"no events from day {cut_weeks * WEEK // DAY} on", told, same == len(before.examples) > 0


def main() -> int:
    """0 where every answer is as it has to be, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--data", default="complete-journey")
    parser.add_argument("--horizon", type=int, default=28)
    asked = parser.parse_args()
    table = Table("question", "found", "as it has to be")
    fine = True
    with Progress(console=Console(stderr=True)) as progress:
        for question, found, right in answers(source_of(asked.data), asked.horizon, progress):
            table.add_row(question, found, "yes" if right else "NO")
            fine = fine and right
    Console().print(table)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
