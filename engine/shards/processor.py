"""From a batch of entries to one commit.

Theory of operation. A shard's owner holds a `Shard`: offset, watermark, timers and a cache of profiles. A batch is handled
in three steps: `prepare` decodes and says what it needs, the store loads that, `process` folds entry by entry and
returns the commit. The `Shard` is then ahead of the store until the commit is acknowledged; commits of a shard form a chain, each
expecting the offset before it.

Everything is ruled by event time, one event at a time, so cutting the log into other batches changes nothing:
before an event is folded its customer is scored at every boundary that has passed; after it the watermark moves and
whatever is due by then happens, in order of (due, tag).
"""

from engine.errors import Rejected
from engine.events.decode import decode_canonical, times_of
from engine.shards.commit import Batch, Commit, Facts, Loaded, Needs, seen_week
from engine.shards.folding import Folding
from engine.shards.handover import Handover
from engine.shards.judging import Judging
from engine.shards.labels import Labels
from engine.shards.moving import BRINGS_OFFERS
from engine.shards.reading import Prepared, Read
from engine.shards.shard import Shard
from engine.shards.tills import receipts_in
from engine.shards.timers import WAITING, parsed


class ShardProcessor:
    """Processes batches; holds rules but no state of its own. `lateness_ms` is how long the watermark waits for stragglers."""

    def __init__(
        self,
        labels: Labels,
        lateness_ms: int,
        shards: int,
        start: Judging | None = None,
    ) -> None:
        self._labels = labels
        self._start = start or Judging(profiling=labels.profiling)
        self._handover = Handover(shards)
        self.lateness_ms = lateness_ms

    def prepare(self, shard: Shard, batch: Batch) -> Prepared:
        """Decode, and name all profiles, duplicate records and waiting readings that may be touched."""
        entries: list[Read] = []
        keys: dict[str, int] = {}
        pairs: dict[tuple[str, int], None] = {}
        receipts: list[str] = []
        waiting: list[str] = []
        reach = shard.record.watermark
        for entry in batch.entries:
            if entry.tick:
                reach = max(reach, entry.tick - self.lateness_ms)
                entries.append(Read(None))
                continue
            event, key = decode_canonical(entry.event), entry.key
            at, arrived, ahead = (0, 0, False) if isinstance(event, Rejected) else times_of(event)
            if type(event) in BRINGS_OFFERS:
                waiting.extend(shard.timers.offers_of(key))
            week = seen_week(arrived)
            entries.append(Read(event, at, arrived, ahead, week))
            if keys.get(key) != week:
                keys[key] = week
                pairs[key, week] = pairs[key, week - 1] = None
            if key[0] == "w":
                receipts.extend(receipts_in(event))
            if not ahead and at - self.lateness_ms > reach:
                reach = at - self.lateness_ms
        for tag in shard.timers.coming(reach):
            kind, _, customer = parsed(tag)
            keys.setdefault(customer, -1)
            if kind in WAITING:
                waiting.append(tag)
        found = tuple(dict.fromkeys(receipts))
        needs = Needs(batch.shard, shard.missing(keys), shard.missing_seen(pairs), tuple(waiting), found)
        return Prepared(batch, entries, needs)

    def process(self, shard: Shard, prepared: Prepared, loaded: Loaded) -> Commit:
        """Fold the batch. The commit holds all that changed; `shard` is ahead of the store until it is acknowledged."""
        shard.take(loaded, prepared.needs)
        before = shard.record
        commit = Commit(
            shard.number,
            shard.offset,
            prepared.batch.entries[-1].id,
            before,
            owner=shard.owner,
            facts=Facts(before=before.totals),
        )
        folding = Folding(self._labels, self._start, self._handover, self.lateness_ms, shard, commit, loaded)
        for entry, read in zip(prepared.batch.entries, prepared.entries, strict=True):
            folding.entry(entry, read)
        folding.end()
        shard.record, shard.offset = commit.record, commit.offset
        shard.inflight.append(commit)
        shard.trim()
        return commit
