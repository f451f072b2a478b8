"""Published models, swapped in beside the requests.

A look at the first bytes of each snapshot, where its seal is, tells whether it is another one; only then is it read. One that
does not fit (other features, a damaged seal) is reported once and the last good one stays. Nothing is ever unpickled and no
learner is imported: a snapshot is plain numbers.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from api.decision_log import ARM_FINGERPRINT
from engine.features.vector import NAMES
from engine.models.lifetime_value import LIFETIME_VALUE, ValueScorer
from engine.models.scoring import CHURN, NEXT_BEST_OFFER, PURCHASE, ChurnScorer, OfferScorer, PurchaseScorer
from engine.models.snapshot import Snapshot, SnapshotMismatch, decode_snapshot
from engine.store import keys

log = logging.getLogger(__name__)

SEAL_BYTES = 48
"""Kind, format and digest of a sealed snapshot lie within these."""

Ask = Callable[..., Awaitable[list[Any]]]


class Served(Struct):
    """One model as it is served: its seal, and when it was taken over (wall clock, seconds)."""

    seal: bytes = b""
    version: int = 0
    taken_at_s: float = 0.0


class Counted(Protocol):
    """Where swaps are counted."""

    def snapshot_error(self, model: str) -> None: ...

    def snapshot_taken(self, model: str, version: int, at_s: float) -> None: ...


class SnapshotCache:
    """The newest good snapshot of each model. `ask` sends commands to the store and gives their answers."""

    def __init__(self, ask: Ask, counted: Counted, clock: Callable[[], float] = time.time) -> None:
        self._ask = ask
        self._counted = counted
        self._clock = clock
        self._refused: dict[str, bytes] = {}
        self.served: dict[str, Served] = {name: Served() for name in (CHURN, PURCHASE, NEXT_BEST_OFFER, LIFETIME_VALUE)}
        self.churn: ChurnScorer | None = None
        self.purchase: PurchaseScorer | None = None
        self.offers: OfferScorer | None = None
        self.value: ValueScorer | None = None

    async def look(self) -> bool:
        """Takes over what is new; whether anything was. Raises `StoreUnavailable`."""
        seals = await self._ask([("GETRANGE", keys.snapshot(model), 0, SEAL_BYTES - 1) for model in self.served])
        changed = [
            model
            for (model, served), seal in zip(self.served.items(), seals, strict=True)
            if isinstance(seal, bytes) and seal and seal not in (served.seal, self._refused.get(model))
        ]
        if not changed:
            return False
        sealed = await self._ask([("GET", keys.snapshot(model)) for model in changed])
        taken = [
            self._take(model, raw) for model, raw in zip(changed, sealed, strict=True) if isinstance(raw, bytes) and raw
        ]
        return any(taken)

    def _take(self, model: str, sealed: bytes) -> bool:
        seal = sealed[:SEAL_BYTES]
        try:
            snapshot = decode_snapshot(sealed)
            self._build(model, snapshot)
        except SnapshotMismatch as error:
            self._refused[model] = seal
            self._counted.snapshot_error(model)
            log.error("a snapshot was not taken over", extra={"model": model, "error": str(error)})
            return False
        self.served[model] = Served(seal, snapshot.version, self._clock())
        self._counted.snapshot_taken(model, snapshot.version, self._clock())
        return True

    def _build(self, model: str, snapshot: Snapshot) -> None:
        if model == CHURN:
            self.churn = ChurnScorer(NAMES, snapshot)
        elif model == PURCHASE:
            self.purchase = PurchaseScorer(NAMES, snapshot)
        elif model == LIFETIME_VALUE:
            self.value = ValueScorer(snapshot)
        else:
            self.offers = OfferScorer(snapshot, ARM_FINGERPRINT)

    def ages_s(self) -> Mapping[str, float]:
        """How long ago each model that is served was taken over."""
        now = self._clock()
        return {model: now - served.taken_at_s for model, served in self.served.items() if served.seal}
