"""How good value and segments are: on CDNOW, which everybody who published on BG/NBD used, and beside its best-known library.

CDNOW comes with the `lifetimes` package: purchases of 23,570 customers over 78 weeks, and the sums of one in ten of them. The
first 39 weeks are learned from, the other 39 are what had to be foreseen. Prints:

- P(alive) with the published parameters beside the library's, and of this fit beside the library's fit;
- how far three passes of mini-batches stay behind the best likelihood;
- the share of all later spend that the tenth of the customers with the highest value brings, with two plain rankings beside it;
- how many customers the moving histogram puts where exact terciles put them;
- how long one customer takes.
"""

import csv
import importlib.util
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lifetimes.fitters.beta_geo_fitter import BetaGeoFitter

from engine.models import bgnbd
from engine.models.bgnbd import BgNbd
from engine.models.lifetime_value import BUYING, SPENDING, bgnbd_of, fitted_buying, fitted_spending, gamma_gamma_of
from engine.models.likelihood import Climb
from engine.models.segments import BINS_PER_UNIT, SegmentRule, cuts_of, tier_of
from engine.models.snapshot import Numbers
from engine.profiles.standing import Standing
from engine.shards.segments import Histogram, bins_of, summed

PUBLISHED = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)
"""In weeks, for the customers of the sample. Source: Fader, Hardie & Lee (2005), Table 2."""
HOLDOUT_DAYS = 273
LEARNED_UNTIL = datetime(1997, 9, 30, tzinfo=UTC)
_MONEY = 2


class Customers(NamedTuple):
    """The sums of many customers: an array for each."""

    repeats: Numbers
    last: Numbers
    age: Numbers


class Half(NamedTuple):
    """What customers did in the first half, the mean they spent, and what they spent in the second."""

    known: Customers
    mean: Numbers
    later: Numbers


def datasets() -> Path:
    """Where the package keeps its data. Its own loader needs a module that new installations do not have."""
    found = importlib.util.find_spec("lifetimes")
    if found is None or found.origin is None:
        raise SystemExit("install the bench group: the data come with the lifetimes package")
    return Path(found.origin).parent / "datasets"


def sample() -> Customers:
    """One customer in ten, in weeks."""
    with (datasets() / "cdnow_customers_summary.csv").open() as lines:
        rows = np.array([[float(cell) for cell in row[1:]] for row in list(csv.reader(lines))[1:]])
    return Customers(*rows.T)


def master() -> Iterator[tuple[str, float, float]]:
    """Every purchase: customer, days from the end of the first half (purchases of one day are one), amount."""
    with (datasets() / "CDNOW_master.txt").open() as lines:
        next(lines)
        for customer, day, _, amount in (line.split() for line in lines if line.strip()):
            at = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
            yield customer, (at - LEARNED_UNTIL).days, float(amount)


def halves() -> Half:
    """All customers, in days and cents; days with several purchases count once, as those who published did."""
    days: dict[str, dict[float, float]] = {}
    for customer, day, amount in master():
        mine = days.setdefault(customer, {})
        mine[day] = mine.get(day, 0.0) + 100.0 * amount
    rows = []
    for mine in days.values():
        known = [day for day in mine if day <= 0]
        later = sum(amount for day, amount in mine.items() if 0 < day <= HOLDOUT_DAYS)
        mean = sum(mine[day] for day in known) / len(known)
        rows.append((len(known) - 1, max(known) - min(known), -min(known), mean, later))
    repeats, last, age, mean, later = np.array(rows, dtype=np.float64).T
    return Half(Customers(repeats, last, age), mean, later)


def fitted(known: Customers) -> BgNbd:
    """The best likelihood, by the way of the product's nightly fit."""
    return bgnbd_of(fitted_buying(BUYING, *known))


def in_the_stream(known: Customers, passes: int, seed: int) -> BgNbd:
    """What the product's mini-batches reach, over the customers in another order each time."""
    climb, chance = Climb(BUYING), np.random.default_rng(seed)
    for _ in range(passes):
        for batch in np.array_split(chance.permutation(len(known.repeats)), len(known.repeats) // 64):
            climb.step(bgnbd.slopes(bgnbd_of(climb.logs), *(column[batch] for column in known)))
    return bgnbd_of(climb.logs)


def top_decile(ranking: Numbers, later: Numbers) -> float:
    """The share of all later spend that the tenth of the customers who rank highest brings."""
    order = np.argsort(-ranking, kind="stable")
    return float(later[order[: len(order) // 10]].sum() / later.sum())


def value_of(half: Half) -> Numbers:
    """Expected purchases times expected spend."""
    buying = fitted(half.known)
    paid = half.mean > 0
    spending = gamma_gamma_of(fitted_spending(SPENDING, half.known.repeats[paid] + 1, half.mean[paid]))
    purchases = bgnbd.expected_purchases_many(buying, *half.known, HOLDOUT_DAYS)
    weight = spending.p * (half.known.repeats + 1)
    return purchases * spending.p * (spending.v + (half.known.repeats + 1) * half.mean) / (weight + spending.q - 1)


def agreement() -> float:
    """Customers counted as they buy, moved from bin to bin, against terciles of their exact totals."""
    histogram, totals = Histogram({}), dict[str, float]()
    held: dict[str, list[str]] = {}
    counts: dict[str, int] = {}
    for customer, _, amount in sorted(master(), key=lambda one: one[1]):
        totals[customer] = totals.get(customer, 0.0) + amount
        money = float(np.log2(max(totals[customer], 2.0**-10)))
        bins = bins_of(Standing(places=(0, 0, int(np.floor(money * BINS_PER_UNIT[_MONEY])))))
        counts.update(histogram.move(held.get(customer, ()), bins))
        held[customer] = bins
    cuts = cuts_of(summed([counts]), 0, SegmentRule())
    exact = np.array(list(totals.values()))
    below, above = np.quantile(exact, [1 / 3, 2 / 3])
    mine = [tier_of(float(np.log2(max(total, 2.0**-10))), cuts) for total in exact]
    truth = np.where(exact > above, "heavy", np.where(exact > below, "moderate", "light"))
    return float(np.mean(np.array(mine) == truth))


def microseconds(call: Callable[[], Any], times: int) -> float:
    """CPU time of one call."""
    began = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - began) / times * 1e6


def main() -> None:
    """Print everything."""
    known = sample()
    library = BetaGeoFitter()
    library.params_ = dict(zip(("r", "alpha", "a", "b"), (0.243, 4.414, 0.793, 2.426), strict=True))
    theirs = library.conditional_probability_alive(*known)
    ours = bgnbd.alive_many(PUBLISHED, *known)
    print(f"P(alive), published parameters: largest difference to the library {np.abs(ours - theirs).max():.2e}")

    mine = fitted(known)
    library.fit(*known)
    theirs = library.conditional_probability_alive(*known)
    best = bgnbd.log_likelihood(mine, *known).sum()
    numbers = ", ".join(f"{name} {getattr(mine, name):.4f}" for name in mine.__struct_fields__)
    print(f"fit of the sample: {numbers} (published .243, 4.414, .793, 2.426), log-likelihood {best:.4f}")
    differences = np.abs(bgnbd.alive_many(mine, *known) - theirs)
    rounded = np.abs(bgnbd.alive_many(mine, *known) - ours)
    print(f"P(alive), this fit: largest difference to the library's fit {differences.max():.2e}, ", end="")
    print(f"to the published one (three digits) {rounded.max():.2e}, mean {rounded.mean():.2e}")
    for seed in range(3):
        reached = bgnbd.log_likelihood(in_the_stream(known, 3, seed), *known).sum()
        print(f"three passes in the stream, seed {seed}: {(best - reached) / len(known.repeats):.1e} a customer behind the best")

    half = halves()
    total = half.mean * (half.known.repeats + 1)
    purchases = bgnbd.expected_purchases_many(fitted(half.known), *half.known, HOLDOUT_DAYS)
    print(
        f"top decile of {len(total)} customers brings of all later spend: by value {top_decile(value_of(half), half.later):.4f}",
        end="",
    )
    print(f", by expected purchases {top_decile(purchases, half.later):.4f}, by past spend {top_decile(total, half.later):.4f}")
    print(f"terciles by the moving histogram agree with exact ones: {agreement():.4f}")

    one = microseconds(lambda: bgnbd.expected_purchases(mine, 4, 20.0, 30.0, 52.0), 2_000)
    alive = microseconds(lambda: bgnbd.alive(mine, 4, 20.0, 30.0), 20_000)
    many = microseconds(lambda: bgnbd.alive_many(mine, *known), 200) / len(known.repeats)
    print(f"one customer: P(alive) {alive:.2f} µs ({many:.3f} among many), expected purchases {one:.1f} µs")
    alone = Customers(*(column[:1] for column in known))
    array = microseconds(lambda: bgnbd.alive_many(mine, *alone), 2_000)
    print(f"P(alive) of one customer through numpy takes {array / alive:.0f} times as long as through math")


if __name__ == "__main__":
    main()
