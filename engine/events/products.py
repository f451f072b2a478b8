"""What the shop sells: facts of products, told whole. What is told later of a product holds.

A product belongs to no customer and to no shard: what is known of it lies beside the logs, and what a log needs of it rides in
its events. So a line of a sale carries what one unit costs the shop (`Product.unit_cost`), put there at the door.
"""

from math import isfinite
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta, Struct

from engine.events.base import Currency, Event, Identifier

Availability = Literal["in_stock", "preorder", "backorder", "out_of_stock", "discontinued"]
AVAILABILITIES: tuple[str, ...] = get_args(Availability)
SOLD: frozenset[str] = frozenset({"in_stock", "preorder", "backorder"})
"""What can be bought: nothing else is ever suggested."""
Amount = Annotated[int, Meta(ge=0, le=10**13)]


class ProductFacts(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """All that is known of a product. `price` and `unit_cost` are per unit, in minor units of `currency`.

    Instead of `unit_cost` a `margin_rate` may be told: the share of `price` that is left once the unit is paid for.
    `replenish_days` is how long one lasts, for what is used up.
    """

    product_id: Identifier
    title: Annotated[str, Meta(min_length=1, max_length=500)]
    price: Amount
    currency: Currency
    category: Annotated[str, Meta(max_length=100)] = ""
    unit_cost: Amount | None = None
    margin_rate: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    availability: Availability = "in_stock"
    image: Annotated[str, Meta(max_length=2000)] = ""
    url: Annotated[str, Meta(max_length=2000)] = ""
    replenish_days: Annotated[float, Meta(gt=0, le=3650)] | None = None

    def __post_init__(self) -> None:
        if self.unit_cost is not None and self.margin_rate is not None:
            raise ValueError("tell unit_cost or margin_rate, not both")

    @property
    def cost(self) -> int | None:
        """What one unit costs the shop, rounded half up; None where nobody told."""
        if self.margin_rate is not None:
            return int(self.price * (1.0 - self.margin_rate) + 0.5)
        return self.unit_cost

    @property
    def is_sold(self) -> bool:
        """Whether it can be bought."""
        return self.availability in SOLD


class ProductUpserted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A product is new or has changed."""

    data: ProductFacts


TYPES: dict[str, type[Event]] = {"product_upserted": ProductUpserted}
OF_NOBODY: frozenset[str] = frozenset(TYPES)
"""Types of events that belong to no customer."""

ALIASES: dict[str, str] = {
    "id": "product_id",
    "name": "title",
    "cost": "unit_cost",
    "cost_of_goods_sold": "unit_cost",
    "margin": "margin_rate",
    "available": "availability",
    "image_url": "image",
    "image_link": "image",
    "link": "url",
    "replenish_interval_days": "replenish_days",
    "product_type": "category",
}
"""Names that shops use for the same."""
FIELDS: tuple[str, ...] = ProductFacts.__struct_fields__

_AVAILABLE: dict[str, Availability] = {
    "true": "in_stock",
    "yes": "in_stock",
    "1": "in_stock",
    "available": "in_stock",
    "false": "out_of_stock",
    "no": "out_of_stock",
    "0": "out_of_stock",
    "unavailable": "out_of_stock",
    "sold_out": "out_of_stock",
}
_NUMBERS = ("margin_rate", "replenish_days")


def shaped_product(told: dict[str, Any]) -> dict[str, Any]:
    """The body with its fields under their own names, availability in our words, and numbers that were written as text."""
    body = dict(told)
    for other, name in ALIASES.items():
        if other in body and name not in body:
            body[name] = body.pop(other)
    if isinstance(body.get("category"), list) and all(isinstance(one, str) for one in body["category"]):
        body["category"] = "/".join(body["category"])
    said = body.get("availability")
    if isinstance(said, bool | int | str):
        word = str(said).strip().lower().replace(" ", "_").replace("-", "_")
        body["availability"] = _AVAILABLE.get(word, word)
    for name in _NUMBERS:
        if isinstance(body.get(name), str):
            body[name] = _number(body[name])
    return body


def _number(text: str) -> float | str:
    """A number written as text, `20 %` as 0.2; anything else stays what it is, for the check to name."""
    share = text.strip().removesuffix("%")
    try:
        number = float(share) / (100.0 if share != text.strip() else 1.0)
    except ValueError:
        return text
    return number if isfinite(number) else text
