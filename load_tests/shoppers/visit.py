"""One visit to the web shop, without I/O: it says what to send and is told what was answered.

A visit is a generator of steps. `Tell` is events to send; `Ask` is a decision to ask for, and the answer comes back
through `send`. The outcome is the generator's return value.
"""

from collections.abc import Generator
from random import Random
from typing import Any, Final

from msgspec import Struct

from engine.moments import SECOND, rfc3339
from load_tests.shoppers.world import Arrival, Shopper, World, products_of

PLACEMENT: Final = "home_hero"
SOURCE: Final = "web://shop.example"


class Tell(Struct, frozen=True):
    """Events to send, in order."""

    events: list[dict[str, Any]]


class Ask(Struct, frozen=True):
    """A decision to ask for: the body of `POST /v1/decisions`, and its `at` in epoch milliseconds."""

    request: dict[str, Any]
    at: int = 0


class Shown(Struct, frozen=True):
    """The offer that the decision put in front of the shopper."""

    decision_id: str
    offer_id: str


class Outcome(Struct, frozen=True):
    """What came of a visit.

    `bought` is whether something promoted went home, `caused` whether only the offer made it so. `basket` has the
    categories of the order, paid at `paid_at` with `spend_minor` in all.
    """

    offer_id: str = ""
    clicked: bool = False
    bought: bool = False
    caused: bool = False
    spend_minor: int = 0
    basket: tuple[str, ...] = ()
    paid_at: int = 0


Visit = Generator[Tell | Ask, Shown | None, Outcome]


def visit(world: World, arrival: Arrival) -> Visit:
    """The visit of one arrival. What the shopper likes does not change by what is answered, only what they buy does."""
    shopper = world.shoppers[arrival.shopper]
    chance = world.chance("visit", world.person(arrival.shopper), arrival.number)
    scene = _Scene(shopper, arrival, world.currency)
    organic = [category for category in world.categories if chance.random() < shopper.taste(category)]
    draws = chance.random(), chance.random()
    yield Tell([*scene.entrance(), *scene.looks(_wandered(world, shopper, chance), world, chance)])

    shown = yield Ask(scene.request(), scene.now)
    offer = world.promotions.get(shown.offer_id) if shown is not None else None
    clicked = offer is not None and draws[0] < shopper.click(offer)
    caused = clicked and offer is not None and draws[1] < shopper.swayed(offer)
    basket = list(organic)
    if caused and offer is not None and not set(offer.categories).intersection(organic):
        basket.append(offer.categories[0])
    else:
        caused = False

    events = scene.reaction(shown, clicked) if shown is not None else []
    spend, bought = scene.purchase(basket, world, chance)
    if events or bought:
        yield Tell(events + bought)
    hit = offer is not None and bool(set(offer.categories).intersection(basket))
    return Outcome(shown.offer_id if shown else "", clicked, hit, caused, spend, tuple(basket), scene.now)


def _wandered(world: World, shopper: Shopper, chance: Random) -> list[str]:
    """Categories looked at: mostly liked ones, now and then any."""
    liked = sorted(shopper.tastes)
    seen = chance.choices(liked, [shopper.tastes[name] for name in liked], k=2) if liked else []
    return [*seen, chance.choice(world.categories)] if world.categories else seen


class _Scene:
    """The events of one visit: ids are fixed by shopper and visit, and each comes a few seconds after the last."""

    def __init__(self, shopper: Shopper, arrival: Arrival, currency: str) -> None:
        self._shopper, self._arrival, self._currency = shopper, arrival, currency
        self._session = f"{shopper.user_id}-{arrival.number}"
        self._at: int = arrival.at
        self._count = 0

    @property
    def now(self) -> int:
        """The time of the newest event."""
        return self._at

    def entrance(self) -> list[dict[str, Any]]:
        """The session begins; on the first visit the shopper allows marketing."""
        consent = {"purpose": "marketing", "status": "granted"}
        first = [self._event("consent_updated", consent)] if self._arrival.number == 0 else []
        return [*first, self._event("session_started", {})]

    def looks(self, categories: list[str], world: World, chance: Random) -> list[dict[str, Any]]:
        """A product of each category is looked at."""
        products = [(chance.choice(products_of(category)), category) for category in categories]
        return [self._event("product_viewed", self._product(name, category, world)) for name, category in products]

    def request(self) -> dict[str, Any]:
        """The decision for the page that opens now."""
        return {
            "request_id": f"{self._session}-{PLACEMENT}",
            "user_id": self._shopper.user_id,
            "session_id": self._session,
            "channel": "web",
            "placements": [{"name": PLACEMENT, "count": 1}],
            "at": rfc3339(self._at),
        }

    def reaction(self, shown: Shown, clicked: bool) -> list[dict[str, Any]]:
        """The offer is seen, and perhaps clicked."""
        named = {"decision_id": shown.decision_id, "offer_id": shown.offer_id, "placement": PLACEMENT}
        kinds = ["offer_viewed", *(["offer_clicked"] if clicked else [])]
        return [self._event(kind, {}) | named for kind in kinds]

    def purchase(self, categories: list[str], world: World, chance: Random) -> tuple[int, list[dict[str, Any]]]:
        """One product of each category is put in the cart and paid for: the amount, and the events."""
        products = [
            self._product(chance.choice(products_of(category)), category, world) | {"quantity": 1} for category in categories
        ]
        if not products:
            return 0, []
        total = sum(product["price"] for product in products)
        order = {
            "order_id": f"o-{self._session}",
            "currency": self._currency,
            "total": total,
            "products": [{name: value for name, value in product.items() if name != "currency"} for product in products],
        }
        added = [self._event("product_added", product) for product in products]
        return total, [*added, self._event("order_completed", order)]

    def _product(self, name: str, category: str, world: World) -> dict[str, Any]:
        return {
            "product_id": name,
            "category": category,
            "price": world.price_minor(name),
            "currency": self._currency,
        }

    def _event(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        self._at += 4 * SECOND
        return {
            "type": kind,
            "id": f"{self._session}-{self._count}",
            "source": SOURCE,
            "time": rfc3339(self._at),
            "user_id": self._shopper.user_id,
            "session_id": self._session,
            "channel": "web",
            "data": data,
        }
