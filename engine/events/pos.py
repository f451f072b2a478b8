"""What tills report."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from engine.events.base import Aware, Currency, Event, Identifier, Minor, Product, Text
from engine.moments import DAY, millis


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


class Tender(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """How it was paid."""

    kind: Text = ""
    amount: Minor = 0


class Transaction(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One receipt, known by store, workstation, business day and sequence number.

    `total` counts; without it, the sum of the lines. `status` "training", "suspended" and "control" (a number that went to
    something other than a sale) are acknowledged and never counted.
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
    status: Literal["completed", "training", "suspended", "control"] = "completed"

    @property
    def key(self) -> str:
        """The receipt's name for as long as the till's day is kept."""
        return f"{self.store}/{self.workstation}/{self.business_day}/{self.sequence_number}"

    @property
    def amount_minor(self) -> int:
        """The total, else the sum of the lines."""
        return self.total if self.total is not None else sum(line.signed_minor for line in self.lines)

    @property
    def only_gives_back(self) -> bool:
        """Whether nothing was sold on it: goods came back that no receipt is named for."""
        return bool(self.lines) and self.amount_minor <= 0 and not any(line.kind == "sale" for line in self.lines)

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories of what was sold, each once, in order of appearance."""
        return tuple(dict.fromkeys(line.category for line in self.lines if line.kind == "sale" and line.category))


class PosTransactionCompleted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A receipt was closed."""

    data: Transaction


class Void(Transaction, frozen=True, kw_only=True, omit_defaults=True):
    """The receipt that never happened. `voided_on` names the receipt of the void itself, where that took a number of its own.

    With `total`, or lines, a receipt further back than a profile remembers one by one is taken out exactly as well.
    """

    voided_on: Text | None = None


class PosTransactionVoided(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A receipt never happened: store, workstation, day and sequence number name it."""

    data: Void


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


class PosReturnVoided(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Goods that came back did not, after all: the return's own receipt was voided. Only the engine writes this."""

    data: Return


class DayClosed(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What a workstation says of a day that is over: how many numbers it used, the first and last of them, and the sum of its
    receipts, returns taken off. What is left out is not checked."""

    store: Identifier
    workstation: Identifier
    business_day: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    count: Annotated[int, Meta(ge=0, le=10**9)] | None = None
    first_sequence: Annotated[int, Meta(ge=0, le=10**12)] | None = None
    last_sequence: Annotated[int, Meta(ge=0, le=10**12)] | None = None
    total: Minor | None = None
    currency: Currency | None = None


class PosDayClosed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A workstation closed its business day."""

    data: DayClosed


class CardShown(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The receipt that a card was shown for, as far as the till names it."""

    store: Identifier | None = None
    workstation: Identifier | None = None
    business_day: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    sequence_number: Annotated[int, Meta(ge=0, le=10**12)] | None = None

    @property
    def key(self) -> str:
        """The receipt's name; empty where it is not named whole."""
        parts = (self.store, self.workstation, self.business_day, self.sequence_number)
        return "" if None in parts else "/".join(map(str, parts))


class PosCustomerIdentified(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A card was shown. One that names a receipt of nobody's makes it the customer's, once."""

    data: CardShown = CardShown()


What = Literal["sale", "return", "void", "identified", "numbered", "aside", "unreturned"]
"""`numbered` is a number that something else took, `aside` one of training, of a suspended receipt or of control."""


class Noted(Struct, frozen=True, gc=False, array_like=True, omit_defaults=True):
    """What a workstation's shard has to know of one receipt. `key` is the receipt's, `holder` the customer's, `amount` is in
    minor units, `of` the receipt that a return takes back; `at` is when it happened and `arrived` when it came in."""

    what: What = "aside"
    store: str = ""
    workstation: str = ""
    day: str = ""
    number: int = 0
    holder: str = ""
    amount: int = 0
    currency: str = ""
    of: str = ""
    at: int = 0
    arrived: int = 0

    @property
    def key(self) -> str:
        return f"{self.store}/{self.workstation}/{self.day}/{self.number}"


class PosNoted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """From the shards of customers to that of workstations: receipts that were folded. Only the engine writes this."""

    data: tuple[Noted, ...] = ()


class PosNote(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Something else a till said: an item scanned, a coupon redeemed."""

    data: dict[str, Any] = {}


RECEIPTS = (PosTransactionCompleted, PosTransactionVoided, PosReturnCompleted)
"""What names a receipt of its own."""


def till_key(store: str, workstation: str) -> str:
    """The key of a workstation: that of nobody."""
    return f"w:{store}/{workstation}"[:200]


def till_of(receipt: str) -> str:
    """The workstation's key from the name of a receipt; empty where that is no such name."""
    parts = receipt.rsplit("/", 2)
    return f"w:{parts[0]}"[:200] if len(parts) == 3 and "/" in parts[0] else ""


def last_instant_of(receipt: str) -> int:
    """No later than this was the receipt of that name (epoch milliseconds): its business day may end a day late and anywhere on
    earth; 0 where the name holds no day."""
    day = receipt.rsplit("/", 2)[-2:][0]
    try:
        return millis(datetime.fromisoformat(day).replace(tzinfo=UTC)) + 3 * DAY
    except ValueError:
        return 0


TYPES: dict[str, type[Event]] = {
    "pos_transaction_completed": PosTransactionCompleted,
    "pos_transaction_voided": PosTransactionVoided,
    "pos_return_completed": PosReturnCompleted,
    "pos_item_scanned": PosNote,
    "pos_customer_identified": PosCustomerIdentified,
    "pos_coupon_redeemed": PosNote,
    "pos_day_closed": PosDayClosed,
    "pos_return_voided": PosReturnVoided,
    "pos_receipts_noted": PosNoted,
}
