"""Complaints, from filing to resolution."""

from msgspec import Struct

from engine.events.base import Event, Identifier, Text


class Case(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A complaint. Without `complaint_id` it is the customer's only one: resolving then resolves all open ones."""

    complaint_id: Identifier | None = None
    case_id: Identifier | None = None
    reason: Text | None = None
    order_id: Text | None = None
    product_id: Text | None = None
    store: Text | None = None
    severity: Text | None = None
    text: str | None = None

    @property
    def key(self) -> str:
        """What names the complaint; empty when the sender gave no name."""
        return self.complaint_id or self.case_id or ""


class ComplaintFiled(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Something went wrong for the customer; nothing is sold to them until it is resolved."""

    data: Case = Case()


class ComplaintMoved(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A complaint was acknowledged or escalated: it stays open."""

    data: Case = Case()


class ComplaintResolved(Event, frozen=True, kw_only=True, omit_defaults=True):
    """It was put right."""

    data: Case = Case()


TYPES: dict[str, type[Event]] = {
    "complaint_filed": ComplaintFiled,
    "complaint_acknowledged": ComplaintMoved,
    "complaint_escalated": ComplaintMoved,
    "complaint_resolved": ComplaintResolved,
}
