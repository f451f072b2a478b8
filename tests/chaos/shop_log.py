"""A season of a shop as the door would accept it, and what it comes to, counted the simple way.

Some customers start as anonymous browsers and say later who they are, so that parts move between shards meanwhile.
"""

import random
from base64 import b64encode
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from engine.errors import Rejected
from engine.events.decode import decode_canonical
from engine.events.routing import Admitted, admitted
from engine.features.vector import NAMES
from engine.ids import shard_of
from engine.models.lift import EVERYTHING
from engine.moments import DAY, MINUTE, SECOND, rfc3339
from engine.shards.commit import Entry
from flows.learn import product_inputs
from tests.builders import START, order, refund, simple, taken

CATEGORIES = tuple(f"category-{number}" for number in range(20))
WINDOW = 10 * DAY
OUTCOME = 20 * DAY
SPAN = 150 * DAY
_INPUTS = product_inputs()
_VECTOR_LENGTH = len(NAMES) + len(_INPUTS.offer_names) + len(_INPUTS.cross_names)


@dataclass
class Truth:
    """What one customer's events come to."""

    purchases: int = 0
    spend: int = 0
    views: Counter[str] = field(default_factory=Counter)
    bought: Counter[str] = field(default_factory=Counter)
    complaints: int = 0
    decided: int = 0
    shown: int = 0
    clicked: int = 0
    redeemed: int = 0


@dataclass
class _Order:
    name: str
    total: int
    at: int
    categories: tuple[str, ...]
    returned: int = 0


@dataclass
class _Offer:
    decision: str
    offer: str
    category: str
    at: int
    viewed_at: int = 0
    clicked: bool = False
    redeemed: bool = False


class ShopLog:
    """`sent` is every event once, in order of time; `truth` is by user."""

    def __init__(self, events: int, customers: int, seed: int) -> None:
        self._chance = random.Random(seed)
        self._vectors = np.random.default_rng(seed)
        self.customers = [f"u-{number}" for number in range(customers)]
        self.truth: dict[str, Truth] = {user: Truth() for user in self.customers}
        self._anonymous = {user for user in self.customers if self._chance.random() < 0.3}
        self._orders: dict[str, list[_Order]] = defaultdict(list)
        self._offers: dict[str, list[_Offer]] = defaultdict(list)
        self.sent: list[tuple[int, dict[str, Any]]] = []
        while len(self.sent) < events:
            number = len(self.sent)
            self.sent.append((number, self._event(number, START + SPAN * number // events)))

    def entry(self, number: int, again: bool, shards: int) -> tuple[int, Entry]:
        """Shard and entry of one event as the door appends it; a repeat comes in a little later."""
        body = self.sent[number][1]
        arrival = START + 400 * DAY + number * SECOND + (MINUTE if again else 0)
        ready: Admitted
        if body["type"] == "offer_decided":
            event = decode_canonical(msgspec.json.encode(body))
            assert not isinstance(event, Rejected), event
            ready = admitted(event)
        else:
            ready = taken(body, arrival)
        return shard_of(ready.key, shards), Entry("", ready.entry, ready.fingerprint, ready.key)

    def _event(self, number: int, at: int) -> dict[str, Any]:
        user = self._chance.choice(self.customers)
        if user in self._anonymous:
            return self._before_login(user, number, at)
        draw = self._chance.random()
        if draw < 0.33:
            return self._order(user, number, at)
        if draw < 0.38 and self._orders[user]:
            return self._refund(user, number, at)
        if draw < 0.50:
            return self._decision(user, number, at)
        if draw < 0.62 and self._offers[user]:
            return self._reaction(user, number, at)
        if draw < 0.65:
            self.truth[user].complaints += 1
            return simple("complaint_filed", f"e{number}", user, at, complaint_id=f"k{number}")
        return self._view(user, number, at)

    def _before_login(self, user: str, number: int, at: int) -> dict[str, Any]:
        draw = self._chance.random()
        if draw < 0.2:
            self._anonymous.discard(user)
            return simple("customer_identified", f"e{number}", user, at, locale="de") | {"anonymous_id": f"b-{user}"}
        body = self._order(user, number, at, refundable=False) if draw < 0.5 else self._view(user, number, at)
        del body["user_id"]
        return body | {"anonymous_id": f"b-{user}"}

    def _view(self, user: str, number: int, at: int) -> dict[str, Any]:
        category = self._chance.choice(CATEGORIES)
        self.truth[user].views[category] += 1
        return simple("product_viewed", f"e{number}", user, at, product_id=f"p-{category}", category=category)

    def _order(self, user: str, number: int, at: int, refundable: bool = True) -> dict[str, Any]:
        categories = tuple(self._chance.sample(CATEGORIES, self._chance.randint(1, 3)))
        total = self._chance.randint(1, 20_000)
        truth = self.truth[user]
        truth.purchases += 1
        truth.spend += total
        truth.bought.update(categories)
        if refundable:
            self._orders[user].append(_Order(f"{number}", total, at, categories))
        for offer in self._offers[user]:
            open_now = offer.viewed_at and not offer.redeemed and at <= offer.at + WINDOW
            if open_now and offer.category in categories:
                offer.redeemed = True
                truth.redeemed += 1
        return order(f"{number}", user, at, total, categories)

    def _refund(self, user: str, number: int, at: int) -> dict[str, Any]:
        """Part of an order, or all that is left of it."""
        bought = self._chance.choice(self._orders[user][-8:])
        truth, left = self.truth[user], bought.total - bought.returned
        whole = self._chance.random() < 0.3 or left < 2
        amount = left if whole else self._chance.randint(1, left - 1)
        bought.returned += amount
        truth.spend -= amount
        if whole:
            truth.purchases -= 1
            truth.bought.subtract(bought.categories)
            self._orders[user].remove(bought)
        return refund(f"e{number}", bought.name, user, at, None if whole else amount)

    def _decision(self, user: str, number: int, at: int) -> dict[str, Any]:
        category = self._chance.choice(CATEGORIES)
        self._offers[user].append(_Offer(f"d{number}", f"o-{category}", category, at))
        self.truth[user].decided += 1
        vector = self._vectors.lognormal(size=_VECTOR_LENGTH).astype("<f4").tobytes()
        chosen = {
            "offer_id": f"o-{category}",
            "placement": "home_hero",
            "campaign": f"c-{category}",
            "categories": [category],
            "attribution_window_ms": WINDOW,
            "propensity": 0.25,
            "vector": b64encode(vector).decode(),
        }
        return {
            "id": f"d{number}",
            "decision_id": f"d{number}",
            "type": "offer_decided",
            "user_id": user,
            "time": rfc3339(at),
            "received_at": rfc3339(START + 400 * DAY + number * SECOND),
            "source": "regulars",
            "data": {
                "offers": [chosen],
                "fingerprint": _INPUTS.arm_fingerprint,
                "variation": "learned" if shard_of(user, 2) else "rule",
                "campaigns": [EVERYTHING, f"c-{category}"],
                "outcome_ms": OUTCOME,
            },
        }

    def _reaction(self, user: str, number: int, at: int) -> dict[str, Any]:
        """The last offer is viewed, or clicked if it was viewed before; a click alone proves that it was seen."""
        offer, truth = self._offers[user][-1], self.truth[user]
        kind = "offer_clicked" if self._chance.random() < 0.3 else "offer_viewed"
        if at <= offer.at + WINDOW:
            truth.shown += not offer.viewed_at
            offer.viewed_at = offer.viewed_at or at
            if kind == "offer_clicked":
                truth.clicked += not offer.clicked
                offer.clicked = True
        return simple(kind, f"e{number}", user, at) | {"decision_id": offer.decision, "offer_id": offer.offer}
