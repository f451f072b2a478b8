"""How a customer walks through a site or an app."""

from typing import Any

from engine.events.base import Currency, Event, Product, Products, Text


class Viewing(Product, frozen=True, kw_only=True, omit_defaults=True):
    """One product in view or in the hand, with what the page knew of it."""

    currency: Currency | None = None
    cart_id: Text | None = None
    query: Text | None = None
    rating: float | None = None


class PageViewed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A page was shown; the page itself is in `context.page` or in the body."""

    data: dict[str, Any] = {}


class ProductViewed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A product was looked at, clicked in a list, wished for or reviewed."""

    data: Viewing = Viewing()


class ProductAdded(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A product went into the cart."""

    data: Viewing = Viewing()


class ProductRemoved(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A product came out of the cart."""

    data: Viewing = Viewing()


class Listing(Viewing, frozen=True, kw_only=True, omit_defaults=True):
    """Several products in view: a list, a cart, a checkout."""

    products: Products = ()
    total: int | None = None
    step: int | None = None


class ListViewed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A search, a list, a cart or a checkout was shown."""

    data: Listing = Listing()


TYPES: dict[str, type[Event]] = {
    "page_viewed": PageViewed,
    "session_started": PageViewed,
    "product_clicked": ProductViewed,
    "product_viewed": ProductViewed,
    "wishlist_added": ProductViewed,
    "product_reviewed": ProductViewed,
    "product_added": ProductAdded,
    "product_removed": ProductRemoved,
    "products_searched": ListViewed,
    "product_list_viewed": ListViewed,
    "cart_viewed": ListViewed,
    "cart_abandoned": ListViewed,
    "checkout_started": ListViewed,
    "checkout_step_completed": ListViewed,
}
