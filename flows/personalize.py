"""The engine process: events in, profiles, labels and offsets out.

Bytewax schedules and Redis holds the state. The dataflow has three steps, and each is a thin adapter around something
that knows nothing of Bytewax: read batches, process them, write their commits. There is no recovery store: a process
that is killed starts again at the offset that its last commit left.
"""

import logging
import os
import signal
import time
from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from config.catalogue_files import load_catalogue
from config.logging import log_to_stderr
from config.memory import YOUNG_OF_BATCHES, settle_memory
from config.settings import EngineSettings, RetentionSettings
from engine.decisioning.loyalty import NO_PROGRAMME
from engine.errors import Fenced, StoreUnavailable
from engine.moments import DAY, SECOND
from engine.shards.judging import Judging
from engine.shards.labels import ChurnRule, Labels
from engine.shards.leads import OPEN
from engine.shards.processor import ShardProcessor
from engine.shards.tiers import members, programme_in
from engine.store.redis_writer import RedisStore
from flows import metrics
from flows.owner import Owner
from flows.policy_rules import judging_of
from flows.sinks import Commits, CommitSink
from flows.sources import EventSource, Streams

FENCED_EXIT = 3
_LOG = logging.getLogger("regulars.engine")


class Upkeep:
    """What an engine does beside its events: signs of life, gauges, retention, leftovers of the outbox."""

    def __init__(self, name: str, store: RedisStore, owner: Owner, retention: RetentionSettings) -> None:
        self._name, self._store, self._owner, self._retention = name, store, owner, retention
        self._beaten = self._measured = float("-inf")
        self._trimmed = time.monotonic()

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._measured >= 1.0:
            self._measured = now
            shards = list(self._owner.shards.values())
            watermark = max((shard.record.watermark for shard in shards), default=0)
            metrics.gauge([shard.record.totals for shard in shards], sum(len(shard.timers) for shard in shards), watermark)
            metrics.tell_segments([shard.histogram.groups() for shard in shards])
            counts = [shard.histogram.counts() for shard in shards]
            metrics.tell_members([members(one) for one in counts], programme_in(shards[0].references) if shards else NO_PROGRAMME)
            metrics.tell_tills([shard.numbers for shard in shards])
            metrics.LEADS.set(sum(one.get(OPEN, 0) for one in counts))
        try:
            if now - self._beaten >= 2.0:
                self._beaten = now
                self._store.beat(self._name)
                for number in list(self._owner.unrelayed):
                    while self._store.relay(number):
                        continue
                    self._owner.unrelayed.discard(number)
            if now - self._trimmed >= 60.0:
                self._trimmed = now
                self._trim()
        except StoreUnavailable as error:
            _LOG.warning("upkeep is put off", extra={"error": str(error)})

    def _trim(self) -> None:
        now = int(time.time() * 1000)
        kept = self._retention
        before = {
            "events": now - kept.stream_days * DAY,
            "dead": now - kept.dead_letters_days * DAY,
            "decisions": now - kept.decisions_days * DAY,
        }
        self._store.trim(list(self._owner.shards), before)


def dataflow(source: EventSource, owner: Owner, sink: CommitSink) -> Dataflow:
    """events → commits."""
    flow = Dataflow("personalize")
    batches = op.input("events", flow, source)
    commits = op.flat_map_batch("shards", batches, owner.process)
    op.output("commits", commits, sink)
    return flow


def open_owner(
    store: RedisStore,
    settings: EngineSettings,
    churn: ChurnRule,
    start: Judging | None = None,
) -> Owner:
    """The shards of this process, as their last commits left them. `start` holds until their log says otherwise."""
    processor = ShardProcessor(Labels(churn), settings.allowed_lateness_s * SECOND, settings.shards, start)
    return Owner(store, processor, settings.owned_shards(), settings.cache_customers)


def main(redis_url: str, engines: int, engine_index: int) -> int:
    """Run until SIGTERM, which finishes the batch in hand and exits 0. Fenced: 3."""
    name = os.environ.get("REGULARS_PART", "engine")
    log_to_stderr(name)
    settings = EngineSettings(engines=engines, engine_index=engine_index)
    stop = _Stop()
    store = RedisStore(redis_url)
    owner = _opened(store, settings, *_rules(settings.catalogue), stop)
    if owner is None:
        return 0
    upkeep = Upkeep(name, store, owner, RetentionSettings())
    source = EventSource(lambda: Streams(store, owner, settings.batch_events, settings.idle_block_ms, stop.asked_for, upkeep))
    flow = dataflow(source, owner, CommitSink(lambda: Commits(store, owner)))
    settle_memory(YOUNG_OF_BATCHES)
    _LOG.info("the engine has opened its shards", extra={"shards": len(owner.shards)})
    try:
        cli_main(flow)  # type: ignore[no-untyped-call]
    except Fenced as error:
        return _fenced(error)
    except RuntimeError as error:
        cause = _cause(error)
        if isinstance(cause, Fenced):
            return _fenced(cause)
        raise
    return 0


class _Stop:
    """Remembers that a drain was asked for."""

    def __init__(self) -> None:
        self._asked = False
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def _ask(self, *_: object) -> None:
        self._asked = True

    def asked_for(self) -> bool:
        return self._asked


def _opened(store: RedisStore, settings: EngineSettings, churn: ChurnRule, start: Judging, stop: _Stop) -> Owner | None:
    while not stop.asked_for():
        try:
            store.claim(settings.shards)
            owner = open_owner(store, settings, churn, start)
        except StoreUnavailable as error:
            _LOG.warning("waiting for the store", extra={"error": str(error)})
            time.sleep(0.2)
            continue
        owner.unrelayed.update(owner.shards)
        return owner
    return None


def _rules(folder: Path) -> tuple[ChurnRule, Judging]:
    policy = load_catalogue(folder).policy
    start = judging_of(policy)
    return ChurnRule(horizon_days=policy.churn.horizon_days, profiling=start.profiling), start


def _fenced(error: Fenced) -> int:
    metrics.FENCED.inc()
    _LOG.error("another owner has these shards; stopping", extra={"error": str(error)})
    return FENCED_EXIT


def _cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
