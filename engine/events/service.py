"""Complaints, support cases, warranty and upkeep: from the first word to the last."""

from typing import Any

from msgspec import Struct

from engine.events.base import Aware, Event, Identifier, Text


class Case(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A complaint or a support case. Without `complaint_id` and `case_id` it is the customer's only one: resolving then
    resolves all that are open. `severity` is a word of the sender's; policy.yaml says which words stop selling."""

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
        """What names the case; empty when the sender gave no name."""
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


class SupportCase(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A question or a fault that the service desk works on: opened, escalated or resolved."""

    data: Case = Case()


class Warranty(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A claim under warranty. With a name it is worked on as a support case; `warranty_until` is when the cover ends."""

    claim_id: Identifier | None = None
    case_id: Identifier | None = None
    product_id: Text | None = None
    order_id: Text | None = None
    store: Text | None = None
    reason: Text | None = None
    warranty_until: Aware | None = None
    text: str | None = None

    @property
    def key(self) -> str:
        return self.claim_id or self.case_id or ""


class WarrantyClaimed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The customer relies on a warranty."""

    data: Warranty = Warranty()


class Upkeep(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Service of one thing: `service_id` names the plan, else the product does. `due_at` says when it is due, `next_due_at`
    when it will be due again once it is completed. `about` is what falls due: service or warranty."""

    service_id: Identifier | None = None
    product_id: Text | None = None
    order_id: Text | None = None
    case_id: Identifier | None = None
    store: Text | None = None
    due_at: Aware | None = None
    next_due_at: Aware | None = None
    about: Text | None = None
    text: str | None = None

    @property
    def key(self) -> str:
        return self.service_id or self.product_id or self.order_id or ""


class ServiceDue(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Service is due, or will be at `due_at`. The engine says it again by itself in time before the date."""

    data: Upkeep = Upkeep()


class ServiceCompleted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The service was done."""

    data: Upkeep = Upkeep()


class PastDue(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A complaint or case is older than the time that policy.yaml allows it. Only the engine writes this."""

    data: dict[str, Any] = {}


TYPES: dict[str, type[Event]] = {
    "complaint_filed": ComplaintFiled,
    "complaint_acknowledged": ComplaintMoved,
    "complaint_escalated": ComplaintMoved,
    "complaint_resolved": ComplaintResolved,
    "support_case_opened": SupportCase,
    "support_case_escalated": SupportCase,
    "support_case_resolved": SupportCase,
    "warranty_claimed": WarrantyClaimed,
    "service_due": ServiceDue,
    "service_completed": ServiceCompleted,
    "case_past_due": PastDue,
}
