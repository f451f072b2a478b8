"""A small shop to decide in: offers, a policy, customers and situations, with the few words that a test needs."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from engine.decisioning.catalogue import Catalogue
from engine.decisioning.compiling import compile_catalogue
from engine.decisioning.conditions import Feature
from engine.decisioning.decide import decide
from engine.decisioning.ledger import EMPTY, Ledger, commit
from engine.decisioning.offers import Campaign, Money, Offer, Promotes
from engine.decisioning.policy import Holdout, Placement, Policy
from engine.decisioning.scoring import Scorers, scorers_for
from engine.decisioning.situation import PlacementRequest, Situation
from engine.events.base import Event, Product
from engine.events.consent import Consent, ConsentUpdated
from engine.events.orders import Order, OrderCancelled, OrderCompleted
from engine.events.service import ComplaintFiled
from engine.features.base import Request
from engine.features.derived import RULE_NAMES
from engine.features.vector import read_features
from engine.models.scoring import OfferScorer
from engine.moments import Millis, millis, moment
from engine.profiles.profile import Profile

NOON = millis(datetime(2026, 3, 2, 12, tzinfo=UTC))
"""A Monday in March, at noon."""
MARKET = ("coffee", "milk", "bread", "cheese", "soup", "tea", "fruit", "pasta")


def offer(name: str, kind: Any = "sell", **fields: Any) -> Offer:
    """An offer of the placement `hero`, worth 1.00 EUR where it sells."""
    fields.setdefault("placements", ("hero",))
    fields.setdefault("content", {"default": {"title": name}})
    if kind == "sell":
        fields.setdefault("margin", Money(100, "EUR"))
    return Offer(id=name, kind=kind, **fields)


def sells(count: int, **fields: Any) -> list[Offer]:
    """Offers `sell-0` … that each promote one category of the market."""
    return [
        offer(f"sell-{index}", promotes=Promotes(categories=(MARKET[index % len(MARKET)],)), **fields) for index in range(count)
    ]


def policy(**fields: Any) -> Policy:
    """One placement, nobody held out."""
    fields.setdefault("placements", {"hero": Placement(channel="web", max=5)})
    fields.setdefault("holdout", Holdout(share=0.0))
    return Policy(**fields)


def catalogue(offers: Sequence[Offer], under: Policy, campaigns: Sequence[Campaign] = ()) -> Catalogue:
    return compile_catalogue(offers, under, RULE_NAMES, campaigns)


def scorers(of: Catalogue, popularity: Mapping[str, float] | None = None) -> Scorers:
    """The personal-frequency rule as the learned model."""
    return scorers_for(of, OfferScorer(), None, popularity or dict.fromkeys(MARKET, 0.1))


def customer(*events: Event, consent: bool = True) -> Profile:
    """Anna's profile: marketing granted a day before noon, then the events."""
    profile = Profile("u:anna")
    granted = consented("granted", NOON - 86_400_000)
    for event in (granted, *events) if consent else events:
        profile = profile.after(event)
    return profile


def consented(status: Any, at: int, **fields: Any) -> Event:
    consent = Consent(purpose=fields.pop("purpose", "marketing"), status=status, **fields)
    return ConsentUpdated(id=f"c-{at}-{status}", type="consent_updated", time=moment(at), user_id="anna", data=consent)


def complained(at: int) -> Event:
    return ComplaintFiled(id=f"f-{at}", type="complaint_filed", time=moment(at), user_id="anna")


def bought(at: int, *lines: tuple[str, str]) -> Event:
    """An order of (product, category) lines, 3.00 EUR each."""
    products = tuple(Product(product_id=product, category=category, price=300) for product, category in lines)
    order = Order(order_id=f"o-{at}", currency="EUR", products=products)
    return OrderCompleted(id=f"o-{at}", type="order_completed", time=moment(at), user_id="anna", data=order)


def situation(profile: Profile | None = None, **fields: Any) -> Situation:
    """A request for one offer in `hero` at noon; an unknown customer unless a profile is given."""
    now = fields.pop("now", NOON)
    known = profile if profile is not None else Profile("u:anna")
    fields.setdefault("decision_id", "d-1")
    fields.setdefault("unit", known.unit)
    fields.setdefault("placements", (PlacementRequest("hero", fields.pop("count", 1)),))
    fields.setdefault("part", known.whole)
    fields.setdefault("vector", read_features(known, Request(), Millis(now)))
    fields.setdefault("ledger", EMPTY)
    return Situation(now=Millis(now), **fields)


def absent(**fields: Any) -> Situation:
    """A request while the store does not answer."""
    return situation(part=None, vector=None, ledger=None, **fields)


RECENT = (Feature(feature="rfm.recency", below=10.0),)


def cancelled(at: int) -> Event:
    """The order of that instant is off."""
    order = Order(order_id=f"o-{at}", currency="EUR")
    return OrderCancelled(id=f"x-{at}", type="order_cancelled", time=moment(at + 1000), user_id="anna", data=order)


def admitted(asked: Situation, of: Catalogue, with_scorers: Scorers, under: Policy) -> Ledger:
    """The ledger once the decision on a situation is carried out."""
    decision = decide(asked, of, with_scorers, under)
    ledger = commit(asked.ledger or EMPTY, decision.claims, decision.sticky, decision.at, of.longest_window_ms)
    assert isinstance(ledger, Ledger)
    return ledger
