"""`regulars evaluate`: how good a model is on known data, by the product's own features, labels and learner.

Nothing is computed for the occasion: events pass the door, the shard processor folds them, records readings at each
boundary and closes the labels when their horizon has ended, and the learner of the roster learns them. What is
measured is what is published: before the customers of a boundary are scored, all labels that had closed by then are
learned, a snapshot is made of the learner, and the scorer of the request path answers. No label is used early, and no
example is scored by a model that has learned it.

Every customer is scored at the same weekly boundaries, as published figures of this data are; the live engine staggers
them over the week.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from engine.errors import InvariantBroken, RegularsError, Rejected
from engine.events.decode import time_of
from engine.events.orders import OrderCompleted
from engine.events.pos import PosTransactionCompleted
from engine.events.routing import Admitted, admit
from engine.features.vector import FINGERPRINT, INDEX, NAMES
from engine.models.base import Example, Learner, numbers_of
from engine.models.churn import ChurnLearner
from engine.models.evaluation import Figure, intervals
from engine.models.scoring import ChurnScorer
from engine.models.snapshot import Numbers
from engine.moments import DAY, WEEK, Millis
from engine.shards.commit import Batch, Entry
from engine.shards.labels import ChurnRule, Labels
from engine.shards.processor import ShardProcessor
from engine.store.memory import MemoryStore
from flows.owner import Owner
from flows.replay_source import Sendable, Source, source_of

CHURN = "churn"
NOT_YET = ("next-category", "coupons")
FIRST_WEEKS = 13
"""Weeks of data before the first prediction counts."""

BATCH = 500
WORDS = {
    "auc": "AUC",
    "average_precision": "average precision",
    "log_loss": "log loss",
    "brier": "Brier score",
    "calibration_error": "calibration error",
    "calibration_slope": "calibration slope",
    "top_decile_lift": "top decile lift",
}

_EXAMPLE = msgspec.msgpack.Decoder(Example)


class NothingToMeasure(RegularsError):
    """The data is too short or too uniform for any figure."""


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
    start = _first_purchase(source) // DAY * DAY
    rule = ChurnRule(horizon_days=horizon_days, phase_ms=start % WEEK)
    store = MemoryStore()
    owner = Owner(store, ShardProcessor(Labels(rule), lateness_ms=0), [0], most_cached=10**9)
    examples: list[Example] = []
    count = rejected = 0
    task = progress.add_task("events", total=source.total)
    for sent in _batches(source):
        taken = [one for one in map(_taken, sent) if one is not None]
        entries = [Entry(f"1-{at}", one.entry, one.fingerprint, one.key) for at, one in enumerate(taken, count + 1)]
        if entries:
            owner.write(owner.process([Batch(0, tuple(entries))]))
        count += len(entries)
        rejected += len(sent) - len(entries)
        examples += map(_EXAMPLE.decode, store.examples.pop(0, []))
        progress.advance(task, len(sent))
    return Collected(examples, start, count, rejected, time.perf_counter() - started)


def _first_purchase(source: Source) -> int:
    """Weeks are counted from here: what is known of customers before they buy (a campaign they are in) tells no habit."""
    for one in source.events():
        taken = _taken(one)
        if taken is not None and isinstance(taken.event, OrderCompleted | PosTransactionCompleted):
            return time_of(taken.event)
    raise NothingToMeasure("nobody buys anything in this data")


def _batches(source: Source) -> Iterator[list[Sendable]]:
    events = source.events()
    while batch := list(islice(events, BATCH)):
        yield batch


def _taken(sent: Sendable) -> Admitted | None:
    """The event as the door would take it, received when it happened; None for one that the door refuses."""
    try:
        body: Any = orjson.loads(sent.raw)
    except ValueError:
        return None
    taken = admit(body, Millis(sent.at), backfill=True)
    return None if isinstance(taken, Rejected) else taken


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


def evaluate_churn(source: Source, horizon_days: int, progress: Progress, replicates: int = 200, seed: int = 0) -> Result:
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
        table.add_row(words, *(f"{one.value:.4f} [{one.low:.4f}, {one.high:.4f}]" for one in pair))
    for words, field in (("scored", "rows"), ("customers", "customers"), ("stayed away", "positives")):
        table.add_row(words, *(f"{getattr(part, field):,}" for part in (result.active, result.everybody)))
    return table


def _caption(result: Result) -> str:
    return (
        f"{result.events:,} events ({result.rejected:,} refused), {result.boundaries} weekly boundaries, scored from week"
        f" {result.first_weeks} on by models that had learned closed labels only ({result.learned:,} in the end);"
        f" {result.features} features. In brackets 95 % intervals, bootstrapped by customer."
    )


def main(*, what: str, data: str, horizon_days: int, json_file: Path | None) -> int:
    """The command `regulars evaluate`: 0 with figures, 2 for what it does not measure."""
    console = Console(stderr=True)
    if what != CHURN:
        known = f"{what} is not measured by this version" if what in NOT_YET else f"nothing called {what!r} is known"
        console.print(f"{known}; what can be measured is: {CHURN}", highlight=False)
        return 2
    columns: Sequence[Any] = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        result = evaluate_churn(source_of(data), horizon_days, progress)
    Console().print(shown(result))
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    return 0
