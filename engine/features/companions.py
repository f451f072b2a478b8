"""What goes along with what: how a customer's habits in all categories move the chance of each single one.

The personal-frequency rule says nothing of a category that a customer never bought but how popular it is with everybody.
Their other habits say more: who buys nappies soon buys baby food. `lift` is what these habits add to the rule's share, as a
linear correction fitted to what customers with such habits bought next (`engine.models.companions`).

Who is new has no habits. What is told of them says something still: the groups that they belong to (`groups_of`) lean towards
some categories, and that moves what the rule starts from. It fades with every purchase, as the rule's start does.

Plain numbers: of at most `MOST_COMPANIONS` categories, a weight from each to each, and one for everybody; of at most
`MOST_GROUPS` groups, a leaning towards each category.
"""

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from engine.moments import DAY, Millis
from engine.profiles.habits import Habits
from engine.profiles.identity import Identity
from engine.profiles.purchases import CATEGORY_HALF_LIFE_DAYS

Numbers = NDArray[np.float64]
MOST_COMPANIONS = 320
MOST_GROUPS = 64
LONGEST_GROUP = 60
_OF_ONE = frozenset(("birthday",))
"""Traits by which customers are told apart rather than put together."""

_RATE = 1.0 / (CATEGORY_HALF_LIFE_DAYS * DAY)


class Companions(Struct, frozen=True, eq=False):
    """Weights of M categories: row 0 is everybody's, row 1 + i is what a habit in `names[i]` adds to each.

    Row g of `leanings` is by how much likelier each is with who belongs to `groups[g]`.
    """

    names: tuple[str, ...] = ()
    weights: Numbers = np.zeros((1, 0))
    groups: tuple[str, ...] = ()
    leanings: Numbers = np.zeros((0, 0))

    def carried(self) -> dict[str, Any]:
        """As facts of a snapshot: names, and the weights row by row as little-endian float16."""
        told = {"names": list(self.names), "weights": self.weights.astype("<f2").tobytes()}
        return {**told, "groups": list(self.groups), "leanings": self.leanings.astype("<f2").tobytes()}

    def towards(self, names: Sequence[str], shares: Mapping[str, float]) -> "Towards | None":
        """What the readings of these names need; None where nothing is known yet. `shares` are everybody's."""
        if not self.names:
            return None
        place = {name: index for index, name in enumerate(self.names)}
        chosen = np.zeros((len(self.names) + 1, len(names)))
        leaning = np.zeros((len(self.groups), len(names)))
        for column, name in enumerate(names):
            if name in place:
                chosen[:, column] = self.weights[:, place[name]]
                leaning[:, column] = self.leanings[:, place[name]] if self.groups else 0.0
        crowd = np.array([shares.get(name, 0.0) for name in self.names])
        own = np.concatenate((chosen[1:], np.zeros((1, len(names)))))
        rows = {name: index for index, name in enumerate(self.groups)}
        return Towards(place, chosen[0], crowd @ chosen[1:], own, rows, leaning)


NOTHING_KNOWN = Companions()


class Towards(Struct, frozen=True, eq=False):
    """The weights that lead to some names: everybody's, those of everybody's habits, and those of each own habit.

    `place` is the row of a category in `own`; the last row is of categories about which nothing is known. `group` is the row
    of a group in `leaning`.
    """

    place: Mapping[str, int]
    always: Numbers
    crowd: Numbers
    own: Numbers
    group: Mapping[str, int]
    leaning: Numbers

    def lift(
        self,
        habits: Sequence[Habits],
        told: Sequence[Identity],
        nows: Sequence[Millis],
        trips: Numbers,
        prior_trips: float,
    ) -> Numbers:
        """Shape (customers, names): what is added to the rule's share.

        `habits` are purchases by category, `told` who they are, `trips` (customers, 1) the decayed ones of anything; a habit is
        a share that is shrunk towards everybody's, as the rule's is, and what groups lean towards counts for as many
        purchases as everybody's share does. Customer by customer and over their own categories alone: a
        customer has dozens and a shop hundreds, and sums of a product depend on its shape to the last bit.
        """
        own = self._owns(habits, nows)
        if not self.group:
            return np.asarray(self.always + (own + prior_trips * self.crowd) / (trips + prior_trips))
        start = np.stack([self._start(one) for one in told])
        return np.asarray(self.always + (own + prior_trips * start) / (trips + prior_trips))

    def _start(self, told: Identity) -> Numbers:
        """What is added for who never bought: by everybody's habits, and by the groups of this one."""
        rows = [self.group[name] for name in groups_of(told) if name in self.group]
        return np.asarray(self.crowd + np.add.reduce(self.leaning.take(rows, axis=0), axis=0)) if rows else self.crowd

    def _owns(self, habits: Sequence[Habits], nows: Sequence[Millis]) -> Numbers:
        """What the habits of each customer add, by name, before their trips are counted."""
        counts = [len(one.names) for one in habits]
        unknown, rows = repeat(len(self.own) - 1), list[int]()
        for one in habits:
            rows.extend(map(self.place.get, one.names, unknown))
        numbers = np.frombuffer(b"".join([one.numbers for one in habits])).reshape(-1, 3)
        since = np.minimum(numbers[:, 1] - np.array(nows, dtype=np.float64).repeat(counts), 0.0)
        faded = numbers[:, 0] * np.exp2(since * _RATE)
        place, added, begins = np.array(rows, dtype=np.intp), np.zeros((len(habits), len(self.always))), 0
        for member, count in enumerate(counts):
            if count:
                ends = begins + count
                np.matmul(faded[begins:ends], self.own.take(place[begins:ends], axis=0), out=added[member])
                begins = ends
        return added


def companions_from(carried: object) -> Companions:
    """The companions of a snapshot; none where it carries none."""
    if not isinstance(carried, dict) or not isinstance(carried.get("weights"), bytes):
        return NOTHING_KNOWN
    names = tuple(str(name) for name in carried["names"])
    weights = np.frombuffer(carried["weights"], dtype="<f2").astype(np.float64)
    groups = tuple(str(name) for name in carried.get("groups", ()))
    leanings = np.frombuffer(carried.get("leanings", b""), dtype="<f2").astype(np.float64)
    return Companions(names, weights.reshape(len(names) + 1, len(names)), groups, leanings.reshape(len(groups), len(names)))


def groups_of(told: Identity) -> list[str]:
    """What a customer has in common with others: traits that are words or yes or no, and the channels they were met on."""
    traits = [
        f"{name}={value}"
        for name, (value, _) in told.traits.items()
        if isinstance(value, str | bool) and len(str(value)) <= LONGEST_GROUP and name not in _OF_ONE
    ]
    return sorted([*traits, *(f"channel={name}" for name in told.channels)])
