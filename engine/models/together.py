"""What is bought together, and how long a product lasts: counts over the newest baskets, kept up as baskets come in.

Nothing is fitted. What goes along with a product is counted in the newest baskets that hold it, so every number is a count that
a recount of those baskets gives as well; how much of it is mere popularity is taken out when candidates are ranked: the share
of the product's baskets that hold the other one, divided by the root of that one's share of all baskets.

Source: Deshpande & Karypis (2004), "Item-based top-N recommendation algorithms", ACM TOIS 22(1), 143-177.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import median

from msgspec import Struct

MOST_BASKETS = 64_000
MOST_HOLDING = 256
"""So many baskets that hold a product are counted in, the newest."""
MOST_GAPS = 200
FEWEST_GAPS = 5
"""Returns to a product below which nobody says how long it lasts."""
FEWEST_TOGETHER = 2
"""Two products that met once only may have met by chance."""


class Along(Struct, frozen=True):
    """In how many of so many baskets with a product each other one was; `often` are those that were there more than by chance."""

    baskets: int = 0
    counts: Mapping[str, int] = {}
    often: tuple[tuple[str, int], ...] = ()

    def most(self, number: int) -> list[tuple[str, int]]:
        """The most frequent, ties by name."""
        return sorted(self.counts.items(), key=lambda one: (-one[1], one[0]))[:number]


class Together:
    """Counts of the newest baskets."""

    def __init__(self, most: int = MOST_BASKETS, holding: int = MOST_HOLDING) -> None:
        self._most, self._most_holding = most, holding
        self._window: deque[tuple[str, ...]] = deque()
        self._held: dict[str, int] = {}
        self._holding: dict[str, deque[tuple[str, ...]]] = {}
        self._gaps: dict[str, deque[int]] = {}
        self._names: dict[str, str] = {}
        self._found: dict[str, Along] = {}

    @property
    def baskets(self) -> int:
        """How many baskets of several products are counted."""
        return len(self._window)

    def add(self, products: Sequence[str], gaps: Sequence[int] = ()) -> None:
        """One basket, each product once, with the days since its customer bought each before (0: not known)."""
        basket = tuple([self._names.setdefault(name, name) for name in dict.fromkeys(products)])
        for name, gap in zip(products, gaps, strict=False):
            if gap > 0:
                self._gaps.setdefault(name, deque(maxlen=MOST_GAPS)).append(gap)
        if len(basket) < 2:
            return
        if len(self._window) >= self._most:
            self._forget(self._window.popleft(), oldest=True)
        self._window.append(basket)
        for name in basket:
            self._held[name] = self._held.get(name, 0) + 1
            self._holding.setdefault(name, deque(maxlen=self._most_holding)).append(basket)
            self._found.pop(name, None)

    def take_back(self, products: Sequence[str]) -> None:
        """A basket of these that was counted is not one; where none is held any more, nothing changes."""
        basket = tuple(dict.fromkeys(products))
        found = next((one for one in self._window if one == basket), None)
        if found is not None:
            self._window.remove(found)
            self._forget(found)

    def along_with(self, product: str) -> Along:
        """What was in the newest baskets that hold a product."""
        found = self._found.get(product)
        if found is None:
            counts: dict[str, int] = {}
            holding = self._holding.get(product, ())
            for basket in holding:
                for name in basket:
                    counts[name] = counts.get(name, 0) + 1
            counts.pop(product, None)
            often = tuple([(name, count) for name, count in counts.items() if count >= FEWEST_TOGETHER])
            found = self._found[product] = Along(len(holding), counts, often)
        return found

    def ranked(self, products: Sequence[str]) -> list[tuple[str, str]]:
        """What goes along with these, best first, each with the one of them that it goes along with most."""
        scores: dict[str, float] = {}
        because: dict[str, tuple[float, str]] = {}
        mine, held, window = dict.fromkeys(products), self._held, max(len(self._window), 1)
        for product in mine:
            along = self.along_with(product)
            for name, count in along.often:
                score = count / along.baskets / sqrt(held.get(name, 1) / window)
                scores[name] = scores.get(name, 0.0) + score
                if name not in because or score > because[name][0]:
                    because[name] = score, product
        ordered = sorted([(-score, name) for name, score in scores.items() if name not in mine])
        return [(name, because[name][1]) for _, name in ordered]

    def usual_days(self, product: str) -> float | None:
        """How long a product lasts as customers come back for it: the median; None before enough of them have."""
        gaps = self._gaps.get(product, ())
        return float(median(gaps)) if len(gaps) >= FEWEST_GAPS else None

    def _forget(self, basket: tuple[str, ...], oldest: bool = False) -> None:
        for name in basket:
            self._held[name] -= 1
            holding = self._holding[name]
            if holding[0] is basket:
                holding.popleft()
                self._found.pop(name, None)
            elif not oldest and any(one is basket for one in holding):
                holding.remove(basket)
                self._found.pop(name, None)
            if not self._held[name]:
                del self._held[name], self._holding[name]
