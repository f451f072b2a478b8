"""Orders of the web shop, from completion to refund."""

from msgspec import Struct

from engine.events.base import Currency, Event, Identifier, Minor, Products, Text


class Order(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What was ordered. `total` counts; without it, the sum of the lines.

    On a refund `total` is the amount given back; a refund without total and lines gives back the whole order.
    """

    order_id: Identifier
    currency: Currency | None = None
    total: Minor | None = None
    subtotal: Minor | None = None
    discount: Minor = 0
    shipping: Minor | None = None
    tax: Minor | None = None
    coupon: Text | None = None
    products: Products = ()
    reason: Text | None = None

    @property
    def amount_minor(self) -> int:
        """The total, else the sum of the lines."""
        return self.total if self.total is not None else sum(line.paid_minor for line in self.products)


class OrderCompleted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A purchase."""

    data: Order


class OrderCancelled(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The whole order is off: it never counts as a purchase."""

    data: Order


class OrderRefunded(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Money went back, for some lines or for all."""

    data: Order


class OrderMoved(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The order was updated, shipped, delivered or is late."""

    data: Order


class Coupon(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A coupon that was tried on an order."""

    coupon: Text | None = None
    coupon_id: Text | None = None
    coupon_name: Text | None = None
    order_id: Identifier | None = None
    discount: Minor = 0
    currency: Currency | None = None
    reason: Text | None = None


class CouponTried(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A coupon was applied or refused."""

    data: Coupon = Coupon()


TYPES: dict[str, type[Event]] = {
    "order_completed": OrderCompleted,
    "order_cancelled": OrderCancelled,
    "order_refunded": OrderRefunded,
    "order_updated": OrderMoved,
    "order_shipped": OrderMoved,
    "order_delivered": OrderMoved,
    "order_late": OrderMoved,
    "coupon_applied": CouponTried,
    "coupon_denied": CouponTried,
}
