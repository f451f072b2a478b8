"""What tills report."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from engine.events.base import Aware, Currency, Event, Identifier, Minor, Product, Text


class Line(Product, frozen=True, kw_only=True, omit_defaults=True):
    """A line of a receipt: goods sold or taken back, a discount on the whole receipt, loyalty points."""

    kind: Literal["sale", "return", "discount", "loyalty"] = "sale"
    points: Annotated[int, Meta(ge=-(10**9), le=10**9)] | None = None

    @property
    def signed_minor(self) -> int:
        """What the line adds to the receipt: negative for returns and receipt discounts, nothing for points."""
        match self.kind:
            case "sale":
                return self.paid_minor
            case "return" | "discount":
                return -abs(self.paid_minor or self.discount)
            case "loyalty":
                return 0


class Tender(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How it was paid."""

    kind: Text = ""
    amount: Minor = 0


class Transaction(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One receipt, known by store, workstation, business day and sequence number.

    `total` counts; without it, the sum of the lines. `status` "training" and "suspended" are acknowledged and never
    counted.
    """

    store: Identifier
    workstation: Identifier
    business_day: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    sequence_number: Annotated[int, Meta(ge=0, le=10**12)]
    till: Text | None = None
    operator: Text | None = None
    begin: Aware | None = None
    end: Aware | None = None
    loyalty_id: Identifier | None = None
    currency: Currency | None = None
    total: Minor | None = None
    lines: Annotated[tuple[Line, ...], Meta(max_length=2000)] = ()
    tenders: Annotated[tuple[Tender, ...], Meta(max_length=50)] = ()
    coupons: Annotated[tuple[Text, ...], Meta(max_length=200)] = ()
    status: Literal["completed", "training", "suspended"] = "completed"

    @property
    def key(self) -> str:
        """The receipt's name for as long as the till's day is kept."""
        return f"{self.store}/{self.workstation}/{self.business_day}/{self.sequence_number}"

    @property
    def amount_minor(self) -> int:
        """The total, else the sum of the lines."""
        return self.total if self.total is not None else sum(line.signed_minor for line in self.lines)


class PosTransactionCompleted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A receipt was closed."""

    data: Transaction


class PosTransactionVoided(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A receipt never happened: store, workstation, day and sequence number name it."""

    data: Transaction


class PosReturnCompleted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Goods came back; `original` names the receipt they were bought on, where the till knows it."""

    data: "Return"


class Return(Transaction, frozen=True, kw_only=True, omit_defaults=True):
    """A receipt of goods taken back."""

    original: Text | None = None

    @property
    def returned_minor(self) -> int:
        """What was given back, as a positive amount."""
        return abs(self.amount_minor)


class PosNote(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Something else a till said: an item scanned, a card shown, a coupon redeemed, the day closed."""

    data: dict[str, Any] = {}


TYPES: dict[str, type[Event]] = {
    "pos_transaction_completed": PosTransactionCompleted,
    "pos_transaction_voided": PosTransactionVoided,
    "pos_return_completed": PosReturnCompleted,
    "pos_item_scanned": PosNote,
    "pos_customer_identified": PosNote,
    "pos_coupon_redeemed": PosNote,
    "pos_day_closed": PosNote,
}
