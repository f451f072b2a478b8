"""Subscriptions of a customer: what runs, since when, and whether its payment failed."""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from engine.events.subscription import SubscriptionMoved
from engine.moments import millis

MOST_SUBSCRIPTIONS = 20


class Held(Struct, frozen=True, gc=False, array_like=True):
    """One subscription. Instants are 0 where that has not happened; of two that moved it the later tells how it stands."""

    started_at: int = 0
    renewed_at: int = 0
    cancelled_at: int = 0
    failed_at: int = 0
    renewals: int = 0
    told_at: int = 0
    plan: str = ""
    amount: int = 0
    currency: str = ""
    renews_at: int = 0

    @property
    def status(self) -> str:
        """`active`, `cancelled`, or `payment_failed` until the next renewal."""
        going = max(self.started_at, self.renewed_at)
        if self.cancelled_at and self.cancelled_at >= going:
            return "cancelled"
        return "payment_failed" if self.failed_at > going else "active"

    def merge(self, other: "Held") -> "Held":
        """The same subscription told of twice: what was told later holds."""
        old, new = sorted((self, other), key=lambda one: (one.told_at, one.plan, one.amount))
        return Held(
            max(self.started_at, other.started_at),
            max(self.renewed_at, other.renewed_at),
            max(self.cancelled_at, other.cancelled_at),
            max(self.failed_at, other.failed_at),
            self.renewals + other.renewals,
            new.told_at,
            new.plan or old.plan,
            new.amount or old.amount,
            new.currency or old.currency,
            new.renews_at or old.renews_at,
        )


class Subscriptions(Struct, frozen=True, gc=False, array_like=True):
    """Subscriptions by their id."""

    by_id: dict[str, Held] = {}

    def merge(self, other: "Subscriptions") -> "Subscriptions":
        """Subscriptions of two identities; the same one counts once."""
        if not other.by_id:
            return self
        found = dict(self.by_id)
        for name, one in other.by_id.items():
            found[name] = found[name].merge(one) if name in found else one
        return Subscriptions(_bounded(dict(sorted(found.items()))))


def _bounded(held: dict[str, Held]) -> dict[str, Held]:
    while len(held) > MOST_SUBSCRIPTIONS:
        oldest = min(held, key=lambda name: (held[name].status != "cancelled", held[name].told_at, name))
        held = {name: one for name, one in held.items() if name != oldest}
    return held


def _moved(field: str) -> Callable[[Subscriptions, SubscriptionMoved, int], Subscriptions]:
    def handler(facet: Subscriptions, event: SubscriptionMoved, at: int) -> Subscriptions:
        told = event.data
        news = Held(
            told_at=at,
            renewals=int(field == "renewed_at"),
            plan=told.plan or "",
            amount=told.amount or 0,
            currency=told.currency or "",
            renews_at=millis(told.renews_at) if told.renews_at else 0,
        )
        news = replace(news, **{field: at})
        held = facet.by_id.get(told.key)
        return Subscriptions(_bounded({**facet.by_id, told.key: held.merge(news) if held else news}))

    return handler


HANDLERS: dict[str, Callable[..., Subscriptions]] = {
    "subscription_started": _moved("started_at"),
    "subscription_renewed": _moved("renewed_at"),
    "subscription_cancelled": _moved("cancelled_at"),
    "payment_failed": _moved("failed_at"),
}
