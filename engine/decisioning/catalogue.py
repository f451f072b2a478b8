"""A loaded catalogue: offers as columns, so that a rule answers for all of them at once.

Everything here depends on nothing but the files and is computed when they are loaded (`compiling`): masks, values,
readings of the offers, clauses of the conditions, caps with their scopes, pools of stock. What a request costs is then
a few numpy calls, however the catalogue is written.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from engine.decisioning.conditions import BoolArray, Table
from engine.decisioning.ledger import CapClaim
from engine.decisioning.offers import Campaign, Contents, Offer, Redemption, Store
from engine.decisioning.pools import Pool
from engine.decisioning.situation import Situation
from engine.features.affinity import Promotions

FloatArray = NDArray[np.float64]
FOR_EVER: Final = 2**63 - 1


class Arms(Struct, frozen=True, eq=False):
    """The offers of a placement that are drawn, the live `sell` ones: only these are read against a customer."""

    rows: NDArray[np.intp]
    place: NDArray[np.intp]
    """Row of the catalogue → place among the arms."""
    promotions: Promotions
    features: FloatArray


class Silences(Struct, frozen=True, eq=False):
    """Which offers a purchase of a category silences, and for how long: flat, by row of the catalogue."""

    names: tuple[str, ...]
    name: NDArray[np.intp]
    span_ms: FloatArray
    start: NDArray[np.intp]
    """Where each of `rows` begins."""
    rows: NDArray[np.intp]
    longest_ms: float
    """Who bought nothing for so long has no silences."""


class Conditions(Struct, frozen=True, eq=False):
    """All `eligible_when` and targets, compiled: distinct uses by kind, literals, clauses and rows as flat arrays."""

    tables: tuple[Table, ...]
    literal: NDArray[np.intp]
    negated: BoolArray
    any_negated: bool
    clause_start: NDArray[np.intp]
    single: bool
    """Every clause is one literal."""
    row_start: NDArray[np.intp]
    one_each: bool
    """Every row is one clause."""
    rows: NDArray[np.intp]
    derived: bool
    """Whether any of them reads what models say of the customer."""
    reads_profile: BoolArray
    """Rows whose conditions need readings of the customer: without any they cannot be met."""
    words: tuple[tuple[str, ...], ...]
    """For each row in `rows`, its clauses in words."""


class Columns(Struct, frozen=True, eq=False):
    """Properties of all offers, row by row in the order of `ids`."""

    ids: tuple[str, ...]
    row: Mapping[str, int]
    precedence: NDArray[np.int8]
    """Index into `PRECEDENCE`."""
    sell: BoolArray
    personal: BoolArray
    """Needs consent; stopped by holdout and complaint."""
    campaign_names: tuple[str, ...]
    """Campaigns with personal offers; `campaign` has the place here of each row's own, and one beyond for rows without."""
    campaign: NDArray[np.intp]
    fallback: BoolArray
    with_duties: frozenset[str]
    """Placements that some duty is made for."""
    duty: BoolArray
    """Placed before anything is drawn: mandatory, transactional, service, thank-you."""
    recovery: BoolArray
    """May be made while a complaint is open."""
    value: FloatArray
    """Margin × boost, minor units."""
    worth: FloatArray
    """What a probability is multiplied with: the value, or the boost alone where no offer has a margin."""
    cost: FloatArray
    live: BoolArray
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    purposes: tuple[str, ...]
    purpose_mask: tuple[BoolArray, ...]
    """For each purpose the offers that need it."""
    placement: Mapping[str, BoolArray]
    channel: Mapping[str, BoolArray]
    """Offers that may be made on a channel; one that names no channel may on all."""
    any_channel: BoolArray
    promoted_categories: tuple[tuple[str, ...], ...]
    promoted_products: tuple[tuple[str, ...], ...]
    gone: BoolArray
    """Offers of named products of which none can be bought at the moment."""
    expanding: Mapping[str, tuple[int, ...]]
    """Placement → rows of which the products are found when it is decided; placements without any are absent."""
    arms: Mapping[str, Arms]
    bought_products: Mapping[str, tuple[tuple[int, int], ...]]
    """Product → rows that a purchase of it silences, each with for how long (ms)."""
    bought_categories: Mapping[str, tuple[tuple[int, int], ...]]
    silences: Silences
    silence_ms: int
    """The longest of those spans of a product."""
    dismissed_ms: Mapping[str, int]
    """How long each personal offer is not made to who dismissed it."""
    bound_to: Mapping[str, BoolArray]
    """Locale → offers that name it; `unbound` are those that name none."""
    unbound: BoolArray
    content_in: Mapping[str, BoolArray]
    """Locale, or `default` → offers with content for it."""
    conditions: Conditions | None
    caps: tuple[tuple[CapClaim, ...], ...]
    """What a new contact of each offer must respect."""
    reasons: tuple[tuple[str, ...], ...]
    """Conditions that a chosen offer met, as words for programs."""
    scopes: tuple[tuple[str, ...], ...]
    """Under what a contact of each offer counts."""
    capped: Mapping[str, tuple[tuple[CapClaim, NDArray[np.intp]], ...]]
    """Scope → its distinct caps with the rows that they stop."""
    counted: BoolArray
    """Contacts that are kept in the ledger: sales are, others where a cap or a stock asks for it."""
    shared_caps: BoolArray
    """Offers with a cap that they share with others, so that a slate may use it up by itself."""
    pools: tuple[tuple[Pool, ...], ...]
    """What each offer takes from: stock, coupon codes, the budget of its campaign."""
    taken_of: Mapping[str, NDArray[np.int64]]
    """Pool → how much each offer takes of it."""
    stocked: BoolArray
    everything: BoolArray
    nothing: BoolArray


class Catalogue(Struct, frozen=True, eq=False):
    """Offers ready to be decided on, under the policy they were compiled for."""

    version: str
    """`c-` and eight hex digits of the content."""
    policy_version: str
    offers: tuple[Offer, ...]
    campaigns: Mapping[str, Campaign]
    stores: Mapping[str, Store]
    columns: Columns
    rules: tuple["Rule", ...]
    """The eligibility rules that could drop any of the offers."""
    redemptions: tuple[Redemption, ...]
    contents: Contents
    currency: str
    codes: Mapping[str, tuple[str, ...]]
    """The codes of each coupon pool, by its offer."""
    longest_window_ms: int
    """How long entries of a ledger matter: to the longest cap, to a reservation and its late view, to a reload."""


class Rule(Protocol):
    """One reason why an offer may not be made."""

    def concerns(self, columns: Columns) -> bool:
        """Whether any offer could ever be dropped by it."""
        ...

    def mask(self, columns: Columns, situations: Sequence[Situation]) -> BoolArray:
        """True for each offer that it lets pass: one row where all situations share it, else a row for each.

        `channel` of a situation is the channel of the contact.
        """
        ...

    def words(self, catalogue: Catalogue, row: int, situation: Situation) -> str:
        """Why it drops the offer in this row; asked only where it does."""
        ...
