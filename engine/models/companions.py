"""Learning what goes along with what, from nothing but profiles.

A profile tells an example by itself: its newest purchase is what was bought, and its habits without that purchase are
what was known before. So no event is stored twice for this: whoever holds profiles shows each of them now and then
(`learn`), and asks for the weights (`fit`).

The habit in category i is the personal-frequency rule's share x_i; what is fitted is y − x, the part of the next purchase that
the rule leaves over, by ridge regression on all x at once:

    W = (Σ x xᵀ + λ 1)⁻¹ Σ x (y − x)ᵀ

Both sums fade, so what went along with what two years ago is forgotten. Where little is known W is near 0, which is the rule.

What groups of customers lean towards is fitted likewise, to y − everybody's share, on the groups that each belongs to. It does
without habits on purpose: it is for those who have none yet, and beside habits a group says nearly nothing. What everybody
leans towards beyond their share is fitted along and left out.

Source: Ning & Karypis (2011), "SLIM: sparse linear methods for top-N recommender systems", ICDM, 497-506; Steck (2019),
"Embarrassingly shallow autoencoders for sparse data", WWW, 3251-3257.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import exp2

import numpy as np

from engine.features.affinity import PRIOR_TRIPS, fading_counts, fading_trips
from engine.features.companions import MOST_COMPANIONS, MOST_GROUPS, Companions, groups_of
from engine.models.snapshot import Numbers
from engine.moments import DAY, Millis
from engine.profiles.profile import Part

RIDGE = 100.0
"""How many purchases' worth of doubt there is about each weight."""

HALF_LIFE_DAYS = 364.0
FEWEST = 200
"""Purchases below which nothing is fitted."""


class CompanionSums:
    """The two sums over purchases that were shown so far, for the categories that were the most popular when first shown."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._squares, self._products = np.zeros((1, 1)), np.zeros((1, 0))
        self._groups: tuple[str, ...] = ()
        self._together, self._leaning = np.zeros((1, 1)), np.zeros((1, 0))
        self._at = 0
        self.learned = 0

    def learn(self, parts: Sequence[Part], popularity: Mapping[str, float]) -> None:
        """Take the newest purchase of each; whoever has none, or has given it back, shows nothing."""
        shown = [part for part in parts if part.purchases.last and not part.purchases.last[-1].taken_back]
        if not shown or not popularity:
            return
        self._meet(popularity)
        newest = max(part.purchases.last[-1].at for part in shown)
        fade = exp2(-max(newest - self._at, 0) / (HALF_LIFE_DAYS * DAY))
        habits, bought = self._read(shown, popularity)
        crowd = np.array([popularity.get(name, 0.0) for name in self._names])
        belongs = self._belonging(shown)
        self._together = self._together * fade + belongs.T @ belongs
        self._leaning = self._leaning * fade + belongs.T @ (bought - crowd)
        inputs = np.concatenate((np.ones((len(shown), 1)), habits), axis=1)
        self._squares = self._squares * fade + inputs.T @ inputs
        self._products = self._products * fade + inputs.T @ (bought - habits)
        self._at = max(newest, self._at)
        self.learned += len(shown)

    def fit(self) -> Companions:
        """The weights as of now; none before enough was shown."""
        if self.learned < FEWEST:
            return Companions()
        ridge = self._squares + RIDGE * np.eye(len(self._squares))
        weights = np.asarray(np.linalg.solve(ridge, self._products), dtype=np.float64)
        doubt = self._together + RIDGE * np.diag([1e-3, *([1.0] * len(self._groups))])
        leanings = np.asarray(np.linalg.solve(doubt, self._leaning), dtype=np.float64)
        return Companions(self._names, weights, self._groups, leanings[1:])

    def _belonging(self, parts: Sequence[Part]) -> Numbers:
        """Per customer and group: 1 where they belong to it. Groups not met before are appended, up to the bound."""
        of = [groups_of(part.identity) for part in parts]
        met = Counter(name for names in of for name in names if name not in self._groups)
        fresh = sorted(met, key=lambda name: (-met[name], name))[: MOST_GROUPS - len(self._groups)]
        if fresh:
            self._groups = (*self._groups, *fresh)
            self._together = np.pad(self._together, (0, len(fresh)))
            self._leaning = np.pad(self._leaning, ((0, len(fresh)), (0, 0)))
        places = {name: place for place, name in enumerate(self._groups)}
        belongs = np.zeros((len(parts), 1 + len(places)))
        belongs[:, 0] = 1.0
        for row, names in enumerate(of):
            belongs[row, [1 + places[name] for name in names if name in places]] = 1.0
        return belongs

    def _read(self, parts: Sequence[Part], popularity: Mapping[str, float]) -> tuple[Numbers, Numbers]:
        """Per customer and name: the rule's share just before the newest purchase, and 1 where that holds it."""
        places = {name: place for place, name in enumerate(self._names)}
        crowd = np.array([popularity.get(name, 0.0) for name in self._names])
        bought = np.zeros((len(parts), len(self._names)))
        for row, part in enumerate(parts):
            found = [places[name] for name in part.purchases.last[-1].categories if name in places]
            bought[row, found] = 1.0
        nows = [Millis(part.purchases.last[-1].at) for part in parts]
        counts = np.maximum(fading_counts(parts, self._names, nows) - bought, 0.0)
        trips = np.maximum(fading_trips(parts, nows) - 1.0, 0.0)
        return (counts + PRIOR_TRIPS * crowd) / (trips + PRIOR_TRIPS), bought

    def _meet(self, popularity: Mapping[str, float]) -> None:
        """Categories that were not there before are appended, the most popular first, up to the bound."""
        known = set(self._names)
        met = sorted((name for name in popularity if name not in known), key=lambda name: (-popularity[name], name))
        met = met[: MOST_COMPANIONS - len(self._names)]
        if met:
            self._names = (*self._names, *met)
            self._squares = np.pad(self._squares, (0, len(met)))
            self._products = np.pad(self._products, (0, len(met)))
            self._leaning = np.pad(self._leaning, ((0, 0), (0, len(met))))
