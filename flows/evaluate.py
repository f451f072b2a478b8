"""`regulars evaluate`: how good a model is on known data, by the product's own features, labels and learner.

Each evaluation is a file of its own and walks the same path; this one names them and writes what they found.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from engine.models.scoring import CHURN, PURCHASE
from flows.evaluate_churn import evaluate_churn, evaluate_purchase
from flows.evaluate_coupons import COUPONS, evaluate_coupons
from flows.evaluate_events import Finding
from flows.evaluate_next_category import NEXT_CATEGORY, evaluate_next_category
from flows.evaluate_offers import OFFERS, evaluate_offers
from flows.evaluate_plots import Canvas
from flows.evaluate_terms import Terms, terms_of
from flows.replay_source import COMPLETE_JOURNEY, EventFile, Source, source_of
from flows.running import WrongUse

_WIDTH_OF_A_FILE = 120
"""Where nobody looks on, a table is as wide as it needs to be."""

Evaluation = Callable[[Source, Terms, Progress], Finding[msgspec.Struct]]

ROSTER: Mapping[str, Evaluation] = {
    CHURN: evaluate_churn,
    NEXT_CATEGORY: evaluate_next_category,
    COUPONS: evaluate_coupons,
    PURCHASE: evaluate_purchase,
    OFFERS: evaluate_offers,
}


def main(
    *,
    what: str,
    data: str = COMPLETE_JOURNEY,
    events: Path | None = None,
    horizon_days: int = 28,
    activity_days: int = 28,
    customers: Path | None = None,
    since: str = "",
    until: str = "",
    seed: int = 0,
    plots: Path | None = None,
    json_file: Path | None = None,
) -> int:
    """The command `regulars evaluate`. Raises `WrongUse` and others of `RegularsError` for every mistake in the call."""
    if what not in ROSTER:
        raise WrongUse(f"nothing called {what!r} is known; what can be measured is: {', '.join(ROSTER)}")
    if events is not None and data != COMPLETE_JOURNEY:
        raise WrongUse(f"--events {events} and --data {data} both name a log: give one of them")
    terms = terms_of(horizon_days, activity_days, customers, since, until, seed)
    _writable(json_file)
    canvas = None if plots is None else Canvas(plots)
    source = source_of(data) if events is None else EventFile(events)
    columns: Sequence[Any] = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    told = Console(stderr=True)
    with Progress(*columns, console=told) as progress:
        found = ROSTER[what](source, terms, progress)
    Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE).print(found.table)
    if canvas is not None:
        for path in _drawn(canvas, what, f"{what}, {source.name}", found):
            told.print(f"drawn: {path}", highlight=False, soft_wrap=True)
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(found.result), indent=2) + b"\n")
    return 0


def _drawn(canvas: Canvas, name: str, title: str, found: Finding[msgspec.Struct]) -> Iterator[Path]:
    if found.probabilities:
        yield canvas.calibration(name, title, found.probabilities)
    if found.weekly:
        yield canvas.over_time(name, title, found.figure, found.weekly)


def _writable(path: Path | None) -> None:
    """Raises `WrongUse` before hours are spent on what could not be written."""
    if path is not None and not path.parent.is_dir():
        raise WrongUse(f"{path} cannot be written: there is no folder {path.parent}")
