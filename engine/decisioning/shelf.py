"""What is on sale, as decisions look it up: products, what goes along with what, what a unit costs the shop.

One for each process, kept up beside the requests; a decision takes from it what it needs before anything is decided.
"""

from collections.abc import Sequence

from msgspec import Struct

from engine.events.costing import Costs
from engine.events.products import ProductFacts
from engine.models.together import Together
from engine.profiles.goods import name_of


class Shelf:
    """The products that are known, by id and by the hash that profiles hold."""

    def __init__(self) -> None:
        self.products: dict[str, ProductFacts] = {}
        self.names: dict[int, str] = {}
        self.costs: Costs = {}
        self.together = Together()
        self.available = 0
        self.version = 0
        """Rises with every product."""

    def take(self, facts: ProductFacts) -> None:
        """A product as it is now."""
        self.version += 1
        before = self.products.get(facts.product_id)
        self.available += facts.is_sold - (before is not None and before.is_sold)
        self.products[facts.product_id] = facts
        self.names[name_of(facts.product_id)] = facts.product_id
        if facts.cost is not None:
            self.costs[facts.product_id] = facts.cost, facts.currency
        else:
            self.costs.pop(facts.product_id, None)

    def sold(self, product_id: str) -> ProductFacts | None:
        """The product where it can be bought."""
        facts = self.products.get(product_id)
        return facts if facts is not None and facts.is_sold else None

    def title(self, product_id: str) -> str | None:
        """What it is called, where it is known."""
        facts = self.products.get(product_id)
        return facts.title if facts is not None else None


def mean_margin(products: Sequence[ProductFacts], currency: str) -> float:
    """What one of these earns in the mean, in minor units, as far as it is known; 0 where nothing is, or less."""
    margins = [facts.price - facts.cost for facts in products if facts.cost is not None and facts.currency == currency]
    return max(sum(margins) / len(margins), 0.0) if margins else 0.0


class Suggested(Struct, frozen=True):
    """A product as an offer shows it. `price` is in minor units, and `because` says in words why this one."""

    product_id: str
    title: str
    price: int
    currency: str
    image: str = ""
    url: str = ""
    because: str = ""


class Expansion(Struct, frozen=True):
    """What an offer shows, found when it is decided; without any products, `words` says why not.

    `worth` is what a redemption earns by the margins of these products, in minor units of the catalogue's currency, times the
    offer's boost; 0 where that is not known, or where the offer names a margin itself.
    """

    products: tuple[Suggested, ...] = ()
    worth: float = 0.0
    words: str = ""


NOTHING_FOUND = Expansion()
