"""What a policy is worth when the truth is known: expected margin of each showing, beside the best and an even draw."""

from collections.abc import Iterable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from load_tests.shoppers.world import Promotion, Shopper, World

Matrix = NDArray[np.float64]


class Worth(Struct, frozen=True):
    """Means over showings, in minor units a showing; `accepted` counts sales of what was promoted, `caused` the effect.

    `best` is the optimum of the same showings, `even` a uniform draw over all offers for them.
    """

    showings: int = 0
    accepted: float = 0.0
    accepted_best: float = 0.0
    accepted_even: float = 0.0
    caused: float = 0.0
    caused_best: float = 0.0
    caused_even: float = 0.0

    @property
    def captured(self) -> float:
        """Which share of the way from an even draw to the optimum was gone, in accepted margin."""
        way = self.accepted_best - self.accepted_even
        return (self.accepted - self.accepted_even) / way if way else 1.0


def expected(shopper: Shopper, offer: Promotion) -> tuple[float, float]:
    """What showing the offer to the shopper is worth on average, in minor units: in sales accepted, in sales caused."""
    return shopper.accepted(offer) * offer.margin_minor, shopper.caused(offer) * offer.margin_minor


class Truth:
    """Expected margins of every offer for every shopper, as matrices of shoppers × offers."""

    def __init__(self, world: World) -> None:
        self.offers = tuple(world.promotions)
        self._column = {offer_id: column for column, offer_id in enumerate(self.offers)}
        both = [[expected(shopper, world.promotions[name]) for name in self.offers] for shopper in world.shoppers]
        table = np.array(both, dtype=np.float64).reshape(len(world.shoppers), len(self.offers), 2)
        self.accepted: Matrix = table[:, :, 0]
        self.caused: Matrix = table[:, :, 1]

    def worth(self, showings: Iterable[tuple[int, str]]) -> Worth:
        """What these showings (shopper's number, offer shown) were worth; an offer that promotes nothing is worth 0."""
        pairs = [(shopper, self._column.get(offer_id, -1)) for shopper, offer_id in showings]
        if not pairs or not self.offers:
            return Worth()
        rows = np.array([row for row, _ in pairs])
        columns = np.array([column for _, column in pairs])
        means = [
            mean
            for table in (self.accepted, self.caused)
            for mean in (
                np.where(columns >= 0, table[rows, columns], 0.0).mean(),
                table.max(axis=1)[rows].mean(),
                table.mean(axis=1)[rows].mean(),
            )
        ]
        return Worth(len(pairs), *(float(mean) for mean in means))

    def most_popular(self) -> str:
        """The one offer that is worth most when everybody sees it."""
        return self.offers[int(self.accepted.mean(axis=0).argmax())]
