"""One customer: the parts, and how an event changes the part it belongs to."""

from functools import reduce
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from engine.events.base import Event
from engine.events.decode import arrival_of, time_of
from engine.profiles import (
    browsing,
    consent,
    feedback,
    goods,
    identity,
    leads,
    loyalty,
    offer_history,
    preferences,
    purchases,
    service,
    serving,
    subscriptions,
)
from engine.profiles.browsing import Browsing
from engine.profiles.consent import PROFILING, Consents
from engine.profiles.experiment import Experiment
from engine.profiles.feedback import Feedback
from engine.profiles.goods import Goods
from engine.profiles.identity import Identity
from engine.profiles.leads import Leads
from engine.profiles.links import NO_LINKS, Links
from engine.profiles.loyalty import Loyalty
from engine.profiles.membership import Membership
from engine.profiles.offer_history import OfferHistory
from engine.profiles.preferences import Preferences
from engine.profiles.purchases import Purchases
from engine.profiles.service import Service
from engine.profiles.serving import Served
from engine.profiles.standing import Standing
from engine.profiles.subscriptions import Subscriptions


class Part(Struct, frozen=True, gc=False, array_like=True):
    """What is held of one identity, a facet a field."""

    identity: Identity = Identity()
    purchases: Purchases = Purchases()
    browsing: Browsing = Browsing()
    offers: OfferHistory = OfferHistory()
    service: Service = Service()
    consent: Consents = Consents()
    experiment: Experiment = Experiment()
    feedback: Feedback = Feedback()
    preferences: Preferences = Preferences()
    loyalty: Loyalty = Loyalty()
    leads: Leads = Leads()
    subscriptions: Subscriptions = Subscriptions()
    goods: Goods = Goods()
    served: Served = Served()

    def after(self, event: Event, at: int) -> "Part":
        """This part after one of its events, which happened at `at`."""
        facets: list[Any] = [self.identity.met(event, at), self.purchases, self.browsing, self.offers, self.service, self.consent]
        facets += (self.experiment, self.feedback, self.preferences, self.loyalty, self.leads, self.subscriptions)
        facets += (self.goods, self.served)
        for index, handler in _HANDLERS.get(event.type, _UNKNOWN_TYPE):
            facets[index] = handler(facets[index], event, at)
        if facets[_LOYALTY].named and event.type in loyalty.NAMES_A_PURCHASE:
            facets[_LOYALTY] = facets[_LOYALTY].valued(facets[_PURCHASES])
        return Part(*facets)

    def merge(self, other: "Part") -> "Part":
        """Both parts as one; order does not matter beyond rounding."""
        bought = self.purchases.merge(other.purchases)
        return Part(
            self.identity.merge(other.identity),
            bought,
            self.browsing.merge(other.browsing),
            self.offers.merge(other.offers),
            self.service.merge(other.service),
            self.consent.merge(other.consent),
            self.experiment.merge(other.experiment),
            self.feedback.merge(other.feedback),
            self.preferences.merge(other.preferences),
            self.loyalty.merge(other.loyalty).valued(bought),
            self.leads.merge(other.leads),
            self.subscriptions.merge(other.subscriptions),
            self.goods.merge(other.goods),
            self.served.merge(other.served),
        )


NO_PART = Part()
_PURCHASES, _LOYALTY = Part.__struct_fields__.index("purchases"), Part.__struct_fields__.index("loyalty")

_FACETS: dict[str, dict[str, Any]] = {
    "identity": identity.HANDLERS,
    "purchases": purchases.HANDLERS,
    "browsing": browsing.HANDLERS,
    "offers": offer_history.HANDLERS,
    "service": service.HANDLERS,
    "consent": consent.HANDLERS,
    "experiment": {},
    "feedback": feedback.HANDLERS,
    "preferences": preferences.HANDLERS,
    "loyalty": loyalty.HANDLERS,
    "leads": leads.HANDLERS,
    "subscriptions": subscriptions.HANDLERS,
    "goods": goods.HANDLERS,
    "served": {},
}
_HANDLERS: dict[str, list[tuple[int, Any]]] = {}
for _index, _name in enumerate(Part.__struct_fields__):
    for _type, _handler in _FACETS[_name].items():
        _HANDLERS.setdefault(_type, []).append((_index, _handler))
_UNKNOWN_TYPE: list[tuple[int, Any]] = [(Part.__struct_fields__.index("browsing"), browsing.activity)]
for _type, _handler in serving.HANDLERS.items():
    _HANDLERS.setdefault(_type, list(_UNKNOWN_TYPE)).append((Part.__struct_fields__.index("served"), _handler))


def changed_by(event_type: str) -> frozenset[str]:
    """The facets that an event of a type may change, beside `identity`, which every event does."""
    return frozenset(Part.__struct_fields__[index] for index, _ in _HANDLERS.get(event_type, _UNKNOWN_TYPE))


class Profile(Struct, frozen=True, gc=False, array_like=True):
    """A customer as stored under one key. `parts` is by identity key; readings use `whole`.

    `next_boundary` is the next instant at which churn is scored; none is due at 0, nor below it, where it is the negative of the
    last one. `arrived_at` is when the newest event folded here came in, on the server's clock. A profile that `moved_to` another
    key holds nothing any more. `standing` is where the customer stood among all when their shard last looked, `membership` the
    tier of the programme they were held in. `links` are the identities said to be theirs.
    """

    key: str = ""
    parts: dict[str, Part] = {}
    next_boundary: int = 0
    arrived_at: int = 0
    events: int = 0
    moved_to: str = ""
    standing: Standing = Standing()
    membership: Membership = Membership()
    links: Links = NO_LINKS

    def after(self, event: Event) -> "Profile":
        """The customer after one of their events. Pure: the same event gives the same profile anywhere."""
        return self.folded(event, self.key, time_of(event), arrival_of(event))

    def folded(self, event: Event, part_key: str, at: int, arrived: int) -> "Profile":
        """`after` for a caller who has read the event's times already and knows which part it belongs to."""
        part = self.parts.get(part_key, NO_PART).after(event, at)
        parts = {**self.parts, part_key: part}
        arrived, events = max(self.arrived_at, arrived), self.events + 1
        return Profile(self.key, parts, self.next_boundary, arrived, events, "", self.standing, self.membership, self.links)

    @property
    def whole(self) -> Part:
        """All parts as one."""
        if len(self.parts) == 1:
            return next(iter(self.parts.values()))
        return reduce(Part.merge, (self.parts[key] for key in sorted(self.parts)), Part())

    @property
    def first_identity(self) -> str:
        """The identity seen first (ties by name), so that joining identities commutes. One that was only named was not seen."""
        seen = [(part.identity.first_at, key) for key, part in self.parts.items() if part.identity.first_at]
        return min(seen)[1] if seen else self.key

    @property
    def unit(self) -> str:
        """What the assignment to groups hangs on: the identity under which the customer was first counted in an experiment,
        else the one seen first. So nobody who is counted changes sides, whichever identities are joined or parted later."""
        counted = [(one.at, one.unit) for part in self.parts.values() for one in part.experiment.enrolments if one.unit]
        return min(counted)[1] if counted else self.first_identity

    def part_of(self, key: str) -> Part:
        """What is held of one identity."""
        return self.parts.get(key, NO_PART)

    def with_part(self, key: str, part: Part) -> "Profile":
        """With one part put in or replaced."""
        return replace(self, parts={**self.parts, key: part})

    def without_part(self, key: str) -> "Profile":
        """With one part taken out."""
        return replace(self, parts={name: part for name, part in self.parts.items() if name != key})

    def may_profile(self, now: int, default: bool) -> bool:
        """Whether what the customer did may be judged: what they said last, else `default`."""
        said: list[Consents] = []
        for part in self.parts.values():
            if PROFILING in part.consent.statements:
                said.append(part.consent)
        return reduce(Consents.merge, said).may_profile(now, default) if said else default

    @property
    def purchases(self) -> Purchases:
        if len(self.parts) == 1:
            return next(iter(self.parts.values())).purchases
        return reduce(Purchases.merge, (self.parts[key].purchases for key in sorted(self.parts)), Purchases())

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
