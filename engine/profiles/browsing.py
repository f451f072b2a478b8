"""How a customer walks through the site: sessions, views, searches, and the cart as it stands."""

from collections.abc import Callable
from functools import cache

from msgspec import Struct
from msgspec.structs import replace

from engine.events.base import Event, Product
from engine.events.clickstream import ListViewed, ProductAdded, ProductRemoved, ProductViewed
from engine.events.orders import OrderCompleted
from engine.profiles.decay import Block
from engine.profiles.habits import Habits

VIEW_HALF_LIFE_DAYS = 7.0
MOST_IN_CART = 30
SUMS = Block(("activity", "sessions", "views", "adds", "searches", "checkouts"), (1.0, 7.0, 28.0))
_KINDS = range(len(SUMS.quantities))
_ACTIVITY, _SESSION, _VIEW, _ADD, _SEARCH, _CHECKOUT = _KINDS


@cache
def _amounts(started: bool, *what: int) -> tuple[float, ...]:
    return tuple(float(kind == _ACTIVITY or kind in what or (kind == _SESSION and started)) for kind in _KINDS)


class InCart(Struct, frozen=True, gc=False, array_like=True):
    """A product in the cart."""

    product_id: str = ""
    category: str = ""
    quantity: float = 1.0
    at: int = 0


class Browsing(Struct, frozen=True, gc=False, array_like=True):
    """Browsing of one identity; `cart` is oldest first and empty after an order.

    `cleared_at` is when the cart was last emptied or told anew, `removed` when products were taken out since: with another
    identity's cart they make one.
    """

    events: int = 0
    sessions: int = 0
    session_id: str = ""
    last_at: int = 0
    sums: bytes = b""
    sums_at: int = 0
    viewed: Habits = Habits()
    cart: tuple[InCart, ...] = ()
    cart_at: int = 0
    last_viewed: str = ""
    cleared_at: int = 0
    removed: dict[str, int] = {}

    def noted(self, event: Event, at: int, *what: int) -> "Browsing":
        """One more activity, of the kinds given; a session id not seen last starts a session."""
        fresh = bool(event.session_id) and event.session_id != self.session_id and at >= self.last_at
        started = fresh or event.type == "session_started"
        sums, sums_at = SUMS.add(self.sums, self.sums_at, at, _amounts(started, *what))
        return Browsing(
            self.events + 1,
            self.sessions + started,
            (event.session_id or "") if fresh else self.session_id,
            max(self.last_at, at),
            sums,
            sums_at,
            self.viewed,
            self.cart,
            self.cart_at,
            self.last_viewed,
            self.cleared_at,
            self.removed,
        )

    def looked_at(self, product: Product, at: int) -> "Browsing":
        """A product with its category came into view."""
        viewed = self.viewed
        if product.category:
            viewed = viewed.seen((product.category,), at, VIEW_HALF_LIFE_DAYS)
        return replace(self, viewed=viewed, last_viewed=product.product_id or self.last_viewed)

    def merge(self, other: "Browsing") -> "Browsing":
        """Browsing of two identities of one customer; both carts are one."""
        sums, sums_at = SUMS.merge(self.sums, self.sums_at, other.sums, other.sums_at)
        latest = self if (self.last_at, self.session_id) >= (other.last_at, other.session_id) else other
        return Browsing(
            events=self.events + other.events,
            sessions=self.sessions + other.sessions,
            session_id=latest.session_id,
            last_at=latest.last_at,
            sums=sums,
            sums_at=sums_at,
            viewed=self.viewed.merge(other.viewed, VIEW_HALF_LIFE_DAYS),
            cart=_one_cart(self, other),
            cart_at=max(self.cart_at, other.cart_at),
            last_viewed=latest.last_viewed,
            cleared_at=max(self.cleared_at, other.cleared_at),
            removed=_removals(self, other),
        )


def _one_cart(one: Browsing, other: Browsing) -> tuple[InCart, ...]:
    """What lies in either cart and was not taken out, or bought, under the other identity since."""
    lines: dict[str, InCart] = {}
    for mine, theirs in ((one, other), (other, one)):
        for line in mine.cart:
            if line.at <= max(theirs.cleared_at, theirs.removed.get(line.product_id, 0)):
                continue
            held = lines.get(line.product_id)
            if held is not None:
                newer = max(held, line, key=lambda one: (one.at, one.category))
                line = InCart(line.product_id, newer.category, held.quantity + line.quantity, newer.at)
            lines[line.product_id] = line
    return tuple(sorted(lines.values(), key=lambda line: (line.at, line.product_id))[-MOST_IN_CART:])


def _removals(one: Browsing, other: Browsing) -> dict[str, int]:
    if not one.removed or not other.removed:
        return one.removed or other.removed
    both = {name: max(one.removed.get(name, 0), other.removed.get(name, 0)) for name in {*one.removed, *other.removed}}
    return _newest(both)


def _newest(removed: dict[str, int]) -> dict[str, int]:
    return {name: removed[name] for name in sorted(sorted(removed, key=lambda name: (removed[name], name))[-MOST_IN_CART:])}


def activity(facet: Browsing, event: Event, at: int) -> Browsing:
    """Any event of a type without a meaning of its own."""
    return facet.noted(event, at)


def _viewed(facet: Browsing, event: ProductViewed, at: int) -> Browsing:
    return facet.noted(event, at, _VIEW).looked_at(event.data, at)


def _added(facet: Browsing, event: ProductAdded, at: int) -> Browsing:
    product = event.data
    kept = tuple(line for line in facet.cart if line.product_id != product.product_id)
    before = sum(line.quantity for line in facet.cart if line.product_id == product.product_id)
    line = InCart(product.product_id or "", product.category or "", before + product.quantity, at)
    cart = (*kept, line)[-MOST_IN_CART:]
    return replace(facet.noted(event, at, _ADD).looked_at(product, at), cart=cart, cart_at=max(facet.cart_at, at))


def _removed(facet: Browsing, event: ProductRemoved, at: int) -> Browsing:
    name = event.data.product_id or ""
    cart = tuple(line for line in facet.cart if line.product_id != name)
    removed = _newest({**facet.removed, name: max(facet.removed.get(name, 0), at)})
    return replace(facet.noted(event, at), cart=cart, cart_at=max(facet.cart_at, at), removed=removed)


def _cart_viewed(facet: Browsing, event: ListViewed, at: int) -> Browsing:
    noted = facet.noted(event, at)
    if not event.data.products or at < facet.cart_at:
        return noted
    cart = tuple(
        InCart(line.product_id or "", line.category or "", line.quantity, at) for line in event.data.products[:MOST_IN_CART]
    )
    return replace(noted, cart=cart, cart_at=at, cleared_at=max(facet.cleared_at, at), removed={})


def _left_alone(facet: Browsing, event: ListViewed, at: int) -> Browsing:
    """A cart that nobody touches is no activity."""
    return facet


def _searched(facet: Browsing, event: ListViewed, at: int) -> Browsing:
    return facet.noted(event, at, _SEARCH)


def _checkout(facet: Browsing, event: ListViewed, at: int) -> Browsing:
    return facet.noted(event, at, _CHECKOUT)


def _ordered(facet: Browsing, event: OrderCompleted, at: int) -> Browsing:
    noted = facet.noted(event, at)
    if at < facet.cart_at:
        return noted
    return replace(noted, cart=(), cart_at=at, cleared_at=max(facet.cleared_at, at), removed={})


HANDLERS: dict[str, Callable[..., Browsing]] = {
    "page_viewed": activity,
    "session_started": activity,
    "product_clicked": _viewed,
    "product_viewed": _viewed,
    "wishlist_added": _viewed,
    "product_reviewed": _viewed,
    "product_added": _added,
    "product_removed": _removed,
    "products_searched": _searched,
    "product_list_viewed": activity,
    "cart_viewed": _cart_viewed,
    "cart_abandoned": _left_alone,
    "checkout_started": _checkout,
    "checkout_step_completed": _checkout,
    "order_completed": _ordered,
}
