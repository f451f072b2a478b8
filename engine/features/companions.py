"""What goes along with what: how a customer's habits in all categories move the chance of each single one.

The personal-frequency rule says nothing of a category that a customer never bought but how popular it is with everybody.
Their other habits say more: who buys nappies soon buys baby food. `lift` is what these habits add to the rule's share, as a
linear correction fitted to what customers with such habits bought next (`engine.models.companions`).

Plain numbers: of at most `MOST_COMPANIONS` categories, a weight from each to each, and one for everybody.
"""

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from engine.moments import DAY, Millis
from engine.profiles.habits import Habits
from engine.profiles.purchases import CATEGORY_HALF_LIFE_DAYS

Numbers = NDArray[np.float64]
MOST_COMPANIONS = 320
_RATE = 1.0 / (CATEGORY_HALF_LIFE_DAYS * DAY)


class Companions(Struct, frozen=True, eq=False):
    """Weights of M categories: row 0 is everybody's, row 1 + i is what a habit in `names[i]` adds to each."""

    names: tuple[str, ...] = ()
    weights: Numbers = np.zeros((1, 0))

    def carried(self) -> dict[str, Any]:
        """As facts of a snapshot: names, and the weights row by row as little-endian float16."""
        return {"names": list(self.names), "weights": self.weights.astype("<f2").tobytes()}

    def towards(self, names: Sequence[str], shares: Mapping[str, float]) -> "Towards | None":
        """What the readings of these names need; None where nothing is known yet. `shares` are everybody's."""
        if not self.names:
            return None
        place = {name: index for index, name in enumerate(self.names)}
        chosen = np.zeros((len(self.names) + 1, len(names)))
        for column, name in enumerate(names):
            if name in place:
                chosen[:, column] = self.weights[:, place[name]]
        crowd = np.array([shares.get(name, 0.0) for name in self.names])
        own = np.concatenate((chosen[1:], np.zeros((1, len(names)))))
        return Towards(place, chosen[0], crowd @ chosen[1:], own)


NOTHING_KNOWN = Companions()


class Towards(Struct, frozen=True, eq=False):
    """The weights that lead to some names: everybody's, those of everybody's habits, and those of each own habit.

    `place` is the row of a category in `own`; the last row is of categories about which nothing is known.
    """

    place: Mapping[str, int]
    always: Numbers
    crowd: Numbers
    own: Numbers

    def lift(self, habits: Sequence[Habits], nows: Sequence[Millis], trips: Numbers, prior_trips: float) -> Numbers:
        """Shape (customers, names): what is added to the rule's share.

        `habits` are purchases by category, `trips` (customers, 1) the decayed ones of anything; a habit is a share that is
        shrunk towards everybody's, as the rule's is. Customer by customer and over their own categories alone: a
        customer has dozens and a shop hundreds, and sums of a product depend on its shape to the last bit.
        """
        own = np.stack([self._own(one, now) for one, now in zip(habits, nows, strict=True)])
        return np.asarray(self.always + (own + prior_trips * self.crowd) / (trips + prior_trips))

    def _own(self, habits: Habits, now: Millis) -> Numbers:
        count = len(habits.names)
        if not count:
            return np.zeros(len(self.always))
        rows = np.fromiter(map(self.place.get, habits.names, repeat(len(self.own) - 1)), np.intp, count)
        numbers = np.frombuffer(habits.numbers).reshape(-1, 3)
        faded = numbers[:, 0] * np.exp2(np.minimum(numbers[:, 1] - now, 0.0) * _RATE)
        return np.asarray(faded @ self.own.take(rows, axis=0))


def companions_from(carried: object) -> Companions:
    """The companions of a snapshot; none where it carries none."""
    if not isinstance(carried, dict) or not isinstance(carried.get("weights"), bytes):
        return NOTHING_KNOWN
    names = tuple(str(name) for name in carried["names"])
    weights = np.frombuffer(carried["weights"], dtype="<f2").astype(np.float64)
    return Companions(names, weights.reshape(len(names) + 1, len(names)))
