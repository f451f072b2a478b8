"""What the demo's shop sells: the products that the data's households bought most, by the categories that offers promote."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from config.catalogue_files import Loaded
from flows.complete_journey import CURRENCY, CompleteJourney

EACH: Final = 6
_SIZE: Final = re.compile(r"(\d[\d./]*)\s*(OZ|LB|CT|GA|GAL|QT|PT|L|LTR|LITER|DZ|PK)\b")
_UNITS: Final = {"GA": "gal", "LTR": "l", "LITER": "l", "L": "l", "DZ": "dozen", "PK": "pack"}
_SPELT: Final = {
    "sft": "soft", "drnk": "drink", "btl": "bottle", "carb": "sparkling", "frzn": "frozen", "choc": "chocolate",
    "chix": "chicken", "pch": "pouch", "wt": "weight", "iws": "wrapped", "cndy": "candy", "misc": "miscellaneous", "fz": "frozen",
    "sgl": "single", "ss": "single", "hshld": "household", "prem": "premium", "trad": "traditional", "reg": "regular",
}  # fmt: skip


class Good(Struct, frozen=True):
    """A product on the shelf. `price_minor` is what it was sold for most of the time, in cents."""

    product_id: str
    name: str
    size: str
    brand: str
    price_minor: int


class Aisle(Struct, frozen=True):
    """A category with its best sellers. `slug` stands in addresses, also in those of offers."""

    slug: str
    title: str
    category: str
    goods: tuple[Good, ...]


class Shelf(Struct, frozen=True):
    """The whole shop."""

    currency: str
    aisles: tuple[Aisle, ...]

    def line(self, product_id: str) -> tuple[Aisle, Good] | None:
        """Where a product stands."""
        return next(((aisle, good) for aisle in self.aisles for good in aisle.goods if good.product_id == product_id), None)


def shelf_of(journey: CompleteJourney, loaded: Loaded) -> Shelf:
    """An aisle for each category with an offer of its own, in the catalogue's order."""
    wanted = {}
    for offer in loaded.catalogue.offers:
        if offer.kind == "sell" and len(offer.promotes.categories) == 1:
            title = offer.content["default"]["title"].partition(",")[0]
            wanted[offer.promotes.categories[0]] = (offer.id, title)
    sold = journey.best_sellers(frozenset(wanted), EACH)
    found = ((category, slug, title) for category, (slug, title) in wanted.items() if category in sold)
    return Shelf(CURRENCY, tuple(Aisle(slug, title, category, _goods(sold[category])) for category, slug, title in found))


def _goods(rows: Sequence[Mapping[str, Any]]) -> tuple[Good, ...]:
    return tuple(
        Good(row["product_id"], readable(row["kind"]), readable_size(row["size"]), row["brand"], row["price_minor"])
        for row in rows
    )


def readable(kind: str) -> str:
    """A kind of goods as a shop would write it: `SFT DRNK 2 LITER BTL CARB INCL` reads "Soft drink 2 liter bottle sparkling"."""
    words = re.sub(r"\(.*|\b(EXCL?|INCL?|EXACT)\b", " ", kind.upper())
    words = " ".join(_SPELT.get(word, word) for word in re.sub(r"[^a-z0-9&%/'.]+", " ", words.lower()).split())
    return words[:1].upper() + words[1:]


def readable_size(size: str) -> str:
    """`A B D  8 OZ` reads "8 oz"; what is no size, or that of a crate, reads as nothing."""
    found = _SIZE.search(size.upper())
    if found is None or (found[2] in ("LB", "CT") and float(found[1].partition("/")[0]) > 30):
        return ""
    return f"{found[1]} {_UNITS.get(found[2], found[2].lower())}"
