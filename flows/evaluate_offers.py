"""`regulars evaluate offers`: what a decision brings, where the truth is known.

The world (`flows.offer_world`) gives the moments and says of every offer whether it would be taken. Each ranker meets the same
moments in the same order and the same customers' minds; what differs is what it shows. A showing goes the product's way:
`decide` scores and draws under a policy with its loss budget, the decision is written as the log writes it, the facet of
offers in the profile takes it and its redemption in, and the example (readings as drawn, exact propensity) reaches the learner
when the attribution window has closed, in the order of closing.

- random: offers drawn evenly;
- rule: always the first of the personal-frequency rule, without any exploration;
- frozen: the model as it starts, drawn as the learned one is, never learning;
- learned: the offer model of the roster, which starts at the rule;
- learned, cold: the same without its warm start, knowing nothing;
- oracle: the truth itself, always the best offer.

A reward is the true probability of what was shown: the mean of what would come of showing it again and again. What did come
of it stands beside.
"""

import time
from collections import deque
from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec.structs import replace
from rich.progress import Progress
from rich.table import Table

from engine.decisioning.decide import decide
from engine.decisioning.decision import Chosen
from engine.decisioning.ledger import EMPTY
from engine.decisioning.offer_features import OFFER_NAMES
from engine.decisioning.policy import Arbitration, Ranker
from engine.decisioning.record import decided
from engine.decisioning.scoring import Scorers, scorers_for
from engine.decisioning.situation import PlacementRequest, Situation
from engine.errors import InvariantBroken
from engine.events.offers import OfferDecided, OfferSeen
from engine.features.affinity import CROSS_NAMES, read_cross
from engine.features.base import Request
from engine.features.vector import FINGERPRINT, NAMES, read_features
from engine.models.base import Example
from engine.models.evaluation import Figure, mean_of
from engine.models.next_best_offer import NextBestOfferLearner
from engine.models.scoring import NEXT_BEST_OFFER, OfferScorer, arm_fingerprint
from engine.models.snapshot import Numbers
from engine.moments import WEEK, Millis
from engine.moments import moment as instant
from engine.profiles.offer_history import HANDLERS, OfferHistory
from engine.profiles.profile import Part, Profile
from flows.evaluate_events import Finding, Line, opened, told
from flows.evaluate_terms import Terms
from flows.offer_world import PLACE, Moment, World, scene_of
from flows.replay_source import Source

OFFERS = "offers"
FINGERPRINT_OF_ARM = arm_fingerprint(FINGERPRINT, OFFER_NAMES, CROSS_NAMES)
PUBLISHED_EVERY = 20
"""The learner publishes when so many examples have closed since it last did."""

GREEDY = Arbitration(epsilon=1e-6, gamma=1e6, loss_budget=1e-9)
WINDOW = 500
"""Over so many decisions it is seen whether one ranker is ahead of another."""

SEEN = "evaluation://offers"
RANKERS = ("random", "rule", "frozen", "learned", "cold", "oracle")
WORDS = {"cold": "learned, cold", "rule": "frequency"}


class Played(msgspec.Struct, frozen=True):
    """What came of every moment: the truth of the offer shown, whether it was taken, what drawing was expected to lose."""

    expected: Numbers
    taken: Numbers
    lost: Numbers
    best: Numbers
    learned: int = 0


class Reward(msgspec.Struct, frozen=True):
    """What a ranker brought a decision: by the truth, in fact, in each quarter of the decisions; what exploring cost.

    `loss` is the share of the best offers' expected value that the draws were expected to give up, by the ranker's own scores.
    """

    expected: Figure
    taken: float
    quarters: tuple[float, ...]
    loss: float
    learned: int


class Result(msgspec.Struct, frozen=True):
    """A whole evaluation, as `--json` writes it. Differences are by customer; `passed` counts the decisions until the cold
    model was ahead of the rule, over the last 500 of them; None if it never was. `newcomers` is what the first offer brings to
    customers of whom no purchase is known, before anything is learned from offers."""

    model: str
    data: str
    events: int
    rejected: int
    decisions: int
    customers: int
    arms: int
    seed: int
    loss_budget: float
    rewards: dict[str, Reward]
    learned_minus_rule: Figure
    learned_minus_frozen: Figure
    passed: int | None
    newcomers: dict[str, Figure]
    seconds: dict[str, float]


class Player:
    """One ranker on its way through the moments."""

    def __init__(self, world: World, ranker: Ranker, arbitration: Arbitration, learner: NextBestOfferLearner | None) -> None:
        self.world, self.ranker = world, ranker
        self.policy = world.policy(ranker, arbitration)
        self.catalogue = world.catalogue(self.policy)
        self.learner = learner
        self.shown: list[str] = []
        self._row = {name: arm for arm, name in enumerate(world.offers)}
        self._histories: dict[str, OfferHistory] = {}
        self._open: deque[tuple[str, Example]] = deque()
        self._closed: list[Example] = []
        self._scorers: Scorers | None = None
        self._of: Moment | None = None

    def play(self, progress: Progress, name: str) -> Played:
        """Every moment in order."""
        moments = self.world.scene.moments
        task = progress.add_task(name, total=len(moments))
        rows = np.zeros((len(moments), 4))
        for place, moment in enumerate(moments):
            self._close(moment.at)
            chosen, taken = self._show(place, moment)
            truth = self.world.truth[place, self._row[chosen.offer_id]]
            self.shown.append(chosen.offer_id)
            rows[place] = truth, taken, chosen.exploration_loss, chosen.best_score
            progress.advance(task)
        if self.learner is not None and self.learner.report().foreign:
            raise InvariantBroken("the readings of an arm are not those that are named")
        return Played(rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3], self.learner.version if self.learner is not None else 0)

    def _close(self, now: int) -> None:
        """What has closed by now leaves the profiles and goes to the learner, in the order of closing."""
        while self._open and self._open[0][1].closed_at <= now:
            decision_id, example = self._open.popleft()
            history = self._histories[example.customer]
            self._histories[example.customer] = history.closed(decision_id, example.closed_at)
            self._closed.append(example)
        if self.learner is not None and len(self._closed) >= PUBLISHED_EVERY:
            self.learner.learn(self._closed)
            self._closed, self._scorers = [], None

    def _basis(self, moment: Moment) -> Scorers:
        known = self._of
        if (
            self._scorers is None
            or known is None
            or known.shares is not moment.shares
            or known.companions is not moment.companions
        ):
            self._of = moment
            learned = OfferScorer(self.learner.publish(), FINGERPRINT_OF_ARM) if self.learner is not None else None
            self._scorers = scorers_for(self.catalogue, learned, popularity=moment.shares, companions=moment.companions)
        return self._scorers

    def _show(self, place: int, moment: Moment) -> tuple[Chosen, bool]:
        key, now = moment.customer, Millis(moment.at)
        history = self._histories.get(key, OfferHistory())
        part = replace(moment.part, offers=history)
        situation = Situation(
            decision_id=f"d-{self.world.seed}-{moment.id}",
            now=now,
            unit=key,
            placements=(PlacementRequest(PLACE),),
            part=part,
            vector=read_features(Profile(key, {key: part}), Request("pos"), now),
            ledger=EMPTY,
            channel="pos",
        )
        decision = decide(situation, self.catalogue, self._basis(moment), self.policy)
        chosen = decision.offers[0]
        data = decided(decision, self.catalogue, self.policy, fingerprint=FINGERPRINT_OF_ARM)
        event = OfferDecided(id=decision.decision_id, type="offer_decided", source=SEEN, time=instant(now), data=data)
        history = HANDLERS[event.type](history, event, now)
        taken = self.world.taken(place, self._row[chosen.offer_id])
        clicked = self.world.clicked(place, self._row[chosen.offer_id])
        for kind, happened in (("offer_clicked", clicked), ("offer_redeemed", taken)):
            if happened:
                told = OfferSeen(
                    id=f"{event.id}-{kind}",
                    type=kind,
                    source=SEEN,
                    time=instant(now),
                    decision_id=event.id,
                    offer_id=chosen.offer_id,
                )
                history = HANDLERS[told.type](history, told, now)
        self._histories[key] = history
        example = Example(
            model=NEXT_BEST_OFFER,
            id=f"{event.id}|{chosen.offer_id}|{PLACE}",
            customer=key,
            opened_at=now,
            closed_at=now + data.offers[0].attribution_window_ms,
            label=float(taken),
            fingerprint=FINGERPRINT_OF_ARM,
            vector=chosen.vector,
            offer_id=chosen.offer_id,
            propensity=chosen.propensity,
            clicked=clicked,
            variation=decision.variation,
        )
        self._open.append((event.id, example))
        return chosen, taken


def learner(rule_weight: float = 1.0) -> NextBestOfferLearner:
    """The learner of the roster; without the rule it starts knowing nothing."""
    return NextBestOfferLearner(NAMES, OFFER_NAMES, CROSS_NAMES, FINGERPRINT_OF_ARM, rule_weight=rule_weight)


def play(world: World, progress: Progress, rankers: Sequence[str] = RANKERS) -> dict[str, Played]:
    """Every ranker on the same world, under the policy's defaults."""
    policy = Arbitration()
    players = {
        "random": lambda: Player(world, "random", policy, None),
        "rule": lambda: Player(world, "rule", GREEDY, None),
        "frozen": lambda: Player(world, "frozen", policy, None),
        "learned": lambda: Player(world, "learned", policy, learner()),
        "cold": lambda: Player(world, "learned", policy, learner(rule_weight=0.0)),
    }
    return {name: players[name]().play(progress, WORDS.get(name, name)) if name in players else oracle(world) for name in rankers}


def newcomers(world: World) -> dict[str, Numbers]:
    """What the first offer to each customer would bring if they were new: known by their traits and channels, and by no
    purchase. By the personal-frequency rule, which then is what is popular, and by the model as it starts, without a label."""
    policy = world.policy("learned", GREEDY)
    arms = world.catalogue(policy).columns.arms[PLACE]
    ids = [world.offers[row] for row in arms.rows]
    start = OfferScorer(learner().publish(), FINGERPRINT_OF_ARM)
    prepared = start.prepare(ids, arms.features)
    brought = np.zeros((2, len(world.scene.moments)))
    for place, moment in enumerate(world.scene.moments):
        part, now = Part(identity=moment.part.identity), Millis(moment.at)
        towards = arms.promotions.towards(moment.companions, moment.shares)
        both = read_cross(part, arms.promotions, arms.promotions.popularity(moment.shares), now, towards)
        vector = read_features(Profile(moment.customer, {moment.customer: part}), Request("pos"), now)
        for which, scores in enumerate((both[:, 0], start.score_prepared(vector, prepared, both))):
            brought[which, place] = world.truth[place, arms.rows[int(scores.argmax())]]
    return {"rule": brought[0], "learned": brought[1]}


def oracle(world: World) -> Played:
    """The truth itself as a ranker."""
    best = world.best()
    taken = np.array([float(world.taken(place, arm)) for place, arm in enumerate(best.tolist())])
    truth = world.truth[np.arange(len(best)), best]
    return Played(truth, taken, np.zeros(len(best)), truth)


def passed(ahead: Numbers, behind: Numbers, window: int = WINDOW) -> int | None:
    """After how many decisions the one was at least as good as the other over the last of them."""
    gained = np.cumsum(np.concatenate([[0.0], ahead - behind]))
    found = np.flatnonzero(gained[window:] - gained[:-window] >= 0.0)
    return int(found[0]) + window if len(found) else None


def evaluate_offers(source: Source, terms: Terms, progress: Progress) -> Finding[Result]:
    """The whole evaluation on a source of events."""
    started = time.perf_counter()
    log = opened(source, terms, progress)
    scene = scene_of(log, terms.seed, progress)
    world = World(scene, terms.seed)
    walked = time.perf_counter()
    played = play(world, progress)
    ended = time.perf_counter()
    customers = np.unique([one.customer for one in scene.moments], return_inverse=True)[1].astype(np.intp)

    def figure(values: Numbers) -> Figure:
        return mean_of(values, customers, terms.replicates, terms.seed)

    result = Result(
        model=OFFERS,
        data=source.name,
        events=scene.events,
        rejected=scene.rejected,
        decisions=len(scene.moments),
        customers=int(customers.max()) + 1,
        arms=len(world.offers),
        seed=terms.seed,
        loss_budget=Arbitration().loss_budget,
        rewards={name: _reward(one, figure(one.expected)) for name, one in played.items()},
        learned_minus_rule=figure(played["learned"].expected - played["rule"].expected),
        learned_minus_frozen=figure(played["learned"].expected - played["frozen"].expected),
        passed=passed(played["cold"].expected, played["rule"].expected),
        newcomers={name: figure(brought) for name, brought in newcomers(world).items()},
        seconds={"moments": walked - started, "decisions": ended - walked, "figures": time.perf_counter() - ended},
    )
    weeks, places = np.unique([one.at // WEEK for one in scene.moments], return_inverse=True)
    at = tuple(int(week) * WEEK for week in weeks)
    weekly = {
        WORDS.get(name, name): Line(at, tuple((np.bincount(places, one.expected) / np.bincount(places)).tolist()))
        for name, one in played.items()
    }
    return Finding(result, shown(result), {}, "reward a decision", weekly)


def _reward(one: Played, expected: Figure) -> Reward:
    quarters = tuple(float(part.mean()) for part in np.array_split(one.expected, 4))
    loss = float(one.lost.sum() / max(one.best.sum(), 1e-12))
    return Reward(expected, float(one.taken.mean()), quarters, loss, one.learned)


def shown(result: Result) -> Table:
    """The figures as a table."""
    heads = f"{result.model}, reward a decision, {result.arms} arms, {result.data}"
    table = Table(title=heads, caption=_caption(result), title_justify="left", caption_justify="left")
    table.add_column("ranker", no_wrap=True)
    for words in ("by the truth", "in fact", "1st quarter", "last quarter", "expected loss"):
        table.add_column(words, justify="right", no_wrap=True)
    for name, one in result.rewards.items():
        figures = f"{one.taken:.4f}", f"{one.quarters[0]:.4f}", f"{one.quarters[-1]:.4f}", f"{one.loss:.4f}"
        table.add_row(WORDS.get(name, name), told(one.expected), *figures)
    return table


def _caption(result: Result) -> str:
    cold = "never passed the rule" if result.passed is None else f"was ahead of the rule after {result.passed:,} decisions"
    return (
        f"{result.decisions:,} decisions for {result.customers:,} customers at tills, each from the profile of the moment before;"
        f" answers are drawn from a known truth (seed {result.seed}). Learned - frequency {told(result.learned_minus_rule)},"
        f" learned - frozen {told(result.learned_minus_frozen)}. The cold model {cold}, over the last {WINDOW}. If everybody were"
        f" new, the first offer would bring {told(result.newcomers['learned'])} by the model as it starts, and"
        f" {told(result.newcomers['rule'])} by the rule. Exploring may"
        f" cost {result.loss_budget:g} of the best offers' expected value; the last column is what it was expected to cost, by"
        " the ranker's own scores. In brackets 95 % intervals, bootstrapped by customer."
    )
