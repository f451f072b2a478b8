"""The envelope every event travels in, and the parts that several groups share."""

from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta, Struct

Text = Annotated[str, Meta(max_length=500)]
Identifier = Annotated[str, Meta(min_length=1, max_length=100)]
Aware = Annotated[datetime, Meta(tz=True)]
Minor = Annotated[int, Meta(ge=-(10**13), le=10**13)]
"""An amount in minor units of the event's currency."""
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$")]
Quantity = Annotated[float, Meta(ge=-1e6, le=1e6)]

Channel = Literal["web", "app", "pos", "call_center", "email", "sms", "kiosk"]
CHANNELS: tuple[str, ...] = get_args(Channel)
Mode = Literal["live", "backfill"]


class Event(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One thing that happened, in canonical form: money in minor units, times with an offset.

    `received_at` is stamped at the door. `mode` "backfill" marks history: it builds profiles and labels and starts
    nothing. Each group narrows `data`; an event type without a class of its own is an `Activity`.
    """

    id: Identifier
    type: Annotated[str, Meta(min_length=1, max_length=100)]
    time: Aware
    source: Text = ""
    sent_at: Aware | None = None
    received_at: Aware | None = None
    user_id: Identifier | None = None
    anonymous_id: Identifier | None = None
    session_id: Identifier | None = None
    loyalty_id: Identifier | None = None
    channel: Channel | None = None
    context: dict[str, Any] | None = None
    decision_id: Identifier | None = None
    offer_id: Identifier | None = None
    placement: Identifier | None = None
    mode: Mode = "live"


class Activity(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An event of a type nobody has taught the engine yet: kept whole, and it counts as activity."""

    data: dict[str, Any] = {}


class Product(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A product wherever one appears: viewed, in a cart, on a receipt.

    `price` is per unit and `discount` for the whole line, both in minor units; `amount` is the line's total after its
    discount where the sender knows it.
    """

    product_id: Identifier | None = None
    sku: Text | None = None
    gtin: Text | None = None
    name: Text | None = None
    brand: Text | None = None
    category: Annotated[str, Meta(max_length=100)] | None = None
    variant: Text | None = None
    price: Minor | None = None
    quantity: Quantity = 1.0
    discount: Minor = 0
    amount: Minor | None = None
    coupon: Text | None = None
    position: int | None = None
    list_id: Text | None = None
    private_label: bool = False
    unit_cost: Minor | None = None
    """What one unit costs the shop; nobody has to send it, the door knows it of its products."""

    @property
    def cost_minor(self) -> int:
        """What the line costs the shop, rounded half up; 0 where nobody knows."""
        return int(self.unit_cost * self.quantity + 0.5) if self.unit_cost else 0

    @property
    def paid_minor(self) -> int:
        """What the line comes to: its amount, else price × quantity − discount (rounded half up), else 0."""
        if self.amount is not None:
            return self.amount
        if self.price is None:
            return 0
        return int(self.price * self.quantity + 0.5) - self.discount


Products = Annotated[tuple[Product, ...], Meta(max_length=2000)]
