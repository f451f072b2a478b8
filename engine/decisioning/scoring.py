"""How likely each offer is taken, by the ranker of the customer's variation, and what that is worth.

Whoever ranks, the readings are the same and are logged, so a model can learn from every variation. A ranker that has
nothing to go by gives way to the next: a model to the personal-frequency rule, the rule to what is popular.
"""

from collections.abc import Mapping
from typing import assert_never

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from engine.decisioning.catalogue import Arms, Catalogue, Columns
from engine.decisioning.policy import Ranker
from engine.decisioning.situation import Situation
from engine.features.affinity import read_cross
from engine.models.scoring import OfferScorer

FloatArray = NDArray[np.float64]


WITHOUT_CATEGORY = 0.05
"""What an offer that promotes no category starts from, as if so many purchases held it: a usual response to a voucher."""


class Prepared(Struct, frozen=True, eq=False):
    """What scoring in one placement needs and no customer changes."""

    crowd: FloatArray
    """Popularity by category, as the readings of customer and offer want it."""
    popularity: FloatArray
    """Popularity of each arm."""
    learned: FloatArray
    frozen: FloatArray


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
    cross: FloatArray | None
    """Readings of customer × arm, for all arms of the placement."""
    ranker: Ranker
    """Who ranked in the end."""


def scorers_for(
    catalogue: Catalogue,
    learned: OfferScorer | None,
    frozen: OfferScorer | None = None,
    popularity: Mapping[str, float] | None = None,
) -> Scorers:
    """Rankers for a catalogue. `popularity` is everybody's share of purchases by category.

    `frozen` is the model as it started: without one, the personal-frequency rule, which every model starts as.
    """
    start = frozen or OfferScorer()
    return Scorers(
        learned=learned,
        frozen=start,
        prepared={
            name: _prepared(catalogue.columns, arms, learned or start, start, popularity or {})
            for name, arms in catalogue.columns.arms.items()
        },
    )


def _prepared(
    columns: Columns, arms: Arms, learned: OfferScorer, frozen: OfferScorer, popularity: Mapping[str, float]
) -> Prepared:
    crowd = arms.promotions.popularity(popularity)
    crowd[-1] = WITHOUT_CATEGORY
    ids = [columns.ids[row] for row in arms.rows]
    return Prepared(
        crowd=crowd,
        popularity=arms.promotions.total(crowd),
        learned=learned.prepare(ids, arms.features),
        frozen=frozen.prepare(ids, arms.features),
    )


def score(
    situation: Situation, columns: Columns, scorers: Scorers, placement: str, rows: NDArray[np.intp], ranker: Ranker
) -> Scored:
    """Probabilities and values of the offers in `rows`; at least one."""
    arms, prepared = columns.arms[placement], scorers.prepared[placement]
    places = arms.place[rows]
    cross = None
    if situation.part is not None and situation.vector is not None:
        cross = read_cross(situation.part, arms.promotions, prepared.crowd, situation.now)
    who = _able(ranker, scorers, cross is not None)
    probability = _probability(who, situation, scorers, prepared, places, cross)
    value = probability * columns.worth[rows] - columns.cost[rows]
    return Scored(arms, places, rows, probability, value, cross, who)


def _able(ranker: Ranker, scorers: Scorers, readable: bool) -> Ranker:
    if ranker == "learned" and scorers.learned is None:
        ranker = "rule"
    return ranker if readable or ranker == "random" else "popularity"


def _probability(
    ranker: Ranker,
    situation: Situation,
    scorers: Scorers,
    prepared: Prepared,
    places: NDArray[np.intp],
    cross: FloatArray | None,
) -> FloatArray:
    if ranker == "popularity" or cross is None or situation.vector is None:
        return np.ones(len(places)) if ranker == "random" else prepared.popularity[places]
    match ranker:
        case "learned":
            scorer = scorers.learned or scorers.frozen
            return scorer.score_prepared(situation.vector, _of(prepared.learned, places), _of(cross, places))
        case "frozen":
            return scorers.frozen.score_prepared(situation.vector, _of(prepared.frozen, places), _of(cross, places))
        case "rule":
            odds: FloatArray = np.exp(-cross[places, 0])
            return 1.0 / (1.0 + odds)
        case "random":
            return np.ones(len(places))
        case other:
            assert_never(other)


def _of(values: FloatArray, places: NDArray[np.intp]) -> FloatArray:
    """Values at some places; all of them are not copied, since places are in order and none stands twice."""
    return values if len(values) == len(places) else values[places]


def recorded(scored: Scored, index: int, vector: FloatArray | None) -> bytes:
    """The readings that one scored arm was judged by (customer, offer, both), as little-endian float32; maybe none."""
    if scored.cross is None or vector is None:
        return b""
    place = scored.places[index]
    together = np.concatenate((vector, scored.arms.features[place], scored.cross[place]))
    return together.astype("<f4").tobytes()
