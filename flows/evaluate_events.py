"""What every evaluation walks: events of a source through the door, the shard processor and the store, in a plain loop.

The store is the one in memory and the shard is one; everything else is what a running engine does. Time is that of the
events: each is received when it happened.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from engine.errors import RegularsError, Rejected
from engine.events.decode import time_of
from engine.events.orders import OrderCompleted
from engine.events.pos import PosTransactionCompleted
from engine.events.routing import Admitted, admit
from engine.models.base import Example
from engine.models.evaluation import Figure
from engine.models.snapshot import Numbers
from engine.moments import Millis
from engine.profiles.profile import Profile
from engine.shards.commit import Batch, Entry
from engine.shards.labels import ChurnRule, Labels
from engine.shards.popularity import shares
from engine.shards.processor import ShardProcessor
from engine.store.memory import MemoryStore
from flows.owner import Owner
from flows.replay_source import Sendable, Source

FIRST_WEEKS = 13
"""Weeks of data before the first prediction counts."""

REPLICATES = 200
_BATCH = 500
_SHARD = 0
_EXAMPLE = msgspec.msgpack.Decoder(Example)


class NothingToMeasure(RegularsError):
    """The data is too short or too uniform for any figure."""


class Walk:
    """An engine in this process. `events` counts what was folded, `rejected` what the door refused."""

    def __init__(self, rule: ChurnRule) -> None:
        self._store = MemoryStore()
        self._owner = Owner(self._store, ShardProcessor(Labels(rule), lateness_ms=0, shards=1), [_SHARD], most_cached=10**9)
        self.events = 0
        self.rejected = 0

    def admit(self, sent: Sequence[Sendable]) -> list[Admitted]:
        """The events as the door takes them, without those that it refuses."""
        taken = [one for one in map(taken_at_the_door, sent) if one is not None]
        self.rejected += len(sent) - len(taken)
        return taken

    def fold(self, taken: Sequence[Admitted]) -> None:
        """One batch, processed and written."""
        if not taken:
            return
        numbered = enumerate(taken, self.events + 1)
        entries = tuple(Entry(f"1-{number}", one.entry, one.fingerprint, one.key) for number, one in numbered)
        self._owner.write(self._owner.process([Batch(_SHARD, entries)]))
        self.events += len(entries)

    def profile(self, key: str) -> Profile:
        """The customer as of the last batch; an empty profile for a stranger."""
        shard = self._owner.shards[_SHARD]
        return Profile(key) if shard.missing((key,)) else shard.profile(key)

    def popularity(self) -> dict[str, float]:
        """Everybody's share of purchases by category, as of the last batch."""
        return shares([self._store.popularity[_SHARD]])

    def examples(self) -> list[Example]:
        """The examples that closed since this was last asked, in order of closing."""
        return [_EXAMPLE.decode(raw) for raw in self._store.examples.pop(_SHARD, [])]


def first_purchase(source: Source) -> int:
    """Weeks are counted from here: what is known of customers before they buy (a campaign they are in) tells no habit."""
    for one in source.events():
        taken = taken_at_the_door(one)
        if taken is not None and isinstance(taken.event, OrderCompleted | PosTransactionCompleted):
            return time_of(taken.event)
    raise NothingToMeasure("nobody buys anything in this data")


def batches(source: Source) -> Iterator[list[Sendable]]:
    """The events of a source, some hundred at a time."""
    events = source.events()
    while batch := list(islice(events, _BATCH)):
        yield batch


def taken_at_the_door(sent: Sendable) -> Admitted | None:
    """The event as the door would take it, received when it happened; None for one that the door refuses."""
    try:
        body: Any = orjson.loads(sent.raw)
    except ValueError:
        return None
    taken = admit(body, Millis(sent.at), backfill=True)
    return None if isinstance(taken, Rejected) else taken


def mean_with_interval(values: Numbers, customers: NDArray[np.intp], replicates: int = REPLICATES, seed: int = 0) -> Figure:
    """A mean over rows with its 95 % percentile bootstrap interval; customers are drawn, each with all of their rows."""
    sums, rows = np.bincount(customers, values), np.bincount(customers)
    drawn = np.random.default_rng(seed).multinomial(len(rows), np.full(len(rows), 1.0 / len(rows)), size=replicates)
    low, high = np.quantile((drawn @ sums) / np.maximum(drawn @ rows, 1), [0.025, 0.975])
    return Figure(float(values.mean()), float(low), float(high))


def told(figure: Figure) -> str:
    """A figure as tables show it."""
    return f"{figure.value:.4f} [{figure.low:.4f}, {figure.high:.4f}]"
