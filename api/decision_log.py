"""The log entry of a decision: an `offer_decided` event with all that learning and attribution will need of it."""

from typing import Any

from api.asking import DecisionRequest
from api.basis import Basis
from engine.decisioning.decision import Decision
from engine.decisioning.offer_features import OFFER_NAMES
from engine.decisioning.record import decided
from engine.decisioning.situation import Vector
from engine.events.offers import OfferDecided
from engine.events.routing import Admitted, admitted
from engine.features.affinity import CROSS_NAMES
from engine.features.vector import FINGERPRINT
from engine.models.scoring import arm_fingerprint
from engine.moments import Millis, moment

MOST_LINES = 50
"""Of a cart, and of offers not wanted, that are logged."""
SOURCE = "regulars://decisions"
ARM_FINGERPRINT = arm_fingerprint(FINGERPRINT, OFFER_NAMES, CROSS_NAMES)


def log_entry(decision: Decision, asked: DecisionRequest, basis: Basis, arrival: Millis, vector: Vector | None) -> Admitted:
    """The event for the customer's own shard, dated at the decision's now. `vector` is what the customer read like."""
    loaded = basis.loaded
    said = decided(
        decision,
        loaded.catalogue,
        loaded.policy,
        request_id=asked.request_id or "",
        fingerprint=ARM_FINGERPRINT,
        vector=vector,
        context=_asked(asked),
    )
    received = moment(arrival)
    event = OfferDecided(
        id=decision.decision_id,
        type="offer_decided",
        time=received if decision.at == arrival else moment(decision.at),
        source=SOURCE,
        received_at=received,
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


def _asked(asked: DecisionRequest) -> dict[str, Any]:
    """What was asked beside who and where, as far as it is not the usual: who plays the visit again needs it."""
    context = asked.context
    told: dict[str, Any] = {}
    if counts := {one.name: one.count for one in asked.placements if one.count != 1}:
        told["asked"] = counts
    if context is not None:
        if context.locale:
            told["locale"] = context.locale
        if context.timezone:
            told["timezone"] = context.timezone
        if context.cart:
            told["cart"] = [(line.product_id, line.category) for line in context.cart[:MOST_LINES]]
    if asked.exclude:
        told["exclude"] = asked.exclude[:MOST_LINES]
    return told
