"""Every event type that has a class of its own. A new group is a line here."""

from engine.events import (
    budgets,
    clickstream,
    consent,
    feedback,
    identity,
    leads,
    loyalty,
    offers,
    orders,
    pos,
    prices,
    products,
    reference,
    segments,
    service,
    subscription,
)
from engine.events.base import Event

TYPES: dict[str, type[Event]] = {
    **identity.TYPES,
    **clickstream.TYPES,
    **orders.TYPES,
    **pos.TYPES,
    **offers.TYPES,
    **budgets.TYPES,
    **consent.TYPES,
    **service.TYPES,
    **feedback.TYPES,
    **prices.TYPES,
    **products.TYPES,
    **reference.TYPES,
    **segments.TYPES,
    **loyalty.TYPES,
    **leads.TYPES,
    **subscription.TYPES,
}

OBEYED_AT_ONCE = frozenset(
    {
        "consent_updated",
        "message_unsubscribed",
        "preference_updated",
        "complaint_filed",
        "complaint_resolved",
        "complaint_escalated",
        "support_case_opened",
        "support_case_escalated",
        "support_case_resolved",
        "order_late",
        "feedback_submitted",
        "erasure_requested",
    }
)
"""Types that the next decision already follows, also while the engine is down."""
