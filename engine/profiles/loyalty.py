"""Points that a shop counts itself: by event, and on receipts. What a rule of policy.yaml gives for spend is worked out on
reading, from the exact spend that purchases hold.

Points that name a purchase are kept beside its name, with what is known of its fate, so that a void takes them back whole
and a return in proportion, whichever of them arrives first. Where the return says how many points it takes, that holds
instead. A purchase far back is settled as it stands; sums stay exact for ever.
"""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from engine.events.loyalty import LoyaltyJoined, PointsEarned, PointsMoved, PointsRedeemed, TierChanged
from engine.events.orders import OrderCancelled, OrderRefunded
from engine.events.pos import PosReturnCompleted, PosReturnVoided, PosTransactionCompleted, PosTransactionVoided
from engine.profiles.monthly import added, merged, month_of
from engine.profiles.purchases import Purchases, purchase_key

MOST_NAMED = 64
EARNED, USED = "earn", "used"


class Named(Struct, frozen=True, gc=False, array_like=True):
    """Points of one purchase, and what became of it. `at` is when the points were told, else when it went back.

    `amount` is what was paid, 0 while nobody knows; `returned` money that went back, `back` points that returns took.
    """

    key: bytes = b""
    at: int = 0
    earned: int = 0
    used: int = 0
    amount: int = 0
    returned: int = 0
    back: int = 0
    cancelled: bool = False

    @property
    def told(self) -> bool:
        return bool(self.earned or self.used)

    @property
    def net(self) -> tuple[int, int]:
        """Points earned and used that still count."""
        if self.cancelled:
            return 0, 0
        if self.back:
            return self.earned - self.back, self.used
        if self.returned and self.amount > 0 and self.earned > 0:
            return self.earned * max(self.amount - self.returned, 0) // self.amount, self.used
        return self.earned, self.used

    def plus(self, other: "Named") -> "Named":
        """Both tell of the same purchase."""
        told = [one.at for one in (self, other) if one.told]
        return Named(
            self.key,
            max(told or (self.at, other.at)),
            self.earned + other.earned,
            self.used + other.used,
            max(self.amount, other.amount),
            self.returned + other.returned,
            self.back + other.back,
            self.cancelled or other.cancelled,
        )


class Loyalty(Struct, frozen=True, gc=False, array_like=True):
    """Points of one identity. `earned` and `used` are those that name no purchase, or one that is settled, in all and by month.

    `tier` is the tier told last by an event, empty for none.
    """

    joined_at: int = 0
    earned: int = 0
    used: int = 0
    months: bytes = b""
    named: tuple[Named, ...] = ()
    tier: str = ""
    tier_at: int = 0

    @property
    def balance(self) -> int:
        """Points told by events and receipts that are left, before any expire; below zero after a return of what was used."""
        nets = [one.net for one in self.named]
        return self.earned - self.used + sum(earned - used for earned, used in nets)

    def credited(self, at: int, earned: int, used: int) -> "Loyalty":
        """Points that name no purchase."""
        months, month = self.months, month_of(at)
        if earned:
            months = added(months, month, EARNED, earned)
        if used:
            months = added(months, month, USED, used)
        return replace(self, earned=self.earned + earned, used=self.used + used, months=months)

    def with_named(self, one: Named) -> "Loyalty":
        """With what is told of a purchase; the oldest one beyond the bound is settled."""
        held = {each.key: each for each in self.named}
        held[one.key] = held[one.key].plus(one) if one.key in held else one
        kept = sorted(held.values(), key=lambda each: (each.at, each.key))
        facet = replace(self, named=tuple(kept[-MOST_NAMED:]))
        for settled in kept[:-MOST_NAMED]:
            facet = facet.credited(settled.at, *settled.net)
        return facet

    def valued(self, purchases: Purchases) -> "Loyalty":
        """With the amounts of purchases that points name, as far as the list of last purchases reaches."""
        if all(one.amount for one in self.named):
            return self
        paid = {purchase.key: purchase.amount for purchase in purchases.last}
        if not any(not one.amount and paid.get(one.key) for one in self.named):
            return self
        return replace(self, named=tuple(one if one.amount else replace(one, amount=paid.get(one.key, 0)) for one in self.named))

    def merge(self, other: "Loyalty") -> "Loyalty":
        """Points of two identities of one customer; a return under one finds its points under the other."""
        if not other.joined_at and not other.months and not other.named and not other.tier_at:
            return self
        facet = Loyalty(
            min(filter(None, (self.joined_at, other.joined_at)), default=0),
            self.earned + other.earned,
            self.used + other.used,
            merged(self.months, other.months),
            self.named,
            *_later((self.tier, self.tier_at), (other.tier, other.tier_at)),
        )
        for one in other.named:
            facet = facet.with_named(one)
        return facet


NO_LOYALTY = Loyalty()


def _later(one: tuple[str, int], other: tuple[str, int]) -> tuple[str, int]:
    return max(one, other, key=lambda told: (told[1], told[0]))


def _joined(facet: Loyalty, event: LoyaltyJoined, at: int) -> Loyalty:
    return replace(facet, joined_at=min(filter(None, (facet.joined_at, at))))


def _name_of(moved: PointsMoved) -> bytes:
    if moved.order_id:
        return purchase_key("order", moved.order_id)
    return purchase_key("pos", moved.receipt) if moved.receipt else b""


def _earned(facet: Loyalty, event: PointsEarned, at: int) -> Loyalty:
    key = _name_of(event.data)
    if key:
        return facet.with_named(Named(key, at, earned=event.data.points))
    return facet.credited(at, event.data.points, 0)


def _redeemed(facet: Loyalty, event: PointsRedeemed, at: int) -> Loyalty:
    key = _name_of(event.data)
    if key:
        return facet.with_named(Named(key, at, used=event.data.points))
    return facet.credited(at, 0, event.data.points)


def _tier_told(facet: Loyalty, event: TierChanged, at: int) -> Loyalty:
    tier, tier_at = _later((facet.tier, facet.tier_at), (event.data.tier, at))
    return replace(facet, tier=tier, tier_at=tier_at)


def _receipt(facet: Loyalty, event: PosTransactionCompleted, at: int) -> Loyalty:
    receipt = event.data
    points = [line.points for line in receipt.lines if line.kind == "loyalty" and line.points]
    if not points or receipt.status != "completed":
        return facet
    earned = sum(each for each in points if each > 0)
    used = -sum(each for each in points if each < 0)
    key = purchase_key("pos", receipt.key)
    return facet.with_named(Named(key, at, earned=earned, used=used, amount=max(receipt.amount_minor, 0)))


def _voided(facet: Loyalty, event: PosTransactionVoided, at: int) -> Loyalty:
    return facet.with_named(Named(purchase_key("pos", event.data.key), at, cancelled=True))


def _returned(facet: Loyalty, event: PosReturnCompleted, at: int) -> Loyalty:
    receipt = event.data
    back = sum(abs(line.points or 0) for line in receipt.lines if line.kind == "loyalty")
    if receipt.original:
        key = purchase_key("pos", receipt.original)
        return facet.with_named(Named(key, at, returned=receipt.returned_minor, back=back))
    return facet.credited(at, -back, 0) if back else facet


def _return_voided(facet: Loyalty, event: PosReturnVoided, at: int) -> Loyalty:
    receipt = event.data
    if not receipt.original:
        return facet
    return facet.with_named(Named(purchase_key("pos", receipt.original), at, returned=-receipt.returned_minor))


def _order_cancelled(facet: Loyalty, event: OrderCancelled, at: int) -> Loyalty:
    return facet.with_named(Named(purchase_key("order", event.data.order_id), at, cancelled=True))


def _order_refunded(facet: Loyalty, event: OrderRefunded, at: int) -> Loyalty:
    order = event.data
    key = purchase_key("order", order.order_id)
    if order.total is None and not order.products:
        return facet.with_named(Named(key, at, cancelled=True))
    return facet.with_named(Named(key, at, returned=order.amount_minor))


NAMES_A_PURCHASE = frozenset({"order_completed", "pos_transaction_completed", "points_earned", "points_redeemed"})
"""After these the amount of a purchase may be known that points name."""

HANDLERS: dict[str, Callable[..., Loyalty]] = {
    "loyalty_joined": _joined,
    "points_earned": _earned,
    "points_redeemed": _redeemed,
    "tier_changed": _tier_told,
    "pos_transaction_completed": _receipt,
    "pos_transaction_voided": _voided,
    "pos_return_completed": _returned,
    "pos_return_voided": _return_voided,
    "order_cancelled": _order_cancelled,
    "order_refunded": _order_refunded,
}
