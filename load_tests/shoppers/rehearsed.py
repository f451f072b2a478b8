"""How near a rehearsal comes to the truth: twenty campaigns, foretold from the log of another catalogue, beside their live run.

The same crowd lives through the same weeks twice in the real engine: under the catalogue of today, whose log is all that the
rehearsal gets, and under the proposed one, which tells what would really have happened. Visits, looks and purchases are drawn
by name, so they are the same in both. Which of several offers is drawn hangs on the id of the decision: the live run draws by the
ids of the log's visits, as the rehearsal does, so what is told is how wrong a rehearsal is, and not how differently chance falls.
How much that is, a second live run with ids of its own tells: it differs from the first by chance alone.

`python -m load_tests.shoppers.rehearsed` prints reach by campaign: foretold, true, and in the second live run.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from msgspec import Struct

from config.catalogue_files import Loaded
from engine.decisioning.compiling import compile_catalogue
from engine.decisioning.conditions import AnyOf, AtStage, Bought, Condition, Feature, HasTrait, Not, OnWeekday, Things
from engine.decisioning.decide import decide
from engine.decisioning.decision import Decision
from engine.decisioning.ledger import EMPTY, VIEWED, Ledger, Refusal, commit, mark
from engine.decisioning.offers import Campaign, Cap, Money, Offer, Promotes
from engine.decisioning.policy import Caps, Placement, Policy
from engine.decisioning.record import decided
from engine.decisioning.situation import PlacementRequest, Situation
from engine.errors import InvariantBroken
from engine.events.decode import decode_canonical
from engine.events.offers import OfferDecided, OfferSeen
from engine.events.routing import Admitted, admit, admitted
from engine.features.base import Request
from engine.features.derived import RULE_NAMES
from engine.features.vector import read_features
from engine.ids import shard_of
from engine.moments import DAY, HOUR, MINUTE, Millis, moment, rfc3339
from engine.shards.commit import Entry
from engine.shards.labels import ChurnRule, Labels
from engine.shards.processor import ShardProcessor
from engine.store.codec import decode_profile
from engine.store.memory import MemoryStore
from engine.store.redis_archive import Accepted
from flows.owner import Owner
from flows.rehearsal_shop import Shop, shop_with
from flows.runner import run_until_idle
from flows.simulate import as_today, look, play, sample
from load_tests.shoppers.crowd import Crowd

BEGIN = Millis(1_767_225_600_000)
"""The first instant of 2026, UTC."""
BEFORE_DAYS, DAYS = 28, 21
PLACEMENT = "home_hero"
OFFERS = 5
"""That are asked for at each visit."""
SHARDS = 4
GOODS = ("coffee", "bread", "fruit", "wine", "cheese")
CITIES = ("Wien", "Graz", "Linz", "Salzburg")
LOOKS_AT = 0.7
"""The chance that a customer looks at the place."""


def policy() -> Policy:
    """One place of a few offers that are seen when it is looked at."""
    caps = Caps(each_offer=(Cap(count=3, window_days=7.0),))
    return Policy(placements={PLACEMENT: Placement(channel="web", max=OFFERS, shown_when="viewed")}, caps=caps)


def _offer(name: str, index: int, *rules: Condition, stock: int | None = None, caps: tuple[Cap, ...] = ()) -> Offer:
    return Offer(
        id=f"{name}-offer",
        kind="sell",
        campaign=name,
        placements=(PLACEMENT,),
        content={"default": {"title": name}},
        promotes=Promotes(categories=(f"promoted-{index}",)),
        eligible_when=rules,
        margin=Money(100 + index, "EUR"),
        stock=stock,
        caps=caps,
    )


def today() -> Loaded:
    """Four campaigns of before."""
    rules: tuple[Condition, ...] = tuple(Bought(bought=Things(categories=(name,)), within_days=60.0) for name in GOODS[:4])
    return _loaded([_offer(f"now-{index}", index, rule) for index, rule in enumerate(rules)])


def proposed() -> Loaded:
    """Twenty campaigns: by what was bought, where people live, how often and lately they buy, their stage, day, caps, stock."""
    by_goods = [_offer(f"goods-{name}", 20, Bought(bought=Things(categories=(name,)), within_days=14.0)) for name in GOODS]
    by_city = [_offer(f"city-{name}", 30, HasTrait(trait="city", equals=name)) for name in CITIES]
    others = [
        _offer("recent", 40, Feature(feature="rfm.recency", below=3.0)),
        _offer("quiet", 41, Feature(feature="rfm.recency", between=(7.0, 60.0))),
        _offer("often", 42, Feature(feature="rfm.frequency", at_least=6.0)),
        _offer("seldom", 43, Feature(feature="rfm.frequency", at_most=3.0)),
        _offer("active", 44, AtStage(lifecycle=("active",))),
        _offer("newcomers", 45, AtStage(lifecycle=("prospect", "new"))),
        _offer("weekend", 46, OnWeekday(weekday=("sat", "sun"))),
        _offer(
            "either", 47, AnyOf(any_of=(HasTrait(trait="city", among=CITIES[:2]), Feature(feature="rfm.trips_28d", above=4.0)))
        ),
        _offer("not-wine", 48, Not(negated=Bought(bought=Things(categories=("wine",)), within_days=60.0))),
        _offer("once", 49, HasTrait(trait="city", among=CITIES[1:]), caps=(Cap(count=1, window_days=30.0),)),
        _offer("scarce", 90, Feature(feature="rfm.frequency", at_least=2.0), stock=400),
    ]
    return _loaded([*by_goods, *by_city, *others])


def _loaded(sales: Sequence[Offer]) -> Loaded:
    under = policy()
    welcome = Offer(id="welcome", kind="fallback", placements=(PLACEMENT,), content={"default": {"title": "Welcome"}})
    offers = (*sales, welcome)
    names = dict.fromkeys(offer.campaign or "" for offer in sales)
    return Loaded(compile_catalogue(offers, under, RULE_NAMES, [Campaign(id=name) for name in names]), under, {})


class Visit(Struct, frozen=True):
    """One customer on one day: looks at the place or not, and buys one thing or nothing."""

    number: int
    day: int
    looks: bool
    buys: str


class Life:
    """The crowd in an engine of its own under one catalogue."""

    def __init__(self, crowd: Crowd, loaded: Loaded, name: str) -> None:
        self.crowd, self.name = crowd, name
        self.shop: Shop = shop_with(loaded, lambda _: None)
        self.store = MemoryStore()
        self._owner = Owner(self.store, ShardProcessor(Labels(ChurnRule()), DAY, SHARDS), range(SHARDS), most_cached=50_000)
        self._ledgers: dict[int, Ledger] = {}
        self._stock: dict[str, dict[str, int]] = defaultdict(dict)
        """By pool and decision, until when a unit is held."""
        self.reached: dict[str, set[int]] = defaultdict(set)

    def live(self, visits: Sequence[Sequence[Visit]]) -> None:
        """The days before without offers, then each hour: everybody who comes is decided for, and it is folded."""
        self._fold(list(self._hello()))
        for day, some in enumerate(visits):
            if day < BEFORE_DAYS:
                self._fold([event for visit in some for event in self._visit(visit, False)])
                continue
            hours: dict[int, list[Visit]] = defaultdict(list)
            for visit in sorted(some, key=self._at):
                hours[self._at(visit) // HOUR].append(visit)
            for hour, these in hours.items():
                self._tick(hour * HOUR)
                self._fold([event for visit in these for event in self._visit(visit, True)])

    def _tick(self, at: int) -> None:
        """What an engine appends while it is idle: time goes on."""
        self.store.append([(shard, Entry("", tick=at)) for shard in range(SHARDS)])
        run_until_idle(self._owner, self.store)

    def log(self) -> Iterator[Accepted]:
        """All that was accepted, by time of arrival."""
        entries = [(one.key, one.event, shard, one.id) for shard, log in self.store.log.items() for one in log if one.event]
        timed = [(decode_canonical(event), key, event, shard, name) for key, event, shard, name in entries]
        for _, key, event, shard, name in sorted(timed, key=lambda one: (one[0].time, one[4]) if hasattr(one[0], "time") else ()):
            yield Accepted(shard, name, key, event)

    def _visit(self, visit: Visit, asks: bool) -> Iterator[Admitted]:
        at = self._at(visit)
        if asks:
            decision = self._decided(visit, Millis(at))
            yield self._logged(decision, visit, at)
            if visit.looks:
                yield from self._looked(decision, visit, at + MINUTE)
        if visit.buys:
            yield _order(visit, at + 10 * MINUTE)

    def _decided(self, visit: Visit, at: Millis) -> Decision:
        key = f"u:{visit.number}"
        raw = self.store.profile(shard_of(key, SHARDS), key)
        if raw is None:
            raise InvariantBroken(f"{key} is not known")
        profile = decode_profile(key, raw)
        refused: Mapping[str, str] = {}
        loaded = self.shop.loaded
        stocks = {pool.name: pool.capacity for pools in loaded.catalogue.columns.pools for pool in pools}
        while True:
            situation = Situation(
                decision_id=f"{self.name}-{visit.day}-{visit.number}",
                now=at,
                unit=profile.unit,
                placements=(PlacementRequest(PLACEMENT, OFFERS),),
                attempt=len(refused),
                part=profile.whole,
                vector=read_features(profile, Request("web"), at),
                standing=profile.standing,
                ledger=self._ledgers.get(visit.number, EMPTY),
                stock_left={name: self._left(name, capacity, at) for name, capacity in stocks.items()},
                channel="web",
                refused=refused,
            )
            decision = decide(situation, loaded.catalogue, self.shop.scorers, loaded.policy)
            short = [take for take in decision.takes if self._left(take.pool, take.capacity, at) < 1]
            if short:
                refused = {**refused, short[0].offer_id: "stock"}
                continue
            held = self._ledgers.get(visit.number, EMPTY)
            after = commit(held, decision.claims, decision.sticky, at, loaded.catalogue.longest_window_ms)
            if isinstance(after, Refusal):
                raise InvariantBroken("one process decides and commits, so no cap can be met in between")
            self._ledgers[visit.number] = after
            for take in decision.takes:
                self._stock[take.pool][decision.decision_id] = take.expires
            return decision

    def _left(self, pool: str, capacity: int, at: int) -> int:
        return capacity - sum(until > at for until in self._stock[pool].values())

    def _looked(self, decision: Decision, visit: Visit, at: int) -> Iterator[Admitted]:
        for offer in decision.offers:
            self._ledgers[visit.number], _ = mark(
                self._ledgers[visit.number], decision.decision_id, offer.offer_id, PLACEMENT, VIEWED, at
            )
            for held in self._stock.values():
                if decision.decision_id in held:
                    held[decision.decision_id] = 2**62
            self.reached[offer.campaign_id].add(visit.number)
            seen = OfferSeen(
                id=f"seen-{decision.decision_id}-{offer.offer_id}",
                type="offer_viewed",
                time=moment(at),
                source="web://crowd",
                received_at=moment(at),
                user_id=str(visit.number),
                channel="web",
                decision_id=decision.decision_id,
                offer_id=offer.offer_id,
                placement=PLACEMENT,
            )
            yield admitted(seen)

    def _logged(self, decision: Decision, visit: Visit, at: int) -> Admitted:
        loaded = self.shop.loaded
        said = OfferDecided(
            id=decision.decision_id,
            type="offer_decided",
            time=moment(at),
            source="regulars://decisions",
            received_at=moment(at),
            user_id=str(visit.number),
            channel="web",
            decision_id=decision.decision_id,
            data=decided(decision, loaded.catalogue, loaded.policy, context={"asked": {PLACEMENT: OFFERS}}),
        )
        return admitted(said)

    def _hello(self) -> Iterator[Admitted]:
        draw = self.crowd.chance("cities")
        cities = draw.integers(0, len(CITIES), self.crowd.customers)
        for number in range(self.crowd.customers):
            yield _event("consent_updated", number, BEGIN - HOUR, "consent", {"purpose": "marketing", "status": "granted"})
            yield _event("customer_identified", number, BEGIN - HOUR, "who", {"city": CITIES[cities[number]]})

    @staticmethod
    def _at(visit: Visit) -> int:
        return BEGIN + visit.day * DAY + 8 * HOUR + visit.number % 600 * MINUTE

    def _fold(self, events: Sequence[Admitted]) -> None:
        self.store.append([(shard_of(one.key, SHARDS), Entry("", one.entry, one.fingerprint, one.key)) for one in events])
        run_until_idle(self._owner, self.store)


def visits_of(crowd: Crowd) -> list[list[Visit]]:
    """Who comes on which day, looks, and buys: the same whatever is offered."""
    draw = crowd.chance("days")
    shape = (BEFORE_DAYS + DAYS, crowd.customers)
    comes = draw.random(shape) < crowd.visits / 7.0
    looks = draw.random(shape) < LOOKS_AT
    buys = draw.random(shape) < crowd.buys[:, 0]
    likes = draw.dirichlet(np.full(len(GOODS), 0.6), crowd.customers).cumsum(axis=1)
    goods = (draw.random(shape)[:, :, np.newaxis] > likes).sum(axis=2).clip(0, len(GOODS) - 1)
    return [
        [
            Visit(number, day, bool(looks[day, number]), GOODS[goods[day, number]] if buys[day, number] else "")
            for number in np.flatnonzero(comes[day]).tolist()
        ]
        for day in range(shape[0])
    ]


class Foretold(Struct, frozen=True):
    """One campaign: how many customers the rehearsal says it reaches, how many it did, and how many `again` by other draws."""

    campaign: str
    foretold: int
    true: int
    again: int = 0

    @property
    def error(self) -> float:
        """As a share of the truth."""
        return _share(self.foretold - self.true, self.true)

    @property
    def chance(self) -> float:
        """What chance alone makes different between two live runs, likewise."""
        return _share(self.again - self.true, self.true)


def _share(difference: int, true: int) -> float:
    return difference / true if true else float(bool(difference))


def rehearsed(customers: int, seed: int, again: bool = False) -> list[Foretold]:
    """The proposed campaigns in order, foretold from a log in which none of them stands; `again` has them live a second time."""
    crowd = Crowd(seed, customers)
    visits = visits_of(crowd)
    current, live = Life(crowd, today(), "now"), Life(crowd, proposed(), "now")
    current.live(visits)
    live.live(visits)
    other = Life(crowd, proposed(), "then")
    if again:
        other.live(visits)
    log = list(current.log())
    found = look(log, DAYS)
    chosen = sample(found, 0)
    fixed = as_today((decode_profile(key, raw) for (_, key), raw in current.store.profiles.items()), found, chosen)
    (world,) = play(log, [live.shop], BEGIN + BEFORE_DAYS * DAY, chosen, fixed, found.looks)
    reached = world.figures.reached
    return [
        Foretold(name, len(reached.get(name, set())), len(live.reached[name]), len(other.reached[name]))
        for name in live.shop.loaded.catalogue.campaigns
    ]


def _event(kind: str, number: int, at: int, name: str, data: dict[str, object]) -> Admitted:
    body = {"type": kind, "id": f"{name}-{number}", "source": "web://crowd", "time": rfc3339(at), "user_id": str(number)}
    found = admit(body | {"data": data}, Millis(at), backfill=True)
    if not isinstance(found, Admitted):
        raise InvariantBroken(f"the door refuses a customer of the crowd: {found.detail}")
    return found


def _order(visit: Visit, at: int) -> Admitted:
    products = [{"product_id": f"p-{visit.buys}", "category": visit.buys, "price": 500}]
    data = {"order_id": f"{visit.day}-{visit.number}", "currency": "EUR", "total": 500, "products": products}
    return _event("order_completed", visit.number, at, f"order-{visit.day}", data)


def main(customers: int = 3_000, seed: int = 11) -> None:
    """Prints foretold and true reach of each campaign, the largest error, and how far two live runs are apart."""
    found = rehearsed(customers, seed, again=True)
    print(f"{customers:,} customers, {DAYS} days, {len(found)} campaigns: customers reached")
    for one in found:
        run = f"  another live run {one.again:6,}  {one.chance:+7.2%}"
        print(f"{one.campaign:16} foretold {one.foretold:6,}  true {one.true:6,}  {one.error:+7.2%}{run}")
    worst, apart = max(found, key=lambda one: abs(one.error)), max(found, key=lambda one: abs(one.chance))
    print(f"largest error {worst.error:+.2%} ({worst.campaign}); two live runs differ by up to {apart.chance:+.2%}")


if __name__ == "__main__":
    main()
