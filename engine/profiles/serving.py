"""What serving a customer took: how often each of the events happened that cost the shop something.

Plain counts, so they are exact in any order; what each costs is said by the policy when they are read.
"""

from collections.abc import Callable

from msgspec import Struct

from engine.events.base import Event

SERVING: tuple[str, ...] = (
    "order_cancelled",
    "order_refunded",
    "order_shipped",
    "order_delivered",
    "order_late",
    "pos_return_completed",
    "pos_transaction_voided",
    "complaint_filed",
    "complaint_escalated",
    "support_case_opened",
    "support_case_escalated",
    "conversation_ended",
    "interaction_logged",
    "special_request_noted",
    "warranty_claimed",
    "service_completed",
    "payment_failed",
    "message_sent",
)
"""Events that may cost something to serve, beside the goods."""


class Served(Struct, frozen=True, gc=False, array_like=True):
    """Counts by type of event."""

    counts: dict[str, int] = {}

    def merge(self, other: "Served") -> "Served":
        """Those of two identities of one customer."""
        if not other.counts:
            return self
        names = sorted({*self.counts, *other.counts})
        return Served({name: self.counts.get(name, 0) + other.counts.get(name, 0) for name in names})


def _served(facet: Served, event: Event, at: int) -> Served:
    counts = facet.counts
    return Served({**counts, event.type: counts.get(event.type, 0) + 1})


HANDLERS: dict[str, Callable[..., Served]] = dict.fromkeys(SERVING, _served)
