"""Where batches come from: the event streams of all shards that this process owns, as one Bytewax partition.

The start offset comes from the store, which commits it together with the state; Bytewax's own resume state is not used,
since two sources of truth are none. While behind, the source reads without waiting; when idle, one read blocks on all
streams at once for a few milliseconds, because blocking reads of single streams would add up.
"""

import time
from collections.abc import Callable

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from engine.errors import StoreUnavailable
from engine.shards.commit import Batch, Entry
from engine.store.redis_writer import RedisStore
from flows.owner import Owner

MOST_AT_ONCE = 16_000
"""Entries of one round over all shards: large rounds touch each profile less often; a round takes about a second."""
TICK_EVERY_S = 1.0


class Streams(StatefulSourcePartition[Batch, None]):
    """All streams of this process; one item a batch."""

    def __init__(
        self, store: RedisStore, owner: Owner, most: int, block_ms: int, stopping: Callable[[], bool], upkeep: Callable[[], None]
    ) -> None:
        self._store = store
        self._owner = owner
        self._at = owner.offsets
        self._most = max(1, min(most, MOST_AT_ONCE // max(len(self._at), 1)))
        self._block_ms = block_ms
        self._stopping = stopping
        self._upkeep = upkeep
        self._behind = True
        self._ticked = time.monotonic()

    def next_batch(self) -> list[Batch]:
        """What has arrived; StopIteration once a drain was asked for."""
        if self._stopping():
            raise StopIteration
        self._upkeep()
        try:
            batches = self._store.read(self._at, self._most, 0 if self._behind else self._block_ms)
            self._behind = any(len(batch.entries) == self._most for batch in batches)
            if not self._behind:
                self._tick({batch.shard for batch in batches})
        except StoreUnavailable:
            time.sleep(0.2)
            return []
        for batch in batches:
            self._at[batch.shard] = batch.entries[-1].id
        return batches

    def _tick(self, busy: set[int]) -> None:
        """Move time on, by an entry of the log, in idle shards that follow the present and have something due.

        A shard is idle by itself: the messages of its customers do not wait for the others to fall silent.
        """
        if time.monotonic() - self._ticked < TICK_EVERY_S:
            return
        self._ticked = time.monotonic()
        now = int(time.time() * 1000)
        due = [
            (number, Entry("", tick=now))
            for number, shard in self._owner.shards.items()
            if number not in busy
            and shard.record.live
            and shard.timers.next_due is not None
            and shard.timers.next_due <= now - self._owner.lateness_ms
        ]
        if due:
            self._store.append(due)

    def snapshot(self) -> None:
        """Nothing: the store knows."""
        return None


class EventSource(FixedPartitionedSource[Batch, None]):
    """The partition of this process."""

    def __init__(self, build: Callable[[], Streams]) -> None:
        self._build = build

    def list_parts(self) -> list[str]:
        return ["shards"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> Streams:
        return self._build()
