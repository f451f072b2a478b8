"""What a customer bought and gave back, product by product: for each of the last ones its name's hash and the day.

Six bytes a product, in order of (day, hash), so the newest are the same ones however purchases arrive. Who reads them knows the
products by name and hashes those (`name_of`). The products of a purchase that was taken back are left out on reading
(`days_of`), as far as the list of last purchases holds them.
"""

from collections.abc import Callable, Iterable
from struct import Struct as Layout
from zlib import crc32

from msgspec import Struct

from engine.events.orders import OrderCompleted, OrderRefunded
from engine.events.pos import PosReturnCompleted, PosTransactionCompleted
from engine.moments import DAY
from engine.profiles.purchases import Purchases

MOST_BOUGHT = 128
MOST_RETURNED = 24
_ENTRY = Layout(">HI")
_SIZE = _ENTRY.size
_NAME = Layout(">I")


class Goods(Struct, frozen=True, gc=False, array_like=True):
    """Products bought, and those given back line by line, oldest first."""

    bought: bytes = b""
    returned: bytes = b""

    def merge(self, other: "Goods") -> "Goods":
        """Those of two identities of one customer."""
        if not other.bought and not other.returned:
            return self
        return Goods(
            _newest(self.bought + other.bought, MOST_BOUGHT),
            _newest(self.returned + other.returned, MOST_RETURNED),
        )


def name_of(product_id: str) -> int:
    """A product as goods hold it."""
    return crc32(product_id.encode())


def day_of(at: int) -> int:
    """The day of an instant, UTC, as goods hold it."""
    return min(max(at // DAY, 0), 65_535)


def days_of(goods: Goods, purchases: Purchases) -> dict[int, list[int]]:
    """The days on which each product was bought, each once and in order."""
    undone = {
        (day_of(purchase.at), name_of(product))
        for purchase in purchases.last
        if purchase.taken_back and purchase.joined_products
        for product in purchase.products
    }
    kept = {
        (day_of(purchase.at), name_of(product))
        for purchase in (purchases.last if undone else ())
        if not purchase.taken_back and purchase.joined_products
        for product in purchase.products
    }
    found: dict[int, list[int]] = {}
    for day, name in _ENTRY.iter_unpack(goods.bought):
        days = found.setdefault(name, [])
        if (not days or days[-1] != day) and ((day, name) not in undone or (day, name) in kept):
            days.append(day)
    return {name: days for name, days in found.items() if days}


def returned_of(goods: Goods) -> dict[int, int]:
    """The last day on which each product was given back."""
    return {name: day for day, name in _ENTRY.iter_unpack(goods.returned)}


def gap_days(goods: Goods, product_id: str, at: int) -> int:
    """How many days before `at` a product was bought last; 0 where that is not known."""
    name, found = _NAME.pack(name_of(product_id)), len(goods.bought)
    while (found := goods.bought.rfind(name, 0, found)) >= 0:
        if found % _SIZE == 2:
            gap = day_of(at) - int.from_bytes(goods.bought[found - 2 : found])
            if gap > 0:
                return gap
        found += 3
    return 0


def _with(packed: bytes, products: Iterable[str | None], at: int, most: int) -> bytes:
    day = day_of(at)
    fresh = [_ENTRY.pack(day, crc32(product.encode())) for product in products if product]
    if not fresh:
        return packed
    if packed and int.from_bytes(packed[-_SIZE : 2 - _SIZE]) >= day:
        return _newest(packed + b"".join(fresh), most)
    if len(fresh) > 1:
        fresh.sort()
    return (packed + b"".join(fresh))[-most * _SIZE :]


def _newest(packed: bytes, most: int) -> bytes:
    entries = sorted(packed[at : at + _SIZE] for at in range(0, len(packed), _SIZE))
    return b"".join(entries[-most:])


def _ordered(facet: Goods, event: OrderCompleted, at: int) -> Goods:
    return _taken(facet, [line.product_id for line in event.data.products], at)


def _refunded(facet: Goods, event: OrderRefunded, at: int) -> Goods:
    return _given_back(facet, [line.product_id for line in event.data.products], at)


def _receipt(facet: Goods, event: PosTransactionCompleted, at: int) -> Goods:
    receipt = event.data
    if receipt.status != "completed":
        return facet
    facet = _taken(facet, [line.product_id for line in receipt.lines if line.kind == "sale"], at)
    return _given_back(facet, [line.product_id for line in receipt.lines if line.kind == "return"], at)


def _returned(facet: Goods, event: PosReturnCompleted, at: int) -> Goods:
    return _given_back(facet, [line.product_id for line in event.data.lines if line.kind in ("sale", "return")], at)


def _taken(facet: Goods, products: list[str | None], at: int) -> Goods:
    bought = _with(facet.bought, products, at, MOST_BOUGHT)
    return facet if bought is facet.bought else Goods(bought, facet.returned)


def _given_back(facet: Goods, products: list[str | None], at: int) -> Goods:
    returned = _with(facet.returned, products, at, MOST_RETURNED) if products else facet.returned
    return facet if returned is facet.returned else Goods(facet.bought, returned)


HANDLERS: dict[str, Callable[..., Goods]] = {
    "order_completed": _ordered,
    "order_refunded": _refunded,
    "pos_transaction_completed": _receipt,
    "pos_return_completed": _returned,
}
