"""Lifetime value: the four numbers of BG/NBD and the three of spend, fitted to the customers as they come.

An example is what one customer bought so far, as of a weekly boundary; there is no label to wait for. The learner keeps a
sample of the customers: those whose hash is lowest, each with the newest of their examples. So the sample is drawn evenly,
never holds anybody twice, has a bound, and is the same whatever the order of arrival. It holds hashes and sums, no names.

The numbers move in two ways. Every batch of examples makes one step in the stream; and once a day of event time all are
fitted to the whole sample together. A customer who has fallen silent for long sends no examples any more; the fit lets time
pass for them all the same, since silence is what the model learns leaving from.
"""

import heapq
from collections.abc import Mapping, Sequence
from math import exp
from struct import Struct as Layout
from typing import Final, Self, cast

import msgspec
import numpy as np

from engine.ids import digest_of
from engine.models import bgnbd, spend
from engine.models.base import Example, Report, numbers_of
from engine.models.bgnbd import BgNbd
from engine.models.likelihood import Climb, climbed
from engine.models.segments import NO_CUTS, Cuts
from engine.models.snapshot import Numbers, Snapshot, SnapshotMismatch, State
from engine.models.spend import GammaGamma
from engine.moments import DAY
from engine.profiles.purchases import Purchases

LIFETIME_VALUE: Final = "lifetime_value"
FINGERPRINT: Final = "value:repeats,last_days,age_days,mean_minor"
MOST_CUSTOMERS = 4096
BATCH = 64
YEAR_DAYS = 365.0
FEWEST_CUSTOMERS = 50
"""Fewer than these are not fitted together."""
_STATISTICS = Layout("<4f")
_STALE_MS = 8 * DAY
"""Without an example for longer than this a customer is silent, and time passes for them."""
BUYING = np.log(np.array([getattr(BgNbd(), name) for name in BgNbd.__struct_fields__]))
SPENDING = np.log(np.array([getattr(GammaGamma(), name) for name in GammaGamma.__struct_fields__]))


def statistics_of(purchases: Purchases, now: int, last_at: int | None = None) -> bytes:
    """Purchases after the first, days from the first to the newest and to now, and the mean purchase in minor units of the
    currency in which the customer spends most: as an example carries them."""
    return _STATISTICS.pack(*history_of(purchases, now, last_at), mean_spend(purchases)[0])


def history_of(purchases: Purchases, now: int, last_at: int | None = None) -> tuple[int, float, float]:
    """What BG/NBD knows of somebody who has bought; `last_at` for a caller who has looked when that was last."""
    first, last = purchases.first_at, purchases.last_at if last_at is None else last_at
    return max(purchases.count - 1, 0), max(last - first, 0) / DAY, max(now - first, last - first, 0) / DAY


def mean_spend(purchases: Purchases) -> tuple[float, str]:
    """The mean purchase in minor units, and its currency: the one in which the customer spends most."""
    spent = purchases.spend
    if not purchases.count or not spent:
        return 0.0, ""
    currency = max(spent, key=spent.__getitem__) if len(spent) > 1 else next(iter(spent))
    return max(spent[currency], 0) / purchases.count, currency


def fitted_buying(start: Numbers, repeats: Numbers, last: Numbers, age: Numbers) -> Numbers:
    """The logarithms of the four numbers of BG/NBD at the best likelihood of all these customers."""
    return climbed(
        start,
        BUYING,
        lambda logs: float(bgnbd.log_likelihood(bgnbd_of(logs), repeats, last, age).sum()),
        lambda logs: bgnbd.slopes(bgnbd_of(logs), repeats, last, age),
    )


def fitted_spending(start: Numbers, purchases: Numbers, mean: Numbers) -> Numbers:
    """The logarithms of the three numbers of spend at the best likelihood of all these customers."""
    return climbed(
        start,
        SPENDING,
        lambda logs: float(spend.log_likelihood(gamma_gamma_of(logs), purchases, mean).sum()),
        lambda logs: spend.slopes(gamma_gamma_of(logs), purchases, mean),
    )


class LifetimeValueLearner:
    """The sample of customers with the numbers fitted to it."""

    def __init__(self) -> None:
        self._version = self._foreign = self._unlearnable = 0
        self._now = self._fitted_at = 0
        self._members: dict[int, tuple[float, ...]] = {}
        self._highest: list[int] = []
        self._batch: list[Numbers] = []
        self._buying = Climb(BUYING)
        self._spending = SPENDING

    @property
    def name(self) -> str:
        """`lifetime_value`."""
        return LIFETIME_VALUE

    @property
    def version(self) -> int:
        """How many examples it has learned."""
        return self._version

    @property
    def buying(self) -> BgNbd:
        """The numbers of how often customers buy, in days."""
        return bgnbd_of(self._buying.logs)

    @property
    def spending(self) -> GammaGamma:
        """The numbers of how much they spend, in minor units."""
        return gamma_gamma_of(self._spending)

    def learn(self, examples: Sequence[Example]) -> None:
        """Take what these customers bought so far."""
        for example in examples:
            facts = numbers_of(example)
            if example.fingerprint != FINGERPRINT or len(facts) != 4:
                self._foreign += 1
                continue
            if not _makes_sense(facts):
                self._unlearnable += 1
                continue
            self._version += 1
            self._keep(example, facts)
            self._batch.append(facts)
            if len(self._batch) == BATCH:
                self._step()
            if example.opened_at > self._now:
                self._now = example.opened_at
                self._fit_daily()

    def _keep(self, example: Example, facts: Numbers) -> None:
        name = int.from_bytes(digest_of(example.customer.encode()), "big") >> 12
        held = self._members.get(name)
        if held is None:
            if len(self._members) >= MOST_CUSTOMERS:
                if name >= -self._highest[0]:
                    return
                del self._members[-heapq.heapreplace(self._highest, -name)]
            else:
                heapq.heappush(self._highest, -name)
        elif held[-1] > example.opened_at:
            return
        self._members[name] = (*facts.tolist(), float(example.opened_at))

    def _step(self) -> None:
        rows = np.stack(self._batch)
        self._batch = []
        self._buying.step(bgnbd.slopes(self.buying, np.round(rows[:, 0]), rows[:, 1], rows[:, 2]))

    def _fit_daily(self) -> None:
        today = self._now // DAY
        if today > self._fitted_at // DAY and len(self._members) >= FEWEST_CUSTOMERS:
            self._fitted_at = self._now
            self.fit()

    def fit(self) -> None:
        """Fit all numbers to the whole sample."""
        rows = self._sample()
        repeats, last, age, mean, seen = rows.T
        silent = np.maximum(self._now - seen - _STALE_MS, 0.0) > 0.0
        age = np.maximum(age + np.where(silent, self._now - seen, 0.0) / DAY, last)
        self._buying.logs = fitted_buying(self._buying.logs, repeats, last, age)
        paid = mean > 0.0
        if int(paid.sum()) >= FEWEST_CUSTOMERS:
            self._spending = fitted_spending(self._spending, repeats[paid] + 1.0, mean[paid])

    def _sample(self) -> Numbers:
        return np.array([self._members[name] for name in sorted(self._members)]).reshape(-1, 5)

    def report(self) -> Report:
        """Counts; there are no labels to be right or wrong about."""
        return Report(LIFETIME_VALUE, self._version, unlearnable=self._unlearnable, foreign=self._foreign)

    def state(self) -> State:
        """Everything that influences what comes next."""
        return State(
            arrays={
                "buying": self._buying.logs,
                "information": self._buying.information,
                "spending": self._spending,
                "names": np.array(sorted(self._members), dtype=np.float64),
                "sample": self._sample(),
                "batch": np.array(self._batch).reshape(-1, 4),
            },
            facts={
                "fingerprint": FINGERPRINT,
                "version": self._version,
                "foreign": self._foreign,
                "unlearnable": self._unlearnable,
                "seen": self._buying.seen,
                "now": self._now,
                "fitted_at": self._fitted_at,
            },
        )

    def from_state(self, state: State) -> Self:
        """A learner that continues from a state."""
        facts = cast("Mapping[str, int]", state.facts)
        if state.facts.get("fingerprint") != FINGERPRINT:
            raise SnapshotMismatch("this state of lifetime value is of other statistics")
        fresh = type(self)()
        fresh._version, fresh._foreign, fresh._unlearnable = facts["version"], facts["foreign"], facts["unlearnable"]
        fresh._now, fresh._fitted_at = facts["now"], facts["fitted_at"]
        arrays = state.arrays
        fresh._buying = fresh._buying.continued(arrays["buying"], arrays["information"], facts["seen"])
        fresh._spending = np.array(arrays["spending"])
        rows = arrays["sample"].tolist()
        fresh._members = {int(name): tuple(row) for name, row in zip(arrays["names"].tolist(), rows, strict=True)}
        fresh._highest = [-name for name in fresh._members]
        heapq.heapify(fresh._highest)
        fresh._batch = [np.array(row) for row in arrays["batch"]]
        return fresh

    def publish(self) -> Snapshot:
        """The seven numbers."""
        return Snapshot(
            name=LIFETIME_VALUE,
            version=self._version,
            fingerprint=FINGERPRINT,
            arrays={"buying": np.exp(self._buying.logs), "spending": np.exp(self._spending)},
            facts={"customers": len(self._members), "fitted_at": self._fitted_at, "now": self._now},
        )


def with_cuts(snapshot: Snapshot, cuts: Cuts) -> Snapshot:
    """The snapshot with the newest cut points between segments, for who shows them."""
    return msgspec.structs.replace(snapshot, carried={**snapshot.carried, "cuts": msgspec.to_builtins(cuts)})


class ValueScorer:
    """Value by published numbers; the numbers of nobody in particular until somebody was learned from.

    `cuts` are the cut points that travel with them.
    """

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        if snapshot is not None and snapshot.fingerprint != FINGERPRINT:
            raise SnapshotMismatch(f"value was published for {snapshot.fingerprint!r}, and {FINGERPRINT!r} is served")
        self.version = snapshot.version if snapshot else 0
        fitted = bool(snapshot and snapshot.facts.get("fitted_at"))
        self.status = "ready" if fitted else "warming_up"
        self.cuts = msgspec.convert(snapshot.carried.get("cuts", ()), Cuts) if snapshot else NO_CUTS
        self.buying, self.spending = BgNbd(), GammaGamma()
        if snapshot is not None:
            self.buying = BgNbd(*snapshot.arrays["buying"].tolist())
            self.spending = GammaGamma(*snapshot.arrays["spending"].tolist())

    def alive(self, purchases: Purchases, now: int) -> float:
        """The probability that somebody who has bought has not left for good."""
        return bgnbd.alive(self.buying, *history_of(purchases, now))

    def expected_purchases(self, purchases: Purchases, now: int, days: float) -> float:
        """How many purchases to expect within `days`."""
        return bgnbd.expected_purchases(self.buying, *history_of(purchases, now), days)

    def buys_within(self, purchases: Purchases, now: int, days: float) -> float:
        """The probability of a purchase within `days`."""
        return bgnbd.buys_within(self.buying, *history_of(purchases, now), days)

    def expected_spend(self, purchases: Purchases) -> float:
        """What the next purchase is expected to come to, in minor units."""
        return spend.expected_spend(self.spending, purchases.count, mean_spend(purchases)[0])


def _makes_sense(facts: Numbers) -> bool:
    repeats, last, age, mean = facts.tolist()
    return bool(np.isfinite(facts).all()) and repeats >= 0.0 and 0.0 <= last <= age + 1e-3 and mean >= 0.0 and repeats < 1e6


def bgnbd_of(logs: Numbers) -> BgNbd:
    return BgNbd(*(exp(value) for value in logs.tolist()))


def gamma_gamma_of(logs: Numbers) -> GammaGamma:
    return GammaGamma(*(exp(value) for value in logs.tolist()))
