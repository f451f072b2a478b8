"""A crowd of customers as arrays, of whom everything is known: who can be persuaded, who leaves when, what an offer does.

There is no HTTP and no event here, so that a thousand experiments fit into seconds; `light` turns the same crowd into
events for the engine. Chance is drawn by name from the seed: what a customer does under one treatment uses the same
draws as under another, and asking twice gives the same.

Four kinds of people, by what personal offers do to the chance that a visit ends in a purchase. Persuadables buy more, sure
things would have bought anyway, lost causes do not care, and sleeping dogs are better left alone.
"""

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]

KINDS: Final = ("persuadable", "sure_thing", "lost_cause", "sleeping_dog")
BUYS: Final = ((0.25, 0.45), (0.75, 0.75), (0.06, 0.06), (0.55, 0.40))
"""For each kind, the chance that a visit ends in a purchase: without personal offers, and with them."""
MOST_VISITS: Final = 12
"""In one week; who comes more often is not counted again."""


class Played(Struct, frozen=True):
    """What customers did, by week: amounts of purchases in minor units (customer, week, visit; 0 is none), and who had left
    by the end of it."""

    amounts: Numbers
    gone: Mask

    @property
    def spend(self) -> Numbers:
        """Of each customer over all weeks."""
        return np.asarray(self.amounts.sum(axis=(1, 2)))

    @property
    def purchases(self) -> Counts:
        """Of each customer over all weeks."""
        return np.asarray((self.amounts > 0.0).sum(axis=(1, 2)))


class Crowd:
    """All customers of one seed. `effect` scales what offers do: 0 makes every experiment one without a difference.

    `group` is what a shop can see of the kind: right for a share of `seen`, any kind for the rest. A customer leaves for good
    at the end of a week with chance `hazard`; the visits are a Poisson number a week.
    """

    def __init__(self, seed: int, customers: int, *, effect: float = 1.0, seen: float = 0.85) -> None:
        self.seed, self.customers = seed, customers
        draw = self.chance("people")
        self.kind = draw.integers(0, len(KINDS), customers)
        self.group = np.where(draw.random(customers) < seen, self.kind, draw.integers(0, len(KINDS), customers))
        self.visits = np.minimum(0.4 + draw.gamma(1.5, 0.8, customers), 5.0)
        self.hazard = draw.beta(1.2, 30.0, customers)
        self.basket = draw.lognormal(7.6, 0.5, customers)
        without, with_ = np.array(BUYS).T
        self.buys = np.stack([without, without + effect * (with_ - without)], axis=1)[self.kind]

    def chance(self, what: str, number: int = 0) -> np.random.Generator:
        """The generator of one part of this crowd."""
        return np.random.default_rng([self.seed, number, *what.encode()])

    def play(self, weeks: int, treated: Mask, what: str = "after") -> Played:
        """What everybody does for so many weeks, from the same draws whoever is treated."""
        draw = self.chance(what)
        shape = (self.customers, weeks)
        visits = np.minimum(draw.poisson(self.visits[:, np.newaxis], shape), MOST_VISITS)
        leaves = draw.random(shape) < self.hazard[:, np.newaxis]
        gone = np.logical_or.accumulate(leaves, axis=1)
        there = ~np.concatenate([np.zeros((self.customers, 1), dtype=bool), gone[:, :-1]], axis=1)
        luck = draw.random((*shape, MOST_VISITS))
        amounts = self.basket[:, np.newaxis, np.newaxis] * draw.lognormal(-0.125, 0.5, luck.shape)
        chance = self.buys[np.arange(self.customers), treated.astype(np.intp)]
        visited = np.arange(MOST_VISITS) < np.where(there, visits, 0)[:, :, np.newaxis]
        buys = visited & (luck < chance[:, np.newaxis, np.newaxis])
        return Played(np.where(buys, np.maximum(amounts.round(), 1.0), 0.0), gone)

    def expected_spend(self, weeks: int, treated: bool) -> Numbers:
        """What each customer spends on average in so many weeks, in minor units."""
        stays = 1.0 - self.hazard
        weeks_there = sum(stays**week for week in range(weeks))
        return np.asarray(weeks_there * self._visits() * self.buys[:, int(treated)] * self.basket)

    def _visits(self) -> Numbers:
        """The mean of a Poisson number that is cut off at the most that count."""
        mean = np.zeros(self.customers)
        chance = np.exp(-self.visits)
        below = chance.copy()
        for number in range(1, MOST_VISITS):
            chance = chance * self.visits / number
            mean += number * chance
            below += chance
        return np.asarray(mean + MOST_VISITS * (1.0 - below))

    def effect(self, weeks: int, chosen: Mask | None = None) -> float:
        """What personal offers add to a customer's spend on average, in minor units, among those chosen."""
        difference = self.expected_spend(weeks, True) - self.expected_spend(weeks, False)
        return float(difference.mean() if chosen is None else difference[chosen].mean())

    def effect_of(self, kind: str, weeks: int) -> float:
        """The same for one kind of people."""
        return self.effect(weeks, self.kind == KINDS.index(kind))

    def stays_away(self, days: float) -> Numbers:
        """The chance that a customer who is there today, and gets no offers, buys nothing in so many days.

        Leaving is counted at the ends of weeks, so this holds for whole weeks.
        """
        weeks, rate = round(days / 7.0), self.visits * self.buys[:, 0]
        silent = np.exp(-rate)
        there, total = np.ones(self.customers), np.zeros(self.customers)
        for _ in range(weeks):
            there = there * silent
            total += there * self.hazard
            there = there * (1.0 - self.hazard)
        return np.asarray(total + there)
