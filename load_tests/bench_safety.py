"""What the guard does on a year of real labels: never wrongly alarmed, and how soon poison brings the last good version back.

The weekly labels of the Complete Journey households are taken as the product makes them. Each stream holds half of the
households, drawn anew, and their labels in the order of closing. Each is learned clean to its end, where any alarm is a false
one; and at three moments it is also learned on with poisoned labels. The learner and the guard are the product's.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import numpy as np
from rich.progress import Progress

from engine.models.base import Example
from engine.models.guard import DRIFT
from engine.models.journal import encode_example
from engine.models.lineup import Lineup
from engine.models.roster import ROSTER
from engine.models.scoring import CHURN, PURCHASE
from engine.models.snapshot import Numbers
from flows.evaluate_churn import collect
from flows.evaluate_events import opened
from flows.evaluate_terms import Terms
from flows.learn import product_inputs
from flows.replay_source import source_of

Poison = Callable[[Numbers, np.random.Generator], Numbers]

POISONS: Final[Mapping[str, Poison]] = {
    "all flipped": lambda labels, _: 1.0 - labels,
    "3 in 10 flipped": lambda labels, chance: np.abs(labels - (chance.random(len(labels)) < 0.3)),
    "2 in 10 flipped": lambda labels, chance: np.abs(labels - (chance.random(len(labels)) < 0.2)),
    "all 1": lambda labels, _: np.ones(len(labels)),
    "all 0": lambda labels, _: np.zeros(len(labels)),
    "a coin": lambda labels, chance: (chance.random(len(labels)) < 0.5).astype(np.float64),
    "another's": lambda labels, chance: chance.permutation(labels),
}
RUN: Final = 32
POISONED: Final = 2500
MOMENTS: Final = 3
LEAST_LEARNED: Final = 3000


def lineup(model: str) -> Lineup:
    """The model of the roster alone, with its guard."""
    inputs = product_inputs()
    return Lineup(lambda: {model: ROSTER[model](inputs)})


def copied(course: Lineup, model: str) -> Lineup:
    """A lineup that goes on from here by itself."""
    again, guard, learner = lineup(model), course.guards[model], course.learners[model]
    again.learners[model] = learner.from_state(learner.state())
    again.guards[model].restored(guard.state(learner.report()), guard.numbers)
    return again


def labels_until_good(course: Lineup, model: str, examples: list[Example], poison: Poison, chance: np.random.Generator) -> int:
    """Poisoned labels until the last good version was served; all of them and more where it was not, or not just once."""
    before = course.learners[model].version
    labels = poison(np.array([one.label for one in examples]), chance)
    needed = 0
    for start in range(0, len(examples), RUN):
        pairs = zip(examples[start : start + RUN], labels[start : start + RUN].tolist(), strict=True)
        course.take([encode_example(msgspec.structs.replace(one, label=label)) for one, label in pairs])
        if not needed and course.guards[model].frozen:
            needed = start + RUN
    guard = course.guards[model]
    good = guard.frozen == DRIFT and guard.rollbacks == 1 and guard.pinned is not None and guard.pinned.version <= before
    return needed if good and needed else len(examples) + 1


def measure(examples: list[Example], model: str, streams: int, progress: Progress) -> tuple[int, float, dict[str, list[int]]]:
    """False alarms, the highest level of suspicion on clean labels, and labels until good for each poison."""
    customers = sorted({one.customer for one in examples})
    alarms, highest = 0, 0.0
    needed: dict[str, list[int]] = defaultdict(list)
    task = progress.add_task(model, total=streams)
    for seed in range(streams):
        chance = np.random.default_rng(seed)
        own = set(chance.choice(customers, len(customers) // 2, replace=False).tolist())
        mixed = [(one.closed_at, place, one) for place, one in zip(chance.random(len(examples)), examples, strict=True)]
        stream = [one for _, _, one in sorted(mixed, key=lambda each: each[:2]) if one.customer in own]
        moments = set((chance.integers(LEAST_LEARNED, len(stream) - POISONED, MOMENTS) // RUN * RUN).tolist())
        course = lineup(model)
        for start in range(0, len(stream), RUN):
            if start in moments:
                way = str(chance.choice(list(POISONS)))
                poisoned = stream[start : start + POISONED]
                needed[way].append(labels_until_good(copied(course, model), model, poisoned, POISONS[way], chance))
            course.take([encode_example(one) for one in stream[start : start + RUN]])
            highest = max(highest, course.guards[model].drift.level)
        alarms += course.guards[model].alarms
        progress.advance(task)
    return alarms, highest, needed


def main() -> int:
    """0, or 1 where a clean stream raised an alarm or poison was not over within 500 labels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=5)
    parser.add_argument("--model", choices=(CHURN, PURCHASE), default=CHURN)
    asked = parser.parse_args()
    with Progress(transient=True) as progress:
        log = opened(source_of("complete-journey"), Terms(), progress)
        examples = collect(log, 28, progress, asked.model).examples
        alarms, highest, needed = measure(examples, asked.model, asked.streams, progress)
    print(f"{asked.model}: {asked.streams} clean streams, {alarms} false alarms, highest level {highest:.2f} of 1")
    for way, counts in sorted(needed.items()):
        within = f"{sum(count <= 500 for count in counts)}/{len(counts)} within 500"
        print(f"  {way:16} last good served after {np.median(counts):5.0f} labels, at most {max(counts):5}; {within}")
    return 0 if not alarms and all(count <= 500 for counts in needed.values() for count in counts) else 1


if __name__ == "__main__":
    sys.exit(main())
