"""How often is too often: caps over sliding windows, counted in the customer's ledger.

What counts is a contact that was seen, or a reservation that still may be. A customer who holds a live reservation of
an offer in a placement may get it there again: the decision joins the reservation and takes nothing.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.decisioning.catalogue import Columns
from engine.decisioning.conditions import BoolArray
from engine.decisioning.ledger import CHANNEL, RESERVED, CapClaim, Entry, Ledger, count, counts

Scopes = tuple[str, ...]


def within_caps(columns: Columns, ledger: Ledger, now: int, on: Scopes) -> BoolArray:
    """True for each offer of which one more contact, `on` the scopes of its channels, breaks no cap.

    It may be shared: copy before writing.
    """
    capped = columns.capped
    contacts: dict[str, list[Entry]] = {}
    for entry in ledger.entries:
        if counts(entry, now):
            for scope in entry.scopes:
                if scope in capped:
                    contacts.setdefault(scope, []).append(entry)
    stopped = [
        rows
        for scope, entries in contacts.items()
        for cap, rows in capped[scope]
        if len(entries) >= cap.count
        and binds(cap, on)
        and sum(one.at > now - cap.window_ms and cap.meets(one.scopes) for one in entries) >= cap.count
    ]
    return _without(columns, stopped)


def after_taking(columns: Columns, ledger: Ledger, now: int, on: Scopes, taken: Sequence[Scopes]) -> BoolArray:
    """True for each offer that what this decision has taken so far leaves within the caps that offers share."""
    stopped = [
        rows
        for scope in {scope for scopes in taken for scope in scopes}
        for cap, rows in columns.capped.get(scope, ())
        if binds(cap, on) and count(ledger, cap, now) + sum(cap.meets(scopes) for scopes in taken) >= cap.count
    ]
    return _without(columns, stopped)


def binds(cap: CapClaim, on: Scopes) -> bool:
    """Whether a contact on these channels has to respect a cap of its offer. Rows of a cap carry its tag already."""
    return not cap.also or all(name in on for name in cap.also if name.startswith(CHANNEL))


def _without(columns: Columns, stopped: Sequence[NDArray[np.intp]]) -> BoolArray:
    if not stopped:
        return columns.everything
    mask = columns.everything.copy()
    for rows in stopped:
        mask[rows] = False
    return mask


def held(columns: Columns, ledger: Ledger, placement: str, now: int, on: Scopes) -> dict[int, Entry]:
    """Rows of which the customer holds a live reservation in a placement on these channels, with its entry."""
    channels = frozenset([name for name in on if name.startswith(CHANNEL)])
    return {
        columns.row[entry.offer_id]: entry
        for entry in reversed(ledger.entries)
        if entry.placement == placement
        and entry.state == RESERVED
        and entry.expires > now
        and entry.offer_id in columns.row
        and channels.issubset(entry.scopes)
    }
