"""Leads of a customer, or of somebody who is not one yet."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from engine.events.leads import LeadMoved

MOST_LEADS = 20
MOST_ATTRIBUTES = 30


class Lead(Struct, frozen=True, gc=False, array_like=True):
    """One lead. Instants are 0 where that has not happened; `told_at` is when its facts were told last."""

    created_at: int = 0
    qualified_at: int = 0
    converted_at: int = 0
    lost_at: int = 0
    told_at: int = 0
    origin: str = ""
    categories: tuple[str, ...] = ()
    amount: int = 0
    currency: str = ""
    attributes: dict[str, Any] = {}
    reason: str = ""

    @property
    def status(self) -> str:
        """A lead that was won stays won; one that was lost is open again when it is created or qualified anew."""
        if self.converted_at:
            return "converted"
        if self.lost_at and self.lost_at >= max(self.created_at, self.qualified_at):
            return "lost"
        return "qualified" if self.qualified_at else "created"

    @property
    def is_open(self) -> bool:
        return self.status in ("created", "qualified")

    def merge(self, other: "Lead") -> "Lead":
        """The same lead under two identities: what was told later holds, what it leaves out is taken from before."""
        old, new = sorted((self, other), key=lambda lead: (lead.told_at, lead.origin, lead.amount, lead.reason))
        return Lead(
            max(self.created_at, other.created_at),
            max(self.qualified_at, other.qualified_at),
            max(self.converted_at, other.converted_at),
            max(self.lost_at, other.lost_at),
            new.told_at,
            new.origin or old.origin,
            new.categories or old.categories,
            new.amount or old.amount,
            new.currency or old.currency,
            dict(list({**old.attributes, **new.attributes}.items())[:MOST_ATTRIBUTES]),
            new.reason or old.reason,
        )


class Leads(Struct, frozen=True, gc=False, array_like=True):
    """Leads by their id."""

    by_id: dict[str, Lead] = {}

    @property
    def open(self) -> dict[str, Lead]:
        """Those that are neither won nor lost."""
        return {name: lead for name, lead in self.by_id.items() if lead.is_open}

    def merge(self, other: "Leads") -> "Leads":
        """Leads of two identities; the same lead counts once."""
        if not other.by_id:
            return self
        found = dict(self.by_id)
        for name, lead in other.by_id.items():
            found[name] = found[name].merge(lead) if name in found else lead
        return Leads(_bounded(dict(sorted(found.items()))))


def _bounded(leads: dict[str, Lead]) -> dict[str, Lead]:
    while len(leads) > MOST_LEADS:
        oldest = min(leads, key=lambda name: (leads[name].is_open, leads[name].told_at, name))
        leads = {name: lead for name, lead in leads.items() if name != oldest}
    return leads


def _moved(field: str) -> Callable[[Leads, LeadMoved, int], Leads]:
    def handler(facet: Leads, event: LeadMoved, at: int) -> Leads:
        told = event.data
        news = Lead(
            told_at=at,
            origin=told.origin or "",
            categories=told.categories,
            amount=told.amount or 0,
            currency=told.currency or "",
            attributes=dict(list(told.attributes.items())[:MOST_ATTRIBUTES]),
            reason=told.reason or "",
        )
        news = replace(news, **{field: at})
        held = facet.by_id.get(told.lead_id)
        return Leads(_bounded({**facet.by_id, told.lead_id: held.merge(news) if held else news}))

    return handler


HANDLERS: dict[str, Callable[..., Leads]] = {
    "lead_created": _moved("created_at"),
    "lead_qualified": _moved("qualified_at"),
    "lead_converted": _moved("converted_at"),
    "lead_lost": _moved("lost_at"),
}
