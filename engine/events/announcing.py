"""The entry that moves a shard to a new version of a reference fact. The same entry goes into every shard's log."""

import msgspec

from engine.events.prices import PriceDrop, PriceDropped
from engine.events.reference import Announced, ReferenceChanged
from engine.events.routing import Admitted, admitted
from engine.ids import digest_of
from engine.moments import moment

OURSELVES = "w:regulars"
"""The key under which announcements lie: that of nobody."""


def price_drop(product_id: str, was: int, price: int, currency: str, at: int) -> Admitted:
    """That a product became cheaper, per unit and in minor units. Told again, it is the same event, and counts once."""
    told = PriceDrop(product_id=product_id, was=was, price=price, currency=currency)
    mark = digest_of(msgspec.json.encode(told), str(at).encode(), size=16).hex()
    event = PriceDropped(
        id=f"price-{mark}", type="price_dropped", time=moment(at), source="regulars", received_at=moment(at), data=told
    )
    return admitted(event)


def announcement(name: str, version: int, value: object, at: int) -> Admitted:
    """`value` is plain, and `at` the server's clock. It moves no watermark, counts as no event and belongs to no customer."""
    plain = msgspec.to_builtins(value)
    told = digest_of(msgspec.json.encode(plain)).hex()
    event = ReferenceChanged(
        id=f"reference-{name}-{version}-{told}"[:100],
        type="reference_changed",
        time=moment(at),
        source="regulars",
        received_at=moment(at),
        data=Announced(name=name, version=version, value=plain),
    )
    return admitted(event)
