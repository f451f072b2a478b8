"""A product became cheaper: told to every shard, since who looked at it may be anywhere."""

from typing import Annotated

from msgspec import Meta, Struct

from engine.events.base import Currency, Event, Identifier, Minor


class PriceDrop(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The price before and now, per unit and in minor units."""

    product_id: Identifier
    price: Minor
    was: Annotated[int, Meta(ge=0)]
    currency: Currency


class PriceDropped(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Only the engine writes this, into every shard's log."""

    data: PriceDrop


TYPES: dict[str, type[Event]] = {"price_dropped": PriceDropped}
