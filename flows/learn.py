"""The learner process: matured labels in, models out.

It reads the example streams of all shards, learns each model in the order of what it read, and commits: one atomic,
fenced write holds how far it has read, the complete states, the journal of the order, and the published snapshots. So
a kill at any moment costs time and nothing else: whatever was learned since the last commit is learned again.

There is one learner. A second one is harmless: whoever commits second is fenced and stops (exit code 3).
"""

import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from config.catalogue_files import load_catalogue
from config.logging import log_to_stderr
from config.settings import LearnSettings
from engine.decisioning.offer_features import OFFER_NAMES
from engine.decisioning.policy import Policy
from engine.errors import Fenced, StoreUnavailable
from engine.features.affinity import CROSS_NAMES
from engine.features.companions import NOTHING_KNOWN, Companions
from engine.features.vector import FINGERPRINT, NAMES
from engine.models.base import Learner, Report
from engine.models.guard import Guard, Numbered, Record, record_of
from engine.models.journal import COMMANDS, Entry, Run, encode_entry, head_after, take
from engine.models.lifetime_value import LIFETIME_VALUE, with_cuts
from engine.models.lineup import Lineup
from engine.models.next_best_offer import with_companions, with_popularity
from engine.models.roster import Inputs, learners
from engine.models.scoring import NEXT_BEST_OFFER, OfferScorer
from engine.models.segments import SegmentRule
from engine.models.snapshot import Snapshot, SnapshotMismatch, State, decode_snapshot, decode_state, encode_snapshot, encode_state
from engine.shards.popularity import shares
from engine.store.redis_facts import RedisFacts
from engine.store.redis_learner import Held, ModelCommit, RedisLearnerStore, kept_key
from flows import learn_metrics
from flows.companion_lap import CompanionLap
from flows.cut_points import CutPoints
from flows.policy_rules import PolicyRules

LOG = logging.getLogger("learn")

EXIT_FENCED = 3
BEAT_EVERY_S = 2.0
POPULARITY_S = 2.0
"""Everybody's habit is read again at most this often: it fades over weeks."""

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 2.0


_NUMBERED = msgspec.msgpack.Decoder(Numbered)
_ENCODER = msgspec.msgpack.Encoder()


def product_inputs(horizon_days: float = 28.0, activity_days: float = 28.0) -> Inputs:
    """What the product's own examples hold."""
    return Inputs(NAMES, FINGERPRINT, OFFER_NAMES, CROSS_NAMES, horizon_days, activity_days)


class Learning:
    """The learners with what they have taken since the last commit. Time is given to it, so that tests can.

    `take` and `commit` may fail with `StoreUnavailable` and be called again: nothing is learned twice, and a commit
    whose answer was lost is recognised as written.
    """

    def __init__(
        self,
        store: RedisLearnerStore,
        inputs: Inputs,
        shards: int = 64,
        most: int = 1000,
        spacing_ms: int = 100,
        name: str = "learn",
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        segments: SegmentRule | None = None,
        catalogue: Path | None = None,
        profiling: bool = True,
    ) -> None:
        self._store = store
        self._name = name
        self._shards = shards
        self._most = most
        self._spacing_s = spacing_ms / 1000
        self._wall_ms = wall_ms
        self.lineup = Lineup(lambda: learners(inputs))
        held = store.open(tuple(self.lineup.learners))
        self._head, self._number = held.head, held.number
        self._offsets = {shard: held.offsets.get(shard, "0-0") for shard in (COMMANDS, *range(shards))}
        self._afresh: list[str] = []
        self._kept: dict[str, Numbered] = {}
        for model in self.learners:
            self._restore(model, held)
        self._told = {name: Report(name) for name in self.learners}
        self._told_of_guards = {name: self._record(guard) for name, guard in self.lineup.guards.items()}
        self._runs: list[Run] = []
        self._committing: ModelCommit | None = None
        self._committed_at = self._looked_at = self._beaten_at = float("-inf")
        self._published_at: dict[str, float] = {}
        self._popularity: dict[str, float] = {}
        self._companions = CompanionLap(store, self._last_companions(), profiling)
        facts = RedisFacts(store.client, shards)
        self._cut_points = CutPoints(facts, segments or SegmentRule())
        self._rules = PolicyRules(catalogue, facts) if catalogue is not None else None

    def _last_companions(self) -> Companions:
        """What goes along with what, as it was published last."""
        raw = self._store.snapshot(NEXT_BEST_OFFER)
        try:
            return OfferScorer(decode_snapshot(raw)).companions if raw else NOTHING_KNOWN
        except SnapshotMismatch:
            return NOTHING_KNOWN

    @property
    def learners(self) -> dict[str, Learner]:
        """The learners by name."""
        return self.lineup.learners

    def _restore(self, name: str, held: Held) -> None:
        """Go on as the last commit left it. A model that is new here, or of another make than before, begins afresh."""
        if name not in held.states:
            if held.number:
                self._afresh.append(name)
            return
        try:
            self.learners[name] = self.learners[name].from_state(decode_state(held.states[name]))
        except SnapshotMismatch as mismatch:
            LOG.warning("the model begins afresh", extra={"model": name, "why": str(mismatch)})
            self._afresh.append(name)
            return
        guard = self.lineup.guards.get(name)
        if guard is not None and name in held.guards:
            self._restore_guard(guard, decode_state(held.guards[name]))

    def _restore_guard(self, guard: Guard, state: State) -> None:
        places = {kept_key(guard.model, one.source, one.version): one for one in record_of(state).kept}
        found = {key: _NUMBERED.decode(raw) for key, raw in self._store.kept(list(places)).items()}
        self._kept.update(found)
        guard.restored(state, {(places[key].source, places[key].version): each for key, each in found.items()})

    def _record(self, guard: Guard) -> Record:
        return guard.record(self.learners[guard.source].report())

    @property
    def pending(self) -> int:
        """Examples taken since the last commit."""
        return sum(run.count for run in self._runs)

    def take(self, block_ms: int) -> int:
        """Read and learn one batch; returns how many examples it held. Waits up to `block_ms` where there is none."""
        if self._committing is not None:
            return 0
        found = self._store.read(self._offsets, self._most, block_ms)
        given = take(self.lineup, [(one.shard, one.examples) for one in found])
        learn_metrics.SKIPPED.labels("none", "unreadable").inc(given[""])
        for place, one in enumerate(found):
            self._offsets[one.shard] = one.last
            self._runs.append(Run(one.shard, one.last, len(one.examples), joined=place > 0))
        return sum(len(one.examples) for one in found)

    def due(self, now_s: float) -> bool:
        """Whether there is something to commit and the last commit is long enough ago."""
        wanted = self._committing is not None or bool(self._runs) or bool(self.lineup.touched)
        return wanted and now_s - self._committed_at >= self._spacing_s

    def look_around(self, now_s: float) -> None:
        """Give a sign of life, and read what everybody buys and where customers stand, now and then.

        A change is published with the next commit; cut points go into every shard's own log besides.
        """
        if now_s - self._beaten_at >= BEAT_EVERY_S:
            self._store.beat(self._name)
            self._beaten_at = now_s
        if self._rules is not None and self._rules.look(now_s, self._wall_ms()) and self._rules.judging is not None:
            self._cut_points.rule, self._companions.profiling = self._rules.judging.segments, self._rules.judging.profiling
        if self._cut_points.look(now_s, self._wall_ms()):
            self.lineup.touched.add(LIFETIME_VALUE)
        if now_s - self._looked_at < POPULARITY_S:
            return
        self._looked_at = now_s
        popularity = shares(list(self._store.popularity(range(self._shards))))
        if popularity != self._popularity:
            self._popularity = popularity
            self.lineup.touched.add(NEXT_BEST_OFFER)
        if self._companions.look(now_s, popularity):
            self.lineup.touched.add(NEXT_BEST_OFFER)

    def commit(self, now_s: float) -> None:
        """Write what was learned. Raises `Fenced` where another learner was faster."""
        if self._committing is None:
            self._committing = self._prepared()
        started = time.perf_counter()
        outcome = self._store.commit(self._committing)
        learn_metrics.COMMIT_SECONDS.observe(time.perf_counter() - started)
        learn_metrics.COMMITS.labels(outcome).inc()
        if outcome == "fenced":
            raise Fenced("another learner has committed since")
        self._head, self._number = self._committing.head, self._committing.number
        self._tell(self._committing, now_s)
        self._committed_at = now_s
        self._kept = self._numbers()
        self.lineup.touched -= set(self._committing.states)
        self._committing = None
        self._runs, self._afresh = [], []

    def _tell(self, written: ModelCommit, now_s: float) -> None:
        for name in written.states:
            report = self.learners[name].report()
            learn_metrics.tell(self._told[name], report)
            self._told[name] = report
        for name in written.guards:
            record = self._record(self.lineup.guards[name])
            if not record.frozen:
                self._published_at[name] = now_s
            for note in learn_metrics.tell_served(self._told_of_guards[name], record):
                LOG.warning("what is served has changed", extra={"model": name, "what": note.what, "why": note.why})
            self._told_of_guards[name] = record

    def _numbers(self) -> dict[str, Numbered]:
        """The kept versions of all models, by their keys."""
        return {
            kept_key(name, *which): numbers
            for name, guard in self.lineup.guards.items()
            for which, numbers in guard.numbers.items()
        }

    def _prepared(self) -> ModelCommit:
        at = self._wall_ms()
        self.lineup.settle(at)
        entry = encode_entry(Entry(self._number + 1, tuple(self._runs), tuple(self._afresh), at))
        names = sorted(self.lineup.touched)
        published = {name: self._published(name) for name in names}
        kept = self._numbers()
        return ModelCommit(
            expected=self._head,
            head=head_after(self._head, entry),
            number=self._number + 1,
            entry=entry,
            offsets=dict(self._offsets),
            states={name: encode_state(self.learners[name].state()) for name in names},
            snapshots={name: encode_snapshot(snapshot) for name, snapshot in published.items() if snapshot},
            guards={name: self._guard_bytes(self.lineup.guards[name]) for name in names if name in self.lineup.guards},
            kept={key: _ENCODER.encode(one) for key, one in kept.items() if self._kept.get(key) is not one},
            dropped=sorted(set(self._kept) - set(kept)),
        )

    def _guard_bytes(self, guard: Guard) -> bytes:
        return encode_state(guard.state(self.learners[guard.source].report()))

    def _published(self, name: str) -> Snapshot | None:
        snapshot = self.lineup.published(name)
        if snapshot and name == LIFETIME_VALUE:
            return with_cuts(snapshot, self._cut_points.cuts)
        if snapshot and name == NEXT_BEST_OFFER:
            return with_companions(with_popularity(snapshot, self._popularity), self._companions.companions)
        return snapshot

    def tell_age(self, now_s: float) -> None:
        """Show how old the published numbers are."""
        for name, at in self._published_at.items():
            learn_metrics.AGE.labels(name).set(now_s - at)


class Stop:
    """Set by SIGTERM and Ctrl-C; the learner finishes its commit and returns."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, *_: object) -> None:
        self.asked = True


def run(learning: Learning, stop: Stop, idle_ms: int, clock: Callable[[], float] = time.monotonic) -> None:
    """Learn until asked to stop, and commit what is left. `Fenced` ends it at once.

    While Redis is away nothing is lost: what was learned stays here, and the attempt is repeated with growing waits.
    """
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            learning.look_around(clock())
            if learning.due(clock()) or (stop.asked and learning.pending):
                learning.commit(clock())
            if stop.asked:
                return
            learning.take(idle_ms)
            learning.tell_age(clock())
            wait_s = _FIRST_WAIT_S
        except StoreUnavailable as away:
            LOG.warning("Redis is away", extra={"why": str(away), "again_in_s": wait_s})
            if stop.asked:
                return
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def main(*, redis_url: str) -> int:
    """The command `regulars learn`: 0 after a drain, 3 when fenced."""
    name = os.environ.get("REGULARS_PART", "learn")
    log_to_stderr(name)
    settings = LearnSettings()
    policy = load_catalogue(settings.catalogue).policy
    inputs = product_inputs(float(policy.churn.horizon_days), float(policy.churn.activity_days))
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    store = RedisLearnerStore(redis_url)
    try:
        learning = _opened(store, inputs, settings, policy, stop, name)
        if learning is not None:
            run(learning, stop, settings.learn_idle_ms)
    except Fenced as fenced:
        LOG.warning("fenced", extra={"why": str(fenced)})
        return EXIT_FENCED
    finally:
        store.close()
    return 0


def _opened(
    store: RedisLearnerStore, inputs: Inputs, settings: LearnSettings, policy: Policy, stop: Stop, name: str
) -> Learning | None:
    """The learners as the last commit left them; waits for Redis, None if asked to stop meanwhile."""
    wait_s = _FIRST_WAIT_S
    while not stop.asked:
        try:
            return Learning(
                store,
                inputs,
                settings.shards,
                settings.learn_batch_examples,
                settings.learn_publish_ms,
                name,
                segments=policy.value.segments,
                catalogue=settings.catalogue,
                profiling=policy.consent.profiling_by_default,
            )
        except StoreUnavailable as away:
            LOG.warning("Redis is away", extra={"why": str(away), "again_in_s": wait_s})
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
    return None
