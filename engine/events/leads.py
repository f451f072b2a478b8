"""Leads: somebody who may become a customer, from the first sign of interest until it is won or lost."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from engine.events.base import Currency, Event, Minor, Text


class LeadFacts(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What is known of a lead. `amount` is what winning it is estimated to bring; `attributes` are plain values that the rules
    of policy.yaml may ask for. Each event tells what it knows: what it leaves out stays as it was."""

    lead_id: Annotated[str, Meta(min_length=1, max_length=90)]
    origin: Text | None = None
    categories: Annotated[tuple[Annotated[str, Meta(max_length=100)], ...], Meta(max_length=50)] = ()
    amount: Minor | None = None
    currency: Currency | None = None
    attributes: dict[str, Any] = {}
    reason: Text | None = None


class LeadMoved(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A lead was created, qualified, converted or lost.

    Without another identity in the envelope the lead is one itself, the anonymous `lead:ID`; a conversion that names a user
    claims it, so its history becomes the customer's.
    """

    data: LeadFacts


TYPES: dict[str, type[Event]] = {
    "lead_created": LeadMoved,
    "lead_qualified": LeadMoved,
    "lead_converted": LeadMoved,
    "lead_lost": LeadMoved,
}
