"""Readings of a customer and an offer together: how near what it promotes is to what they buy.

Everything is computed for the catalogue's distinct categories first and then gathered per offer, so the cost depends on the
catalogue's breadth and hardly on its length.
"""

from collections.abc import Mapping, Sequence
from math import exp2

import numpy as np
from numpy.typing import NDArray

from engine.features.base import Reading
from engine.moments import DAY, Millis
from engine.profiles.browsing import VIEW_HALF_LIFE_DAYS
from engine.profiles.habits import Habits
from engine.profiles.profile import Part
from engine.profiles.purchases import CATEGORY_HALF_LIFE_DAYS, SUMS

Matrix = NDArray[np.float64]
LONG_AGO_DAYS = 365.0
PRIOR_TRIPS = 2.0
"""How many purchases the crowd's habit counts for beside a customer's own."""
LEAST_SHARE = 1e-3

CROSS: tuple[Reading, ...] = (
    Reading("affinity.rule_logit", "log odds", -7, 7, "how often they buy it, against how often everybody does"),
    Reading("affinity.days_since", "days", 0, LONG_AGO_DAYS, "days since they last bought it"),
    Reading("affinity.bought_56d", "purchases", 0, 1e3, "how often they bought it lately"),
    Reading("affinity.share_56d", "share", 0, 1, "share of their purchases with it"),
    Reading("affinity.popularity", "share", 0, 1, "share of everybody's purchases with it"),
    Reading("affinity.never_bought", "yes or no", 0, 1, "they never bought it"),
    Reading("affinity.viewed_7d", "views", 0, 1e3, "how often they looked at it lately"),
    Reading("affinity.in_cart", "yes or no", 0, 1, "it is in their cart"),
    Reading("offers.times_shown", "times", 0, 50, "how often they saw this offer"),
    Reading("offers.days_since_shown", "days", 0, LONG_AGO_DAYS, "days since they saw this offer"),
    Reading("offers.times_taken", "times", 0, 50, "how often they took this offer"),
)
CROSS_NAMES: tuple[str, ...] = tuple(reading.name for reading in CROSS)
_LOWS = np.array([reading.low for reading in CROSS], dtype=np.float64)
_HIGHS = np.array([reading.high for reading in CROSS], dtype=np.float64)
_TRIPS = SUMS.quantities.index("trips")
_MONTHS = SUMS.half_life_days.index(CATEGORY_HALF_LIFE_DAYS)


class Promotions:
    """What each of K offers promotes, as indices: `categories` are the distinct ones, one more row stands for none.

    `promoted` gives each offer's categories; an offer of several reads as their sum, its dates as their newest.
    """

    def __init__(self, offer_ids: Sequence[str], promoted: Sequence[Sequence[str]]) -> None:
        self.categories = tuple(sorted({name for names in promoted for name in names}))
        row = {name: index for index, name in enumerate(self.categories)}
        nothing = len(self.categories)
        chosen = [[row[name] for name in names] or [nothing] for names in promoted]
        self.offer_row = {offer_id: index for index, offer_id in enumerate(offer_ids)}
        self._flat = np.array([index for rows in chosen for index in rows], dtype=np.intp)
        self._starts = np.cumsum([0, *(len(rows) for rows in chosen)])[:-1].astype(np.intp)
        self.single = len(self._flat) == len(chosen)
        self.size = len(chosen)

    def popularity(self, shares: Mapping[str, float]) -> Matrix:
        """Everybody's share of purchases with each category, aligned to `categories` and none."""
        return np.array([*(shares.get(name, 0.0) for name in self.categories), 0.0])

    def by_offer(self, rows: Matrix) -> Matrix:
        """Rows per offer, for rows that are per category where each offer has one; always a new matrix."""
        return rows[self._flat] if self.single else rows

    def total(self, by_category: Matrix) -> Matrix:
        """Rows per category to rows per offer, summed."""
        gathered = by_category[self._flat]
        return gathered if self.single or not self.size else np.add.reduceat(gathered, self._starts)

    def newest(self, by_category: Matrix) -> Matrix:
        """Rows per category to rows per offer, the largest."""
        gathered = by_category[self._flat]
        return gathered if self.single or not self.size else np.maximum.reduceat(gathered, self._starts)


def read_cross(part: Part, promotions: Promotions, popularity: Matrix, now: Millis) -> Matrix:
    """Shape (offers, len(CROSS_NAMES)), clipped and rounded to float32 like the customer's own readings.

    Column 0 is the personal-frequency rule: the share of the customer's purchases with the category, both fading over
    56 days, shrunk towards everybody's share by two purchases' worth.
    """
    bought = part.purchases
    trips = max(SUMS.read_one(bought.sums, bought.sums_at, now, _MONTHS, _TRIPS), 0.0) if bought.sums else 0.0
    count, days, known = _habit(bought.categories, promotions, now, CATEGORY_HALF_LIFE_DAYS)
    crowd = popularity
    # An offer of one category reads as its category does; only sums and newest of several are worked out by offer.
    if not promotions.single:
        count, crowd = promotions.total(count), promotions.total(crowd)
        days, known = -promotions.newest(-days), promotions.newest(known)
    share = (count + PRIOR_TRIPS * crowd) / (trips + PRIOR_TRIPS)
    share = np.minimum(np.maximum(share, LEAST_SHARE), 1.0 - LEAST_SHARE)
    columns = np.zeros((len(CROSS), len(count)))
    columns[0] = np.log(share / (1.0 - share))
    columns[1] = days
    columns[2] = count
    columns[3] = count / (trips + 0.5)
    columns[4] = crowd
    columns[5] = 1.0 - known
    columns[9] = LONG_AGO_DAYS
    if part.browsing.viewed.names:
        views = _habit(part.browsing.viewed, promotions, now, VIEW_HALF_LIFE_DAYS)[0]
        columns[6] = views if promotions.single else promotions.total(views)
    if part.browsing.cart:
        held = {line.category for line in part.browsing.cart}
        in_cart = np.array([*(float(name in held) for name in promotions.categories), 0.0])
        columns[7] = in_cart if promotions.single else promotions.newest(in_cart)
    matrix = promotions.by_offer(np.minimum(np.maximum(columns.T, _LOWS), _HIGHS))
    for offer_id, tally in part.offers.tallies.items():
        row = promotions.offer_row.get(offer_id)
        if row is not None:
            told = (tally.shown, (now - tally.last_shown_at) / DAY, tally.redeemed)
            matrix[row, 8:] = np.minimum(np.maximum(told, _LOWS[8:]), _HIGHS[8:])
    return matrix.astype("<f4").astype(np.float64)


def _habit(habits: Habits, promotions: Promotions, now: Millis, half_life_days: float) -> tuple[Matrix, Matrix, Matrix]:
    """Per category and none: decayed count now, days since, 1 where it was ever seen.

    A loop over names, since a customer shares few of them with a catalogue and each call into numpy costs as much as three.
    """
    size = len(promotions.categories) + 1
    counts, days, known = [0.0] * size, [LONG_AGO_DAYS] * size, [0.0] * size
    names = habits.names
    if names:
        numbers = memoryview(habits.numbers).cast("d")
        for at, name in enumerate(promotions.categories):
            row = names.get(name)
            if row is not None:
                age = max((now - numbers[3 * row + 1]) / DAY, 0.0)
                counts[at] = numbers[3 * row] * exp2(-age / half_life_days)
                days[at] = age
                known[at] = float(numbers[3 * row + 2] > 0.0)
    return np.array(counts), np.array(days), np.array(known)
