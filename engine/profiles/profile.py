"""One customer: the parts, and how an event changes the part it belongs to."""

from functools import reduce
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from engine.events.base import Event
from engine.events.decode import time_of
from engine.moments import millis
from engine.profiles import browsing, consent, identity, offer_history, purchases, service
from engine.profiles.browsing import Browsing
from engine.profiles.consent import Consents
from engine.profiles.identity import Identity
from engine.profiles.offer_history import OfferHistory
from engine.profiles.purchases import Purchases
from engine.profiles.service import Service


class Part(Struct, frozen=True, array_like=True):
    """What is held of one identity, a facet a field."""

    identity: Identity = Identity()
    purchases: Purchases = Purchases()
    browsing: Browsing = Browsing()
    offers: OfferHistory = OfferHistory()
    service: Service = Service()
    consent: Consents = Consents()

    def after(self, event: Event, at: int) -> "Part":
        """This part after one of its events, which happened at `at`."""
        changed: dict[str, Any] = {"identity": self.identity.met(event, at)}
        for name, handler in _HANDLERS.get(event.type, _UNKNOWN_TYPE):
            facet = changed.get(name) or getattr(self, name)
            changed[name] = handler(facet, event, at)
        return replace(self, **changed)

    def merge(self, other: "Part") -> "Part":
        """Both parts as one; order does not matter beyond rounding."""
        return Part(
            self.identity.merge(other.identity),
            self.purchases.merge(other.purchases),
            self.browsing.merge(other.browsing),
            self.offers.merge(other.offers),
            self.service.merge(other.service),
            self.consent.merge(other.consent),
        )


NO_PART = Part()

_FACETS: dict[str, dict[str, Any]] = {
    "identity": identity.HANDLERS,
    "purchases": purchases.HANDLERS,
    "browsing": browsing.HANDLERS,
    "offers": offer_history.HANDLERS,
    "service": service.HANDLERS,
    "consent": consent.HANDLERS,
}
_HANDLERS: dict[str, list[tuple[str, Any]]] = {}
for _name, _handlers in _FACETS.items():
    for _type, _handler in _handlers.items():
        _HANDLERS.setdefault(_type, []).append((_name, _handler))
_UNKNOWN_TYPE: list[tuple[str, Any]] = [("browsing", browsing.activity)]


class Profile(Struct, frozen=True, array_like=True):
    """A customer as stored under one key. `parts` is by identity key; readings use `whole`.

    `next_boundary` is the next instant at which churn is scored (0: none is due). `arrived_at` is when the newest event
    folded here came in, on the server's clock.
    """

    key: str = ""
    parts: dict[str, Part] = {}
    next_boundary: int = 0
    arrived_at: int = 0
    events: int = 0

    def after(self, event: Event) -> "Profile":
        """The customer after one of their events. Pure: the same event gives the same profile anywhere."""
        part = self.parts.get(self.key, NO_PART)
        arrived = millis(event.received_at) if event.received_at else 0
        return Profile(
            self.key,
            {**self.parts, self.key: part.after(event, time_of(event))},
            self.next_boundary,
            max(self.arrived_at, arrived),
            self.events + 1,
        )

    @property
    def whole(self) -> Part:
        """All parts as one."""
        if len(self.parts) == 1:
            return next(iter(self.parts.values()))
        return reduce(Part.merge, (self.parts[key] for key in sorted(self.parts)), Part())

    @property
    def first_identity(self) -> str:
        """The identity seen first (ties by name): what group assignment hangs on, so that joining identities commutes."""
        return min(self.parts, key=lambda key: (self.parts[key].identity.first_at, key), default=self.key)

    def part_of(self, key: str) -> Part:
        """What is held of one identity."""
        return self.parts.get(key, NO_PART)

    def with_part(self, key: str, part: Part) -> "Profile":
        """With one part put in or replaced."""
        return replace(self, parts={**self.parts, key: part})

    @property
    def purchases(self) -> Purchases:
        return self.whole.purchases

    @property
    def consent(self) -> Consents:
        return self.whole.consent

    @property
    def service(self) -> Service:
        return self.whole.service

    @property
    def offers(self) -> OfferHistory:
        return self.whole.offers

    @property
    def browsing(self) -> Browsing:
        return self.whole.browsing
