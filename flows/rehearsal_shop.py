"""What a rehearsal decides by: a catalogue with the models as they are published now, and what they say of a customer.

The edges know nothing of each other, so this stands beside what the API decides by; both are wiring of the same engine parts.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace

from config.catalogue_files import Loaded, load_catalogue
from engine.decisioning.in_tier import TierTable
from engine.decisioning.loyalty import account, held_and_below, judged, next_tier
from engine.decisioning.offer_features import OFFER_NAMES
from engine.decisioning.profit import profit_of
from engine.decisioning.scoring import Scorers, scorers_for
from engine.decisioning.shelf import Shelf
from engine.decisioning.stocktaking import as_on_shelf
from engine.features.affinity import CROSS_NAMES
from engine.features.companions import NOTHING_KNOWN
from engine.features.vector import FINGERPRINT, NAMES, Vector
from engine.models.lifetime_value import LIFETIME_VALUE, YEAR_DAYS, ValueScorer
from engine.models.scoring import (
    CHURN,
    NEXT_BEST_OFFER,
    PURCHASE,
    ChurnScorer,
    OfferScorer,
    PurchaseScorer,
    arm_fingerprint,
)
from engine.models.snapshot import Snapshot, SnapshotMismatch, decode_snapshot
from engine.profiles.profile import Part, Profile

ARM_FINGERPRINT = arm_fingerprint(FINGERPRINT, OFFER_NAMES, CROSS_NAMES)


class Shop(Struct, frozen=True, eq=False):
    """A catalogue and everything that judges by it."""

    loaded: Loaded
    scorers: Scorers
    churn: ChurnScorer
    purchase: PurchaseScorer
    value: ValueScorer
    shelf: Shelf = field(default_factory=Shelf)

    def derived(self, profile: Profile, part: Part, vector: Vector, now: int) -> Vector | None:
        """What models and the loyalty programme say, in the order of `DERIVED_NAMES`, where a rule asks for it."""
        conditions = self.loaded.catalogue.columns.conditions
        if conditions is None or not conditions.derived:
            return None
        alive = expected = np.nan
        if part.purchases.count:
            alive = self.value.alive(part.purchases, now)
            expected = self.value.expected_purchases(part.purchases, now, YEAR_DAYS)
        programme = self.loaded.policy.loyalty
        held = judged(profile.membership, part, programme, now)
        above = next_tier(held.tier, part, programme, now)
        missing = above.points if above is not None and above.points is not None else np.nan
        brought = profit_of(part, self.loaded.policy).profit
        profit = brought / 100.0 if brought is not None else np.nan
        told = [account(part, programme, now).points, programme.rank(held.tier), missing, profit]
        return np.array([self.churn.probability(vector), self.purchase.probability(vector), alive, expected, *told])

    def tiers(self, profile: Profile, part: Part, now: int) -> tuple[str, ...]:
        """The loyalty tier held and those below it, where a rule asks for one."""
        conditions, programme = self.loaded.catalogue.columns.conditions, self.loaded.policy.loyalty
        if conditions is None or not any(isinstance(table, TierTable) for table in conditions.tables):
            return ()
        if not programme.tiers:
            return (part.loyalty.tier,) if part.loyalty.tier else ()
        return held_and_below(judged(profile.membership, part, programme, now).tier, programme)


def shop_of(folder: Path, published: Callable[[str], bytes | None]) -> Shop:
    """The shop of a catalogue's folder; `published` gives the sealed snapshot of a model. Raises `CatalogueError`."""
    return shop_with(load_catalogue(folder), published)


def shop_with(loaded: Loaded, published: Callable[[str], bytes | None], shelf: Shelf | None = None) -> Shop:
    """The same for what is loaded already. A snapshot that does not fit this version is as none."""
    shelf = shelf or Shelf()
    loaded = replace(loaded, catalogue=as_on_shelf(loaded.catalogue, shelf))
    churned, bought, offers, worth = (_snapshot(published(name)) for name in (CHURN, PURCHASE, NEXT_BEST_OFFER, LIFETIME_VALUE))
    value = ValueScorer(worth) if worth is not None else ValueScorer()
    try:
        learned = OfferScorer(offers, ARM_FINGERPRINT) if offers is not None else None
    except SnapshotMismatch:
        learned = None
    churn = ChurnScorer(NAMES, churned, loaded.policy.churn.horizon_days)
    return Shop(
        loaded=loaded,
        scorers=scorers_for(
            loaded.catalogue,
            learned,
            popularity=learned.popularity if learned is not None else {},
            companions=learned.companions if learned is not None else NOTHING_KNOWN,
        ),
        churn=churn.among(value.buying),
        purchase=PurchaseScorer(NAMES, bought).among(value.buying),
        value=value,
        shelf=shelf,
    )


def _snapshot(sealed: bytes | None) -> Snapshot | None:
    try:
        return decode_snapshot(sealed) if sealed else None
    except SnapshotMismatch:
        return None
