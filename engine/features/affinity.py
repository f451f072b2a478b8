"""Readings of a customer and an offer together: how near what it promotes is to what they buy.

What offers promote is read once for each distinct set of categories, and for all customers of a group at once: the cost
depends on the catalogue's breadth and hardly on its length, and each call into numpy is shared by the group.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import repeat

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from engine.features.base import Reading
from engine.features.companions import Companions, Towards
from engine.moments import DAY, Millis
from engine.profiles.browsing import VIEW_HALF_LIFE_DAYS
from engine.profiles.habits import Habits
from engine.profiles.profile import Part
from engine.profiles.purchases import CATEGORY_HALF_LIFE_DAYS, SUMS

Matrix = NDArray[np.float64]
LONG_AGO_DAYS = 365.0
PRIOR_TRIPS = 4.0
"""How many purchases the crowd's habit counts for beside a customer's own."""
LEAST_SHARE = 1e-4
"""Rarer categories than that are not told apart."""

_COMPANIONS = "Ning & Karypis (2011), SLIM: sparse linear methods for top-N recommender systems, ICDM, 497-506"

CROSS: tuple[Reading, ...] = (
    Reading("affinity.rule_logit", "log odds", -9.3, 9.3, "how often they buy it, against how often everybody does"),
    Reading("affinity.days_since", "days", 0, LONG_AGO_DAYS, "days since they last bought it"),
    Reading("affinity.bought_56d", "purchases", 0, 1e3, "how often they bought it lately"),
    Reading("affinity.share_56d", "share", 0, 1, "share of their purchases with it"),
    Reading("affinity.popularity", "share", 0, 1, "share of everybody's purchases with it"),
    Reading("affinity.never_bought", "yes or no", 0, 1, "they never bought it"),
    Reading("affinity.viewed_7d", "views", 0, 1e3, "how often they looked at it lately"),
    Reading("affinity.in_cart", "yes or no", 0, 1, "it is in their cart"),
    Reading("affinity.companion_logit", "log odds", -9.3, 9.3, "how often those with such habits buy it", _COMPANIONS),
    Reading("offers.times_shown", "times", 0, 50, "how often they saw this offer"),
    Reading("offers.days_since_shown", "days", 0, LONG_AGO_DAYS, "days since they saw this offer"),
    Reading("offers.times_taken", "times", 0, 50, "how often they took this offer"),
)
CROSS_NAMES: tuple[str, ...] = tuple(reading.name for reading in CROSS)
LOGITS = ("affinity.rule_logit", "affinity.companion_logit")
"""What reads differently for each customer even of what they never bought."""
POPULARITY = "affinity.popularity"
TOLD = (slice(1, 6), slice(6, 8), slice(9, 12))
"""Columns that read the same for all of whom, or of what, nothing is told: by purchases, by browsing and by offers shown.

None is ever negative. `POPULARITY`, in the first, is the same for every customer.
"""
_OWN = CROSS_NAMES.index("offers.times_shown")
"""From here on readings are of the offer itself and not of what it promotes."""
_NOTHING = "\x00"
_NOWHERE = repeat(-1)
_NEVER = np.array([0.0, -np.inf, 0.0]).tobytes()
_HABIT = len(_NEVER)
_LOWS = np.array([reading.low for reading in CROSS], dtype=np.float64)[:, None]
_HIGHS = np.array([reading.high for reading in CROSS], dtype=np.float64)[:, None]
_STRANGER = Part()
_NO_ROWS = np.zeros(0, dtype=np.intp)
_RECORDED = np.dtype("<f4")
_TRIPS = SUMS.quantities.index("trips")
_MONTHS = SUMS.half_life_days.index(CATEGORY_HALF_LIFE_DAYS)


class Promotions:
    """What each of K offers promotes. Offers that promote the same read the same, so readings have a row for each `kind`.

    `categories` are the distinct names; a kind is a set of them, maybe none. A kind of several reads as their sum, its
    dates as their newest.
    """

    def __init__(self, offer_ids: Sequence[str], promoted: Sequence[Sequence[str]]) -> None:
        self.categories = tuple(sorted({name for names in promoted for name in names}))
        row = {name: index for index, name in enumerate(self.categories)}
        kinds = {kind: place for place, kind in enumerate(dict.fromkeys(tuple(names) for names in promoted))}
        chosen = [[row[name] for name in kind] or [len(row)] for kind in kinds]
        self.offer_row = {offer_id: index for index, offer_id in enumerate(offer_ids)}
        self.kind = np.array([kinds[tuple(names)] for names in promoted], dtype=np.intp)
        """The kind of each offer."""
        self.kinds = len(kinds)
        self._flat = np.array([index for rows in chosen for index in rows], dtype=np.intp)
        self._starts = np.cumsum([0, *(len(rows) for rows in chosen)])[:-1].astype(np.intp)
        self._single = len(self._flat) == len(chosen)
        self.names = tuple((*self.categories, _NOTHING)[index] for index in self._flat.tolist())
        """The categories of all kinds, one kind behind the other; one that nobody buys where a kind has none."""

    def popularity(self, shares: Mapping[str, float]) -> Matrix:
        """Everybody's share of purchases with each category, aligned to `categories` and none."""
        return np.array([*(shares.get(name, 0.0) for name in self.categories), 0.0])

    def towards(self, companions: Companions, shares: Mapping[str, float]) -> Towards | None:
        """What leads to each of `names`; None where nothing is known of what goes along with what."""
        return companions.towards(self.names, shares)

    def by_kind(self, by_category: Matrix) -> Matrix:
        """One number per category, and none, to one per kind: summed."""
        return self.total(by_category[self._flat])

    def total(self, by_name: Matrix) -> Matrix:
        """Columns aligned to `names` to columns per kind, summed."""
        return by_name if self._single else np.add.reduceat(by_name, self._starts, axis=-1)

    def nearest(self, by_name: Matrix) -> Matrix:
        """Columns aligned to `names` to columns per kind, the smallest."""
        return by_name if self._single else np.minimum.reduceat(by_name, self._starts, axis=-1)

    def newest(self, by_name: Matrix) -> Matrix:
        """Columns aligned to `names` to columns per kind, the largest."""
        return by_name if self._single else np.maximum.reduceat(by_name, self._starts, axis=-1)


class Crossed(Struct, frozen=True, eq=False):
    """Readings of some customers and all offers: `rows` are the distinct ones, `row` says where each offer's stands.

    Customer by customer there is a row for each kind, and behind them all those that are of a single offer. Column by
    column in memory, since whoever reads them reads a column at a time.
    """

    rows: Matrix
    packed: NDArray[np.float32]
    """The rows as they are recorded."""
    row: tuple[NDArray[np.intp], ...]
    """For each customer, the row of each offer."""
    whose: NDArray[np.intp]
    """The customer of each row."""
    kind: NDArray[np.intp]
    """Its kind."""
    known: tuple[NDArray[np.intp], ...]
    """For each of `TOLD`, the rows in which it says more of the customer than a stranger's does (`strange`)."""


def read_cross(part: Part, promotions: Promotions, popularity: Matrix, now: Millis, towards: Towards | None = None) -> Matrix:
    """Shape (offers, len(CROSS_NAMES)) for one customer: what `cross_all` reads, offer by offer."""
    crossed = cross_all([part], promotions, popularity, [now], towards)
    return crossed.rows[crossed.row[0]]


def cross_all(
    parts: Sequence[Part],
    promotions: Promotions,
    popularity: Matrix,
    nows: Sequence[Millis],
    towards: Towards | None = None,
) -> Crossed:
    """Rows of len(CROSS_NAMES), clipped and rounded to float32 like the customer's own readings; at least one customer.

    Column 0 is the personal-frequency rule: the share of the customer's purchases with the category, both fading over
    56 days, shrunk towards everybody's share by four purchases' worth. `affinity.companion_logit` is that share with what their
    other habits add, by `towards` (`Promotions.towards`); the rule's itself where nothing is known of what goes along.

    A row depends on its customer alone, to the last bit: whoever is read together with others reads the same alone.
    """
    size, now = promotions.kinds, np.array(nows, dtype=np.float64)[:, None]
    trips = fading_trips(parts, nows)
    count, days, known = _habits([part.purchases.categories for part in parts], promotions, now, CATEGORY_HALF_LIFE_DAYS)
    count, days, known = promotions.total(count), promotions.nearest(days), promotions.newest(known)
    bought, looked = days < np.inf, None
    crowd = promotions.by_kind(popularity)
    share = (count + PRIOR_TRIPS * crowd) / (trips + PRIOR_TRIPS)
    columns = np.zeros((len(CROSS), len(parts), size))
    columns[0] = columns[8] = _logit(share)
    if towards is not None:
        habits, identities = [part.purchases.categories for part in parts], [part.identity for part in parts]
        lift = towards.lift(habits, identities, nows, trips, PRIOR_TRIPS)
        columns[8] = _logit(share + promotions.total(lift))
    columns[1] = days
    columns[2] = count
    columns[3] = count / (trips + 0.5)
    columns[4] = crowd
    columns[5] = 1.0 - known
    columns[_OWN + 1] = LONG_AGO_DAYS
    if any(part.browsing.viewed.names for part in parts):
        viewed, since, _ = _habits([part.browsing.viewed for part in parts], promotions, now, VIEW_HALF_LIFE_DAYS)
        columns[6] = promotions.total(viewed)
        looked = promotions.nearest(since) < np.inf
    for place, part in enumerate(parts):
        if part.browsing.cart:
            held = {line.category for line in part.browsing.cart}
            columns[7, place] = promotions.newest(np.array([float(name in held) for name in promotions.names]))
            looked = np.zeros(bought.shape, dtype=np.bool_) if looked is None else looked
            looked[place] |= columns[7, place] > 0.0
    table = columns.reshape(len(CROSS), -1)
    places: list[NDArray[np.intp]] = [promotions.kind + size * place for place in range(len(parts))]
    whose, kind = _whose_and_kind(len(parts), size)
    told = [bought.ravel(), None if looked is None else looked.ravel()]
    shown: list[tuple[float, float, float]] = []
    like: list[int] = []
    for place, (part, at) in enumerate(zip(parts, nows, strict=True)):
        for offer_id, tally in part.offers.tallies.items():
            offer = promotions.offer_row.get(offer_id)
            if offer is not None:
                shown.append((tally.shown, (at - tally.last_shown_at) / DAY, tally.redeemed))
                like.append(int(places[place][offer]))
                places[place][offer] = len(whose) + len(like) - 1
    if shown:
        own = table[:, like]
        own[_OWN:] = np.array(shown).T
        told = [one if one is None else np.concatenate((one, one[like])) for one in told]
        table = np.concatenate((table, own), axis=1)
        whose, kind = np.concatenate((whose, whose[like])), np.concatenate((kind, kind[like]))
    np.maximum(table, _LOWS, out=table)
    packed = np.minimum(table, _HIGHS, out=table).astype(_RECORDED)
    known_rows = [_NO_ROWS if one is None else one.nonzero()[0] for one in told]
    single = np.arange(len(whose) - len(like), len(whose)) if like else _NO_ROWS
    return Crossed(packed.astype(np.float64).T, packed.T, tuple(places), whose, kind, (*known_rows, single))


@lru_cache(maxsize=64)
def _whose_and_kind(customers: int, kinds: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Of the rows for each kind, customer by customer."""
    whose, kind = np.divmod(np.arange(customers * kinds), kinds)
    return whose, kind


def strange(promotions: Promotions, popularity: Matrix) -> Matrix:
    """Shape (kinds, len(CROSS_NAMES)): the rows of a customer of whom nothing is known."""
    return cross_all([_STRANGER], promotions, popularity, [Millis(0)]).rows


def _logit(share: Matrix) -> Matrix:
    kept = np.minimum(np.maximum(share, LEAST_SHARE), 1.0 - LEAST_SHARE)
    return np.asarray(np.log(kept / (1.0 - kept)))


def fading_trips(parts: Sequence[Part], nows: Sequence[Millis]) -> Matrix:
    """Shape (customers, 1): purchases of anything, fading over 56 days."""
    return np.array([_trips(part, at) for part, at in zip(parts, nows, strict=True)])[:, None]


def fading_counts(parts: Sequence[Part], names: Sequence[str], nows: Sequence[Millis]) -> Matrix:
    """Shape (customers, names): purchases with each category, fading over 56 days."""
    numbers = habits_of([part.purchases.categories for part in parts], names)
    return _faded(numbers, np.array(nows, dtype=np.float64)[:, None], CATEGORY_HALF_LIFE_DAYS)[0]


def _faded(numbers: Matrix, now: Matrix, half_life_days: float) -> tuple[Matrix, Matrix]:
    """Decayed counts as of now, and days since."""
    days = np.maximum((now - numbers[..., 1]) / DAY, 0.0)
    return numbers[..., 0] * np.exp2(days * (-1.0 / half_life_days)), days


def _trips(part: Part, now: Millis) -> float:
    bought = part.purchases
    return max(SUMS.read_one(bought.sums, bought.sums_at, now, _MONTHS, _TRIPS), 0.0) if bought.sums else 0.0


def habits_of(habits: Sequence[Habits], names: Sequence[str]) -> Matrix:
    """Shape (customers, names, 3): decayed count, last time, count; a name that one does not have was last seen never."""
    found: list[int] = []
    for one in habits:
        found.extend(map(one.names.get, names, _NOWHERE))
    starts = np.cumsum([1, *(len(one.numbers) // _HABIT for one in habits[:-1])])
    place = np.array(found, dtype=np.intp).reshape(len(habits), -1)
    place = np.where(place < 0, 0, place + starts[:, None])
    return np.frombuffer(b"".join([_NEVER, *(one.numbers for one in habits)])).reshape(-1, 3)[place]


def _habits(
    habits: Sequence[Habits], promotions: Promotions, now: Matrix, half_life_days: float
) -> tuple[Matrix, Matrix, Matrix]:
    """Per customer and name: decayed count now, days since (infinitely many where never), 1 where it was ever seen."""
    numbers = habits_of(habits, promotions.names)
    return *_faded(numbers, now, half_life_days), (numbers[..., 2] > 0.0).astype(np.float64)
