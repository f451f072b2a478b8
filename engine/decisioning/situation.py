"""What a decision is about: who, when, where, and what the store knows of them at that instant."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from engine.decisioning.ledger import Ledger
from engine.decisioning.shelf import Expansion
from engine.moments import Millis
from engine.profiles.profile import Part
from engine.profiles.standing import Standing

Vector = NDArray[np.float64]


class PlacementRequest(Struct, frozen=True):
    """A place to fill, and with how many offers at most."""

    name: str
    count: int = 1


class CartLine(Struct, frozen=True):
    """A product in the cart; what is in it is never offered again."""

    product_id: str = ""
    category: str = ""
    quantity: float = 1.0
    price_minor: int = 0


class Situation(Struct, frozen=True, kw_only=True):
    """Everything that `decide` may know. Equal situations give equal decisions.

    `unit` is what experiments hash: the profile's first identity, or the key that was asked for when nothing is known.
    `part` is all that is held of the customer as one (`Profile.whole`). It, `vector` and `ledger` are None where the
    store did not answer; consent then counts as unknown. An unknown customer is no failure: an empty part, its vector
    and an empty ledger. `stock_left` may name only some pools: the reservation tells the truth for the others.
    `standing` is the customer's among all. `derived` holds what models say of the vector, in the order of `DERIVED_NAMES`,
    where a rule of the catalogue asks for it.
    `states` are those of service that the customer is in (`engine.decisioning.service.STATES`).
    `tiers` is the tier of the loyalty programme that the customer is held in and those below it, where a rule asks for one.
    `refused` names offers that a reservation refused in an earlier attempt, each with the stage (`cap` or `stock`).
    `late` means that the deadline passed before anything could be scored.
    `profiled` is False where the customer does not want to be: then nothing can be read of what they did.
    `expanded` holds the products of offers that are found when it is decided, by row of the catalogue.
    """

    decision_id: str
    now: Millis
    unit: str
    placements: tuple[PlacementRequest, ...]
    attempt: int = 0
    part: Part | None = None
    vector: Vector | None = None
    derived: Vector | None = None
    standing: Standing | None = None
    tiers: tuple[str, ...] = ()
    states: frozenset[str] = frozenset()
    ledger: Ledger | None = None
    stock_left: Mapping[str, int] = {}
    refused: Mapping[str, str] = {}
    channel: str = ""
    locale: str = ""
    timezone: str = ""
    exclude: frozenset[str] = frozenset()
    cart: tuple[CartLine, ...] = ()
    context: Mapping[str, Any] = {}
    dry_run: bool = False
    late: bool = False
    profiled: bool = True
    expanded: Mapping[int, Expansion] = {}
