"""`regulars evaluate churn` and `purchase`: how well those who will stay away are told from those who will come back.

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
from msgspec.structs import replace
from numpy.typing import NDArray
from rich.progress import Progress
from rich.table import Table

from engine.errors import InvariantBroken
from engine.features.vector import FINGERPRINT, INDEX, NAMES
from engine.models.base import Example, Learner, numbers_of
from engine.models.churn import ChurnLearner
from engine.models.evaluation import Figures, auc, figures_of
from engine.models.purchase import PurchaseLearner
from engine.models.scoring import CHURN, PURCHASE, PURCHASE_DAYS, ChurnScorer, HorizonScorer, PurchaseScorer
from engine.models.snapshot import Numbers
from engine.moments import WEEK, rfc3339
from engine.shards.labels import ChurnRule
from flows.evaluate_events import Finding, Log, Walk, by_week, opened, rows_of, told
from flows.evaluate_terms import Terms
from flows.replay_source import Source

_HAPPENED = {CHURN: "stayed away", PURCHASE: "bought"}
WORDS = {
    "auc": "AUC",
    "average_precision": "average precision",
    "log_loss": "log loss",
    "brier": "Brier score",
    "calibration_error": "calibration error",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
    "top_decile_lift": "top decile lift",
}


class Collected(msgspec.Struct, frozen=True):
    """What a pass over the events gave: closed examples in the order of closing."""

    examples: list[Example]
    events: int
    rejected: int
    seconds: float


class Predictions(msgspec.Struct, frozen=True, eq=False):
    """Examples with the probability that each was given when it was opened, and by which version."""

    examples: list[Example]
    scores: Numbers
    versions: NDArray[np.intp]
    seconds: float


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
    scored_from: str
    features: int
    active: Figures
    everybody: Figures
    seconds: dict[str, float]


def collect(log: Log, horizon_days: int, progress: Progress, model: str = CHURN) -> Collected:
    """Fold all events of a log and take the model's examples that closed; the horizon is that of churn."""
    started = time.perf_counter()
    walk = Walk(ChurnRule(horizon_days=horizon_days, phase_ms=log.start % WEEK), log.lateness_ms)
    examples: list[Example] = []
    task = progress.add_task("events", total=log.source.total)
    for sent in log.batches():
        walk.fold(walk.admit(sent))
        examples += [one for one in walk.examples() if one.model == model]
        progress.advance(task, len(sent))
    walk.finish()
    examples += [one for one in walk.examples() if one.model == model]
    return Collected(examples, walk.events, walk.rejected, time.perf_counter() - started)


def predict(
    collected: Collected,
    learner: Learner,
    horizon_days: int,
    progress: Progress,
    scorer_of: type[HorizonScorer] = ChurnScorer,
) -> Predictions:
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
        scorer = scorer_of(NAMES, learner.publish(), horizon_days)
        for example in opened[boundary]:
            examples.append(example)
            scores.append(scorer.probability(numbers_of(example)))
            versions.append(scorer.version)
        progress.advance(task)
    return Predictions(examples, np.array(scores), np.array(versions, dtype=np.intp), time.perf_counter() - started)


def evaluate_churn(source: Source, terms: Terms, progress: Progress) -> Finding[Result]:
    """The whole evaluation of the churn model on a source of events."""
    return _evaluated(source, terms, progress, ChurnLearner, ChurnScorer)


def evaluate_purchase(source: Source, terms: Terms, progress: Progress) -> Finding[Result]:
    """The same for the likelihood of a purchase, whose horizon is its own."""
    return _evaluated(source, replace(terms, horizon_days=int(PURCHASE_DAYS)), progress, PurchaseLearner, PurchaseScorer)


def _evaluated(
    source: Source,
    terms: Terms,
    progress: Progress,
    learner_of: type[ChurnLearner] | type[PurchaseLearner],
    scorer_of: type[HorizonScorer],
) -> Finding[Result]:
    log = opened(source, terms, progress)
    collected = collect(log, terms.horizon_days, progress, learner_of.MODEL)
    learner = learner_of(NAMES, FINGERPRINT, float(terms.horizon_days), float(terms.activity_days))
    predictions = predict(collected, learner, terms.horizon_days, progress, scorer_of)
    if learner.report().foreign:
        raise InvariantBroken("the processor recorded other features than it names")
    counted = log.counted(predictions.examples)
    recency = INDEX["rfm.recency"]
    active = np.array([numbers_of(one)[recency] < terms.activity_days for one in predictions.examples], dtype=bool)
    started = time.perf_counter()
    slices = [rows_of(predictions.examples, predictions.scores, chosen) for chosen in (counted & active, counted)]
    figures = [figures_of(rows, terms.replicates, terms.seed) for rows in slices]
    result = Result(
        model=learner_of.MODEL,
        data=source.name,
        horizon_days=terms.horizon_days,
        activity_days=terms.activity_days,
        events=collected.events,
        rejected=collected.rejected,
        examples=len(collected.examples),
        learned=learner.version,
        boundaries=len({example.opened_at for example in predictions.examples}),
        scored_from=rfc3339(log.since),
        features=len(learner.logit.layout.names),
        active=figures[0],
        everybody=figures[1],
        seconds={
            "events": collected.seconds,
            "learning_and_scoring": predictions.seconds,
            "figures": time.perf_counter() - started,
        },
    )
    drawn = dict(zip((f"bought in the last {terms.activity_days} days", "everybody"), slices, strict=True))
    weekly = {name: by_week(auc, rows) for name, rows in drawn.items()}
    return Finding(result, shown(result), drawn, "AUC", weekly)


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
    for words, field in (("scored", "rows"), ("customers", "customers"), (_HAPPENED[result.model], "positives")):
        table.add_row(words, *(f"{getattr(part, field):,}" for part in (result.active, result.everybody)))
    return table


def _caption(result: Result) -> str:
    return (
        f"{result.events:,} events ({result.rejected:,} refused), {result.boundaries} weekly boundaries; counted are scores from"
        f" {result.scored_from[:10]} on, by models that had learned closed labels only ({result.learned:,} in the end);"
        f" {result.features} features. In brackets 95 % intervals, bootstrapped by customer."
    )
