"""A world for offers whose truth is known, built on shoppers who exist.

Whether somebody would have taken an offer that they were not shown is in no data. So the moments are real (a household at the
till, with the profile of the instant before) and the answers are drawn from a known function:

    logit p(household, offer, moment) = level + habit · logit(taste) + crowd · logit(rate) + own + kind of day + stocked

`taste` is the share of the household's baskets that hold what the offer promotes, over the whole of the data and shrunk
towards everybody's: the profile of the moment knows but the past of it. `rate` is everybody's share. `own` is the offer's
own effect, one normal number an offer that no reading tells. `kind of day` moves an offer up on weekends and down on other
days, or the reverse. `stocked` lowers the wish for what was bought in the days before.

What is taken is only part of what is looked into: a showing is also clicked or not, more often than taken, for a part of the same
reasons (`CLICKED_FOR`) and for a curiosity of each household for each offer that has nothing to do with taking it. Given the
moment and the offer, a click says nothing of whether the offer is taken.

`level` and `habit` are settled by two anchors and by nothing else: an even draw is taken in `EVEN` of the cases and
the personal-frequency rule in `BY_RULE` of them; of an even draw `CLICKED` are clicked. The other numbers are constants below.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from engine.decisioning.catalogue import Catalogue
from engine.decisioning.compiling import compile_catalogue
from engine.decisioning.offers import JustBought, Money, Offer, Price, Promotes
from engine.decisioning.policy import Arbitration, Experiment, Placement, Policy, Ranker, Variation
from engine.events.decode import time_of
from engine.events.orders import OrderCompleted
from engine.events.pos import PosTransactionCompleted
from engine.events.routing import Admitted, has_customer
from engine.features.affinity import Promotions, read_cross
from engine.features.companions import NOTHING_KNOWN, Companions
from engine.features.vector import NAMES
from engine.ids import unit_interval
from engine.models.companions import CompanionSums
from engine.models.snapshot import Numbers
from engine.moments import DAY, WEEK, Millis
from engine.profiles.profile import Part
from engine.shards.labels import ChurnRule
from flows.evaluate_events import Log, NothingToMeasure, Walk, taken_at_the_door

ARMS = 40
DECISIONS = 12_000
EVEN, BY_RULE = 0.067, 0.2286
"""How often an offer drawn evenly, and the one that the personal-frequency rule puts first, are taken."""

CLICKED, CLICKED_FOR, CURIOSITY = 0.2, 0.7, 0.7
"""How often an even draw is clicked, for how much of the logit of taking it, and the deviation of what clicks have of their
own."""

CROWD = 0.15
OWN_DEVIATION = 0.35
WEEKEND = 0.3
STOCKED, STOCKED_DAYS = -0.4, 4.0
LEAST_SHARE = 1e-3
PLACE = "till"
DISCOUNTS = (5.0, 10.0, 15.0, 20.0, 25.0)


class Moment(msgspec.Struct, frozen=True):
    """A customer at the till, as known the instant before, everybody's shares of the day, what goes along with what that week."""

    id: str
    customer: str
    at: int
    part: Part
    shares: dict[str, float]
    companions: Companions = NOTHING_KNOWN


class Scene(msgspec.Struct, frozen=True):
    """The moments in order of time, what the offers are about, and each household's taste for each category."""

    moments: list[Moment]
    categories: tuple[str, ...]
    tastes: dict[str, tuple[float, ...]]
    rates: tuple[float, ...]
    events: int
    rejected: int


def scene_of(log: Log, seed: int, progress: Progress, decisions: int = DECISIONS, arms: int = ARMS) -> Scene:
    """Two passes over the events: who likes what, then the profiles of the moments that the seed picks."""
    task = progress.add_task("tastes", total=log.source.total)
    baskets: Counter[str] = Counter()
    bought: dict[str, Counter[str]] = {}
    late = 0
    for sent in log.batches():
        for one in sent:
            taken = taken_at_the_door(one)
            if not isinstance(taken, Admitted):
                continue
            found = categories_of(taken)
            if found:
                baskets[taken.key] += 1
                bought.setdefault(taken.key, Counter()).update(found)
                late += _counts(log, taken)
        progress.advance(task, len(sent))
    everybody: Counter[str] = Counter()
    for counts in bought.values():
        everybody.update(counts)
    names = tuple(name for name, _ in sorted(everybody.items(), key=lambda item: (-item[1], item[0]))[:arms])
    if late < decisions or len(names) < arms:
        raise NothingToMeasure(
            f"{log.source.name}: {late:,} baskets that count and {len(names)} categories; {decisions:,} and {arms} are needed"
        )
    rates = tuple(everybody[name] / baskets.total() for name in names)
    tastes = {
        key: tuple((counts[name] + 2.0 * rate) / (baskets[key] + 2.0) for name, rate in zip(names, rates, strict=True))
        for key, counts in bought.items()
    }
    moments, walk = _moments(log, min(1.0, 1.03 * decisions / late), seed, progress)
    return Scene(moments[:decisions], names, tastes, rates, walk.events, walk.rejected)


def _moments(log: Log, share: float, seed: int, progress: Progress) -> tuple[list[Moment], Walk]:
    walk = Walk(ChurnRule(phase_ms=log.start % WEEK), log.lateness_ms)
    task = progress.add_task("profiles", total=log.source.total)
    moments: list[Moment] = []
    shares: dict[str, float] = {}
    sums, shown, companions = CompanionSums(), list[Part](), NOTHING_KNOWN
    today = week = 0
    for sent in log.batches():
        for taken in walk.admit(sent):
            if categories_of(taken) and unit_interval("moment", str(seed), taken.event.id) < share:
                at, part = time_of(taken.event), walk.profile(taken.key).whole
                if at // DAY > today:
                    today, shares = at // DAY, walk.popularity()
                if at // WEEK > week:
                    sums.learn(shown, shares)
                    week, shown, companions = at // WEEK, [], sums.fit()
                shown.append(part)
                if _counts(log, taken):
                    moments.append(Moment(taken.event.id, taken.key, at, part, shares, companions))
            walk.fold([taken])
        walk.examples()
        progress.advance(task, len(sent))
    return moments, walk


def _counts(log: Log, taken: Admitted) -> bool:
    """Whether a basket may be a moment."""
    return time_of(taken.event) >= log.since and log.counts(taken.key) and bool(categories_of(taken))


def categories_of(taken: Admitted) -> frozenset[str]:
    """What kinds of goods somebody known bought; nothing for what is no purchase."""
    event = taken.event
    if not has_customer(taken.key):
        return frozenset()
    if isinstance(event, OrderCompleted):
        return frozenset(line.category for line in event.data.products if line.category)
    if isinstance(event, PosTransactionCompleted) and event.data.status == "completed":
        return frozenset(line.category for line in event.data.lines if line.kind == "sale" and line.category)
    return frozenset()


class World:
    """The truth: the probability of every offer at every moment, as one matrix.

    `launches` names offers (by place) that begin at a later moment (by place); before, nobody can show them. `own` are the
    offers' own effects where they are not to be drawn. `anchors` are other shares than `EVEN` and `BY_RULE`.
    """

    def __init__(
        self,
        scene: Scene,
        seed: int,
        launches: Mapping[int, int] | None = None,
        own: Numbers | None = None,
        anchors: tuple[float, float] = (EVEN, BY_RULE),
    ) -> None:
        self.scene, self.seed, self.launches = scene, seed, launches or {}
        self.offers = tuple(f"offer-{place + 1:02}" for place in range(len(scene.categories)))
        chance = np.random.default_rng([seed, 40])
        size = len(self.offers)
        drawn = OWN_DEVIATION * chance.standard_normal(size)
        self.own = drawn if own is None else own
        weekend = WEEKEND * chance.choice([-1.0, 1.0], size)
        crossed = [_cross(scene.categories, moment) for moment in scene.moments]
        taste = _logit(np.array([scene.tastes[moment.customer] for moment in scene.moments]))
        days = np.array([_weekend(moment.at) for moment in scene.moments])
        stocked = np.array([matrix[:, 1] < STOCKED_DAYS for matrix in crossed])
        rest = CROWD * _logit(np.array(scene.rates)) + self.own + np.outer(days, weekend) + STOCKED * stocked
        by_rule = np.array([int(matrix[:, 0].argmax()) for matrix in crossed])
        self.level, self.habit = _settled(taste, rest, by_rule, anchors)
        wish = self.habit * taste + rest
        self.truth: Numbers = _sigmoid(self.level + wish)
        self.clicks: Numbers = self._clicked(CLICKED_FOR * wish)

    def _clicked(self, wish: Numbers) -> Numbers:
        """The probability that each offer is clicked at each moment."""
        customers = [moment.customer for moment in self.scene.moments]
        households = {name: place for place, name in enumerate(sorted(set(customers)))}
        chance = np.random.default_rng([self.seed, 41])
        curiosity = CURIOSITY * chance.standard_normal((len(households), len(self.offers)))
        logits = wish + curiosity[[households[name] for name in customers]]
        return _sigmoid(logits + _root(lambda level: float(_sigmoid(level + logits).mean()) - CLICKED, -30.0, 30.0))

    def best(self) -> NDArray[np.intp]:
        """The offer that is taken most likely at each moment."""
        there = self.truth.copy()
        for arm, place in self.launches.items():
            there[:place, arm] = 0.0
        return np.asarray(there.argmax(axis=1))

    def taken(self, moment: int, arm: int) -> bool:
        """Whether the offer is taken if it is shown: the same for whoever shows it."""
        point = unit_interval("taken", str(self.seed), self.scene.moments[moment].id, self.offers[arm])
        return bool(point < self.truth[moment, arm])

    def clicked(self, moment: int, arm: int) -> bool:
        """Whether the offer is clicked if it is shown."""
        point = unit_interval("clicked", str(self.seed), self.scene.moments[moment].id, self.offers[arm])
        return bool(point < self.clicks[moment, arm])

    def policy(self, ranker: Ranker, arbitration: Arbitration) -> Policy:
        """One place at the till in which everybody gets the same ranker."""
        return Policy(
            placements={PLACE: Placement(channel="pos", stage="in_transaction", shown_when="decided")},
            arbitration=arbitration,
            experiment=Experiment(variations={ranker: Variation(share=1.0, ranker=ranker)}),
            just_bought=JustBought(days=0.0, category_days=0.0),
        )

    def catalogue(self, policy: Policy) -> Catalogue:
        """An offer for each category; all earn the same, so what counts is whether they are taken."""
        return compile_catalogue(
            [
                Offer(
                    id=name,
                    kind="sell",
                    placements=(PLACE,),
                    content={"default": {"title": category}},
                    promotes=Promotes(categories=(category,)),
                    price=Price(discount_percent=DISCOUNTS[place % len(DISCOUNTS)]),
                    margin=Money(100, "USD"),
                    starts=self.scene.moments[self.launches[place]].at if place in self.launches else None,
                    attribution_window_days=1.0,
                )
                for place, (name, category) in enumerate(zip(self.offers, self.scene.categories, strict=True))
            ],
            policy,
            NAMES,
        )


def _cross(categories: Sequence[str], moment: Moment) -> Numbers:
    promotions = Promotions(categories, [(name,) for name in categories])
    return read_cross(moment.part, promotions, promotions.popularity(moment.shares), Millis(moment.at))


def _settled(taste: Numbers, rest: Numbers, by_rule: NDArray[np.intp], anchors: tuple[float, float]) -> tuple[float, float]:
    """Level and habit at which both anchors hold, each by halving an interval."""
    rows = np.arange(len(taste))

    def level_at(habit: float) -> float:
        return _root(lambda level: float(_sigmoid(level + habit * taste + rest).mean()) - anchors[0], -30.0, 30.0)

    def by_rule_at(habit: float) -> float:
        return float(_sigmoid(level_at(habit) + habit * taste + rest)[rows, by_rule].mean()) - anchors[1]

    habit = _root(by_rule_at, 0.0, 4.0)
    return level_at(habit), habit


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(50):
        middle = (low + high) / 2.0
        low, high = (low, middle) if rising(middle) > 0.0 else (middle, high)
    return (low + high) / 2.0


def _logit(shares: Numbers) -> Numbers:
    kept = np.clip(shares, LEAST_SHARE, 1.0 - LEAST_SHARE)
    return np.asarray(np.log(kept / (1.0 - kept)))


def _sigmoid(logits: Numbers) -> Numbers:
    return np.asarray(1.0 / (1.0 + np.exp(-logits)))


def _weekend(at: int) -> float:
    """1 on Saturdays and Sundays in UTC, -1 on other days. The epoch began on a Thursday."""
    return 1.0 if (at // DAY + 3) % 7 >= 5 else -1.0
