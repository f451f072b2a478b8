"""A decision as the log keeps it: what attribution and learning need of it, so that nobody looks it up again.

A small eligible set is written by name. A large one is a bit for each offer of the catalogue, whose version tells the names:
the store keeps them as long as the log.
"""

from base64 import b64decode
from binascii import b2a_base64
from collections.abc import Sequence
from typing import Any, Final, Literal

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
    offers = decision.offers
    readings = b"" if vector is None or any(offer.vector for offer in offers) else vector.astype("<f4").tobytes()
    named: dict[str, tuple[str, ...]] = {}
    bits: dict[str, str] = {}
    for filled in decision.placements:
        if _many(filled):
            bits[filled.name] = _text(filled.open)
        else:
            named[filled.name] = filled.eligible
    return Decided(
        offers=tuple([_chosen(offer, catalogue, policy) for offer in offers]),
        readings=_text(readings),
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


def _chosen(offer: Chosen, catalogue: Catalogue, policy: Policy) -> ChosenOffer:
    written, redemption = catalogue.offers[offer.row], catalogue.redemptions[offer.row]
    return ChosenOffer(
        offer_id=offer.offer_id,
        placement=offer.placement,
        campaign=offer.campaign_id,
        kind=offer.kind,
        position=offer.position,
        propensity=offer.propensity,
        score=offer.score,
        categories=() if written.promotes.expands else written.promotes.categories,
        products=tuple(one.product_id for one in offer.products) or written.promotes.named,
        coupon=offer.coupon or redemption.coupon,
        redeemed_when="coupon" if offer.coupon else _way(redemption),
        attribution_window_ms=int(written.attribution_window_days * DAY),
        shown_when=policy.placements[offer.placement].shown_when,
        learn=offer.learn,
        vector=_text(offer.vector),
        cost_minor=written.cost.minor,
        redemption_cost_minor=redemption_cost(written),
    )


def _way(redemption: Redemption) -> Literal["buys", "coupon", "event"]:
    if redemption.coupon:
        return "coupon"
    return "event" if redemption.event else "buys"
