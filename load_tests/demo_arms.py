"""Hits and the table of arms, from nothing but what was shown and what was bought.

A hit is when a customer buys what a shown offer promotes, from the moment of the decision to the end of the offer's
attribution window, both included; each showing is hit at most once. The engine attributes by the same rule, from the
same events, without seeing this count.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import numpy as np
from msgspec import Struct

ARMS: Final = ("learned", "frozen", "popularity", "random")
RESAMPLES: Final = 1000
SHARE_INSIDE: Final = 0.95


class Showing(Struct, frozen=True):
    """An offer in front of a customer. `at` and `closes_at` are epoch milliseconds."""

    customer: str
    arm: str
    offer_id: str
    categories: frozenset[str]
    at: int
    closes_at: int


class Fate(Struct, frozen=True):
    """What became of a showing at `at`: taken by buying `category`, or its window closed without."""

    showing: Showing
    what: Literal["hit", "miss"]
    at: int
    category: str = ""


class Showings:
    """All showings, the open ones by customer. The events of one customer have to come in order of time."""

    def __init__(self) -> None:
        self._open: dict[str, list[Showing]] = {}
        self._known: set[tuple[str, str]] = set()
        self._tallies: dict[tuple[str, str], list[int]] = {}

    def shown(self, decision_id: str, showing: Showing) -> bool:
        """Takes a showing in; the same decision again shows nothing new. Answers whether it was new."""
        if (decision_id, showing.offer_id) in self._known:
            return False
        self._known.add((decision_id, showing.offer_id))
        self._open.setdefault(showing.customer, []).append(showing)
        self._tally(showing)[0] += 1
        return True

    def bought(self, customer: str, at: int, categories: Iterable[str]) -> list[Fate]:
        """What a purchase decides: hits, and misses whose window had closed before it."""
        basket = set(categories)
        fates, still_open = [], []
        for showing in self._open.get(customer, ()):
            found = sorted(showing.categories & basket)
            if at > showing.closes_at:
                fates.append(Fate(showing, "miss", showing.closes_at))
            elif found and at >= showing.at:
                self._tally(showing)[1] += 1
                fates.append(Fate(showing, "hit", at, found[0]))
            else:
                still_open.append(showing)
        self._open[customer] = still_open
        return fates

    @property
    def redeemed(self) -> int:
        """All hits."""
        return sum(hits for _, hits in self._tallies.values())

    @property
    def total(self) -> int:
        """All showings."""
        return sum(shown for shown, _ in self._tallies.values())

    def by_customer(self, arm: str) -> list[tuple[int, int]]:
        """(shown, hit) of each customer of an arm, in order of their names."""
        return [(counts[0], counts[1]) for (name, _), counts in sorted(self._tallies.items()) if name == arm]

    def _tally(self, showing: Showing) -> list[int]:
        return self._tallies.setdefault((showing.arm, showing.customer), [0, 0])


class Arm(Struct, frozen=True):
    """One arm: hits for each showing, with an interval over households that holds 95 of 100 times."""

    name: str
    customers: int = 0
    shown: int = 0
    redeemed: int = 0
    rate: float = 0.0
    interval: tuple[float, float] = (0.0, 0.0)


def arms_of(showings: Showings, names: Sequence[str] = ARMS) -> list[Arm]:
    """The table of arms."""
    return [arm_of(name, showings.by_customer(name)) for name in names]


def arm_of(name: str, counts: Sequence[tuple[int, int]]) -> Arm:
    """An arm from (shown, hit) of its customers.

    The interval resamples customers, since what one of them buys on one day hangs together with what they buy on the
    next; showings are no independent draws. Source: Davison & Hinkley (1997), "Bootstrap Methods and their Application", ch. 3.8.
    """
    shown, hits = (sum(pair[place] for pair in counts) for place in (0, 1))
    if not shown:
        return Arm(name, len(counts))
    table = np.array(counts, dtype=np.float64)
    chance = np.random.default_rng(len(counts))
    picks = chance.integers(0, len(counts), (RESAMPLES, len(counts)))
    sums = table[picks].sum(axis=1)
    rates = sums[:, 1] / np.maximum(sums[:, 0], 1.0)
    tail = (1.0 - SHARE_INSIDE) / 2.0
    low, high = np.quantile(rates, [tail, 1.0 - tail])
    return Arm(name, len(counts), shown, hits, hits / shown, (float(low), float(high)))


def windows_of(offers: Iterable[tuple[str, Sequence[str], float]], day_ms: int) -> Mapping[str, tuple[frozenset[str], int]]:
    """By offer: what it promotes, and its attribution window in milliseconds."""
    return {offer_id: (frozenset(categories), int(days * day_ms)) for offer_id, categories, days in offers}
