"""Our models beside what a shop would use instead, on identical rows and identical readings of the Complete Journey data.

Churn at 28 and at 7 days: the recency rule, BG/NBD, LightGBM trained anew each week, River's logistic regression with AdaGrad,
and the learner of the roster, over customers who bought in the last 28 days, scored weekly from week 13 on. Next category:
what is popular, what the customer buys anyway, LightGBM trained anew every four weeks, the offer model. Everything is scored
before it is learned, and every interval is by customer; the difference is that of ours and the trees' on the same samples.

It takes a quarter of an hour; `--quick` takes every eighth household and is for looking whether it runs, not for figures.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec import Struct, to_builtins
from msgspec.structs import replace
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from engine.features.vector import FINGERPRINT, INDEX, NAMES
from engine.models.base import Example, numbers_of
from engine.models.churn import ChurnLearner
from engine.models.evaluation import METRICS, Figure, Rows, auc, average_precision, difference, intervals
from engine.models.scoring import CHURN, PURCHASE, PURCHASE_DAYS
from engine.moments import WEEK
from engine.shards.labels import ChurnRule
from flows.evaluate_churn import Collected, predict
from flows.evaluate_events import Log, Walk, opened, rows_of, told
from flows.evaluate_terms import Terms
from load_tests import anchors
from load_tests.anchors import ACTIVE_DAYS
from load_tests.households import source
from load_tests.ranking_anchors import Ranked, ranked

OURS: Final = "ours"
TREES: Final = "LightGBM, weekly"
TARGET: Final = -0.001
"""The lower bound of ours minus the trees' AUC has to be above this."""

SHOWN: Final = ("auc", "average_precision", "log_loss", "calibration_error")
HEADS: Final = ("AUC", "average precision", "log loss", "calibration error")


class Churn(Struct, frozen=True):
    """One horizon: figures by model, and by how much ours are better than the trees'."""

    horizon_days: int
    rows: int
    customers: int
    figures: dict[str, dict[str, Figure]]
    auc_minus_trees: Figure
    average_precision_minus_trees: Figure
    passed: bool


def examples_of(log: Log, progress: Progress) -> dict[str, list[Example]]:
    """One walk over the log: the closed examples of churn within 28 days and within 7, in the order of closing."""
    walk = Walk(ChurnRule(phase_ms=log.start % WEEK), log.lateness_ms)
    found: dict[str, list[Example]] = {CHURN: [], PURCHASE: []}
    task = progress.add_task("events", total=log.source.total)
    for sent in log.batches():
        walk.fold(walk.admit(sent))
        _sort_in(found, walk.examples())
        progress.advance(task, len(sent))
    walk.finish()
    _sort_in(found, walk.examples())
    return found


def _sort_in(found: dict[str, list[Example]], closed: list[Example]) -> None:
    for example in closed:
        if example.model in found:
            found[example.model].append(example)


def stays_away(examples: list[Example]) -> list[Example]:
    """Examples of a purchase within the horizon, read the other way round."""
    return [replace(one, model=CHURN, label=1.0 - one.label) for one in examples]


def churn(examples: list[Example], log: Log, horizon_days: int, terms: Terms, progress: Progress) -> Churn:
    """All models of one horizon on the same rows."""
    learner = ChurnLearner(NAMES, FINGERPRINT, float(horizon_days))
    ours = predict(Collected(examples, 0, 0, 0.0), learner, horizon_days, progress)
    recency = INDEX["rfm.recency"]
    active = np.array([numbers_of(one)[recency] < ACTIVE_DAYS for one in ours.examples])
    chosen = log.counted(ours.examples) & active
    arrays = anchors.rows_of(ours.examples)
    scored: dict[str, Rows] = {}
    task = progress.add_task("anchors", total=len(anchors.ANCHORS))
    for name, anchor in anchors.ANCHORS.items():
        scored[name] = rows_of(ours.examples, anchor(arrays, float(horizon_days)), chosen)
        progress.advance(task)
    scored[OURS] = rows_of(ours.examples, ours.scores, chosen)
    figures = {name: _shown(name, rows, terms) for name, rows in scored.items()}
    mine, trees = scored[OURS], scored[TREES]
    pair = mine.labels, mine.scores, trees.scores, mine.customers
    better = difference(auc, *pair, replicates=terms.replicates, seed=terms.seed)
    return Churn(
        horizon_days=horizon_days,
        rows=len(mine.labels),
        customers=int(mine.customers.max()) + 1,
        figures=figures,
        auc_minus_trees=better,
        average_precision_minus_trees=difference(average_precision, *pair, replicates=terms.replicates, seed=terms.seed),
        passed=better.low > TARGET,
    )


def _shown(name: str, rows: Rows, terms: Terms) -> dict[str, Figure]:
    kept = {figure: METRICS[figure] for figure in (SHOWN[:2] if name in anchors.ORDER_ONLY else SHOWN)}
    return intervals(rows.labels, rows.scores, rows.customers, terms.replicates, terms.seed, metrics=kept)


def churn_table(found: Churn, data: str) -> Table:
    """One horizon as a table."""
    verdict = "reached" if found.passed else "not reached"
    table = Table(
        title=f"churn, horizon {found.horizon_days} days, bought in the last 28 days, {data}",
        caption=f"{found.rows:,} scores of {found.customers:,} customers. Ours minus weekly LightGBM: AUC"
        f" {told(found.auc_minus_trees)} (lower bound above {TARGET}: {verdict}), average precision"
        f" {told(found.average_precision_minus_trees)}. In brackets 95 % intervals, bootstrapped by customer.",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("model", no_wrap=True)
    for head in HEADS:
        table.add_column(head, justify="right", no_wrap=True)
    for name, figures in found.figures.items():
        table.add_row(name, *(told(figures[figure]) if figure in figures else "" for figure in SHOWN))
    return table


def category_table(found: Ranked, data: str) -> Table:
    """The rankers as a table."""
    units = {"basket": found.basket, "day": found.day}
    better = "; ".join(f"{unit} all {told(one.all_minus_trees)}, new {told(one.new_minus_trees)}" for unit, one in units.items())
    table = Table(
        title=f"next category, NDCG@{found.depth}, {data}",
        caption=f"{found.basket.ranked:,} baskets, {found.basket.with_new:,} of them with something new to the household, on"
        f" {found.day.ranked:,} days. Ours (online) minus LightGBM: {better}. In brackets 95 % intervals, bootstrapped by"
        " customer.",
        title_justify="left",
        caption_justify="left",
    )
    for head in ("of a", "ranker", "all categories", "new to the customer"):
        table.add_column(head, justify="left" if head in ("of a", "ranker") else "right", no_wrap=True)
    for unit, one in units.items():
        for name in one.all:
            table.add_row(unit, name, told(one.all[name]), told(one.new[name]))
    return table


def main() -> int:
    """0; with `--strict` 1 where the trees are not held off."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="every eighth household")
    parser.add_argument("--only", choices=("churn", "next-category"), help="one of the two")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--strict", action="store_true", help="end with 1 where the target is missed")
    asked = parser.parse_args()
    terms = Terms(replicates=50 if asked.quick else 200)
    console = Console(width=130)
    written: dict[str, Any] = {}
    passed = True
    data = source(asked.quick)
    with Progress(console=Console(stderr=True)) as progress:
        log = opened(data, terms, progress)
        if asked.only != "next-category":
            examples = examples_of(log, progress)
            for days, told_of in ((28, examples[CHURN]), (int(PURCHASE_DAYS), stays_away(examples[PURCHASE]))):
                found = churn(told_of, log, days, terms, progress)
                console.print(churn_table(found, data.words))
                written[f"churn_{days}"] = to_builtins(found)
                passed = passed and found.passed
        if asked.only != "churn":
            ranks = ranked(log, terms, progress)
            console.print(category_table(ranks, data.words))
            written["next_category"] = to_builtins(ranks)
    if asked.json:
        asked.json.write_text(json.dumps(written, indent=2) + "\n")
    return 1 if asked.strict and not passed else 0


if __name__ == "__main__":
    sys.exit(main())
