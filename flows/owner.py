"""The owner of shards: processes batches and writes their commits, whatever drives it.

Bytewax drives it in the engine process, a plain loop in evaluations and as the oracle of tests. Both call `process` and
then `write`; between the two the shards are ahead of the store.
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from engine.errors import Fenced, StoreUnavailable
from engine.ids import stream_order
from engine.shards.commit import Batch, Commit
from engine.shards.processor import ShardProcessor
from engine.shards.shard import Shard
from engine.store.ports import ShardStore
from flows.metrics import STORE_RETRIES

Answer = TypeVar("Answer")
_LOG = logging.getLogger("regulars.engine")
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.05, 2.0


class Owner:
    """Shards in the hands of one process."""

    def __init__(self, store: ShardStore, processor: ShardProcessor, shards: Iterable[int], most_cached: int = 50_000) -> None:
        self._store = store
        self._processor = processor
        self.lateness_ms = processor.lateness_ms
        self.unrelayed: set[int] = set()
        numbers = list(shards)
        each = max(most_cached // max(len(numbers), 1), 100)
        name = uuid.uuid4().hex
        self.shards = {number: Shard(store.open(number), each, name) for number in numbers}

    @property
    def offsets(self) -> dict[int, str]:
        """The last entry processed of each shard, committed or on its way."""
        return {number: shard.offset for number, shard in self.shards.items()}

    def process(self, batches: Sequence[Batch]) -> list[Commit]:
        """One commit a batch; all that the batches need is loaded in one round trip.

        Two batches of one shard are taken one after the other, since the second needs what the first leaves.
        """
        if len({batch.shard for batch in batches}) < len(batches):
            return [commit for batch in batches for commit in self.process([batch])]
        fresh = [trimmed for batch in batches if (trimmed := self._after_offset(batch)) is not None]
        prepared = [self._processor.prepare(self.shards[batch.shard], batch) for batch in fresh]
        loaded = _patiently(lambda: self._store.load([one.needs for one in prepared])) if prepared else []
        return [
            self._processor.process(self.shards[one.batch.shard], one, answer)
            for one, answer in zip(prepared, loaded, strict=True)
        ]

    def _after_offset(self, batch: Batch) -> Batch | None:
        last = stream_order(self.shards[batch.shard].offset)
        if stream_order(batch.entries[0].id) > last:
            return batch
        entries = tuple(entry for entry in batch.entries if stream_order(entry.id) > last)
        return Batch(batch.shard, entries) if entries else None

    def write(self, commits: Sequence[Commit]) -> None:
        """Write commits in order, again and again while the store is away: one that had landed answers "already".

        Raises `Fenced` when another owner was faster. What this one holds is stale then, and it has to stop.
        """
        outcomes = _patiently(lambda: self._store.commit(commits))
        for commit, outcome in zip(commits, outcomes, strict=True):
            if outcome == "fenced":
                raise Fenced(f"shard {commit.shard}: another owner has committed after {commit.expected}")
            self.shards[commit.shard].acknowledged(commit)


def _patiently(call: Callable[[], Answer]) -> Answer:
    wait = _FIRST_WAIT_S
    while True:
        try:
            return call()
        except StoreUnavailable as error:
            STORE_RETRIES.inc()
            _LOG.warning("the store does not answer; trying again", extra={"wait_s": wait, "error": str(error)})
            time.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_S)
