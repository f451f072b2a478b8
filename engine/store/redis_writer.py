"""The event log and the shard store on Redis, for the flow: blocking calls, few commands, one script a commit."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import chain
from secrets import token_bytes
from typing import Any, cast

import redis
from redis.exceptions import NoScriptError, RedisError

from engine.errors import InvariantBroken, Rejected, StoreUnavailable
from engine.shards.baskets import MOST_KEPT as MOST_BASKETS
from engine.shards.commit import Batch, Commit, Entry, Loaded, Needs, Opened, Outcome, Outgoing, ShardRecord
from engine.shards.receipts import KEPT_SECONDS
from engine.shards.timeline import MOST_KEPT
from engine.store import keys
from engine.store.codec import (
    arm_field,
    arm_of,
    decode_complaints,
    decode_day,
    decode_pair,
    decode_profile,
    decode_receipt,
    decode_record,
    decode_reference,
    decode_sums,
    encode_complaints,
    encode_day,
    encode_pair,
    encode_profile,
    encode_receipt,
    encode_record,
    encode_reference,
    encode_sums,
    encode_told,
)
from engine.store.redis_budget import MARK, note_spent

SEEN_SECONDS = 15 * 86_400
MOST_TOGETHER = 200
"""Profiles in one transaction."""
_COMMIT, _TO_OBEY, _SETTLE = (
    files("engine.store").joinpath(f"lua/{name}.lua").read_text() for name in ("shard_commit", "append_pending", "settle_pending")
)


class RedisStore:
    """One connection of the flow. Every failure to reach Redis is a `StoreUnavailable`."""

    def __init__(self, url: str) -> None:
        self.client: redis.Redis = redis.Redis.from_url(url, protocol=2, socket_timeout=30.0)
        # Entries are read as they come: the client library's way through dicts costs as much as folding them.
        self.client.set_response_callback("XREAD", _as_it_comes)
        self._commit_sha = ""
        self._salt = b""

    def append(self, entries: Sequence[tuple[int, Entry]]) -> list[str]:
        with _Reaching():
            pipe = self.client.pipeline(transaction=False)
            for shard, entry in entries:
                pipe.xadd(keys.events(shard), _fields(entry))  # type: ignore[arg-type]
            return [name.decode() for name in pipe.execute()]

    def read(self, after: Mapping[int, str], most: int, block_ms: int) -> list[Batch]:
        names = {keys.events(shard).encode(): shard for shard in after}
        streams = {keys.events(shard): last for shard, last in after.items()}
        with _Reaching():
            answer = self.client.xread(streams, count=most, block=block_ms or None)  # type: ignore[arg-type]
        found = cast("list[tuple[bytes, list[tuple[bytes, list[bytes]]]]]", answer or [])
        return [Batch(names[name], tuple([_entry(*one) for one in entries])) for name, entries in found]

    def open(self, shard: int) -> Opened:
        with _Reaching():
            pipe = self.client.pipeline(transaction=True)
            pipe.get(keys.offset(shard))
            pipe.get(keys.record(shard))
            pipe.zrange(keys.timers(shard), 0, -1, withscores=True)
            pipe.smembers(keys.gone(shard))
            pipe.hgetall(keys.popularity(shard))
            pipe.hgetall(keys.lift(shard))
            pipe.hgetall(keys.histogram(shard))
            pipe.hgetall(keys.references(shard))
            pipe.hgetall(keys.complaints(shard))
            pipe.hgetall(keys.days(shard))
            offset, record, timers, gone, popularity, lift, histogram, references, complaints, days = pipe.execute()
        return Opened(
            shard,
            offset.decode() if offset else "0-0",
            decode_record(keys.record(shard), record) if record else ShardRecord(),
            {tag.decode(): int(due) for tag, due in timers},
            frozenset(gone),
            {name.decode(): decode_pair(raw) for name, raw in popularity.items()},
            self._salt or self._salted(),
            {name.decode(): int(count) for name, count in histogram.items()},
            {name.decode(): decode_reference(raw) for name, raw in references.items()},
            lift={arm_of(name): decode_sums(raw) for name, raw in lift.items()},
            complaints={cell.decode(): decode_complaints(raw) for cell, raw in complaints.items()},
            days={name.decode(): decode_day(raw) for name, raw in days.items()},
        )

    def load(self, needs: Sequence[Needs]) -> list[Loaded]:
        wanted: list[str] = []
        for need in needs:
            wanted += [keys.profile(need.shard, key) for key in need.profiles]
            wanted += _seen(need.shard, need.seen)
            wanted += [keys.waiting(need.shard, tag) for tag in need.waiting]
            wanted += [keys.receipt(need.shard, name) for name in need.receipts]
        if not wanted:
            return [Loaded() for _ in needs]
        with _Reaching():
            answers = iter(cast("list[bytes | None]", self.client.mget(wanted)))
        return [_loaded(need, answers) for need in needs]

    def commit(self, commits: Sequence[Commit]) -> list[Outcome]:
        with _Reaching():
            if not self._commit_sha:
                self._commit_sha = self.client.script_load(_COMMIT)
            try:
                return self._evaluate(commits)
            except NoScriptError:
                self._commit_sha = self.client.script_load(_COMMIT)
                return self._evaluate(commits)

    def relay(self, shard: int) -> int:
        """Pass on what the shard's commits left for other shards; returns how many.

        A crash in between passes them on again; the receiver knows a repeat by its fingerprint.
        """
        with _Reaching():
            waiting = cast("list[tuple[bytes, dict[bytes, bytes]]]", self.client.xrange(keys.outbox(shard), count=1000))
            if not waiting:
                return 0
            pipe = self.client.pipeline(transaction=False)
            for _, fields in waiting:
                if MARK in fields[b"e"]:
                    note_spent(self.client, int(fields[b"s"]), fields[b"k"].decode(), fields[b"e"])
            for _, fields in waiting:
                _pass_on(pipe, shard, fields)
            pipe.execute()
            self.client.xdel(keys.outbox(shard), *(name for name, _ in waiting))
        return len(waiting)

    def claim(self, shards: int) -> None:
        """Write the shard count at first start. Raises `InvariantBroken` where the store was started with another one."""
        with _Reaching():
            self.client.hsetnx(keys.META, "shards", str(shards))
            held = int(cast("bytes", self.client.hget(keys.META, "shards")))
        if held != shards:
            raise InvariantBroken(
                f"this store was started with {held} shards and cannot be run with {shards}: customers would move"
            )

    def _salted(self) -> bytes:
        """The installation's salt, made by whoever asks first."""
        with _Reaching():
            self.client.hsetnx(keys.META, "salt", token_bytes(32))
            self._salt = cast("bytes", self.client.hget(keys.META, "salt"))
        return self._salt

    def beat(self, name: str) -> None:
        """Say that a process is alive."""
        with _Reaching():
            self.client.set(keys.beat(name), "1", ex=keys.BEAT_SECONDS)

    def trim(self, shards: Sequence[int], before: Mapping[str, int]) -> None:
        """Let go of what is older than retention says: `before` gives epoch milliseconds for `events`, `dead` and `decisions`.

        Events go only where they are committed, whatever their age.
        """
        with _Reaching():
            for shard in shards:
                committed = cast("bytes | None", self.client.get(keys.offset(shard)))
                pipe = self.client.pipeline(transaction=False)
                if committed:
                    oldest = min(before["events"], int(committed.split(b"-")[0]))
                    pipe.xtrim(keys.events(shard), minid=str(oldest), approximate=True)
                pipe.xtrim(keys.dead(shard), minid=str(before["dead"]), approximate=True)
                pipe.xtrim(keys.decisions(shard), minid=str(before["decisions"]), approximate=True)
                pipe.execute()

    def _evaluate(self, commits: Sequence[Commit]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for group in _groups(commits):
            # Redis takes in 16 KB at a time and flushes to disk each time it wrote something. Inside a transaction nothing
            # is written until its end, so small commits share one flush. Nothing relies on their landing together.
            pipe = self.client.pipeline(transaction=len(group) > 1)
            for commit in group:
                names, values = _arguments(commit)
                pipe.evalsha(self._commit_sha, len(names), *names, *values)
            outcomes += [cast("Outcome", answer.decode()) for answer in pipe.execute()]
        return outcomes


def _pass_on(pipe: "redis.client.Pipeline", shard: int, fields: Mapping[bytes, bytes]) -> None:
    """One entry of an outbox. What is obeyed at once stands beside the receiver before it is forgotten beside the sender."""
    to, key, event, mark = int(fields[b"s"]), fields[b"k"].decode(), fields[b"e"], fields[b"h"]
    source = fields.get(b"p", b"").decode()
    if event and source:
        pipe.eval(_TO_OBEY, 2, keys.events(to), keys.pending(to, key), event, mark, key)
    elif event:
        pipe.xadd(keys.events(to), _fields(Entry("", event, mark, key)))  # type: ignore[arg-type]
    if source:
        pipe.eval(_SETTLE, 1, keys.pending(shard, source), fields[b"i"])


def _groups(commits: Sequence[Commit]) -> Iterator[list[Commit]]:
    """Commits in order, as many together as keep Redis busy for a few milliseconds at most."""
    group: list[Commit] = []
    profiles = 0
    for commit in commits:
        if group and profiles + len(commit.profiles) > MOST_TOGETHER:
            yield group
            group, profiles = [], 0
        group.append(commit)
        profiles += len(commit.profiles)
    if group:
        yield group


class _Reaching:
    """Turns what the client library raises into our own error."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, RedisError | OSError):
            raise StoreUnavailable(str(error)) from error


def _fields(entry: Entry) -> dict[str, bytes | str | int]:
    if entry.tick:
        return {"t": entry.tick}
    return {"e": entry.event, "h": entry.fingerprint, "k": entry.key}


def _as_it_comes(answer: Any, **_: Any) -> Any:
    return answer


def _entry(name: bytes, words: list[bytes]) -> Entry:
    if len(words) == 6 and words[0] == b"e" and words[2] == b"h" and words[4] == b"k":
        return Entry(name.decode(), words[1], words[3], words[5].decode())
    fields = dict(zip(words[::2], words[1::2], strict=True))
    tick = fields.get(b"t")
    if tick is not None:
        return Entry(name.decode(), tick=int(tick))
    return Entry(name.decode(), fields.get(b"e", b""), fields.get(b"h", b""), fields.get(b"k", b"").decode())


def _seen(shard: int, pairs: Collection[tuple[str, int]]) -> list[str]:
    """The keys of fingerprints, by customer and week: many customers, and a week or two."""
    begin = {week: keys.seen(shard, "", week) for week in {week for _, week in pairs}}
    return [begin[week] + customer for customer, week in pairs]


def _loaded(need: Needs, answers: Any) -> Loaded:
    profiles = {
        key: decode_profile(keys.profile(need.shard, key), raw)
        for key, raw in [(key, next(answers)) for key in need.profiles]
        if raw is not None
    }
    seen = {pair: raw for pair, raw in [(pair, next(answers)) for pair in need.seen] if raw is not None}
    waiting = {tag: raw for tag, raw in [(tag, next(answers)) for tag in need.waiting] if raw is not None}
    receipts = {name: decode_receipt(raw) for name, raw in [(name, next(answers)) for name in need.receipts] if raw is not None}
    return Loaded(profiles, seen, waiting, receipts)


def leaves_something(commit: Commit) -> bool:
    """Whether there is something to relay after a commit. What a shard tells itself lies in its log already."""
    return any(_has_to_go(one, commit.shard) for one in commit.outbox)


def _has_to_go(one: Outgoing, shard: int) -> bool:
    return one.shard != shard or MARK in one.event


def _arguments(commit: Commit) -> tuple[list[str], tuple[str, str, str, bytes, bytes]]:
    """The keys of a commit, and what its script is told.

    Names and numbers are one value and all bytes another, since each value of its own costs the client library more than
    it takes to make it. Keys and bytes stand in the order in which the script uses them.
    """
    shard, seen = commit.shard, commit.seen
    deleted = [keys.waiting(shard, tag) for tag in commit.waiting_done]
    deleted += _seen(shard, commit.unseen)
    for key in commit.erased:
        deleted += [keys.profile(shard, key), keys.ledger(shard, key), keys.timeline(shard, key)]
    outbox = [one for one in commit.outbox if _has_to_go(one, shard)]
    own = [one for one in commit.outbox if not _has_to_go(one, shard)]
    settled = [keys.pending(shard, key) for key in dict.fromkeys(commit.settled)]
    days = {name: day for name, day in commit.days.items() if day is not None}
    leads = {key: raw for key, raw in commit.leads.items() if raw}
    profile, waiting = keys.profile(shard, ""), keys.waiting(shard, "")
    names = [
        keys.offset(shard),
        keys.owner(shard),
        keys.timers(shard),
        keys.popularity(shard),
        keys.lift(shard),
        keys.histogram(shard),
        keys.references(shard),
        keys.gone(shard),
        keys.examples(shard),
        keys.dead(shard),
        keys.outbox(shard),
        keys.events(shard),
        keys.decisions(shard),
        keys.actions(shard),
        keys.complaints(shard),
        keys.baskets(shard),
        keys.days(shard),
        keys.leads(shard),
        keys.record(shard),
        *[profile + key for key in commit.profiles],
        *[waiting + tag for tag in commit.waiting],
        *_seen(shard, seen),
        *deleted,
        *[keys.pending(shard, one.source) for one in outbox if one.noted],
        *[keys.pending(shard, one.key) for one in own if one.source],
        *settled,
        *[keys.timeline(shard, key) for key in commit.timeline],
        *[keys.reached(shard, digest) for digest, _, _ in commit.reached],
        *[keys.receipt(shard, name) for name in commit.receipts],
    ]
    values = [
        encode_record(commit.record),
        *map(encode_profile, commit.profiles.values()),
        *commit.waiting.values(),
        *seen.values(),
        *map(encode_pair, commit.popularity.values()),
        *map(encode_sums, commit.lift.values()),
        *map(encode_reference, commit.references.values()),
        *commit.erased.values(),
        *commit.examples,
        *[raw for one in commit.dead for raw in (one.raw, one.fingerprint)],
        *[raw for one in outbox for raw in (one.event, one.fingerprint)],
        *[raw for one in own for raw in (one.event, one.fingerprint)],
        *commit.decisions,
        *commit.actions,
        *map(encode_complaints, commit.complaints.values()),
        *commit.baskets,
        *chain.from_iterable(commit.timeline.values()),
        *map(encode_day, days.values()),
        *map(encode_receipt, commit.receipts.values()),
        *leads.values(),
    ]
    told = {
        "sizes": [len(value) for value in values],
        "sets": 1 + len(commit.profiles) + len(commit.waiting),
        "appended": len(seen),
        "seen_seconds": SEEN_SECONDS,
        "deleted": len(deleted),
        "timers_done": commit.timers_done,
        "timers": [one for tag, due in commit.timers.items() for one in (due, tag)],
        "popularity": list(commit.popularity),
        "lift": [arm_field(*arm) for arm in commit.lift],
        "histogram": [one for place, count in commit.histogram.items() if count for one in (place, count)],
        "emptied": [place for place, count in commit.histogram.items() if not count],
        "references": list(commit.references),
        "erased": len(commit.erased),
        "examples": len(commit.examples),
        "dead": [(_reason(one.reason), one.key, one.entry_id) for one in commit.dead],
        "outbox": [(one.shard, one.key, one.source, one.entry, one.noted) for one in outbox],
        "own": [(one.key, one.source) for one in own],
        "decisions": len(commit.decisions),
        "actions": len(commit.actions),
        "complaints": list(commit.complaints),
        "baskets": len(commit.baskets),
        "most_baskets": MOST_BASKETS,
        "settled": len(settled),
        "timeline": [len(lines) for lines in commit.timeline.values()],
        "most_lines": MOST_KEPT,
        "reached": [(key, is_so) for _, key, is_so in commit.reached],
        "days": list(days),
        "forgotten": [name for name, day in commit.days.items() if day is None],
        "receipts": len(commit.receipts),
        "receipt_seconds": KEPT_SECONDS,
        "leads": list(leads),
        "closed": [key for key, raw in commit.leads.items() if not raw],
    }
    return names, (commit.expected, commit.offset, commit.owner, encode_told(told), b"".join(values))


def _reason(why: Rejected) -> str:
    return f"{why.code}\x1f{why.field}\x1f{why.detail}\x1f{why.id}"
