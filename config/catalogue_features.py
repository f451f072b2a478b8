"""`regulars catalogue features`: everything that a rule may ask of a customer, with unit and bounds, in words."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from engine.decisioning.conditions import COMBINATIONS, KINDS
from engine.features.base import Reading
from engine.features.derived import DERIVED
from engine.features.vector import READINGS

RULE_READINGS: tuple[Reading, ...] = (*READINGS, *DERIVED)
"""In the order of `RULE_NAMES`."""


def main_features(as_json: bool) -> int:
    """Prints the readings for `{feature: …}`, and the other kinds of condition; as JSON, one object a line."""
    for line in lines() if as_json else table():
        print(json.dumps(line) if as_json else line)
    return 0


def lines() -> Iterator[dict[str, Any]]:
    """One object for each reading, then one for each other kind of condition."""
    for one in RULE_READINGS:
        yield {"feature": one.name, "unit": one.unit, "low": one.low, "high": one.high, "words": one.words}
    for key, words in conditions():
        yield {"condition": key, "words": words}


def table() -> Iterator[str]:
    """The same for a reader."""
    head = ("feature", "unit", "from", "to", "is")
    rows = [head, *((one.name, one.unit, f"{one.low:g}", f"{one.high:g}", one.words) for one in RULE_READINGS)]
    yield from _aligned(rows)
    yield ""
    yield "A rule asks for one with above, below, at_least, at_most or between: {feature: rfm.recency, below: 60}."
    yield "Other conditions, which any:, all: and not: combine:"
    yield ""
    yield from _aligned([(f"{{{key}: …}}", words) for key, words in conditions()])


def conditions() -> list[tuple[str, str]]:
    """The other kinds by their key, with what each says."""
    kinds = {key: kind for key, (kind, _) in KINDS.items() if key != "feature"}
    return [(key, " ".join((kind.__doc__ or "").split()) + _keys(kind)) for key, kind in {**kinds, **COMBINATIONS}.items()]


def _keys(kind: type[Any]) -> str:
    more = [field.encode_name for field in msgspec.structs.fields(kind)][1:]
    return f" Beside it: {', '.join(more)}." if more else ""


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
