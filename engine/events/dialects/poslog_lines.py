"""The lines of a RetailTransaction: goods sold and taken back, discounts, points, tenders, taxes.

A line's amount is its ExtendedAmount. Where a discount stands beside it that it does not contain yet, which shows in its being
the regular price times the quantity, the discount is taken off.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from msgspec import Struct, field

from engine.events.dialects.poslog_elements import (
    Body,
    all_of,
    amount_text,
    flag_of,
    linked_of,
    number_of,
    object_of,
    objects_of,
    plain_text,
    text_of,
)

_NOTHING: Final = Decimal(0)
_GTIN_DIGITS: Final = (8, 12, 13, 14)


class Back(Struct):
    """Goods that came back from one receipt."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    amount: Decimal = _NOTHING


class Goods(Struct):
    """What the lines hold. `sold` are lines with their amounts, `returned` those taken back with the receipt they name (empty for
    none) and their amounts."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    sold: list[tuple[dict[str, Any], Decimal]] = field(default_factory=list)
    returned: list[tuple[dict[str, Any], str, Decimal]] = field(default_factory=list)
    tenders: list[dict[str, Any]] = field(default_factory=list)
    coupons: list[str] = field(default_factory=list)
    paid: Decimal = _NOTHING
    taxes: Decimal = _NOTHING

    @property
    def sum_with_taxes(self) -> Decimal:
        return self.paid + self.taxes

    def came_back(self) -> None:
        """The transaction as a whole was a return: what stands on it as sold was given back."""
        for line, amount in self.sold:
            line["kind"] = "return"
            self.paid -= 2 * amount
            self.returned.append((line, "", abs(amount)))
        self.sold = []

    def backs(self, original: str) -> dict[str, Back]:
        """Returns by the receipt they come from; `original` is that of lines which name none."""
        found: dict[str, Back] = {}
        for line, of, amount in self.returned:
            if of or original:
                back = found.setdefault(of or original, Back())
                back.lines.append(line)
                back.amount += amount
        return found

    def kept(self, backs: Mapping[str, Back]) -> list[dict[str, Any]]:
        """Lines that stay with the sale; none where nothing but goods taken back is there."""
        gone = [id(line) for back in backs.values() for line in back.lines]
        left = [line for line in self.lines if id(line) not in gone]
        return left if not backs or any(line["kind"] in ("sale", "return") for line in left) else []


def goods_of(retail: Body, currency: str) -> Goods:
    """What is on the lines, and points that stand with the loyalty account."""
    goods = Goods()
    for line in objects_of(retail.get("LineItem")):
        if not flag_of(line, "VoidFlag"):
            _read(line, goods, currency)
    for account in objects_of(retail.get("LoyaltyAccount")):
        for programme in (account, *objects_of(account.get("LoyaltyProgram"))):
            for points in all_of(programme.get("Points")):
                _points(goods, plain_text(points, "Points"), _kind_of(points))
    return goods


def _read(line: Body, goods: Goods, currency: str) -> None:
    for kind, name in (("sale", "Sale"), ("return", "Return")):
        for item in objects_of(line.get(name)):
            told, amount = _goods(item, kind, goods, currency)
            goods.lines.append(told)
            if kind == "sale":
                goods.sold.append((told, amount))
            goods.paid += amount if kind == "sale" else -abs(amount)
            if kind == "return":
                of = linked_of(item.get("TransactionLink")) or linked_of(line.get("TransactionLink"))
                goods.returned.append((told, of, abs(amount)))
    for name in ("Discount", "PriceModification", "RetailPriceModifier"):
        for item in all_of(line.get(name)):
            amount = abs(number_of(item) or _NOTHING)
            if amount:
                goods.lines.append({"kind": "discount", "amount": amount_text(amount, currency)})
                goods.paid -= amount
    for item in objects_of(line.get("LoyaltyReward")):
        _points(goods, text_of(item, "PointsAwarded"), "earn")
        _points(goods, text_of(item, "PointsRedeemed"), "redeem")
    for item in objects_of(line.get("Tender")):
        _tender(item, goods, currency)
    for item in all_of(line.get("Tax")):
        goods.taxes += number_of(item) or _NOTHING


def _goods(item: Body, kind: str, goods: Goods, currency: str) -> tuple[dict[str, Any], Decimal]:
    identity = object_of(item.get("POSIdentity"))
    scanned = text_of(identity, "POSItemID") or text_of(item, "GTIN")
    quantity = abs(number_of(item.get("Quantity")) or Decimal(1))
    regular, actual = (_amount(item, name) for name in ("RegularSalesUnitPrice", "ActualSalesUnitPrice"))
    price = actual if actual is not None else regular
    discount, coupon = _discount(item, goods)
    extended = _amount(item, "ExtendedAmount")
    if extended is None:
        extended = price * quantity - (_NOTHING if actual is not None else discount) if price is not None else None
    elif discount and regular is not None and abs(extended) == regular * quantity:
        extended = abs(extended) - discount
    line: dict[str, Any] = {"kind": kind, "quantity": quantity}
    said = {
        "product_id": text_of(item, "ItemID") or scanned or text_of(item, "SKU"),
        "gtin": scanned if scanned.isdecimal() and len(scanned) in _GTIN_DIGITS else "",
        "name": text_of(item, "Description"),
        "category": _category(item),
        "coupon": coupon,
    }
    line |= {name: text for name, text in said.items() if text}
    amounts = {"price": price, "amount": abs(extended) if extended is not None else None, "discount": discount or None}
    line |= {name: amount_text(amount, currency) for name, amount in amounts.items() if amount is not None}
    return line, extended or _NOTHING


def _amount(item: Body, name: str) -> Decimal | None:
    return number_of(item.get(name))


def _discount(item: Body, goods: Goods) -> tuple[Decimal, str]:
    """What was taken off the line, and the coupon that it was taken off for."""
    modifiers = objects_of(item.get("RetailPriceModifier"))
    coupons = [text for one in modifiers for name in ("CouponID", "PromotionCouponID") if (text := text_of(one, name))]
    coupons += [text for one in objects_of(item.get("Coupon")) if (text := _coupon(one))]
    goods.coupons += coupons
    coupon = coupons[0] if coupons else ""
    for name in ("ExtendedDiscountAmount", "DiscountAmount"):
        said = _amount(item, name)
        if said:
            return abs(said), coupon
    amounts = [abs(_amount(one, "Amount") or _NOTHING) * (-1 if _adds(one) else 1) for one in modifiers]
    return sum(amounts, _NOTHING), coupon


def _adds(modifier: Body) -> bool:
    said = modifier.get("Amount")
    action = text_of(said, "Action") if isinstance(said, Mapping) else text_of(modifier, "Action")
    return action.lower() == "add"


def _coupon(one: Body) -> str:
    return next((text for name in ("CouponID", "PrimaryLabel", "PromotionCode") if (text := text_of(one, name))), "")


def _category(item: Body) -> str:
    """The merchandise hierarchy's category, else its first level."""
    levels = all_of(item.get("MerchandiseHierarchy"))
    chosen = next((one for one in levels if isinstance(one, Mapping) and text_of(one, "Level").lower() == "category"), None)
    return plain_text(chosen if chosen is not None else (levels[0] if levels else None), "ID")[:100]


def _kind_of(points: object) -> str:
    return (text_of(points, "Type") or text_of(points, "TypeCode")).lower() if isinstance(points, Mapping) else "earn"


def _points(goods: Goods, text: str, kind: str) -> None:
    number = number_of(text)
    if number:
        used = "redeem" in kind or "used" in kind
        goods.lines.append({"kind": "loyalty", "points": int(-abs(number) if used else number)})


def _tender(item: Body, goods: Goods, currency: str) -> None:
    amount = number_of(item.get("Amount"))
    change = [number_of(one.get("Amount")) or _NOTHING for one in objects_of(item.get("TenderChange"))]
    coupons = [text for one in objects_of(item.get("Coupon")) if (text := _coupon(one))]
    goods.coupons += coupons
    if amount is not None:
        kind = text_of(item, "TenderType") or text_of(item, "TenderID") or text_of(item, "TypeCode")
        goods.tenders.append({"kind": kind, "amount": amount_text(amount - sum(change, _NOTHING), currency)})
