"""How likely each offer is taken, by the ranker of the customer's variation, and what that is worth.

Whoever ranks, the readings are the same and are logged, so a model can learn from every variation. A ranker that has
nothing to go by gives way to the next: a model to the personal-frequency rule, the rule to what is popular.

Decisions that are made together are read together (`Readings`). What is read and judged of one is the same to the last
bit whoever else is in the group, so a decision can be made again, alone, from its log.
"""

from collections.abc import Mapping, Sequence
from typing import assert_never

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from engine.decisioning.catalogue import Arms, Catalogue, Columns
from engine.decisioning.conditions import BoolArray
from engine.decisioning.offer_features import EXAMINATION, examination
from engine.decisioning.policy import Ranker
from engine.decisioning.situation import Situation
from engine.features.affinity import Crossed, cross_all, strange
from engine.features.companions import NOTHING_KNOWN, Companions, Towards
from engine.models.scoring import Known, OfferScorer
from engine.models.terms import odds_of, probability_by

FloatArray = NDArray[np.float64]


WITHOUT_CATEGORY = 0.05
"""What an offer that promotes no category starts from, as if so many purchases held it: a usual response to a voucher."""


class Prepared(Struct, frozen=True, eq=False):
    """What scoring in one placement needs and no customer changes."""

    crowd: FloatArray
    """Popularity by category, as the readings of customer and offer want it."""
    towards: Towards | None
    """What goes along with what the arms promote, likewise."""
    popularity: FloatArray
    """Popularity of each arm."""
    learned: FloatArray
    frozen: FloatArray
    """Odds of each arm by itself, by the one model and the other."""
    strange_learned: FloatArray
    strange_frozen: FloatArray
    """What each takes for granted of customers and what arms promote."""
    packed: NDArray[np.float32]
    """Readings of each arm as they are recorded."""


class Scorers(Struct, frozen=True, eq=False):
    """Everything that can rank; made anew when the catalogue, a snapshot or the popularity changes (`scorers_for`).

    Without `learned` the personal-frequency rule ranks in its place and decisions say `model` in `degraded`.
    """

    learned: OfferScorer | None
    frozen: OfferScorer
    prepared: Mapping[str, Prepared]


class Scored(Struct, frozen=True, eq=False):
    """Arms of one placement that are left, with their probabilities and values in minor units."""

    arms: Arms
    places: NDArray[np.intp]
    """Among the arms of the placement."""
    rows: NDArray[np.intp]
    """In the catalogue."""
    probability: FloatArray
    value: FloatArray
    prepared: Prepared
    customer: bytes
    """Readings of the customer as they are recorded."""
    crossed: Crossed | None
    """Distinct readings of customer × arm, for the whole group."""
    row: NDArray[np.intp]
    """Arm of the placement → its row there."""
    ranker: Ranker
    """Who ranked in the end."""

    @property
    def cross(self) -> FloatArray | None:
        return self.crossed.rows if self.crossed is not None else None


def scorers_for(
    catalogue: Catalogue,
    learned: OfferScorer | None,
    frozen: OfferScorer | None = None,
    popularity: Mapping[str, float] | None = None,
    companions: Companions = NOTHING_KNOWN,
) -> Scorers:
    """Rankers for a catalogue. `popularity` is everybody's share of purchases by category; `companions` is what goes along.

    `frozen` is the model as it started: without one, the personal-frequency rule, which every model starts as.
    """
    start = frozen or OfferScorer()
    return Scorers(
        learned=learned,
        frozen=start,
        prepared={
            name: _prepared(catalogue.columns, arms, learned or start, start, popularity or {}, companions)
            for name, arms in catalogue.columns.arms.items()
        },
    )


def _prepared(
    columns: Columns,
    arms: Arms,
    learned: OfferScorer,
    frozen: OfferScorer,
    popularity: Mapping[str, float],
    companions: Companions,
) -> Prepared:
    crowd = arms.promotions.popularity(popularity)
    crowd[-1] = WITHOUT_CATEGORY
    ids = [columns.ids[row] for row in arms.rows]
    nobody = strange(arms.promotions, crowd)
    return Prepared(
        crowd=crowd,
        towards=arms.promotions.towards(companions, popularity),
        popularity=arms.promotions.by_kind(crowd)[arms.promotions.kind],
        learned=learned.prepare(ids, arms.features),
        frozen=frozen.prepare(ids, arms.features),
        strange_learned=learned.strangers(nobody),
        strange_frozen=frozen.strangers(nobody),
        packed=arms.features.astype("<f4"),
    )


class Together(Struct, frozen=True, eq=False):
    """One placement's readings of the customers of a group of whom something is known."""

    crossed: Crossed
    vectors: FloatArray
    packed: NDArray[np.float32]
    """The vectors as they are recorded."""
    member: Mapping[int, int]
    """Place in the group → place among those that were read."""


class ScoredTogether(Struct, frozen=True, eq=False):
    """What several were scored at by one ranker."""

    asked: Sequence[int]
    """Places among those who asked."""
    alone: Sequence[Scored]
    """Each one's own part."""
    value: FloatArray
    starts: Sequence[int]
    """All values one behind the other, and where each one's begin."""


class Readings:
    """What a group of decisions reads of customers and offers, placement by placement, when it is first asked for."""

    def __init__(self, situations: Sequence[Situation], columns: Columns, scorers: Scorers) -> None:
        self._situations, self._columns, self._scorers = situations, columns, scorers
        self.learned = scorers.learned
        self._together: dict[str, Together | None] = {}
        self._odds: dict[tuple[str, Ranker], FloatArray] = {}

    def score(self, which: int, placement: str, rows: NDArray[np.intp], ranker: Ranker) -> Scored:
        """Probabilities and values of the offers in `rows`, at least one, for one of the group."""
        columns = self._columns
        arms, places = columns.arms[placement], columns.arms[placement].place[rows]
        together = self._read(placement)
        at = together.member.get(which) if together is not None else None
        if together is None or at is None:
            crossed, customer, row = None, b"", arms.promotions.kind
        else:
            crossed, customer, row = together.crossed, together.packed[at].tobytes(), together.crossed.row[at]
        who = _able(ranker, self._scorers, crossed is not None)
        probability = self._probability(who, placement, places, row.take(places))
        value = probability * self._worth(which, rows) - columns.cost[rows]
        prepared = self._scorers.prepared[placement]
        return Scored(arms, places, rows, probability, value, prepared, customer, crossed, row, who)

    def score_all(self, placement: str, asked: Sequence[tuple[int, Ranker]], open_to: BoolArray) -> list[ScoredTogether]:
        """The same for several, each with its place in the group, its ranker, and a row that is True for one offer at least.

        Those whom one ranker judges are answered for together.
        """
        columns, together = self._columns, self._read(placement)
        member = together.member if together is not None else {}
        rankers = [_able(ranker, self._scorers, which in member) for which, ranker in asked]
        found = []
        for who in dict.fromkeys(rankers):
            chosen = [at for at, ranker in enumerate(rankers) if ranker == who]
            whose, rows = (open_to if len(chosen) == len(asked) else open_to[chosen]).nonzero()
            group = [asked[at][0] for at in chosen]
            starts = whose.searchsorted(np.arange(len(chosen))).tolist()
            arms, prepared = columns.arms[placement], self._scorers.prepared[placement]
            places = arms.place[rows]
            crossed = together.crossed if together is not None else None
            own = [crossed.row[member[which]] if crossed and which in member else arms.promotions.kind for which in group]
            ends = [*starts[1:], len(rows)]
            worth = columns.worth[rows]
            for which, start, end in zip(group, starts, ends, strict=True):
                if self._situations[which].expanded:
                    worth[start:end] = self._worth(which, rows[start:end])
            probability = self._probability(who, placement, places, np.array(own)[whose, places])
            value = probability * worth - columns.cost[rows]
            packed = together.packed.tobytes() if together is not None else b""
            size = len(packed) // max(len(member), 1)
            alone = []
            for which, row, start, end in zip(group, own, starts, ends, strict=True):
                at = member.get(which)
                customer = b"" if at is None else packed[at * size : (at + 1) * size]
                read = None if at is None else crossed
                part = slice(start, end)
                alone.append(
                    Scored(arms, places[part], rows[part], probability[part], value[part], prepared, customer, read, row, who)
                )
            found.append(ScoredTogether(chosen, alone, value, starts))
        return found

    def _worth(self, which: int, rows: NDArray[np.intp]) -> FloatArray:
        """What a probability is multiplied with; where products were found and the offer names no margin, theirs."""
        worth, expanded = self._columns.worth[rows], self._situations[which].expanded
        if expanded and self._columns.value.any():
            for place, row in enumerate(rows.tolist()):
                if row in expanded and expanded[row].worth:
                    worth[place] = expanded[row].worth
        return worth

    def _read(self, placement: str) -> Together | None:
        if placement not in self._together:
            read = [
                (at, one.part, one.vector, one.now)
                for at, one in enumerate(self._situations)
                if one.part is not None and one.vector is not None and any(asked.name == placement for asked in one.placements)
            ]
            promotions, prepared = self._columns.arms[placement].promotions, self._scorers.prepared[placement]
            self._together[placement] = None
            if read:
                parts, nows = [part for _, part, _, _ in read], [now for _, _, _, now in read]
                vectors = np.array([vector for _, _, vector, _ in read])
                self._together[placement] = Together(
                    cross_all(parts, promotions, prepared.crowd, nows, prepared.towards),
                    vectors,
                    vectors.astype("<f4"),
                    {at: member for member, (at, _, _, _) in enumerate(read)},
                )
        return self._together[placement]

    def _probability(self, ranker: Ranker, placement: str, places: NDArray[np.intp], read: NDArray[np.intp]) -> FloatArray:
        prepared = self._scorers.prepared[placement]
        match ranker:
            case "random":
                return np.ones(len(places))
            case "popularity":
                return prepared.popularity[places]
            case "rule":
                return probability_by(self._contributed(placement, ranker).take(read))
            case "learned" | "frozen":
                odds = self._contributed(placement, ranker).take(read)
                odds *= (prepared.learned if ranker == "learned" else prepared.frozen).take(places)
                return probability_by(odds)
            case other:
                assert_never(other)

    def _contributed(self, placement: str, ranker: Ranker) -> FloatArray:
        """The odds that a customer and what is promoted contribute, for each row of the readings."""
        found = self._odds.get((placement, ranker))
        together = self._read(placement)
        if found is None and together is not None:
            crossed, prepared = together.crossed, self._scorers.prepared[placement]
            if ranker == "rule":
                found = odds_of(crossed.rows[:, 0].copy())
            else:
                learned = self._scorers.learned if ranker == "learned" else None
                taken = prepared.strange_frozen if learned is None else prepared.strange_learned
                scorer, known = learned or self._scorers.frozen, Known(taken, crossed.kind, crossed.known)
                found = scorer.odds(together.vectors, crossed.rows, crossed.whose, known)
            self._odds[placement, ranker] = found
        assert found is not None, "nobody ranks by readings that are not there"
        return found


def _able(ranker: Ranker, scorers: Scorers, readable: bool) -> Ranker:
    if ranker == "learned" and scorers.learned is None:
        ranker = "rule"
    return ranker if readable or ranker == "random" else "popularity"


def recorded(scored: Scored, index: int, position: int = 1) -> bytes:
    """The readings that one scored arm was judged by (customer, offer, both), as little-endian float32; maybe none.

    It was judged as in the first place; the place that it got stands in its record.
    """
    if scored.crossed is None:
        return b""
    place = scored.places[index]
    offer, both = scored.prepared.packed[place], scored.crossed.packed[scored.row[place]]
    if position != 1:
        offer = offer.copy()
        offer[EXAMINATION] = examination(position)
    return b"".join((scored.customer, offer.tobytes(), both.tobytes()))
