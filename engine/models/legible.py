"""Published numbers as somebody reads them: every weight under the name of what it weighs."""

from collections.abc import Iterator

import numpy as np

from engine.models.scoring import layout_from
from engine.models.snapshot import Snapshot

_MOST = 64
"""Arrays longer than this are not weights of anything that has a name."""


def terms_of(snapshot: Snapshot) -> dict[str, float]:
    """The weights of a snapshot by name.

    Of an additive model: its intercept, a weight for each standardised reading (so they can be compared), what it changes by
    beyond each bend, the offers' own terms, and by how much a click is likelier in each placement. Of any other, its short arrays
    number by number.
    """
    if "weights" in snapshot.arrays and "knots" in snapshot.facts:
        return dict(_additive(snapshot))
    return {
        f"{name}[{place}]" if array.size > 1 else name: float(number)
        for name, array in sorted(snapshot.arrays.items())
        if array.size <= _MOST
        for place, number in enumerate(np.ravel(array))
    }


def _additive(snapshot: Snapshot) -> Iterator[tuple[str, float]]:
    layout, weights = layout_from(snapshot), snapshot.arrays["weights"].tolist()
    names = ["intercept", *layout.names]
    names += [f"{layout.names[place]} beyond {knot:+g}" for knot in layout.knots for place in layout.bending]
    yield from zip(names, weights, strict=True)
    offers, own = snapshot.facts.get("offers"), snapshot.arrays.get("offer_intercepts")
    if isinstance(offers, list) and own is not None:
        yield from zip((f"offer {offer}" for offer in offers), own.tolist(), strict=True)
    clicks = snapshot.facts.get("clicks")
    if isinstance(clicks, dict):
        yield from ((f"clicks on {placement}", float(gap)) for placement, gap in clicks.items())
