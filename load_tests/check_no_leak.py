"""Whether anything of the future reaches a churn score, tried on a year of real baskets.

- Labels shuffled among the customers of one boundary tell nothing, so nothing can be learned: AUC .5.
- With every event from an instant on deleted, the scores at that instant are the same to the last bit.
- Labels that come four weeks later than they do make no score better.

It takes some minutes; `--quick` takes every eighth household.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

import numpy as np
from msgspec import Struct, to_builtins
from msgspec.structs import replace
from rich.console import Console
from rich.progress import Progress

from engine.features.vector import FINGERPRINT, INDEX, NAMES, NO_REQUEST, read_packed
from engine.models.base import Example, numbers_of
from engine.models.churn import ChurnLearner
from engine.models.evaluation import Figure, Rows, auc, difference, intervals
from engine.moments import WEEK, Millis, rfc3339
from engine.shards.labels import ChurnRule
from flows.evaluate_churn import Collected, Predictions, collect, predict
from flows.evaluate_events import Log, Walk, opened, rows_of, told
from flows.evaluate_terms import Terms
from load_tests.anchors import ACTIVE_DAYS
from load_tests.households import source

HORIZON_DAYS: Final = 28
CUTS_WEEKS: Final = (20, 33)
"""Weeks after which everything is deleted."""

LATER_WEEKS: Final = 4
TOLERANCE: Final = 0.02


class Shortened(Struct, frozen=True):
    """One instant, how many customers were scored at it, and how many of their scores differ."""

    at: str
    scores: int
    different: int


class Found(Struct, frozen=True):
    """All checks."""

    plain: Figure
    shuffled: Figure
    later: Figure
    later_minus_plain: Figure
    shortened: list[Shortened]

    def mistakes(self) -> list[str]:
        """What went wrong, in words; nothing where nothing did."""
        told_of = [
            ("labels shuffled inside a week can be foretold", abs(self.shuffled.value - 0.5) > TOLERANCE),
            ("labels that come later give better scores", self.later.value > self.plain.value),
            *((f"scores at {one.at} know what came later", one.different > 0) for one in self.shortened),
            *((f"nobody was scored at {one.at}", one.scores == 0) for one in self.shortened),
        ]
        return [words for words, wrong in told_of if wrong]


def shuffled(examples: list[Example], seed: int) -> list[Example]:
    """The examples with the labels of each boundary dealt out anew."""
    chance = np.random.default_rng(seed)
    together: dict[int, list[int]] = {}
    for place, example in enumerate(examples):
        together.setdefault(example.opened_at, []).append(place)
    labels = [example.label for example in examples]
    for places in together.values():
        dealt = chance.permutation([labels[place] for place in places]).tolist()
        for place, label in zip(places, dealt, strict=True):
            labels[place] = label
    return [replace(example, label=label) for example, label in zip(examples, labels, strict=True)]


def later(examples: list[Example], weeks: int) -> list[Example]:
    """The examples as if their labels were known only some weeks after they are."""
    return [replace(example, closed_at=example.closed_at + weeks * WEEK) for example in examples]


def scored(examples: list[Example], progress: Progress) -> Predictions:
    """All examples, each by what was known when it was opened."""
    learner = ChurnLearner(NAMES, FINGERPRINT, float(HORIZON_DAYS))
    return predict(Collected(examples, 0, 0, 0.0), learner, HORIZON_DAYS, progress)


def shortened(log: Log, cut: int, whole: Predictions, progress: Progress) -> Shortened:
    """Scores at `cut` from a log that ends before it, beside those from all of it."""
    short = replace(log, until=cut)
    walk = Walk(ChurnRule(horizon_days=HORIZON_DAYS, phase_ms=log.start % WEEK), log.lateness_ms)
    closed: list[Example] = []
    task = progress.add_task(f"until {rfc3339(cut)[:10]}", total=None)
    for sent in short.batches():
        walk.fold(walk.admit(sent))
        closed += walk.examples()
        progress.advance(task, len(sent))
    there = [one for one in whole.examples if one.opened_at == cut]
    vectors = [read_packed(walk.profile(one.customer), NO_REQUEST, Millis(cut)) for one in there]
    walk.reach(cut)
    closed += walk.examples()
    known = [one for one in closed if one.model == "churn" and one.closed_at <= cut]
    open_there = [replace(one, vector=vector) for one, vector in zip(there, vectors, strict=True)]
    again = scored([*known, *open_there], progress)
    before = {one.id: score for one, score in zip(whole.examples, whole.scores.tolist(), strict=True)}
    pairs = [
        (before[one.id], score) for one, score in zip(again.examples, again.scores.tolist(), strict=True) if one.opened_at == cut
    ]
    return Shortened(rfc3339(cut), len(pairs), sum(one != other for one, other in pairs))


def checked(log: Log, seed: int, progress: Progress) -> Found:
    """All checks on one log."""
    examples = collect(log, HORIZON_DAYS, progress).examples
    plain, dealt, late = (scored(one, progress) for one in (examples, shuffled(examples, seed), later(examples, LATER_WEEKS)))
    recency = INDEX["rfm.recency"]
    active = log.counted(plain.examples) & np.array([numbers_of(one)[recency] < ACTIVE_DAYS for one in plain.examples])
    rows, others, of_dealt = (rows_of(one.examples, one.scores, active) for one in (plain, late, dealt))
    return Found(
        plain=_auc(rows, seed),
        shuffled=_auc(of_dealt, seed),
        later=_auc(others, seed),
        later_minus_plain=difference(auc, rows.labels, others.scores, rows.scores, rows.customers, seed=seed),
        shortened=[shortened(log, log.start + weeks * WEEK, plain, progress) for weeks in CUTS_WEEKS],
    )


def _auc(rows: Rows, seed: int) -> Figure:
    return intervals(rows.labels, rows.scores, rows.customers, seed=seed, metrics={"auc": auc})["auc"]


def main() -> int:
    """0, or 1 where something of the future reaches a score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="every eighth household")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with Progress(console=Console(stderr=True)) as progress:
        found = checked(opened(source(asked.quick), Terms(seed=asked.seed), progress), asked.seed, progress)
    print(f"AUC as it is                        {told(found.plain)}")
    print(f"AUC, labels shuffled inside a week  {told(found.shuffled)}   (.5 ± {TOLERANCE})")
    print(f"AUC, labels {LATER_WEEKS} weeks later           {told(found.later)}   difference {told(found.later_minus_plain)}")
    for one in found.shortened:
        print(f"log cut at {one.at}: {one.different:,} of {one.scores:,} scores differ")
    mistakes = found.mistakes()
    print("no leak" if not mistakes else "LEAK: " + "; ".join(mistakes))
    if asked.json:
        asked.json.write_text(json.dumps(to_builtins(found), indent=2) + "\n")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
