"""`regulars models judge`: what other ways of choosing offers would have brought, from the log of decisions and its labels.

Judged are the first positions that were drawn, once their label has matured: an offer further down was drawn only among
those that were left. Ways that the log can speak for are those whose probabilities it holds: what was decided, an even draw
among what was eligible, and always the same offer wherever it was eligible.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from engine.decisioning.record import eligible_in
from engine.events.decode import decode_canonical
from engine.events.offers import ChosenOffer, OfferDecided
from engine.models.base import Example
from engine.models.off_policy import Verdict, snips
from engine.moments import Millis
from engine.store.redis_archive import Archive
from flows.running import open_archive, since_of, write_line

AS_DECIDED: Final = "as decided"
EVENLY: Final = "drawn evenly"


class Drawn(msgspec.Struct, frozen=True):
    """A first position that was drawn, and what came of it."""

    offer_id: str
    propensity: float
    eligible: frozenset[str]
    reward: float


def main(*, redis_url: str, data: Path, since: str, as_json: bool) -> int:
    """One line a way of choosing, the best first; those that the log cannot speak for last, with the reason."""
    drawn = list(drawn_from(open_archive(redis_url, data), since_of(since)))
    verdicts = judged(drawn)
    if as_json:
        for way, verdict in verdicts.items():
            write_line({"way": way, **msgspec.to_builtins(verdict)})
        return 0
    table = Table("way of choosing", "reward", "95 % interval", "decisions", "effective", "not to be relied on", box=None)
    for way, one in verdicts.items():
        interval = f"{one.lower:.4f} to {one.upper:.4f}"
        table.add_row(way, f"{one.value:.4f}", interval, str(one.decisions), f"{one.effective:.0%}", one.refused)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=160)
    console.print(table if drawn else "No decision that was drawn has a matured label yet.")
    return 0


def judged(drawn: list[Drawn]) -> dict[str, Verdict]:
    """Each way of choosing with its verdict, those to be relied on first, by value."""
    offers = frozenset(one.offer_id for one in drawn)
    verdicts = {AS_DECIDED: _verdict(drawn, [1.0] * len(drawn))}
    verdicts[EVENLY] = _verdict(drawn, [1.0 / (len(one.eligible & offers) * one.propensity) for one in drawn])
    for offer in sorted(offers):
        there = [one for one in drawn if offer in one.eligible]
        verdicts[f"always {offer}"] = _verdict(there, [(one.offer_id == offer) / one.propensity for one in there])
    return dict(sorted(verdicts.items(), key=lambda pair: (bool(pair[1].refused), -pair[1].value)))


def _verdict(drawn: list[Drawn], weights: list[float]) -> Verdict:
    return snips(np.array(weights, dtype=np.float64), np.array([one.reward for one in drawn], dtype=np.float64))


def drawn_from(archive: Archive, since_ms: Millis) -> Iterator[Drawn]:
    """What was drawn and has matured, in the order of the log."""
    labels: dict[int, dict[str, Example]] = {}
    names: dict[str, tuple[str, ...]] = {}
    for shard, raw in archive.decisions(since_ms):
        decided = decode_canonical(raw)
        if not isinstance(decided, OfferDecided):
            continue
        if shard not in labels:
            labels[shard] = {each.id: each for each in archive.examples(shard) if each.offer_id}
        version = decided.data.versions.get("catalogue", "")
        if decided.data.eligible_bits and version not in names:
            names[version] = archive.offers(version)
        sets = eligible_in(decided.data, names.get(version, ()))
        for chosen in decided.data.offers:
            matured = labels[shard].get(f"{decided.decision_id}|{chosen.offer_id}|{chosen.placement}")
            if matured is not None and _was_drawn(chosen):
                eligible = frozenset(sets.get(chosen.placement, ())) | {chosen.offer_id}
                yield Drawn(chosen.offer_id, chosen.propensity, eligible, matured.label)


def _was_drawn(chosen: ChosenOffer) -> bool:
    return chosen.learn and chosen.position == 1 and 0.0 < chosen.propensity <= 1.0
