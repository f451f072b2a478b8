"""Conditions as clauses: an "and" of "ors" of possibly negated uses, which is what a catalogue is compiled to."""

from collections.abc import Sequence

from engine.decisioning.conditions import AllOf, AnyOf, Condition, Leaf, Not

MOST_CLAUSES = 256
"""More than this for one offer is a mistake in how it is written."""


class TooManyClauses(ValueError):
    """Alternatives nested so deep that spelling them out explodes."""


Literals = frozenset[tuple[Leaf, bool]]
"""One clause: each use with whether it is negated."""


def clauses(conditions: Sequence[Condition]) -> list[Literals]:
    """An "and" of "ors" that says the same as all of the conditions together."""
    found = [clause for condition in conditions for clause in _clauses(condition, False)]
    if len(found) > MOST_CLAUSES:
        raise TooManyClauses
    return list(dict.fromkeys(found))


def _clauses(condition: Condition, negated: bool) -> list[Literals]:
    if isinstance(condition, Not):
        return _clauses(condition.negated, not negated)
    if isinstance(condition, AnyOf | AllOf):
        parts = condition.any_of if isinstance(condition, AnyOf) else condition.all_of
        inner = [_clauses(part, negated) for part in parts]
        return _either(inner) if isinstance(condition, AnyOf) is not negated else [one for part in inner for one in part]
    return [frozenset({(condition, negated)})]


def _either(parts: Sequence[list[Literals]]) -> list[Literals]:
    combined: list[Literals] = [frozenset()]
    for part in parts:
        combined = [left | right for left in combined for right in part]
        if len(combined) > MOST_CLAUSES:
            raise TooManyClauses
    return combined


def literal_words(use: Leaf, negated: bool) -> str:
    return f"not ({use.words()})" if negated else use.words()
