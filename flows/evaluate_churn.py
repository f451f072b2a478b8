"""`regulars evaluate churn`: how well those who will stay away are told from those who will come back.

Nothing is computed for the occasion: events pass the door, the shard processor folds them, records readings at each
boundary and closes the labels when their horizon has ended, and the learner of the roster learns them. What is
measured is what is published: before the customers of a boundary are scored, all labels that had closed by then are
learned, a snapshot is made of the learner, and the scorer of the request path answers. No label is used early, and no
example is scored by a model that has learned it.

Every customer is scored at the same weekly boundaries, as published figures of this data are; the live engine staggers
them over the week.
"""

import time

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress
from rich.table import Table

from engine.errors import InvariantBroken
from engine.features.vector import FINGERPRINT, INDEX, NAMES
from engine.models.base import Example, Learner, numbers_of
from engine.models.churn import ChurnLearner
from engine.models.evaluation import Figure, intervals
from engine.models.scoring import CHURN, ChurnScorer
from engine.models.snapshot import Numbers
from engine.moments import DAY, WEEK
from engine.shards.labels import ChurnRule
from flows.evaluate_events import FIRST_WEEKS, REPLICATES, NothingToMeasure, Walk, batches, first_purchase, told
from flows.replay_source import Source

WORDS = {
    "auc": "AUC",
    "average_precision": "average precision",
    "log_loss": "log loss",
    "brier": "Brier score",
    "calibration_error": "calibration error",
    "calibration_slope": "calibration slope",
    "top_decile_lift": "top decile lift",
}


class Collected(msgspec.Struct, frozen=True):
    """What a pass over the events gave: closed examples in the order of closing, and the day of the first purchase."""

    examples: list[Example]
    start: int
    events: int
    rejected: int
    seconds: float


class Predictions(msgspec.Struct, frozen=True, eq=False):
    """Examples with the probability that each was given when it was opened, and by which version."""

    examples: list[Example]
    scores: Numbers
    versions: NDArray[np.intp]
    seconds: float


class Slice(msgspec.Struct, frozen=True):
    """The figures of some of the predictions."""

    rows: int
    customers: int
    positives: int
    figures: dict[str, Figure]


class Result(msgspec.Struct, frozen=True):
    """A whole evaluation, as `--json` writes it."""

    model: str
    data: str
    horizon_days: int
    activity_days: int
    events: int
    rejected: int
    examples: int
    learned: int
    boundaries: int
    first_weeks: int
    features: int
    active: Slice
    everybody: Slice
    seconds: dict[str, float]


def collect(source: Source, horizon_days: int, progress: Progress) -> Collected:
    """Fold all events of a source and take the churn examples that closed."""
    started = time.perf_counter()
    start = first_purchase(source) // DAY * DAY
    walk = Walk(ChurnRule(horizon_days=horizon_days, phase_ms=start % WEEK))
    examples: list[Example] = []
    task = progress.add_task("events", total=source.total)
    for sent in batches(source):
        walk.fold(walk.admit(sent))
        examples += walk.examples()
        progress.advance(task, len(sent))
    return Collected(examples, start, walk.events, walk.rejected, time.perf_counter() - started)


def predict(collected: Collected, learner: Learner, horizon_days: int, progress: Progress) -> Predictions:
    """Walk the boundaries in order: learn what had closed, publish, and score what was opened."""
    started = time.perf_counter()
    opened: dict[int, list[Example]] = {}
    for example in collected.examples:
        opened.setdefault(example.opened_at, []).append(example)
    examples: list[Example] = []
    scores: list[float] = []
    versions: list[int] = []
    learned = 0
    task = progress.add_task("boundaries", total=len(opened))
    for boundary in sorted(opened):
        closed = learned
        while closed < len(collected.examples) and collected.examples[closed].closed_at <= boundary:
            closed += 1
        learner.learn(collected.examples[learned:closed])
        learned = closed
        scorer = ChurnScorer(NAMES, learner.publish(), horizon_days)
        for example in opened[boundary]:
            examples.append(example)
            scores.append(scorer.probability(numbers_of(example)))
            versions.append(scorer.version)
        progress.advance(task)
    return Predictions(examples, np.array(scores), np.array(versions, dtype=np.intp), time.perf_counter() - started)


def measured(predictions: Predictions, chosen: NDArray[np.bool_], replicates: int, seed: int) -> Slice:
    """Figures of the chosen predictions. Raises `NothingToMeasure` where none or only one class is among them."""
    places = np.nonzero(chosen)[0]
    labels = np.array([predictions.examples[place].label for place in places])
    if not len(labels) or labels.min() == labels.max():
        raise NothingToMeasure(
            f"too little data: {len(labels)} labels of boundaries after week {FIRST_WEEKS}, and both outcomes are needed"
        )
    names, customers = np.unique([predictions.examples[place].customer for place in places], return_inverse=True)
    figures = intervals(labels, predictions.scores[places], customers, replicates, seed)
    return Slice(len(labels), len(names), int(labels.sum()), figures)


def evaluate_churn(source: Source, horizon_days: int, progress: Progress, replicates: int = REPLICATES, seed: int = 0) -> Result:
    """The whole evaluation of the churn model on a source of events."""
    collected = collect(source, horizon_days, progress)
    learner = ChurnLearner(NAMES, FINGERPRINT, float(horizon_days))
    predictions = predict(collected, learner, horizon_days, progress)
    if learner.report().foreign:
        raise InvariantBroken("the processor recorded other features than it names")
    counted = np.array([one.opened_at >= collected.start + FIRST_WEEKS * WEEK for one in predictions.examples])
    recency = INDEX["rfm.recency"]
    active = np.array([numbers_of(one)[recency] < learner.activity_days for one in predictions.examples])
    started = time.perf_counter()
    slices = [measured(predictions, chosen, replicates, seed) for chosen in (counted & active, counted)]
    return Result(
        model=CHURN,
        data=source.name,
        horizon_days=horizon_days,
        activity_days=int(learner.activity_days),
        events=collected.events,
        rejected=collected.rejected,
        examples=len(collected.examples),
        learned=learner.version,
        boundaries=len({example.opened_at for example in predictions.examples}),
        first_weeks=FIRST_WEEKS,
        features=len(learner.logit.layout.names),
        active=slices[0],
        everybody=slices[1],
        seconds={
            "events": collected.seconds,
            "learning_and_scoring": predictions.seconds,
            "figures": time.perf_counter() - started,
        },
    )


def shown(result: Result) -> Table:
    """The figures as a table."""
    heads = f"{result.model}, horizon {result.horizon_days} days, {result.data}"
    table = Table(title=heads, caption=_caption(result), title_justify="left", caption_justify="left")
    table.add_column("figure", no_wrap=True)
    table.add_column(f"bought in the last {result.activity_days} days", justify="right", no_wrap=True)
    table.add_column("everybody", justify="right", no_wrap=True)
    for name, words in WORDS.items():
        pair = (part.figures[name] for part in (result.active, result.everybody))
        table.add_row(words, *map(told, pair))
    for words, field in (("scored", "rows"), ("customers", "customers"), ("stayed away", "positives")):
        table.add_row(words, *(f"{getattr(part, field):,}" for part in (result.active, result.everybody)))
    return table


def _caption(result: Result) -> str:
    return (
        f"{result.events:,} events ({result.rejected:,} refused), {result.boundaries} weekly boundaries, scored from week"
        f" {result.first_weeks} on by models that had learned closed labels only ({result.learned:,} in the end);"
        f" {result.features} features. In brackets 95 % intervals, bootstrapped by customer."
    )
