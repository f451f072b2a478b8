"""Subscriptions: started, renewed, cancelled, and payments that failed."""

from msgspec import Struct

from engine.events.base import Aware, Currency, Event, Identifier, Minor, Text


class Subscription(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One subscription; without a name it is the customer's only one. `amount` is the price of a period."""

    subscription_id: Identifier | None = None
    plan: Text | None = None
    product_id: Text | None = None
    amount: Minor | None = None
    currency: Currency | None = None
    renews_at: Aware | None = None
    reason: Text | None = None

    @property
    def key(self) -> str:
        return self.subscription_id or ""


class SubscriptionMoved(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A subscription began, went on for another period, ended, or its payment failed."""

    data: Subscription = Subscription()


TYPES: dict[str, type[Event]] = {
    "subscription_started": SubscriptionMoved,
    "subscription_renewed": SubscriptionMoved,
    "subscription_cancelled": SubscriptionMoved,
    "payment_failed": SubscriptionMoved,
}
