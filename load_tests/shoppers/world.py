"""Who the shoppers are: hidden tastes, responsiveness and hazards, drawn once from a seed."""

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from math import exp, sqrt
from random import Random
from typing import Final

from msgspec import Struct

from engine.moments import DAY, WEEK, Millis

FAINT_TASTE: Final = 0.01
"""The chance per visit to buy from a category that a shopper does not care for."""
PRODUCTS_PER_CATEGORY: Final = 6


class Promotion(Struct, frozen=True):
    """An offer as a shopper meets it: what it promotes, and what a redemption earns, in minor units."""

    offer_id: str
    categories: tuple[str, ...]
    margin_minor: int = 100


class Shopper(Struct, frozen=True):
    """One person. `tastes` gives the chance per visit to buy from each liked category, offer or not.

    `sway` in [0, 1] scales all reactions to offers. After each visit the shopper is gone for ever with chance `hazard`.
    """

    number: int
    tastes: dict[str, float]
    sway: float
    hazard: float
    visits_per_week: float
    user_id: str = ""
    """How the shop knows the shopper."""

    def taste(self, category: str) -> float:
        """The chance per visit to buy from a category without any offer."""
        return self.tastes.get(category, FAINT_TASTE)

    def interest(self, offer: Promotion) -> float:
        """The chance per visit to buy something that the offer promotes, without the offer."""
        untouched = 1.0
        for category in offer.categories:
            untouched *= 1.0 - self.taste(category)
        return 1.0 - untouched

    def click(self, offer: Promotion) -> float:
        """The chance that the offer is clicked once it is seen."""
        return self.sway * (0.04 + 0.8 * sqrt(self.interest(offer)))

    def swayed(self, offer: Promotion) -> float:
        """The chance that a click ends in a purchase that would have been made for no other reason."""
        return 0.25 + 0.5 * self.interest(offer)

    def caused(self, offer: Promotion) -> float:
        """The chance that showing the offer makes the sale in this visit: its effect, which no log shows directly."""
        return (1.0 - self.interest(offer)) * self.click(offer) * self.swayed(offer)

    def accepted(self, offer: Promotion) -> float:
        """The chance that what the offer promotes is bought in the visit that shows it, caused by it or not."""
        return self.interest(offer) + self.caused(offer)

    def stays(self, days: float) -> float:
        """The chance to come again within so many days of a visit."""
        return (1.0 - self.hazard) * (1.0 - exp(-self.visits_per_week * days * DAY / WEEK))


class Arrival(Struct, frozen=True, order=True):
    """A visit that will happen: when, whose, and the how-manieth of that shopper (from 0)."""

    at: Millis
    shopper: int
    number: int


class World:
    """All shoppers of one seed. The same seed and arguments give the same people and the same visits, always.

    With `twins` of more than one, so many neighbours are one person several times: equal tastes, equal visits, equal
    luck. Given each another arm of an experiment, nothing but the arm tells them apart.
    """

    def __init__(
        self,
        seed: int,
        promotions: Sequence[Promotion],
        shoppers: int,
        currency: str = "USD",
        *,
        twins: int = 1,
        names: Sequence[str] = (),
    ) -> None:
        self.seed = seed
        self._twins = twins
        self._names = names or [f"shopper-{number}" for number in range(shoppers)]
        self.currency = currency
        self.promotions = {offer.offer_id: offer for offer in promotions}
        self.categories = tuple(dict.fromkeys(name for offer in promotions for name in offer.categories))
        self.shoppers = tuple(self._shopper(number) for number in range(shoppers))

    def chance(self, *what: object) -> Random:
        """The generator of one part of this world, the same whenever and in whichever order it is asked for."""
        return Random("/".join(map(str, (self.seed, *what))))

    def arrivals(self, since: int, until: int) -> Iterator[Arrival]:
        """Visits with `since` ≤ time < `until` in order of time, until everybody is gone or the time is up."""
        due = [self._next(shopper, 0, since) for shopper in self.shoppers]
        heapify(due)
        while due:
            arrival = heappop(due)
            if arrival.at >= until:
                return
            yield arrival
            shopper = self.shoppers[arrival.shopper]
            if self.chance("leaves", self.person(arrival.shopper), arrival.number).random() >= shopper.hazard:
                heappush(due, self._next(shopper, arrival.number + 1, arrival.at))

    def person(self, shopper: int) -> int:
        """Who a shopper is; twins are one person."""
        return shopper // self._twins

    def price_minor(self, product_id: str) -> int:
        """What a product costs, in minor units."""
        return self.chance("price", product_id).randrange(99, 900, 10)

    def _next(self, shopper: Shopper, number: int, after: int) -> Arrival:
        gap = self.chance("gap", self.person(shopper.number), number).expovariate(shopper.visits_per_week) * WEEK
        return Arrival(Millis(after + int(gap)), shopper.number, number)

    def _shopper(self, number: int) -> Shopper:
        chance = self.chance("shopper", self.person(number))
        # Few categories are liked by many and many by few, as in any shop; the first promoted are the best liked.
        weights = [1.0 / (1.0 + rank) ** 0.6 for rank in range(len(self.categories))]
        wanted = chance.randint(3, 7)
        liked = set(chance.choices(self.categories, weights, k=wanted)) if self.categories else set()
        tastes = {category: min(max(chance.betavariate(2.0, 5.0), 0.05), 0.7) for category in sorted(liked)}
        return Shopper(
            number=number,
            tastes=tastes,
            sway=chance.betavariate(4.0, 3.0),
            hazard=chance.betavariate(1.2, 30.0),
            visits_per_week=0.4 + chance.expovariate(1.0),
            user_id=self._names[number],
        )


def products_of(category: str) -> tuple[str, ...]:
    """The products of a category, by id."""
    stem = "-".join("".join(letter if letter.isalnum() else " " for letter in category.lower()).split())
    return tuple(f"{stem}-{number}" for number in range(1, PRODUCTS_PER_CATEGORY + 1))
