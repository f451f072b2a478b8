"""`regulars evaluate next-category`: how well what a customer buys next is ranked.

At each basket all categories that anybody bought so far are ranked for the customer from the profile and the popularity
of the moment before; relevant are those on the basket. Only then the model learns from the basket, and only then the basket is
folded. Three rankers see the same moment:

- popularity: everybody's purchases, fading over 14 days;
- the personal-frequency rule, the first column of what is read of customer and offer together;
- the offer model of the roster over those readings, a category standing for an offer: it starts at the rule and learns
  from earlier baskets. Categories have no intercepts of their own: learned mostly from those who buy a category again
  and again, they rank worse than none what is new to a customer.

What serving is told now and then, it is told here every six hours: the weights, everybody's shares, and what goes along with
what, learned from the profiles of those who bought since (`engine.models.companions`).

Two units are told apart. A basket is ranked just before it. A day is all that a customer bought on a date, ranked before the
first of its baskets; published figures are of days. Of the Complete Journey the 299 categories of goods count, as
there: coupons and departments are none (`NO_GOODS`).

The model learns whether each of some categories was on the basket. Which ones is decided before the basket is looked at
(the top of the rule, the most popular among what is new to the customer, and a few of all others in turn): to add
those that were bought would teach it that what the rule ranks low is always bought.

Readings of the customer alone are left out, since they change no ranking of one customer's categories.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from datetime import date
from math import log2

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress
from rich.table import Table

from engine.errors import InvariantBroken
from engine.events.base import Event
from engine.events.decode import time_of
from engine.events.orders import OrderCompleted
from engine.events.pos import PosTransactionCompleted
from engine.events.routing import has_customer
from engine.features.affinity import CROSS_NAMES, Promotions, read_cross
from engine.features.companions import Companions
from engine.features.vector import FINGERPRINT
from engine.models.base import Example, recorded
from engine.models.companions import CompanionSums
from engine.models.evaluation import Figure, mean_of
from engine.models.next_best_offer import NextBestOfferLearner
from engine.models.scoring import NEXT_BEST_OFFER, OfferScorer, arm_fingerprint
from engine.models.snapshot import Numbers
from engine.moments import HOUR, WEEK, Millis, rfc3339
from engine.shards.labels import ChurnRule
from flows.complete_journey import NO_GOODS
from flows.evaluate_events import Finding, Line, Log, NothingToMeasure, Walk, opened, told
from flows.evaluate_terms import Terms
from flows.replay_source import COMPLETE_JOURNEY, Source

NEXT_CATEGORY = "next-category"
DEPTH = 10
RANKERS = ("popularity", "rule", "online")
WORDS = {"popularity": "popularity", "rule": "frequency", "online": "online"}
LIKELY, NEW, OTHERS = 5, 3, 2
"""How many categories of each sort the model learns of at a basket."""

PUBLISHED_EVERY_MS = 6 * HOUR

LEFT_OUT = {COMPLETE_JOURNEY: NO_GOODS}
"""By data: what stands on receipts as a category and is none. Published figures rank the 299 others."""

_FINGERPRINT = arm_fingerprint(FINGERPRINT, (), CROSS_NAMES)
_DISCOUNTS = [1.0 / log2(place + 2) for place in range(DEPTH)]
_BEST = [sum(_DISCOUNTS[:count]) for count in range(DEPTH + 1)]
_NO_READINGS = np.zeros(0)
NO_OFFER = ""

Places = NDArray[np.intp]
Mask = NDArray[np.bool_]


class Lists(msgspec.Struct, frozen=True):
    """What each ranker puts first at a moment, among all categories and among those that are new to the customer."""

    all: tuple[tuple[str, ...], ...]
    new: tuple[tuple[str, ...], ...]


class Basket(msgspec.Struct, frozen=True):
    """One ranked basket, or a day of them: for each ranker the gain over all categories and over those new to the customer.

    `new` is None where nothing on the basket is new to them. `version` is what the online ranker had learned.
    """

    id: str
    customer: str
    at: int
    version: int
    all: tuple[float, ...]
    new: tuple[float, ...] | None


class Moment(msgspec.Struct, frozen=True):
    """Who stands at the till, and when; `day` is the date on the till's own clock."""

    id: str
    customer: str
    at: Millis
    day: date


class Day(msgspec.Struct):
    """What was ranked before a customer's first basket of a day, and what they bought that day so far."""

    moment: Moment
    version: int
    lists: Lists
    bought: set[str]
    known: frozenset[str]


class Ranked(msgspec.Struct, frozen=True):
    """A pass over the events."""

    baskets: list[Basket]
    days: list[Basket]
    categories: int
    learned: int
    events: int
    rejected: int
    seconds: float


class Slice(msgspec.Struct, frozen=True):
    """NDCG of each ranker over some baskets, and by how much the online model is better than the rule."""

    baskets: int
    customers: int
    ndcg: dict[str, Figure]
    online_minus_rule: Figure


class Result(msgspec.Struct, frozen=True):
    """A whole evaluation, as `--json` writes it."""

    model: str
    data: str
    depth: int
    events: int
    rejected: int
    categories: int
    learned: int
    scored_from: str
    all: Slice
    new: Slice
    all_by_day: Slice
    new_by_day: Slice
    seconds: dict[str, float]


class Shelf:
    """What was published: all categories anybody had bought by then, in alphabetic order, their shares, what goes along with
    what, and a scorer.
    """

    def __init__(self, popularity: Mapping[str, float], scorer: OfferScorer, companions: Companions) -> None:
        self.names = tuple(popularity)
        self.places = {name: place for place, name in enumerate(self.names)}
        self.promotions = Promotions(self.names, [(name,) for name in self.names])
        self.crowd = self.promotions.popularity(popularity)
        self.towards = self.promotions.towards(companions, popularity)
        self._scorer = scorer
        self._prepared = scorer.prepare([NO_OFFER] * len(self.names), np.zeros((len(self.names), 0)))

    @property
    def version(self) -> int:
        """How many examples the scorer had learned."""
        return self._scorer.version

    def told(self, places: Places) -> tuple[str, ...]:
        """The categories at these places."""
        return tuple([self.names[place] for place in places.tolist()])

    def scored(self, matrix: Numbers) -> Numbers:
        """Probabilities by the model."""
        return self._scorer.score_prepared(_NO_READINGS, self._prepared, matrix)


class Ranking:
    """The rankers, and the model among them as it learns."""

    def __init__(self, learner: NextBestOfferLearner) -> None:
        self.learner = learner
        self.left_out: frozenset[str] = frozenset()
        self.baskets: list[Basket] = []
        self._days: list[Day] = []
        self._today: dict[str, Day] = {}
        self._shelf = Shelf({}, OfferScorer(), Companions())
        self._companions = CompanionSums()
        self._came: dict[str, None] = {}
        self._known: dict[str, set[str]] = {}
        self._published = 0

    def scored(self, walk: Walk, moment: Moment, bought: frozenset[str]) -> None:
        """Rank, compare with what was bought, then learn it. Nothing can be ranked before anything was published."""
        if moment.at // PUBLISHED_EVERY_MS > self._published:
            self._published = moment.at // PUBLISHED_EVERY_MS
            self._publish(walk)
        shelf, known = self._shelf, self._known.setdefault(moment.customer, set())
        if shelf.names:
            matrix = read_cross(walk.profile(moment.customer).whole, shelf.promotions, shelf.crowd, moment.at, shelf.towards)
            scores = shelf.crowd[:-1], matrix[:, 0], shelf.scored(matrix)
            orders = [np.argsort(-one, kind="stable") for one in scores]
            relevant, new = self._mask(bought), ~self._mask(known)
            lists = Lists(
                tuple(shelf.told(order[:DEPTH]) for order in orders),
                tuple(shelf.told(order[new[order]][:DEPTH]) for order in orders),
            )
            self.baskets.append(compared(moment, shelf.version, lists, bought, known))
            self._remember(moment, shelf.version, lists, bought, known)
            self._learn(moment, matrix, relevant, candidates(orders[1], orders[0], new, len(self.baskets)))
        known |= bought
        self._came[moment.customer] = None

    def _publish(self, walk: Walk) -> None:
        """What is known now, for the next six hours: of what goes along with what, those who bought of late are a part."""
        popularity = self.categories(walk)
        self._companions.learn([walk.profile(key).whole for key in self._came], popularity)
        self._came.clear()
        self._shelf = Shelf(popularity, OfferScorer(self.learner.publish(), _FINGERPRINT), self._companions.fit())

    def categories(self, walk: Walk) -> dict[str, float]:
        """What can be ranked, with everybody's share of purchases."""
        return {name: share for name, share in walk.popularity().items() if name not in self.left_out}

    def days(self) -> list[Basket]:
        """Of each customer and day: the ranking before the first basket, against all that was bought that day."""
        return [compared(one.moment, one.version, one.lists, one.bought, one.known) for one in self._days]

    def _remember(self, moment: Moment, version: int, lists: Lists, bought: frozenset[str], known: set[str]) -> None:
        today = self._today.get(moment.customer)
        if today is not None and today.moment.day == moment.day:
            today.bought |= bought
            return
        self._today[moment.customer] = today = Day(moment, version, lists, set(bought), frozenset(known))
        self._days.append(today)

    def _mask(self, names: frozenset[str] | set[str]) -> Mask:
        mask = np.zeros(len(self._shelf.names), dtype=bool)
        mask[[self._shelf.places[name] for name in names if name in self._shelf.places]] = True
        return mask

    def _learn(self, moment: Moment, matrix: Numbers, relevant: Mask, chosen: Places) -> None:
        self.learner.learn(
            [
                Example(
                    model=NEXT_BEST_OFFER,
                    id=f"{moment.id}|{self._shelf.names[place]}",
                    customer=moment.customer,
                    opened_at=moment.at,
                    closed_at=moment.at,
                    label=float(relevant[place]),
                    fingerprint=_FINGERPRINT,
                    vector=recorded(matrix[place]),
                    offer_id=NO_OFFER,
                )
                for place in chosen.tolist()
            ]
        )


def candidates(by_rule: Places, by_popularity: Places, new: Mask, turn: int) -> Places:
    """The places that the model learns of at a basket, chosen without a look at what is on it."""
    left = np.ones(len(new), dtype=bool)
    left[by_rule[:LIKELY]] = False
    left[by_popularity[new[by_popularity]][:NEW]] = False
    rest = by_rule[left[by_rule]]
    step = max(len(rest) // OTHERS, 1)
    return np.concatenate([np.flatnonzero(~left), rest[turn % step :: step][:OTHERS]])


def compared(moment: Moment, version: int, lists: Lists, bought: Set[str], known: Set[str]) -> Basket:
    """The gains of what was ranked at a moment, once it is known what was bought."""
    fresh = bought - known
    return Basket(
        id=moment.id,
        customer=moment.customer,
        at=moment.at,
        version=version,
        all=tuple([gain(top, bought) for top in lists.all]),
        new=tuple([gain(top, fresh) for top in lists.new]) if fresh else None,
    )


def gain(top: Sequence[str], relevant: Set[str]) -> float:
    """Normalised discounted cumulative gain of the first places.

    Source: Järvelin & Kekäläinen (2002), "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4), 422-446.
    """
    return sum([_DISCOUNTS[place] for place, name in enumerate(top) if name in relevant]) / _BEST[min(len(relevant), DEPTH)]


def rank(log: Log, progress: Progress, make: Callable[[NextBestOfferLearner], Ranking] = Ranking) -> Ranked:
    """Walk the events one by one; each basket of a customer is scored before it is learned and folded."""
    started = time.perf_counter()
    walk = Walk(ChurnRule(phase_ms=log.start % WEEK), log.lateness_ms)
    learner = NextBestOfferLearner((), (), CROSS_NAMES, _FINGERPRINT)
    ranking = make(learner)
    ranking.left_out = LEFT_OUT.get(log.source.name, frozenset())
    task = progress.add_task("baskets", total=log.source.total)
    for sent in log.batches():
        for taken in walk.admit(sent):
            bought = frozenset(_categories(taken.event)) - ranking.left_out
            if bought and has_customer(taken.key):
                event = taken.event
                ranking.scored(walk, Moment(event.id, taken.key, Millis(time_of(event)), event.time.date()), bought)
            walk.fold([taken])
        walk.examples()
        progress.advance(task, len(sent))
    if learner.report().foreign:
        raise InvariantBroken("the readings of customer and category are not those that are named")
    seconds = time.perf_counter() - started
    days = ranking.days()
    return Ranked(ranking.baskets, days, len(ranking.categories(walk)), learner.version, walk.events, walk.rejected, seconds)


def _categories(event: Event) -> Iterator[str]:
    """What kinds of goods were bought; nothing for what is no purchase."""
    if isinstance(event, OrderCompleted):
        yield from (line.category for line in event.data.products if line.category)
    elif isinstance(event, PosTransactionCompleted) and event.data.status == "completed":
        yield from (line.category for line in event.data.lines if line.kind == "sale" and line.category)


def measured(baskets: Sequence[Basket], gains: Sequence[tuple[float, ...]], terms: Terms) -> Slice:
    """The figures of some baskets with their gains."""
    if not baskets:
        raise NothingToMeasure(
            "too little data: no basket with a category among those that count; give lines a category, a longer log, an"
            " earlier --from, or more --customers"
        )
    names, numbers = np.unique([basket.customer for basket in baskets], return_inverse=True)
    customers = numbers.astype(np.intp)
    columns = np.array(gains).T
    found = [mean_of(column, customers, terms.replicates, terms.seed) for column in columns]
    better = mean_of(columns[2] - columns[1], customers, terms.replicates, terms.seed)
    return Slice(len(baskets), len(names), dict(zip(RANKERS, found, strict=True)), better)


def _halves(baskets: Sequence[Basket], log: Log, terms: Terms) -> tuple[Slice, Slice]:
    """The figures over all categories, and over those that are new to the customer."""
    counted = _counted(baskets, log)
    fresh = [(basket, basket.new) for basket in counted if basket.new is not None]
    return (
        measured(counted, [basket.all for basket in counted], terms),
        measured([basket for basket, _ in fresh], [gains for _, gains in fresh], terms),
    )


def _counted(baskets: Sequence[Basket], log: Log) -> list[Basket]:
    return [basket for basket in baskets if basket.at >= log.since and log.counts(basket.customer)]


def evaluate_next_category(source: Source, terms: Terms, progress: Progress) -> Finding[Result]:
    """The whole evaluation on a source of events."""
    log = opened(source, terms, progress)
    ranked = rank(log, progress)
    started = time.perf_counter()
    every, new = _halves(ranked.baskets, log, terms)
    every_day, new_by_day = _halves(ranked.days, log, terms)
    result = Result(
        model=NEXT_CATEGORY,
        data=source.name,
        depth=DEPTH,
        events=ranked.events,
        rejected=ranked.rejected,
        categories=ranked.categories,
        learned=ranked.learned,
        scored_from=rfc3339(log.since),
        all=every,
        new=new,
        all_by_day=every_day,
        new_by_day=new_by_day,
        seconds={"ranking": ranked.seconds, "figures": time.perf_counter() - started},
    )
    weekly = _weekly(_counted(ranked.baskets, log))
    return Finding(result, shown(result), {}, f"NDCG@{DEPTH}", weekly)


def _weekly(baskets: Sequence[Basket]) -> dict[str, Line]:
    """The mean gain over all categories of each week by itself, for each ranker."""
    weeks, places = np.unique([basket.at // WEEK for basket in baskets], return_inverse=True)
    gains = np.array([basket.all for basket in baskets])
    at = tuple(int(week) * WEEK for week in weeks)
    means = [np.bincount(places, column) / np.bincount(places) for column in gains.T]
    return {WORDS[ranker]: Line(at, tuple(mean.tolist())) for ranker, mean in zip(RANKERS, means, strict=True)}


def shown(result: Result) -> Table:
    """The figures as a table."""
    heads = f"{result.model}, NDCG@{result.depth}, {result.data}"
    table = Table(title=heads, caption=_caption(result), title_justify="left", caption_justify="left")
    table.add_column("of a", no_wrap=True)
    table.add_column("ranker", no_wrap=True)
    table.add_column("all categories", justify="right", no_wrap=True)
    table.add_column("new to the customer", justify="right", no_wrap=True)
    for unit, parts in (("basket", (result.all, result.new)), ("day", (result.all_by_day, result.new_by_day))):
        for ranker, words in WORDS.items():
            table.add_row(unit, words, *(told(part.ndcg[ranker]) for part in parts))
        table.add_row(unit, "difference", *(told(part.online_minus_rule) for part in parts))
        table.add_row(unit, "how many", *(f"{part.baskets:,}" for part in parts), end_section=True)
    return table


def _caption(result: Result) -> str:
    return (
        f"{result.events:,} events ({result.rejected:,} refused), {result.categories} categories,"
        f" {result.all.customers:,} customers; every basket from {result.scored_from[:10]} on, ranked before it is"
        " folded, and all baskets of a customer's day, ranked before the first. Frequency is the personal-frequency"
        " rule, the difference that of online and rule; the online model is published every six hours and learned"
        f" {result.learned:,} examples of earlier baskets. In brackets 95 % intervals, bootstrapped by customer."
    )
