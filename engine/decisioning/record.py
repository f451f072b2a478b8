"""A decision as the log keeps it: what attribution and learning need of it, so that nobody looks it up again.

A small eligible set is written by name. A large one is a bit for each offer of the catalogue, whose version tells the names:
the store keeps them as long as the log.
"""

from base64 import b64decode
from binascii import b2a_base64
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, Literal

from msgspec import Struct

from engine.decisioning.catalogue import Catalogue
from engine.decisioning.decision import Chosen, Decision, Filled, offers_in
from engine.decisioning.offers import Redemption
from engine.decisioning.policy import Policy
from engine.decisioning.pools import redemption_cost
from engine.decisioning.situation import Vector
from engine.events.offers import Allowed, ChosenOffer, Decided
from engine.moments import DAY, rfc3339
from engine.profiles.consent import Granted

MOST_NAMED: Final = 32
"""So many eligible offers of a placement are written by name."""


def decided(
    decision: Decision,
    catalogue: Catalogue,
    policy: Policy,
    *,
    request_id: str = "",
    fingerprint: str = "",
    vector: Vector | None = None,
    context: dict[str, Any] | None = None,
) -> Decided:
    """The body of the `offer_decided` event. `fingerprint` names the readings in the vectors.

    What the customer read like is part of the vector of an offer; without such an offer it is kept by itself.
    """
    offers, written = decision.offers, _written(catalogue)
    readings = b"" if vector is None or any(offer.vector for offer in offers) else vector.astype("<f4").tobytes()
    named: dict[str, tuple[str, ...]] = {}
    bits: dict[str, str] = {}
    for filled in decision.placements:
        if _many(filled):
            bits[filled.name] = _text(filled.open)
        else:
            named[filled.name] = filled.eligible
    return Decided(
        offers=tuple([_chosen(offer, written[offer.row], policy) for offer in offers]),
        readings=_text(readings) if readings else "",
        request_id=request_id,
        eligible=named,
        eligible_bits=bits,
        stages={filled.name: filled.stages for filled in decision.placements},
        versions={
            "policy": decision.policy_version,
            "catalogue": decision.catalogue_version,
            "next_best_offer": f"m-{decision.model_version}",
        },
        fingerprint=fingerprint,
        variation=decision.variation,
        ranker=decision.ranker,
        holdout=decision.holdout,
        campaigns=decision.campaigns,
        outcome_ms=policy.experiment.outcome_days * DAY,
        seed=decision.seed,
        attempt=decision.attempt,
        allowed=_allowed(offers),
        unprofiled=decision.unprofiled,
        degraded=decision.degraded,
        context=context or {},
    )


def _text(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).decode("ascii")


def _allowed(offers: Sequence[Chosen]) -> tuple[Allowed, ...]:
    """The statements that the offers rest on, each once."""
    proofs = [offer.proof for offer in offers if isinstance(offer.proof, Granted)]
    told = [
        Allowed(purpose=proof.purpose, channel=channel, at=rfc3339(said.at), text_version=said.text_version)
        for proof in proofs
        for channel, said in zip(proof.channels or ("",), proof.statements, strict=False)
    ]
    return tuple(told) if len(told) == 1 else tuple(dict.fromkeys(told))


def _many(filled: Filled) -> bool:
    """Whether the eligible set is written as bits: its names would be most of what a decision costs the store."""
    return filled.stages.get("arbitration", 0) + filled.stages.get("chosen", 0) > MOST_NAMED


def eligible_in(decided: Decided, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The eligible set of each placement, by name; `names` are the offers of the catalogue that it was decided by, in order."""
    bits = {name: offers_in(b64decode(packed), names) for name, packed in decided.eligible_bits.items()}
    return {**decided.eligible, **bits}


class _Written(Struct, frozen=True):
    """What the log says of an offer whoever gets it."""

    categories: tuple[str, ...]
    products: tuple[str, ...]
    coupon: str
    way: Literal["buys", "coupon", "event"]
    window_ms: int
    cost_minor: int
    redemption_cost_minor: int


@lru_cache(maxsize=8)
def _written(catalogue: Catalogue) -> tuple[_Written, ...]:
    """Offer by offer, worked out once a catalogue."""
    return tuple(
        _Written(
            categories=() if offer.promotes.expands else offer.promotes.categories,
            products=offer.promotes.named,
            coupon=redemption.coupon,
            way=_way(redemption),
            window_ms=int(offer.attribution_window_days * DAY),
            cost_minor=offer.cost.minor,
            redemption_cost_minor=redemption_cost(offer),
        )
        for offer, redemption in zip(catalogue.offers, catalogue.redemptions, strict=True)
    )


def _chosen(offer: Chosen, written: _Written, policy: Policy) -> ChosenOffer:
    return ChosenOffer(
        offer_id=offer.offer_id,
        placement=offer.placement,
        campaign=offer.campaign_id,
        kind=offer.kind,
        position=offer.position,
        propensity=offer.propensity,
        score=offer.score,
        categories=written.categories,
        products=tuple([one.product_id for one in offer.products]) or written.products,
        coupon=offer.coupon or written.coupon,
        redeemed_when="coupon" if offer.coupon else written.way,
        attribution_window_ms=written.window_ms,
        shown_when=policy.placements[offer.placement].shown_when,
        learn=offer.learn,
        vector=_text(offer.vector),
        cost_minor=written.cost_minor,
        redemption_cost_minor=written.redemption_cost_minor,
    )


def _way(redemption: Redemption) -> Literal["buys", "coupon", "event"]:
    if redemption.coupon:
        return "coupon"
    return "event" if redemption.event else "buys"
