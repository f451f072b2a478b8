"""A store in memory: the oracle of the conformance suite, and the runner of evaluations and property tests."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from engine.events.reference import Reference
from engine.ids import is_after
from engine.shards.baskets import MOST_KEPT as MOST_BASKETS
from engine.shards.commit import Batch, Commit, DeadLetter, Entry, Loaded, Needs, Opened, Outcome, Outgoing, ShardRecord
from engine.shards.timeline import MOST_KEPT
from engine.store.codec import (
    decode_complaints,
    decode_day,
    decode_profile,
    decode_receipt,
    decode_sums,
    encode_complaints,
    encode_day,
    encode_profile,
    encode_receipt,
    encode_sums,
)


class MemoryStore:
    """Keeps profiles as bytes, like every other store, so that nothing unstorable goes unnoticed."""

    def __init__(self) -> None:
        self.log: dict[int, list[Entry]] = defaultdict(list)
        self.offsets: dict[int, str] = {}
        self.owners: dict[int, str] = {}
        self.records: dict[int, ShardRecord] = {}
        self.profiles: dict[tuple[int, str], bytes] = {}
        self.seen: dict[tuple[int, str, int], bytes] = {}
        self.waiting: dict[tuple[int, str], bytes] = {}
        self.timers: dict[int, dict[str, int]] = defaultdict(dict)
        self.gone: dict[int, set[bytes]] = defaultdict(set)
        self.popularity: dict[int, dict[str, tuple[float, int]]] = defaultdict(dict)
        self.histogram: dict[int, dict[str, int]] = defaultdict(dict)
        self.references: dict[int, dict[str, Reference]] = defaultdict(dict)
        self.lift: dict[int, dict[tuple[str, str], bytes]] = defaultdict(dict)
        self.examples: dict[int, list[bytes]] = defaultdict(list)
        self.dead: dict[int, list[DeadLetter]] = defaultdict(list)
        self.outbox: dict[int, list[Outgoing]] = defaultdict(list)
        self.decisions: dict[int, list[bytes]] = defaultdict(list)
        self.actions: dict[int, list[bytes]] = defaultdict(list)
        self.leads: dict[int, dict[str, bytes]] = defaultdict(dict)
        self.timeline: dict[tuple[int, str], list[bytes]] = {}
        self.reached: dict[tuple[int, str], set[str]] = {}
        self.complaints: dict[int, dict[str, bytes]] = defaultdict(dict)
        self.receipts: dict[tuple[int, str], bytes] = {}
        self.days: dict[int, dict[str, bytes]] = defaultdict(dict)
        self.baskets: dict[int, list[bytes]] = defaultdict(list)

    def append(self, entries: Sequence[tuple[int, Entry]]) -> list[str]:
        ids = []
        for shard, entry in entries:
            log = self.log[shard]
            stamped = Entry(f"1-{len(log) + 1}", entry.event, entry.fingerprint, entry.key, entry.tick)
            log.append(stamped)
            ids.append(stamped.id)
        return ids

    def read(self, after: Mapping[int, str], most: int, block_ms: int) -> list[Batch]:
        batches = []
        for shard, last in after.items():
            start = int(last.partition("-")[2] or 0)
            taken = tuple(self.log[shard][start : start + most])
            if taken:
                batches.append(Batch(shard, taken))
        return batches

    def open(self, shard: int) -> Opened:
        return Opened(
            shard,
            self.offsets.get(shard, "0-0"),
            self.records.get(shard, ShardRecord()),
            dict(self.timers[shard]),
            frozenset(self.gone[shard]),
            dict(self.popularity[shard]),
            histogram=dict(self.histogram[shard]),
            references=dict(self.references[shard]),
            complaints={cell: decode_complaints(raw) for cell, raw in self.complaints[shard].items()},
            days={name: decode_day(raw) for name, raw in self.days[shard].items()},
            lift={arm: decode_sums(raw) for arm, raw in self.lift[shard].items()},
        )

    def load(self, needs: Sequence[Needs]) -> list[Loaded]:
        return [
            Loaded(
                {
                    key: decode_profile(key, self.profiles[need.shard, key])
                    for key in need.profiles
                    if (need.shard, key) in self.profiles
                },
                {pair: self.seen[need.shard, *pair] for pair in need.seen if (need.shard, *pair) in self.seen},
                {tag: self.waiting[need.shard, tag] for tag in need.waiting if (need.shard, tag) in self.waiting},
                {
                    name: decode_receipt(self.receipts[need.shard, name])
                    for name in need.receipts
                    if (need.shard, name) in self.receipts
                },
            )
            for need in needs
        ]

    def commit(self, commits: Sequence[Commit]) -> list[Outcome]:
        return [self._commit(commit) for commit in commits]

    def _commit(self, commit: Commit) -> Outcome:
        shard = commit.shard
        held = self.offsets.get(shard, "0-0")
        if held != commit.expected:
            again = held == commit.offset and self.owners[shard] == commit.owner
            return "already" if again else "fenced"
        if not is_after(commit.offset, held):
            return "fenced"
        self.offsets[shard] = commit.offset
        self.owners[shard] = commit.owner
        self.records[shard] = commit.record
        for key, profile in commit.profiles.items():
            self.profiles[shard, key] = encode_profile(profile)
        for (key, week), raw in commit.seen.items():
            self.seen[shard, key, week] = self.seen.get((shard, key, week), b"") + raw
        for key, week in commit.unseen:
            self.seen.pop((shard, key, week), None)
        for key, name in commit.erased.items():
            self.profiles.pop((shard, key), None)
            self.timeline.pop((shard, key), None)
            self.gone[shard].add(name)
        for tag, raw in commit.waiting.items():
            self.waiting[shard, tag] = raw
        for tag in commit.waiting_done:
            self.waiting.pop((shard, tag), None)
        for tag in commit.timers_done:
            self.timers[shard].pop(tag, None)
        self.timers[shard].update(commit.timers)
        self.popularity[shard].update(commit.popularity)
        self.histogram[shard].update(commit.histogram)
        for place in [place for place, count in commit.histogram.items() if not count]:
            self.histogram[shard].pop(place, None)
        self.references[shard].update(commit.references)
        self.lift[shard].update((arm, encode_sums(sums)) for arm, sums in commit.lift.items())
        self.examples[shard].extend(commit.examples)
        self.dead[shard].extend(commit.dead)
        self.outbox[shard].extend(going for going in commit.outbox if going.event)
        self.decisions[shard].extend(commit.decisions)
        self.actions[shard].extend(commit.actions)
        self.baskets[shard] = [*self.baskets[shard], *commit.baskets][-MOST_BASKETS:]
        self.leads[shard].update(commit.leads)
        for key in [key for key, raw in commit.leads.items() if not raw]:
            self.leads[shard].pop(key, None)
        for key, lines in commit.timeline.items():
            self.timeline[shard, key] = [*self.timeline.get((shard, key), ()), *lines][-MOST_KEPT:]
        for digest, key, is_so in commit.reached:
            found = self.reached.setdefault((shard, digest), set())
            (found.add if is_so else found.discard)(key)
            if not found:
                del self.reached[shard, digest]
        self.complaints[shard].update((cell, encode_complaints(sums)) for cell, sums in commit.complaints.items())
        self.receipts.update(((shard, name), encode_receipt(one)) for name, one in commit.receipts.items())
        self.days[shard].update((name, encode_day(day)) for name, day in commit.days.items() if day is not None)
        for gone in [name for name, day in commit.days.items() if day is None]:
            self.days[shard].pop(gone, None)
        return "written"

    def profile(self, shard: int, key: str) -> bytes | None:
        """The stored bytes of one profile."""
        return self.profiles.get((shard, key))
