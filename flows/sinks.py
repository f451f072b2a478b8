"""Where commits go: one atomic, fenced write each, flushed before the sink returns."""

import time
from collections.abc import Callable

from bytewax.outputs import DynamicSink, StatelessSinkPartition

from engine.errors import StoreUnavailable
from engine.shards.commit import Commit
from engine.store.redis_writer import RedisStore, leaves_something
from flows import metrics
from flows.owner import Owner


class Commits(StatelessSinkPartition[Commit]):
    """Writes the commits it is given, counts them, and passes on what they left for other shards."""

    def __init__(self, store: RedisStore, owner: Owner) -> None:
        self._store = store
        self._owner = owner

    def write_batch(self, items: list[Commit]) -> None:
        started = time.perf_counter()
        self._owner.write(items)
        metrics.COMMIT_SECONDS.observe(time.perf_counter() - started)
        now_ms = int(time.time() * 1000)
        for commit in items:
            metrics.count(commit, now_ms)
        for number in {commit.shard for commit in items if leaves_something(commit)}:
            self._relay(number)

    def _relay(self, shard: int) -> None:
        try:
            while self._store.relay(shard):
                continue
        except StoreUnavailable:
            self._owner.unrelayed.add(shard)


class CommitSink(DynamicSink[Commit]):
    """The sink of this process's only worker."""

    def __init__(self, build: Callable[[], Commits]) -> None:
        self._build = build

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Commits:
        return self._build()
