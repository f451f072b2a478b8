"""What decisions go by at one moment: catalogue, policy, rankers and what customers are likely to do, swapped as a whole.

A request takes the basis once and keeps it to its end, so a catalogue or a snapshot that arrives meanwhile never mixes
with the one before it.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from msgspec import Struct

from api.customer_state import Known
from config.catalogue_files import Loaded
from engine.decisioning.conditions import StandingTable
from engine.decisioning.expanding import expanded
from engine.decisioning.in_tier import TierTable
from engine.decisioning.loyalty import held_and_below, judged, loyal
from engine.decisioning.profit import profit_of
from engine.decisioning.scoring import Scorers, scorers_for
from engine.decisioning.shelf import Expansion, Shelf
from engine.decisioning.situation import CartLine, PlacementRequest
from engine.decisioning.stocktaking import as_on_shelf
from engine.events.decode import Store
from engine.features.companions import NOTHING_KNOWN
from engine.features.vector import NAMES, Vector
from engine.models.lifetime_value import YEAR_DAYS, ValueScorer
from engine.models.scoring import ChurnScorer, OfferScorer, PurchaseScorer
from engine.models.segments import placed
from engine.profiles.profile import Part, Profile
from engine.profiles.standing import Standing

NOTHING_ASKED: Mapping[int, Expansion] = {}


class Basis(Struct, frozen=True, eq=False):
    """One consistent set. `versions` is what answers and logs say of it."""

    loaded: Loaded
    scorers: Scorers
    churn: ChurnScorer
    purchase: PurchaseScorer
    value: ValueScorer
    versions: dict[str, str]
    stores: Mapping[str, Store]
    shelf: Shelf = msgspec.field(default_factory=Shelf)
    derives: bool = False
    """Whether a rule of the catalogue asks for what models say of a customer."""
    asks_for_tiers: bool = False
    """Whether a rule of the catalogue asks for a tier of the loyalty programme."""
    asks_for_standing: bool = False
    """Whether a rule of the catalogue asks where customers stand among all."""

    def expanded(
        self, part: Part | None, placements: Sequence[PlacementRequest], cart: Sequence[CartLine], now: int
    ) -> Mapping[int, Expansion]:
        """The products of offers that are found when it is decided, where one of the placements has such an offer."""
        loaded = self.loaded
        if part is None or not loaded.catalogue.columns.expanding:
            return NOTHING_ASKED
        return expanded(loaded.catalogue, loaded.policy, self.shelf, placements, part, cart, now)

    def derived(self, known: Known | None, part: Part | None, vector: Vector | None, now: int) -> Vector | None:
        """What models and the loyalty programme say of a customer, where a rule of the catalogue asks for it."""
        return self.said(known, part, vector, now) if known is not None and vector is not None and self.derives else None

    def said(self, known: Known, part: Part | None, vector: Vector, now: int) -> Vector:
        """The same, in the order of `DERIVED_NAMES`, whether a rule asks for it or not."""
        alive = expected = np.nan
        if part is not None and part.purchases.count:
            alive = self.value.alive(part.purchases, now)
            expected = self.value.expected_purchases(part.purchases, now, YEAR_DAYS)
        leaving, buying = self.churn.probability(vector), self.purchase.probability(vector)
        brought = profit_of(part, self.loaded.policy).profit if part is not None else None
        profit = brought / 100.0 if brought is not None else np.nan
        return np.array([leaving, buying, alive, expected, *self.points(known.profile, part, now), profit])

    def points(self, profile: Profile, part: Part | None, now: int) -> tuple[float, float, float]:
        """Points, rank of the tier held, and points missing to the next one; NaN where that is not known or does not exist."""
        programme = self.loaded.policy.loyalty
        if part is None:
            return np.nan, np.nan, np.nan
        read = loyal(profile.membership, part, programme, now)
        missing = read.above.points if read.above is not None and read.above.points is not None else np.nan
        return read.account.points, programme.rank(read.held.tier), missing

    def tiers(self, known: Known | None, part: Part | None, now: int) -> tuple[str, ...]:
        """The tier held and those below it, where a rule of the catalogue asks for one."""
        return self.held_tiers(known, part, now) if known is not None and part is not None and self.asks_for_tiers else ()

    def held_tiers(self, known: Known, part: Part, now: int) -> tuple[str, ...]:
        """The same, whether a rule asks for it or not. A shop without tiers in its policy may have told one itself."""
        programme = self.loaded.policy.loyalty
        if not programme.tiers:
            return (part.loyalty.tier,) if part.loyalty.tier else ()
        return held_and_below(judged(known.profile.membership, part, programme, now).tier, programme)

    def standing(self, profile: Profile) -> Standing:
        """Where the customer stands. Whom their shard has not looked at since there are cut points is placed by those."""
        if profile.standing.tier or not profile.standing.places:
            return profile.standing
        return placed(profile.purchases, profile.standing, self.value.cuts, self.loaded.policy.value.segments)

    @property
    def policy_placements(self) -> Mapping[str, object]:
        """The placements that may be asked for."""
        return self.loaded.policy.placements


def basis_of(
    loaded: Loaded,
    learned: OfferScorer | None,
    churn: ChurnScorer | None = None,
    purchase: PurchaseScorer | None = None,
    value: ValueScorer | None = None,
    shelf: Shelf | None = None,
) -> Basis:
    """Everything worked out that no request changes. Before labels have matured, churn and purchase go by how the customers of
    this shop buy, as the value model has it."""
    shelf, value = shelf or Shelf(), value or ValueScorer()
    catalogue = as_on_shelf(loaded.catalogue, shelf)
    loaded = msgspec.structs.replace(loaded, catalogue=catalogue)
    churn = churn or ChurnScorer(NAMES, None, loaded.policy.churn.horizon_days)
    purchase = purchase or PurchaseScorer(NAMES)
    conditions = [catalogue.columns.conditions, loaded.occasions.columns.conditions if loaded.occasions else None]
    asking = [one for one in conditions if one is not None]
    return Basis(
        loaded=loaded,
        scorers=scorers_for(
            catalogue,
            learned,
            popularity=learned.popularity if learned is not None else {},
            companions=learned.companions if learned is not None else NOTHING_KNOWN,
        ),
        churn=churn.among(value.buying),
        purchase=purchase.among(value.buying),
        value=value,
        versions={
            "policy": catalogue.policy_version,
            "next_best_offer": f"m-{learned.version}" if learned is not None else "rule",
            "catalogue": catalogue.version,
        },
        stores={name: Store(store.zone, store.currency, store.name) for name, store in loaded.stores.items()},
        shelf=shelf,
        derives=any(one.derived for one in asking),
        asks_for_tiers=any(isinstance(table, TierTable) for one in asking for table in one.tables),
        asks_for_standing=any(isinstance(table, StandingTable) for one in asking for table in one.tables),
    )
