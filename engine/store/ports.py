"""What a store promises. An adapter that passes the conformance suite is a store; one that does not is none."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from engine.shards.commit import Batch, Commit, Entry, Loaded, Needs, Opened, Outcome


class EventLog(Protocol):
    """Events by shard, in the order in which they were accepted."""

    def append(self, entries: Sequence[tuple[int, Entry]]) -> list[str]:
        """Durably append; returns the ids given. `Entry.id` is ignored."""
        ...

    def read(self, after: Mapping[int, str], most: int, block_ms: int) -> list[Batch]:
        """At most `most` entries of each shard after the ids given; waits up to `block_ms` for the first (0: not at all)."""
        ...


class ShardStore(Protocol):
    """State of shards, changed by commits only."""

    def open(self, shard: int) -> Opened:
        """The shard as the last commit left it."""
        ...

    def load(self, needs: Sequence[Needs]) -> list[Loaded]:
        """What the batches need, in one round trip; what is not held is absent from the answer."""
        ...

    def commit(self, commits: Sequence[Commit]) -> list[Outcome]:
        """Each commit atomically, in order.

        "already": this owner wrote it before. "fenced": another owner was faster, and nothing changed. An owner whose
        offset another one has passed or even met is stale, since what it loaded since may be newer than its offset.
        """
        ...
