"""What was decided, with everything that the answer, the log and the ledger need of it."""

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from engine.decisioning.ledger import Claim, Sticky
from engine.decisioning.permission import Proof, bears
from engine.decisioning.policy import Ranker
from engine.decisioning.pools import Kind
from engine.decisioning.shelf import Suggested
from engine.errors import InvariantBroken
from engine.moments import Millis

Reason = Literal["ok", "holdout", "no_eligible", "consent", "complaint_open", "capped", "quiet_hours", "deadline"]


class Chosen(Struct, frozen=True, kw_only=True):
    """One offer in its place.

    `score` is the expected value, probability × `value_minor` − `cost_minor`, in minor units; `value_minor` is margin ×
    boost. `learn` says that it was drawn, here and now, with readings that a model can learn from (`vector`).
    `best_score` is the score of the best offer that could stand here, and `exploration_loss` what drawing, instead of taking
    that one, was expected to give up. `coupon` is the customer's own code of a coupon pool, once it is reserved. `repeats`
    names an earlier decision whose choice is shown again.
    """

    row: int
    offer_id: str
    kind: str
    placement: str
    position: int
    proof: Proof
    """By what right it is made."""
    campaign_id: str = ""
    propensity: float = 1.0
    probability: float = 0.0
    score: float = 0.0
    best_score: float = 0.0
    exploration_loss: float = 0.0
    value_minor: float = 0.0
    cost_minor: float = 0.0
    currency: str = ""
    reasons: tuple[str, ...] = ()
    content: dict[str, str] = {}
    expires_at: Millis = Millis(0)
    coupon: str = ""
    learn: bool = False
    vector: bytes = b""
    repeats: str = ""
    products: tuple[Suggested, ...] = ()
    """What the offer shows, where that was found when it was decided."""

    def __post_init__(self) -> None:
        if not bears(self.proof, self.kind):
            raise InvariantBroken(f"{self.offer_id} is a {self.kind} offer and was to be made without the consent that it needs")


def offers_in(bits: bytes, names: Sequence[str]) -> tuple[str, ...]:
    """The names whose bit is set."""
    return tuple(compress(names, np.unpackbits(np.frombuffer(bits, np.uint8))))


class Filled(Struct, frozen=True, kw_only=True):
    """One placement. `reason` is "ok" when something other than a fallback fills it, else why nothing else does.

    `open` has a bit for each offer of the catalogue, in its order and the first one highest, that is set where the offer
    could have been chosen; `catalogue` are their names. `stages` counts the catalogue by the stage that each offer reached,
    and adds up to its size.
    """

    name: str
    reason: Reason
    hint: str = ""
    offers: tuple[Chosen, ...] = ()
    open: bytes = b""
    catalogue: tuple[str, ...] = ()
    stages: dict[str, int] = {}

    @property
    def eligible(self) -> tuple[str, ...]:
        """The offers that could have been chosen, by name."""
        return offers_in(self.open, self.catalogue)


class Take(Struct, frozen=True):
    """What an offer takes of a pool, to be reserved before the decision is committed.

    `keep` is set where the decision itself is the contact: then what the contact takes does not come back, and what a
    redemption would take is held for `window_ms`.
    """

    offer_id: str
    pool: str
    capacity: int
    expires: Millis
    keep: bool = False
    kind: Kind = "units"
    amount: int = 1
    later: int = 0
    window_ms: int = 0


class Decision(Struct, frozen=True, kw_only=True):
    """An answer to a situation. It holds only once the store has admitted `claims` and every one of `takes`.

    `decision_id` is an earlier one where every placement shows the same decision again; `repeats` is then set, and
    nothing is logged or claimed.
    """

    decision_id: str
    attempt: int
    at: Millis
    placements: tuple[Filled, ...] = ()
    variation: str = ""
    ranker: Ranker = "learned"
    holdout: bool = False
    unprofiled: bool = False
    """Nothing was read of what the customer did, because they do not want it."""
    campaigns: tuple[str, ...] = ()
    """Those with a personal offer in place, whatever arm the customer is in; only of a decision that is logged."""
    policy_version: str = ""
    catalogue_version: str = ""
    model_version: int = 0
    degraded: tuple[str, ...] = ()
    repeats: bool = False
    writes: bool = True
    """Whether it may be logged and claimed: not for a dry run, nor where the ledger is away."""
    claims: tuple[Claim, ...] = ()
    takes: tuple[Take, ...] = ()
    sticky: tuple[Sticky, ...] = ()

    def with_codes(self, codes: Mapping[str, str]) -> "Decision":
        """With the codes that offers were given, in what is answered and in what the ledger keeps."""
        return replace(
            self,
            placements=tuple(
                replace(filled, offers=tuple(replace(one, coupon=codes.get(one.offer_id, one.coupon)) for one in filled.offers))
                for filled in self.placements
            ),
            claims=tuple(
                replace(one, entry=replace(one.entry, coupon=codes.get(one.entry.offer_id, one.entry.coupon)))
                for one in self.claims
            ),
        )

    @property
    def seed(self) -> str:
        """What the draws hang on."""
        return f"{self.decision_id}/{self.attempt}"

    @property
    def offers(self) -> tuple[Chosen, ...]:
        """All chosen offers, placement by placement."""
        return tuple([offer for filled in self.placements for offer in filled.offers])
