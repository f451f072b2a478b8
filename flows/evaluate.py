"""`regulars evaluate`: how good a model is on known data, by the product's own features, labels and learner.

Each evaluation is a file of its own and walks the same path; this one names them and writes what they found.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from engine.models.scoring import CHURN
from flows import evaluate_churn, evaluate_coupons, evaluate_next_category
from flows.evaluate_coupons import COUPONS
from flows.evaluate_next_category import NEXT_CATEGORY
from flows.replay_source import Source, source_of

Found = tuple[msgspec.Struct, Table]
Evaluation = Callable[[Source, int, Progress], Found]


def _churn(source: Source, horizon_days: int, progress: Progress) -> Found:
    result = evaluate_churn.evaluate_churn(source, horizon_days, progress)
    return result, evaluate_churn.shown(result)


def _next_category(source: Source, _: int, progress: Progress) -> Found:
    result = evaluate_next_category.evaluate_next_category(source, progress)
    return result, evaluate_next_category.shown(result)


def _coupons(source: Source, _: int, progress: Progress) -> Found:
    result = evaluate_coupons.evaluate_coupons(source, progress)
    return result, evaluate_coupons.shown(result)


ROSTER: Mapping[str, Evaluation] = {CHURN: _churn, NEXT_CATEGORY: _next_category, COUPONS: _coupons}


def main(*, what: str, data: str, horizon_days: int, json_file: Path | None) -> int:
    """The command `regulars evaluate`: 0 with figures, 2 for what it does not measure."""
    console = Console(stderr=True)
    if what not in ROSTER:
        console.print(f"nothing called {what!r} is known; what can be measured is: {', '.join(ROSTER)}", highlight=False)
        return 2
    columns: Sequence[Any] = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        result, table = ROSTER[what](source_of(data), horizon_days, progress)
    Console().print(table)
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    return 0
