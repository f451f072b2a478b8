"""What has changed with a customer: how things are of late beside how they used to be, from readings of one instant.

Sums that fade at several speeds already hold the movement: what fades within weeks says how it is now, what fades within
months says how it was. Divided by the time that each can have watched, both are rates, so somebody who came
first a month ago is not taken for one who buys ever more.
"""

from collections.abc import Callable, Sequence
from math import log

from msgspec import Struct

MOST_SHIFT = 3.0
"""Shifts are logarithms; e³ is twentyfold."""
LEAST_TENURE_DAYS = 28.0
_WATCHED = log(2.0)

Read = Callable[[str], float]


class Movement(Struct, frozen=True):
    """One thing that may move. `words` say what is measured and `unit` in what; `reads` are the readings that `pair` makes
    (now, before) of; `least` is what is too little to tell apart, in the same unit."""

    name: str
    words: str
    unit: str
    less: str
    more: str
    least: float
    reads: tuple[str, ...]
    pair: Callable[[Read], tuple[float, float]]


class Moved(Struct, frozen=True):
    """A movement of one customer: then, now, and the logarithm of their ratio."""

    movement: Movement
    before: float
    now: float
    shift: float

    @property
    def words(self) -> str:
        """What moved, in a sentence."""
        what = self.movement.less if self.shift < 0 else self.movement.more
        return f"{what}: {told(self.now)} {self.movement.unit} lately, {told(self.before)} before"


def told(number: float) -> str:
    """A number as one says it: two digits that matter."""
    return f"{number:.0f}" if abs(number) >= 10 else f"{number:.1f}" if abs(number) >= 1 else f"{number:.2f}"


def _rate(total: float, half_life: float, tenure: float) -> float:
    """A week's worth of a fading sum."""
    watched = half_life / _WATCHED * (1.0 - 2.0 ** (-max(tenure, 1.0) / half_life))
    return float(7.0 * max(total, 0.0) / watched)


def _rates(short: str, short_days: float, long: str, long_days: float) -> Callable[[Read], tuple[float, float]]:
    def pair(read: Read) -> tuple[float, float]:
        tenure = read("rfm.tenure")
        return _rate(read(short), short_days, tenure), _rate(read(long), long_days, tenure)

    return pair


def _each(short: str, long: str) -> Callable[[Read], tuple[float, float]]:
    """A sum for each purchase, lately and before."""

    def pair(read: Read) -> tuple[float, float]:
        before = max(read(long), 0.0) / max(read("rfm.trips_112d"), 0.1)
        # What little is known of late is filled up with what was usual.
        return (max(read(short), 0.0) + 0.5 * before) / (read("rfm.trips_14d") + 0.5), before

    return pair


def _plain(now: str, before: str) -> Callable[[Read], tuple[float, float]]:
    return lambda read: (read(now), read(before))


MOVEMENTS: tuple[Movement, ...] = (
    Movement(
        "visits", "purchases", "purchases a week", "comes less often", "comes more often", 0.2,
        ("rfm.trips_28d", "rfm.trips_224d", "rfm.tenure"), _rates("rfm.trips_28d", 28.0, "rfm.trips_224d", 224.0),
    ),
    Movement(
        "spend", "spend", "a week", "spends less", "spends more", 3.0,
        ("rfm.spend_28d", "rfm.spend_224d", "rfm.tenure"), _rates("rfm.spend_28d", 28.0, "rfm.spend_224d", 224.0),
    ),
    Movement(
        "basket", "amount of a purchase", "a purchase", "smaller baskets", "larger baskets", 2.0,
        ("rfm.spend_14d", "rfm.spend_112d", "rfm.trips_14d", "rfm.trips_112d"), _each("rfm.spend_14d", "rfm.spend_112d"),
    ),
    Movement(
        "breadth", "breadth of baskets", "categories a purchase", "buys from fewer categories", "buys from more categories", 0.5,
        ("affinity.categories_14d", "affinity.categories_112d", "rfm.trips_14d", "rfm.trips_112d"),
        _each("affinity.categories_14d", "affinity.categories_112d"),
    ),
    Movement(
        "gaps", "gaps between purchases", "days between purchases", "shorter gaps", "longer gaps", 1.0,
        ("rfm.gap_recent", "rfm.gap_mean"), _plain("rfm.gap_recent", "rfm.gap_mean"),
    ),
    Movement(
        "discounts", "share of discounts", "of the price", "fewer discounts", "more discounts", 0.03,
        ("offers.discount_share_28d", "offers.discount_share_112d"),
        _plain("offers.discount_share_28d", "offers.discount_share_112d"),
    ),
    Movement(
        "sessions", "visits online", "visits online a week", "visits online less often", "visits online more often", 0.1,
        ("engagement.sessions_7d", "engagement.sessions_28d", "rfm.tenure"),
        _rates("engagement.sessions_7d", 7.0, "engagement.sessions_28d", 28.0),
    ),
    Movement(
        "offers", "offers taken", "offers a week", "takes fewer offers", "takes more offers", 0.05,
        ("offers.redeemed_28d", "offers.redeemed_112d", "rfm.tenure"),
        _rates("offers.redeemed_28d", 28.0, "offers.redeemed_112d", 112.0),
    ),
    Movement(
        "complaints", "open complaints", "open complaints", "fewer complaints", "a complaint is open", 1.0,
        ("service.open_complaints",), lambda read: (read("service.open_complaints"), 0.0),
    ),
)  # fmt: skip
BY_NAME = {movement.name: movement for movement in MOVEMENTS}


def readable(names: Sequence[str]) -> tuple[Movement, ...]:
    """The movements that can be read from these readings."""
    held = set(names)
    return tuple(movement for movement in MOVEMENTS if held.issuperset(movement.reads))


def moved(movement: Movement, read: Read) -> Moved:
    """How one thing moved; `read` gives a reading by name."""
    now, before = movement.pair(read)
    shift = log((max(now, 0.0) + movement.least) / (max(before, 0.0) + movement.least))
    return Moved(movement, before, now, min(max(shift, -MOST_SHIFT), MOST_SHIFT))


def changes(names: Sequence[str], vector: Sequence[float], least: float = 0.25) -> list[Moved]:
    """What moved with a customer by more than a quarter or so, most first; nothing of somebody who has only just come."""
    readings = dict(zip(names, vector, strict=True))
    if readings.get("rfm.tenure", 0.0) < LEAST_TENURE_DAYS:
        return []
    found = [moved(movement, readings.__getitem__) for movement in readable(names)]
    return sorted((one for one in found if abs(one.shift) >= least), key=lambda one: -abs(one.shift))
