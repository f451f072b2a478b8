"""What was bought together, as a shard tells it: one line for each basket of several products, of nobody in particular.

A line holds the products, and for each how many days ago the same customer bought it before (0: not known). Whoever reads the
lines counts what goes along with what, and how long a product lasts; nothing in them says whose basket it was. Baskets of who
does not want to be profiled are not told.

A receipt of nobody is told by the shard of its workstation. When it turns out to be somebody's that line is taken back, and the
customer's shard tells the basket.
"""

from msgspec import Struct

from engine.events.pos import Transaction
from engine.profiles.goods import Goods, gap_days
from engine.profiles.purchases import Purchase
from engine.shards.commit import Commit

MOST_TOGETHER = 16
"""Products of a basket that are told, the first ones on the receipt."""
MOST_KEPT = 1_000
"""About so many baskets of each shard are kept, the newest."""
_SEPARATOR = "\x1f"


_TAKEN_BACK = "\x1d"


class Basket(Struct, frozen=True, array_like=True):
    """The products of one basket, and for each the days since it was bought before; or one that is taken back."""

    products: tuple[str, ...] = ()
    gaps: tuple[int, ...] = ()
    taken_back: bool = False


def noted(commit: Commit, before: Goods, purchase: Purchase) -> None:
    """Tell of a purchase, with what its customer had bought before it."""
    products = purchase.joined_products
    if not products:
        return
    names = products.split(_SEPARATOR)[:MOST_TOGETHER]
    gaps = [gap_days(before, name, purchase.at) for name in names] if before.bought else []
    if len(names) > 1 or any(gaps):
        commit.baskets.append(encode_basket(names, gaps))


def of_nobody(commit: Commit, receipt: Transaction, taken_back: bool = False) -> None:
    """Tell of a receipt that is nobody's, or take back what was told of it."""
    sold = dict.fromkeys(line.product_id for line in receipt.lines if line.kind == "sale" and line.product_id)
    if len(sold) > 1:
        line = encode_basket([name for name in sold if name][:MOST_TOGETHER], [])
        commit.baskets.append(_TAKEN_BACK.encode() + line if taken_back else line)


def encode_basket(names: list[str], gaps: list[int]) -> bytes:
    """A line: products, then their gaps where any is known."""
    line = _SEPARATOR.join(names)
    if any(gaps):
        line += "\x1e" + ",".join(map(str, gaps))
    return line.encode()


def decode_basket(raw: bytes) -> Basket:
    """The basket of a line."""
    text = raw.decode()
    names, _, gaps = text.removeprefix(_TAKEN_BACK).partition("\x1e")
    known = tuple(int(gap) for gap in gaps.split(",")) if gaps else ()
    return Basket(tuple(names.split(_SEPARATOR)), known, text.startswith(_TAKEN_BACK))
