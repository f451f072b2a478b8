"""LightGBM as a ranker of next categories, beside the rankers of `regulars evaluate next-category` and on their readings.

Every four weeks trees are grown anew on what the offer model had learned by then, the same examples of the same moments, and
rank all categories at each basket until the next time. Before the first trees the rule ranks in their place.
"""

from collections.abc import Sequence, Set
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from rich.progress import Progress

from engine.features.affinity import CROSS_NAMES
from engine.models.evaluation import Figure, mean_of
from engine.models.next_best_offer import NextBestOfferLearner
from engine.models.snapshot import Numbers
from engine.moments import WEEK
from flows.evaluate_events import Log, Walk
from flows.evaluate_next_category import DEPTH, RANKERS, Basket, Day, Mask, Moment, Places, Ranking, gain, rank
from flows.evaluate_terms import Terms
from load_tests.anchors import TREES, quiet_import

EVERY_WEEKS: Final = 4
ROUNDS: Final = 150
MOST_ROWS: Final = 400_000
"""Trees are grown on so many of the examples, drawn without a look at them: more make them no better and take minutes."""

TREE_RANKER: Final = "LightGBM, every 4 weeks"
OURS: Final = "online"
_WAITING: Final = 1_000


class Unit(Struct, frozen=True):
    """NDCG of each ranker over all categories and over those new to the customer, and ours minus the trees'."""

    ranked: int
    with_new: int
    all: dict[str, Figure]
    new: dict[str, Figure]
    all_minus_trees: Figure
    new_minus_trees: Figure


class Ranked(Struct, frozen=True):
    """The rankers basket by basket, and by a customer's day ranked before its first basket."""

    depth: int
    basket: Unit
    day: Unit


class Waiting(Struct, frozen=True, eq=False):
    """A basket that the trees have still to rank."""

    place: int
    matrix: Numbers
    names: tuple[str, ...]
    new: Mask
    bought: frozenset[str]
    fresh: Set[str]
    day: Day | None
    """The day that it is the first basket of."""


class TreesToo(Ranking):
    """The rankers of the evaluation, and trees that see the same moments."""

    def __init__(self, learner: NextBestOfferLearner, start: int) -> None:
        super().__init__(learner)
        self._start = start
        self._turn = 0
        self._trees: Any = None
        self._rows: list[NDArray[np.float32]] = []
        self._labels: list[Numbers] = []
        self._waiting: list[Waiting] = []
        self._bought: frozenset[str] = frozenset()
        self.gains: list[tuple[float, float]] = []
        self._of_days: list[tuple[Day, list[str], list[str]]] = []

    def scored(self, walk: Walk, moment: Moment, bought: frozenset[str]) -> None:
        """As in the evaluation; when four weeks are over the trees are grown anew, once what waits was ranked by the old."""
        turn = (moment.at - self._start) // (EVERY_WEEKS * WEEK)
        if turn != self._turn:
            self.finish()
            self._turn = turn
            self._trees = self._grown()
        self._bought = bought
        super().scored(walk, moment, bought)

    def _learn(self, moment: Moment, matrix: Numbers, relevant: Mask, chosen: Places) -> None:
        known = self._known[moment.customer]
        fresh = self._bought - known
        today, new = self._today[moment.customer], ~self._mask(known)
        first = today if today.moment is moment else None
        self._waiting.append(Waiting(len(self.gains), matrix, self._shelf.names, new, self._bought, fresh, first))
        self.gains.append((0.0, 0.0))
        self._rows.append(matrix[chosen].astype(np.float32))
        self._labels.append(relevant[chosen].astype(np.float64))
        if len(self._waiting) >= _WAITING:
            self.finish()
        super()._learn(moment, matrix, relevant, chosen)

    def finish(self) -> None:
        """Rank what waits."""
        if not self._waiting:
            return
        whole = np.concatenate([one.matrix for one in self._waiting])
        scores = whole[:, 0] if self._trees is None else np.asarray(self._trees.predict(whole))
        ends = np.cumsum([len(one.names) for one in self._waiting])
        for one, mine in zip(self._waiting, np.split(scores, ends[:-1]), strict=True):
            order = np.argsort(-mine, kind="stable")
            top = [one.names[place] for place in order[:DEPTH]]
            new = [one.names[place] for place in order[one.new[order]][:DEPTH]]
            self.gains[one.place] = gain(top, one.bought), gain(new, one.fresh) if one.fresh else 0.0
            if one.day is not None:
                self._of_days.append((one.day, top, new))
        self._waiting = []

    def gains_of_days(self) -> list[tuple[float, float]]:
        """The trees' gains of each customer's day, in the order in which the days began."""
        found = []
        for day, top, new in self._of_days:
            fresh = day.bought - day.known
            found.append((gain(top, day.bought), gain(new, fresh) if fresh else 0.0))
        return found

    def _grown(self) -> Any:
        if not self._rows:
            return None
        rows, labels = np.concatenate(self._rows), np.concatenate(self._labels)
        if len(rows) > MOST_ROWS:
            drawn = np.random.default_rng(0).choice(len(rows), MOST_ROWS, replace=False)
            rows, labels = rows[drawn], labels[drawn]
        library = quiet_import("lightgbm")
        return library.train(dict(TREES), library.Dataset(rows, labels, feature_name=list(CROSS_NAMES)), ROUNDS)


def ranked(log: Log, terms: Terms, progress: Progress) -> Ranked:
    """All rankers on the same baskets."""
    rankings: list[TreesToo] = []

    def trees_too(learner: NextBestOfferLearner) -> Ranking:
        rankings.append(TreesToo(learner, log.start))
        return rankings[0]

    found = rank(log, progress, trees_too)
    trees = rankings[0]
    trees.finish()
    units = [_unit(*pair, log, terms) for pair in ((found.baskets, trees.gains), (found.days, trees.gains_of_days()))]
    return Ranked(DEPTH, *units)


def _unit(baskets: Sequence[Basket], trees: Sequence[tuple[float, float]], log: Log, terms: Terms) -> Unit:
    pairs = [(one, gains) for one, gains in zip(baskets, trees, strict=True) if one.at >= log.since and log.counts(one.customer)]
    fresh = [(one.customer, (*one.new, gains[1])) for one, gains in pairs if one.new is not None]
    all_of, all_better = _figures([(*one.all, gains[0]) for one, gains in pairs], [one.customer for one, _ in pairs], terms)
    new_of, new_better = _figures([gains for _, gains in fresh], [customer for customer, _ in fresh], terms)
    return Unit(len(pairs), len(fresh), all_of, new_of, all_better, new_better)


def _figures(gains: list[tuple[float, ...]], names: list[str], terms: Terms) -> tuple[dict[str, Figure], Figure]:
    customers = np.unique(names, return_inverse=True)[1].astype(np.intp)
    columns = dict(zip((*RANKERS, TREE_RANKER), np.array(gains).T, strict=True))
    figures = {name: mean_of(column, customers, terms.replicates, terms.seed) for name, column in columns.items()}
    return figures, mean_of(columns[OURS] - columns[TREE_RANKER], customers, terms.replicates, terms.seed)
