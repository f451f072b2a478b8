"""What was bought together, as a shard tells it: one line for each basket of several products, of nobody in particular.

A line holds the products, and for each how many days ago the same customer bought it before (0: not known). Whoever reads the
lines counts what goes along with what, and how long a product lasts; nothing in them says whose basket it was. Baskets of who
does not want to be profiled are not told.
"""

from msgspec import Struct

from engine.profiles.goods import Goods, gap_days
from engine.profiles.purchases import Purchase
from engine.shards.commit import Commit

MOST_TOGETHER = 16
"""Products of a basket that are told, the first ones on the receipt."""
MOST_KEPT = 1_000
"""About so many baskets of each shard are kept, the newest."""
_SEPARATOR = "\x1f"


class Basket(Struct, frozen=True, array_like=True):
    """The products of one basket, and for each the days since it was bought before."""

    products: tuple[str, ...] = ()
    gaps: tuple[int, ...] = ()


def noted(commit: Commit, before: Goods, purchase: Purchase) -> None:
    """Tell of a purchase, with what its customer had bought before it."""
    products = purchase.joined_products
    if not products:
        return
    names = products.split(_SEPARATOR)[:MOST_TOGETHER]
    gaps = [gap_days(before, name, purchase.at) for name in names] if before.bought else []
    if len(names) > 1 or any(gaps):
        commit.baskets.append(encode_basket(names, gaps))


def encode_basket(names: list[str], gaps: list[int]) -> bytes:
    """A line: products, then their gaps where any is known."""
    line = _SEPARATOR.join(names)
    if any(gaps):
        line += "\x1e" + ",".join(map(str, gaps))
    return line.encode()


def decode_basket(raw: bytes) -> Basket:
    """The basket of a line."""
    names, _, gaps = raw.decode().partition("\x1e")
    return Basket(tuple(names.split(_SEPARATOR)), tuple(int(gap) for gap in gaps.split(",")) if gaps else ())
