"""What a customer bought: exact sums, fading sums, and the last purchases one by one.

Sums are exact for ever. The list makes recency and gaps exact under returns and late arrivals as far back as it reaches: what
was taken back whole leaves every reading as if it had never been, and comes back to all of them where the return is void.

So are costs, where lines say what a unit costs the shop: what a return takes back of them is worked out from the totals of its
purchase, never step by step, so it does not matter which arrives first.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from engine.events.base import Product
from engine.events.orders import OrderCancelled, OrderCompleted, OrderRefunded
from engine.events.pos import PosReturnCompleted, PosReturnVoided, PosTransactionCompleted, PosTransactionVoided, last_instant_of
from engine.ids import digest_of
from engine.moments import DAY
from engine.profiles.decay import Block
from engine.profiles.habits import Habits
from engine.profiles.monthly import added, month_of
from engine.profiles.monthly import merged as merged_months

LAST = 32
LAST_WITH_PRODUCTS = 8
MOST_PRODUCTS = 40
CATEGORY_HALF_LIFE_DAYS = 56.0
SUMS = Block(
    ("trips", "spend", "units", "lines", "discount", "coupons", "private_label", "weekend", "categories", "evening"),
    (7.0, 14.0, 28.0, 56.0, 112.0, 224.0),
)
_SEPARATOR = "\x1f"


class Purchase(Struct, frozen=True, gc=False, array_like=True):
    """One purchase as the list keeps it. `key` is a hash of the order or receipt; texts are joined, since most are never read."""

    key: bytes = b""
    at: int = 0
    amount: int = 0
    returned: int = 0
    currency: str = ""
    units: float = 0.0
    joined_categories: str = ""
    joined_products: str = ""
    store: str = ""
    taken_back: bool = False
    cancelled: bool = False
    cost: int = 0
    costed: int = 0
    """What the goods cost the shop, as far as that is known, and how much of the amount was paid for those."""
    cost_back: int = 0
    costed_back: int = 0
    """The same of what came back, where the returns named it."""
    discount: int = 0
    private: int = 0
    marks: int = 0
    """Lines, coupons, and whether it was on a weekend and in the evening, in one number: see `marks_of`."""

    @property
    def shares(self) -> tuple[float, ...]:
        """What the purchase is of each quantity of `SUMS`."""
        lines, coupons, weekend, evening = self.marks >> 14, self.marks >> 2 & 0xFFF, self.marks >> 1 & 1, self.marks & 1
        return (
            1.0,
            self.amount / 100.0,
            min(self.units, 1e4),
            float(lines),
            self.discount / 100.0,
            float(coupons),
            self.private / 100.0,
            float(weekend),
            float(len(self.categories)),
            float(evening),
        )

    @property
    def net(self) -> int:
        """What is left of the amount. A cancellation contains the refunds before and after it."""
        return 0 if self.cancelled else self.amount - self.returned

    @property
    def net_cost(self) -> int:
        """What is left of the cost. Money that went back without its goods being named takes its share along."""
        return self._left(self.cost, self.cost_back)

    @property
    def net_costed(self) -> int:
        """What is left of the amount that was paid for goods of known cost."""
        return self._left(self.costed, self.costed_back)

    def _left(self, whole: int, back: int) -> int:
        if not whole or self.cancelled or (self.returned and self.returned >= self.amount):
            return 0
        if self.cost_back or self.costed_back:
            return max(whole - back, 0)
        if self.returned and self.amount > 0:
            return whole * max(self.amount - self.returned, 0) // self.amount
        return whole

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories on the receipt, each once, in order of appearance."""
        return tuple(self.joined_categories.split(_SEPARATOR)) if self.joined_categories else ()

    @property
    def products(self) -> tuple[str, ...]:
        """Product ids; kept for the newest purchases only."""
        return tuple(self.joined_products.split(_SEPARATOR)) if self.joined_products else ()


class Back(Struct, frozen=True, gc=False, array_like=True):
    """A return that came before its purchase: that one's key, the amount or None for all of it, and what it says of costs.

    `by` is the last instant at which the purchase can have been, 0 where nobody says; `worth` what all of it came to.
    """

    key: bytes = b""
    amount: int | None = None
    cost: int = 0
    costed: int = 0
    by: int = 0
    worth: int = 0


class Purchases(Struct, frozen=True, gc=False, array_like=True):
    """Purchases of one identity. `spend` is net of returns, in minor units by currency; `last` is oldest first."""

    count: int = 0
    spend: dict[str, int] = {}
    first_at: int = 0
    last: tuple[Purchase, ...] = ()
    sums: bytes = b""
    sums_at: int = 0
    categories: Habits = Habits()
    early: tuple[Back, ...] = ()
    months: bytes = b""
    """Spend by month of purchase and currency, net. What `spend` holds beyond it is older, or names no purchase."""
    cost: dict[str, int] = {}
    costed: dict[str, int] = {}
    """By currency, net of returns: what goods of known cost cost the shop, and the part of `spend` that was paid for them."""

    @property
    def last_at(self) -> int:
        """The newest purchase that was not taken back; 0 without one."""
        for purchase in reversed(self.last):
            if not purchase.taken_back:
                return purchase.at
        return 0

    def bought(self, purchase: Purchase) -> "Purchases":
        """After one more purchase. A receipt known already changes nothing."""
        if purchase.key in [known.key for known in self.last]:
            return self
        sums, sums_at = SUMS.add(self.sums, self.sums_at, purchase.at, purchase.shares)
        bought = Purchases(
            count=self.count + 1,
            spend=_plus(self.spend, purchase.currency, purchase.amount),
            first_at=min(self.first_at, purchase.at) if self.first_at else purchase.at,
            last=_newest((*self.last, purchase)),
            sums=sums,
            sums_at=sums_at,
            categories=self.categories.seen(purchase.categories, purchase.at, CATEGORY_HALF_LIFE_DAYS),
            early=self.early,
            months=added(self.months, month_of(purchase.at), purchase.currency, purchase.amount),
            cost=_plus(self.cost, purchase.currency, purchase.cost) if purchase.costed or purchase.cost else self.cost,
            costed=_plus(self.costed, purchase.currency, purchase.costed) if purchase.costed or purchase.cost else self.costed,
        )
        return bought._caught_up(purchase) if self.early else bought

    def _caught_up(self, purchase: Purchase) -> "Purchases":
        """After the returns of a purchase that came before it; what they gave back has left `spend` already."""
        facet = replace(self, early=tuple(one for one in self.early if one.key != purchase.key))
        for back in self.early:
            if back.key == purchase.key:
                facet = replace(facet, spend=_plus(facet.spend, purchase.currency, back.amount or 0))
                facet = facet._costing(purchase.currency, back.cost, back.costed).returned(back, purchase.currency)
        return facet

    def returned(self, back: Back, currency: str) -> "Purchases":
        """After money went back. No amount gives back all of that purchase, which then no longer counts as one."""
        for index, purchase in enumerate(self.last):
            if purchase.key == back.key:
                return self._returned_at(index, purchase, back)
        if back.by and len(self.last) == LAST and back.by < self.last[0].at:
            return self._beyond(back, currency)
        early = (*self.early, back)[-LAST:] if back.key else self.early
        facet = replace(self, spend=_plus(self.spend, currency, -(back.amount or 0)), early=early)
        return facet._costing(currency, -back.cost, -back.costed)

    def _beyond(self, back: Back, currency: str) -> "Purchases":
        """After a return from a purchase further back than the list reaches: sums are exact; how it was made up nobody knows."""
        amount = back.worth if back.amount is None else back.amount
        return replace(
            self._costing(currency, -back.cost, -back.costed),
            count=self.count - (back.amount is None),
            spend=_plus(self.spend, currency, -amount),
            months=added(self.months, month_of(back.by - DAY), currency, -amount) if amount else self.months,
        )

    def _costing(self, currency: str, cost: int, costed: int) -> "Purchases":
        """With so much more of known cost, and paid for it."""
        if not cost and not costed:
            return self
        return replace(self, cost=_plus(self.cost, currency, cost), costed=_plus(self.costed, currency, costed))

    def _returned_at(self, index: int, purchase: Purchase, back: Back) -> "Purchases":
        amount = back.amount
        changed = replace(
            purchase,
            returned=purchase.returned + (amount or 0),
            cancelled=purchase.cancelled or amount is None,
            cost_back=purchase.cost_back + back.cost,
            costed_back=purchase.costed_back + back.costed,
        )
        whole = changed.cancelled or (changed.returned >= changed.amount and (changed.returned > 0 or (amount or 0) >= 0))
        turn = purchase.taken_back - whole
        changed = replace(changed, taken_back=whole)
        change = changed.net - purchase.net
        facet = self._costing(purchase.currency, changed.net_cost - purchase.net_cost, changed.net_costed - purchase.net_costed)
        facet = replace(
            facet,
            count=self.count + turn,
            spend=_plus(self.spend, purchase.currency, change),
            last=(*self.last[:index], changed, *self.last[index + 1 :]),
            months=added(self.months, month_of(purchase.at), purchase.currency, change) if change else self.months,
        )
        return facet._turned(changed, turn, change)

    def _turned(self, purchase: Purchase, turn: int, change: int) -> "Purchases":
        """With a purchase's share of what fades: `turn` is -1 where it counts no more, 1 where it counts again, 0 where only its
        amount changed."""
        if turn < 0 and not self.count and not any(one.net for one in self.last):
            # Nothing is left: what rounding leaves of it goes as well.
            return replace(self, sums=b"", sums_at=0, first_at=0, categories=Habits())
        trips, _, *others = purchase.shares
        amounts = (turn * trips, change / 100.0, *(turn * share for share in others))
        sums, sums_at = SUMS.add(self.sums, self.sums_at, purchase.at, amounts)
        categories, first_at = self.categories, self.first_at
        if turn < 0:
            standing = [one for one in self.last if not one.taken_back]
            latest = {name: one.at for one in standing for name in one.categories}
            categories = categories.taken_back(purchase.categories, purchase.at, CATEGORY_HALF_LIFE_DAYS, latest)
            if first_at == purchase.at and len(self.last) < LAST:
                first_at = standing[0].at if standing else 0
        elif turn > 0:
            categories = categories.seen(purchase.categories, purchase.at, CATEGORY_HALF_LIFE_DAYS)
            first_at = min(first_at, purchase.at) if first_at else purchase.at
        return replace(self, sums=sums, sums_at=sums_at, categories=categories, first_at=first_at)

    def merge(self, other: "Purchases") -> "Purchases":
        """Purchases of two identities of one customer; a return under one finds its purchase under the other."""
        sums, sums_at = SUMS.merge(self.sums, self.sums_at, other.sums, other.sums_at)
        spend = self.spend
        for currency, amount in other.spend.items():
            spend = _plus(spend, currency, amount)
        merged = Purchases(
            count=self.count + other.count,
            spend=dict(sorted(spend.items())),
            first_at=min(filter(None, (self.first_at, other.first_at)), default=0),
            last=_newest(tuple(sorted((*self.last, *other.last), key=_place))),
            sums=sums,
            sums_at=sums_at,
            categories=self.categories.merge(other.categories, CATEGORY_HALF_LIFE_DAYS),
            early=tuple(sorted((*self.early, *other.early), key=_back_order)),
            months=merged_months(self.months, other.months),
            cost=_sum(self.cost, other.cost),
            costed=_sum(self.costed, other.costed),
        )
        returned = {back.key for back in merged.early}
        for purchase in merged.last if returned else ():
            if purchase.key in returned:
                merged = merged._caught_up(purchase)
        return merged


def _plus(spend: dict[str, int], currency: str, amount: int) -> dict[str, int]:
    return {**spend, currency: spend.get(currency, 0) + amount}


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    if not one or not other:
        return one or other
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted({*one, *other})}


def _back_order(back: Back) -> tuple[bytes, bool, int, int, int]:
    return back.key, back.amount is None, back.amount or 0, back.cost, back.costed


def _place(purchase: Purchase) -> tuple[int, bytes]:
    return purchase.at, purchase.key


def _newest(purchases: tuple[Purchase, ...]) -> tuple[Purchase, ...]:
    if len(purchases) > 1 and purchases[-1].at <= purchases[-2].at:
        purchases = tuple(sorted(purchases, key=_place))
    kept = purchases[-LAST:]
    edge = len(kept) - LAST_WITH_PRODUCTS
    if edge > 0 and any(purchase.joined_products for purchase in kept[:edge]):
        kept = tuple(replace(purchase, joined_products="") if index < edge else purchase for index, purchase in enumerate(kept))
    return kept


def purchase_key(kind: str, name: str) -> bytes:
    """Eight bytes that name an order or a receipt."""
    return digest_of(kind.encode(), name.encode())


def _purchase(
    key: bytes, at: int, goods: tuple[Product, ...], amount: int, currency: str, local: datetime, store: str = ""
) -> Purchase:
    units, discount, coupons, private, known = 0.0, 0, 0, 0, False
    categories: dict[str, None] = {}
    products: dict[str, None] = {}
    for line in goods:
        units += line.quantity
        discount += line.discount
        coupons += bool(line.coupon)
        if line.private_label:
            private += line.paid_minor
        if line.unit_cost is not None:
            known = True
        if line.category:
            categories[line.category] = None
        if line.product_id:
            products[line.product_id] = None
    joined = _SEPARATOR.join(categories), _SEPARATOR.join(islice(products, MOST_PRODUCTS))
    cost, costed = costs_of(goods, amount) if known else (0, 0)
    marks = marks_of(len(goods), coupons, local)
    return Purchase(
        key, at, amount, 0, currency, units, *joined, store,
        cost=cost, costed=costed, discount=discount, private=private, marks=marks,
    )  # fmt: skip


def marks_of(lines: int, coupons: int, local: datetime) -> int:
    """Lines and coupons (at most 4,095 each), weekend and evening by the wall clock of the sale, in one number."""
    return min(lines, 0xFFF) << 14 | min(coupons, 0xFFF) << 2 | (local.weekday() >= 5) << 1 | (local.hour >= 17)


def costs_of(goods: Iterable[Product], amount: int) -> tuple[int, int]:
    """What goods cost the shop as far as that is known, and the part of the amount that was paid for those.

    What the whole purchase took off or added (a discount, shipping) is shared out by what the lines come to.
    """
    cost = known = paid = 0
    every = True
    for line in goods:
        each = line.paid_minor
        paid += each
        if line.unit_cost is None:
            every = False
        else:
            cost += line.cost_minor
            known += each
    if every:
        return cost, amount
    return cost, amount * known // paid if paid > 0 else known


def _order_completed(facet: Purchases, event: OrderCompleted, at: int) -> Purchases:
    order = event.data
    key = purchase_key("order", order.order_id)
    return facet.bought(_purchase(key, at, order.products, order.amount_minor, order.currency or "", event.time))


def _order_cancelled(facet: Purchases, event: OrderCancelled, at: int) -> Purchases:
    return facet.returned(Back(purchase_key("order", event.data.order_id)), event.data.currency or "")


def _order_refunded(facet: Purchases, event: OrderRefunded, at: int) -> Purchases:
    order = event.data
    key = purchase_key("order", order.order_id)
    if order.total is None and not order.products:
        return facet.returned(Back(key), order.currency or "")
    amount = order.amount_minor
    return facet.returned(Back(key, amount, *_costs_back(order.products, amount)), order.currency or "")


def _costs_back(goods: Iterable[Product], amount: int) -> tuple[int, int]:
    """What comes back of costs, where the return names its goods and all their costs are known."""
    goods = tuple(goods)
    if not goods or any(line.unit_cost is None for line in goods):
        return 0, 0
    return costs_of(goods, amount)


def _receipt(facet: Purchases, event: PosTransactionCompleted, at: int) -> Purchases:
    receipt = event.data
    if receipt.status != "completed":
        return facet
    sold = tuple(line for line in receipt.lines if line.kind == "sale")
    if not sold and receipt.lines and receipt.amount_minor <= 0:
        back = tuple(line for line in receipt.lines if line.kind == "return")
        cost, costed = _costs_back(back, -receipt.amount_minor)
        facet = replace(facet, spend=_plus(facet.spend, receipt.currency or "", receipt.amount_minor))
        return facet._costing(receipt.currency or "", -cost, -costed)
    local = receipt.end or receipt.begin or event.time
    key = purchase_key("pos", receipt.key)
    return facet.bought(_purchase(key, at, sold, receipt.amount_minor, receipt.currency or "", local, receipt.store))


def _receipt_voided(facet: Purchases, event: PosTransactionVoided, at: int) -> Purchases:
    receipt = event.data
    back = Back(purchase_key("pos", receipt.key), by=last_instant_of(receipt.key), worth=receipt.amount_minor)
    return facet.returned(back, receipt.currency or "")


def _receipt_returned(facet: Purchases, event: PosReturnCompleted, at: int) -> Purchases:
    receipt = event.data
    key, by = (purchase_key("pos", receipt.original), last_instant_of(receipt.original)) if receipt.original else (b"", 0)
    goods = (line for line in receipt.lines if line.kind in ("sale", "return"))
    back = Back(key, receipt.returned_minor, *_costs_back(goods, receipt.returned_minor), by)
    return facet.returned(back, receipt.currency or "")


def _return_voided(facet: Purchases, event: PosReturnVoided, at: int) -> Purchases:
    receipt = event.data
    key, by = (purchase_key("pos", receipt.original), last_instant_of(receipt.original)) if receipt.original else (b"", 0)
    return facet.returned(Back(key, -receipt.returned_minor, by=by), receipt.currency or "")


HANDLERS: dict[str, Callable[..., Purchases]] = {
    "order_completed": _order_completed,
    "order_cancelled": _order_cancelled,
    "order_refunded": _order_refunded,
    "pos_transaction_completed": _receipt,
    "pos_transaction_voided": _receipt_voided,
    "pos_return_completed": _receipt_returned,
    "pos_return_voided": _return_voided,
}
