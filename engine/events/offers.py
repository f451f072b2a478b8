"""What was offered, and what people did with it."""

from typing import Any, Literal

from msgspec import Struct

from engine.events.base import Event, Identifier


class ChosenOffer(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One offer of a decision with all that attribution needs, so that the flow never reads a catalogue.

    `vector` is the base64 of the little-endian float32 readings that the arm was scored with; `propensity` the
    probability it had of being chosen in its position, given those above. `learn` is false where nothing was drawn.
    `cost_minor` is what the contact costs the shop once it was seen, `redemption_cost_minor` what taking it costs besides.
    """

    offer_id: Identifier
    placement: Identifier
    campaign: str = ""
    kind: str = "sell"
    position: int = 1
    propensity: float = 1.0
    score: float = 0.0
    categories: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    coupon: str = ""
    redeemed_when: Literal["buys", "coupon", "event"] = "buys"
    attribution_window_ms: int = 0
    shown_when: Literal["viewed", "decided"] = "viewed"
    learn: bool = True
    vector: str = ""
    cost_minor: int = 0
    redemption_cost_minor: int = 0


class Allowed(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The statement of the customer by which offers of a purpose were made on a channel: its time (RFC 3339) and text."""

    purpose: str
    channel: str = ""
    at: str = ""
    text_version: str = ""


class Decided(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A decision as it was made: chosen offers, the set they were drawn from, and the versions that made it.

    The set is written in `eligible` by name, or where it is large in `eligible_bits`: base64 of a bit for each offer of the
    catalogue. `readings` is what the customer read like (base64 of float32) where no offer's vector holds it.

    `campaigns` are those of which a personal offer would have been in place, whichever arm the customer is in (`*` stands
    for all of them together); `outcome_ms` is how long what the customer does from now on counts for their arm.
    """

    offers: tuple[ChosenOffer, ...] = ()
    request_id: str = ""
    eligible: dict[str, tuple[str, ...]] = {}
    stages: dict[str, dict[str, int]] = {}
    eligible_bits: dict[str, str] = {}
    versions: dict[str, str] = {}
    fingerprint: str = ""
    readings: str = ""
    variation: str = ""
    ranker: str = ""
    holdout: bool = False
    campaigns: tuple[str, ...] = ()
    outcome_ms: int = 0
    seed: str = ""
    attempt: int = 0
    allowed: tuple[Allowed, ...] = ()
    unprofiled: bool = False
    """The customer does not want to be profiled: nothing was read of what they did."""
    degraded: tuple[str, ...] = ()
    context: dict[str, Any] = {}


class OfferDecided(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The engine chose offers. Only the engine writes this."""

    data: Decided = Decided()


class OfferSeen(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An offer of a decision was viewed, clicked, accepted, dismissed or redeemed; the envelope names both."""

    data: dict[str, Any] = {}


TYPES: dict[str, type[Event]] = {
    "offer_decided": OfferDecided,
    "offer_viewed": OfferSeen,
    "offer_clicked": OfferSeen,
    "offer_accepted": OfferSeen,
    "offer_dismissed": OfferSeen,
    "offer_redeemed": OfferSeen,
}
OURS = frozenset(
    {
        "offer_decided",
        "identity_claimed",
        "part_handed_over",
        "identity_released",
        "part_released",
        "reference_changed",
        "segment_changed",
        "case_past_due",
        "price_dropped",
        "budget_spent",
        "pos_return_voided",
        "pos_receipts_noted",
    }
)
"""Types that only the engine writes; a sender who uses one is refused."""
