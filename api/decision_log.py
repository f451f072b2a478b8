"""The log entry of a decision: an `offer_decided` event with all that learning and attribution will need of it."""

from base64 import b64encode
from typing import Literal

from api.asking import DecisionRequest
from api.basis import Basis
from engine.decisioning.decision import Chosen, Decision
from engine.decisioning.offer_features import OFFER_NAMES
from engine.decisioning.offers import Redemption
from engine.events.offers import ChosenOffer, Decided, OfferDecided
from engine.events.routing import Admitted, admitted
from engine.features.affinity import CROSS_NAMES
from engine.features.vector import FINGERPRINT
from engine.models.scoring import arm_fingerprint
from engine.moments import DAY, Millis, moment

SOURCE = "regulars://decisions"
ARM_FINGERPRINT = arm_fingerprint(FINGERPRINT, OFFER_NAMES, CROSS_NAMES)


def log_entry(decision: Decision, asked: DecisionRequest, basis: Basis, arrival: Millis) -> Admitted:
    """The event for the customer's own shard, dated at the decision's now."""
    placements = decision.placements
    said = Decided(
        offers=tuple([_chosen(offer, basis) for offer in decision.offers]),
        request_id=asked.request_id or "",
        eligible={filled.name: filled.eligible for filled in placements},
        stages={filled.name: filled.stages for filled in placements},
        versions=dict(basis.versions),
        fingerprint=ARM_FINGERPRINT,
        variation=decision.variation,
        ranker=decision.ranker,
        holdout=decision.holdout,
        seed=decision.seed,
        attempt=decision.attempt,
        degraded=decision.degraded,
    )
    event = OfferDecided(
        id=decision.decision_id,
        type="offer_decided",
        time=moment(decision.at),
        source=SOURCE,
        received_at=moment(arrival),
        user_id=asked.user_id,
        anonymous_id=asked.anonymous_id,
        loyalty_id=asked.loyalty_id,
        session_id=asked.session_id,
        channel=asked.channel if asked.channel != "push" else None,
        decision_id=decision.decision_id,
        data=said,
    )
    # The id is made for this one event, so it tells the payload as well as a hash of it would.
    return admitted(event, decision.decision_id[-4:].encode())


def _chosen(offer: Chosen, basis: Basis) -> ChosenOffer:
    catalogue = basis.loaded.catalogue
    written = catalogue.offers[offer.row]
    redemption = catalogue.redemptions[offer.row]
    return ChosenOffer(
        offer_id=offer.offer_id,
        placement=offer.placement,
        campaign=offer.campaign_id,
        kind=offer.kind,
        position=offer.position,
        propensity=offer.propensity,
        score=offer.score,
        categories=written.promotes.categories,
        products=written.promotes.products,
        coupon=redemption.coupon,
        redeemed_when=_redeemed_when(redemption),
        attribution_window_ms=int(written.attribution_window_days * DAY),
        shown_when=basis.loaded.policy.placements[offer.placement].shown_when,
        learn=offer.learn,
        vector=b64encode(offer.vector).decode(),
    )


def _redeemed_when(redemption: Redemption) -> Literal["buys", "coupon", "event"]:
    if redemption.coupon:
        return "coupon"
    return "buys" if redemption.buys else "event"
