"""How often is too often: caps over sliding windows, counted in the customer's ledger.

What counts is a contact that was seen, or a reservation that still may be. A customer who holds a live reservation of
an offer in a placement may get it there again: the decision joins the reservation and takes nothing.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.decisioning.catalogue import Columns
from engine.decisioning.conditions import BoolArray
from engine.decisioning.ledger import RESERVED, Ledger, count, counts


def within_caps(columns: Columns, ledger: Ledger, now: int) -> BoolArray:
    """True for each offer of which one more contact breaks no cap. It may be shared: copy before writing."""
    capped = columns.capped
    contacts: dict[str, list[int]] = {}
    for entry in ledger.entries:
        if counts(entry, now):
            for scope in entry.scopes:
                if scope in capped:
                    contacts.setdefault(scope, []).append(entry.at)
    stopped = [
        rows
        for scope, at in contacts.items()
        for cap, rows in capped[scope]
        if len(at) >= cap.count and sum(one > now - cap.window_ms for one in at) >= cap.count
    ]
    return _without(columns, stopped)


def after_taking(columns: Columns, ledger: Ledger, now: int, taken: list[int]) -> BoolArray:
    """True for each offer that the rows taken so far in this decision leave within the caps that offers share."""
    scopes = [scope for row in taken for scope in columns.scopes[row]]
    stopped = [
        rows
        for scope in set(scopes)
        for cap, rows in columns.capped.get(scope, ())
        if count(ledger, scope, cap.window_ms, now) + scopes.count(scope) >= cap.count
    ]
    return _without(columns, stopped)


def _without(columns: Columns, stopped: Sequence[NDArray[np.intp]]) -> BoolArray:
    if not stopped:
        return columns.everything
    mask = columns.everything.copy()
    for rows in stopped:
        mask[rows] = False
    return mask


def held(columns: Columns, ledger: Ledger, placement: str, now: int) -> dict[int, str]:
    """Rows of which the customer holds a live reservation in a placement, with the decision that made it."""
    return {
        columns.row[entry.offer_id]: entry.decision_id
        for entry in ledger.entries
        if entry.placement == placement and entry.state == RESERVED and entry.expires > now and entry.offer_id in columns.row
    }
