"""Recency, frequency, monetary value, and the rhythm of coming back.

Source: Fader, Hardie & Lee (2005), "RFM and CLV: Using iso-value curves for customer base analysis", Journal of Marketing
Research 42(4), 415-430, for recency and frequency as sufficient statistics; the gap readings compare a silence with
the customer's own rhythm.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise, repeat
from math import exp2, sqrt

from engine.features.base import Reading, Request, group
from engine.moments import DAY, WEEK, Millis
from engine.profiles.profile import Part
from engine.profiles.purchases import LAST, SUMS

NEVER_DAYS = 3650.0
NO_GAP_DAYS = 365.0
SAME_TRIP_DAYS = 0.2
KNOWN_DAYS = 28.0
REGULAR_WEEKS = 13
_REGULAR_MS = REGULAR_WEEKS * WEEK
_SILENCES = (7.0, 14.0, 28.0)
_FADE = 0.9
_FADED = tuple(accumulate(repeat(1.0, LAST), lambda weights, one: weights * _FADE + one, initial=0.0))
"""What the weights of so many fading gaps add up to."""
_LIKE_OTHERS = (1.0, 5.0)
"""Before there are gaps to go by, one silence in five lasts as much longer again."""
_NO_RHYTHM = (
    *(NO_GAP_DAYS, 0.0, NO_GAP_DAYS, NO_GAP_DAYS, NEVER_DAYS / NO_GAP_DAYS, NEVER_DAYS - NO_GAP_DAYS),
    *(NEVER_DAYS / NO_GAP_DAYS, NEVER_DAYS / NO_GAP_DAYS, 1.0, 1.0, 1.0),
    *repeat(_LIKE_OTHERS[0] / _LIKE_OTHERS[1], 3),
    0.0,
)
"""Of who never bought."""


@group(
    Reading("rfm.recency", "days", 0, NEVER_DAYS, "days since the last purchase"),
    Reading("rfm.tenure", "days", 0, NEVER_DAYS, "days since the first purchase"),
    Reading("rfm.frequency", "purchases", 0, 1e5, "purchases in all"),
    Reading("rfm.last_amount", "major units", -1e6, 1e6, "amount of the last purchase"),
    Reading("rfm.stores", "stores", 0, 32, "stores among the last purchases"),
    Reading("rfm.known", "share", 0, 1, "how much of the last weeks the customer has been known"),
)
def TOTALS(part: Part, request: Request, now: Millis) -> Sequence[float]:
    """Who never bought has a recency of ten years, so that "long ago" and "never" sort together; frequency tells them apart.

    `rfm.known` is tenure that levels off with a half-life of four weeks: it says how far fading sums can be trusted, and
    not, as tenure does, how long the shop has been counting.
    """
    bought = part.purchases
    tenure = (now - bought.first_at) / DAY if bought.first_at else 0.0
    kept = [purchase for purchase in bought.last if not purchase.taken_back]
    return (
        (now - kept[-1].at) / DAY if kept else NEVER_DAYS,
        tenure,
        bought.count,
        kept[-1].net / 100.0 if kept else 0.0,
        len({purchase.store for purchase in kept}) if kept else 0.0,
        1.0 - exp2(-max(tenure, 0.0) / KNOWN_DAYS),
    )


_FADING = SUMS.picked(
    *(("trips", 7.0), ("spend", 7.0)),
    *(("trips", 14.0), ("spend", 14.0), ("categories", 14.0)),
    *(("trips", 28.0), ("spend", 28.0), ("discount", 28.0)),
    *((name, 56.0) for name in ("trips", "spend", "coupons", "private_label", "categories")),
    *((name, 112.0) for name in SUMS.quantities if name != "private_label"),
    *(("trips", 224.0), ("spend", 224.0)),
)
_WEEKEND = 0.3
_NOTHING_FADES = (*repeat(0.0, 18), _WEEKEND, *repeat(0.0, 7))
"""Of who never bought."""
_DAYS = ("7d", "14d", "28d", "56d", "112d", "224d")


@group(
    *(Reading(f"rfm.trips_{days}", "purchases", 0, 1e3, f"purchases lately (half-life {days})") for days in _DAYS),
    *(Reading(f"rfm.spend_{days}", "major units", -1e6, 1e6, f"spend lately (half-life {days})") for days in _DAYS),
    *(
        Reading(f"affinity.categories_{days}", "categories", 0, 1e4, f"breadth of baskets lately (half-life {days})")
        for days in ("14d", "56d", "112d")
    ),
    Reading("rfm.spend_per_trip", "major units", -1e6, 1e6, "amount of a usual purchase"),
    Reading("rfm.units_per_trip", "units", 0, 1e4, "units in a usual purchase"),
    Reading("rfm.lines_per_trip", "lines", 0, 1e3, "lines on a usual receipt"),
    Reading("rfm.weekend_share", "share", 0, 1, "share of weekend shopping"),
    Reading("rfm.evening_share", "share", 0, 1, "share of evening shopping"),
    Reading("rfm.trend", "ratio", 0, 10, "purchases of the last weeks against the months before"),
    Reading("offers.discount_share_28d", "share", 0, 1, "share of discounts lately"),
    Reading("offers.discount_share_112d", "share", 0, 1, "share of discounts"),
    Reading("offers.coupon_share_56d", "share", 0, 1, "purchases with a coupon"),
    Reading("offers.coupons_112d", "coupons", 0, 1e3, "coupons used lately"),
    Reading("affinity.private_label_56d", "share", 0, 1, "share of the shop's own brands"),
)
def FADING(part: Part, request: Request, now: Millis) -> Sequence[float]:
    """Fading sums and their ratios; each ratio is shrunk towards nothing where little is known."""
    bought = part.purchases
    if not bought.sums:
        return _NOTHING_FADES
    # fmt: off
    (
        trips_7d, spend_7d,
        trips_14d, spend_14d, categories_14d,
        trips_28d, spend_28d, discount_28d,
        trips_56d, spend_56d, coupons_56d, private_label_56d, categories_56d,
        trips, spend, units, lines, discount, coupons, weekend, categories, evening,
        trips_224d, spend_224d,
    ) = _FADING.read(bought.sums, bought.sums_at, now)
    # fmt: on
    each = trips + 0.5
    return (
        trips_7d,
        trips_14d,
        trips_28d,
        trips_56d,
        trips,
        trips_224d,
        spend_7d,
        spend_14d,
        spend_28d,
        spend_56d,
        spend,
        spend_224d,
        categories_14d,
        categories_56d,
        categories,
        spend / each,
        units / each,
        lines / each,
        (weekend + _WEEKEND) / (trips + 1.0),
        evening / (trips + 1.0),
        trips_28d / (trips / 4.0 + 0.5),
        discount_28d / (discount_28d + (spend_28d if spend_28d > 0.0 else 0.0) + 5.0),
        discount / (discount + (spend if spend > 0.0 else 0.0) + 5.0),
        coupons_56d / (coupons_56d + trips_56d + 0.5),
        coupons,
        private_label_56d / ((spend_56d if spend_56d > 0.0 else 0.0) + 5.0),
    )


_SURVIVAL = "Kaplan & Meier (1958), Nonparametric estimation from incomplete observations, JASA 53, 457-481"


@group(
    Reading("rfm.gap_mean", "days", 0, NO_GAP_DAYS, "usual gap between purchases"),
    Reading("rfm.gap_deviation", "days", 0, NO_GAP_DAYS, "how much the gaps vary"),
    Reading("rfm.gap_max", "days", 0, NO_GAP_DAYS, "longest gap so far"),
    Reading("rfm.gap_recent", "days", 0, NO_GAP_DAYS, "usual gap lately"),
    Reading("rfm.recency_per_gap", "ratio", 0, 50, "silence against the usual gap"),
    Reading("rfm.recency_z", "deviations", -5, 50, "silence beyond the usual gap, in deviations"),
    Reading("rfm.recency_per_max", "ratio", 0, 50, "silence against the longest gap"),
    Reading("rfm.recency_per_recent", "ratio", 0, 50, "silence against the gap lately"),
    Reading("rfm.silence_7d", "share", 0, 1, "share of time spent silent beyond a week"),
    Reading("rfm.silence_14d", "share", 0, 1, "share of time spent silent beyond two weeks"),
    Reading("rfm.silence_28d", "share", 0, 1, "share of time spent silent beyond four weeks"),
    Reading("rfm.stays_away_7d", "share", 0, 1, "how often a silence like this lasted a week longer", _SURVIVAL),
    Reading("rfm.stays_away_14d", "share", 0, 1, "how often a silence like this lasted two weeks longer", _SURVIVAL),
    Reading("rfm.stays_away_28d", "share", 0, 1, "how often a silence like this lasted four weeks longer", _SURVIVAL),
    Reading("rfm.active_weeks", "share", 0, 1, "share of the last 13 weeks with a purchase"),
)
def RHYTHM(part: Part, request: Request, now: Millis) -> Sequence[float]:
    """Gaps of the last 32 purchases; two receipts within five hours are one trip. No gap yet reads as a year.

    `rfm.stays_away` asks of the customer's own gaps that lasted as long as the silence of now: which share lasted so many
    days longer? A few gaps that are like other people's are mixed in. `rfm.active_weeks` looks no further than the list.
    """
    times = [purchase.at for purchase in part.purchases.last if not purchase.taken_back]
    if not times:
        return _NO_RHYTHM
    recency = (now - times[-1]) / DAY
    gaps = [gap for a, b in pairwise(times) if (gap := (b - a) / DAY) > SAME_TRIP_DAYS]
    count = len(gaps)
    if not count:
        mean, deviation, longest, recent = NO_GAP_DAYS, 0.0, NO_GAP_DAYS, NO_GAP_DAYS
        ordered = gaps
    else:
        mean = sum(gaps) / count
        deviation = sqrt(sum([(apart := gap - mean) * apart for gap in gaps]) / count)
        ordered = sorted(gaps)
        longest = ordered[-1]
        weighted = 0.0
        for gap in gaps:
            weighted = weighted * _FADE + gap
        recent = weighted / _FADED[count]
    known_for = now - times[0]
    span = known_for / DAY
    weeks = {ago // WEEK for at in times if (ago := now - at) < _REGULAR_MS}
    watched = REGULAR_WEEKS if known_for > _REGULAR_MS else max(-(-known_for // WEEK), 1)
    longer, like_this = _LIKE_OTHERS
    lasted, stayed = count + longer, count - bisect_right(ordered, recency) + like_this
    silent_7d, silent_14d, silent_28d = _silent(ordered, recency, span if span > 7.0 else 7.0)
    return (
        mean,
        deviation,
        longest,
        recent,
        recency / (mean if mean > 0.5 else 0.5),
        (recency - mean) / (deviation + 1.0),
        recency / (longest if longest > 0.5 else 0.5),
        recency / (recent if recent > 0.5 else 0.5),
        silent_7d,
        silent_14d,
        silent_28d,
        (lasted - bisect_right(ordered, recency + 7.0)) / stayed,
        (lasted - bisect_right(ordered, recency + 14.0)) / stayed,
        (lasted - bisect_right(ordered, recency + 28.0)) / stayed,
        len(weeks) / watched,
    )


def _silent(ordered: list[float], recency: float, span: float) -> list[float]:
    """Shares of a span that were silent beyond each of `_SILENCES`, of gaps in ascending order and of the silence of now."""
    silent = [recency - days if recency > days else 0.0 for days in _SILENCES]
    if ordered and ordered[-1] > _SILENCES[0]:
        for place, days in enumerate(_SILENCES):
            longer = ordered[bisect_right(ordered, days) :]
            silent[place] = sum(longer) - days * len(longer) + silent[place]
    return [one / span for one in silent]
