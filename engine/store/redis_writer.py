"""The event log and the shard store on Redis, for the flow: blocking calls, few commands, one script a commit."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from secrets import token_bytes
from typing import Any, cast

import redis
from redis.exceptions import NoScriptError, RedisError

from engine.errors import InvariantBroken, StoreUnavailable
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
            wanted.extend(keys.profile(need.shard, key) for key in need.profiles)
            wanted.extend(keys.seen(need.shard, *pair) for pair in need.seen)
            wanted.extend(keys.waiting(need.shard, tag) for tag in need.waiting)
            wanted.extend(keys.receipt(need.shard, name) for name in need.receipts)
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


def _arguments(commit: Commit) -> tuple[list[str], list[bytes | str | int]]:
    shard = commit.shard
    sets = {keys.record(shard): encode_record(commit.record)}
    prefix = keys.profile(shard, "")
    for key, profile in commit.profiles.items():
        sets[prefix + key] = encode_profile(profile)
    prefix = keys.waiting(shard, "")
    for tag, raw in commit.waiting.items():
        sets[prefix + tag] = raw
    appended = {keys.seen(shard, *pair): raw for pair, raw in commit.seen.items()}
    deleted = [prefix + tag for tag in commit.waiting_done]
    deleted += [keys.seen(shard, *pair) for pair in commit.unseen]
    for key in commit.erased:
        deleted += [keys.profile(shard, key), keys.ledger(shard, key), keys.timeline(shard, key)]
    settled = [keys.pending(shard, key) for key in dict.fromkeys(commit.settled)]
    names = [
        keys.offset(shard),
        keys.timers(shard),
        keys.examples(shard),
        keys.dead(shard),
        keys.outbox(shard),
        keys.decisions(shard),
        keys.popularity(shard),
        keys.gone(shard),
        keys.owner(shard),
        keys.lift(shard),
        keys.histogram(shard),
        keys.references(shard),
        keys.actions(shard),
        keys.complaints(shard),
        keys.baskets(shard),
        keys.days(shard),
        keys.events(shard),
        *sets,
        *appended,
        *deleted,
        *(keys.pending(shard, one.source) for one in commit.outbox if one.noted and _has_to_go(one, shard)),
        *(keys.pending(shard, one.key) for one in commit.outbox if one.source and not _has_to_go(one, shard)),
        *settled,
        *(keys.timeline(shard, key) for key in commit.timeline),
        *(keys.reached(shard, digest) for digest, _, _ in commit.reached),
        *(keys.receipt(shard, name) for name in commit.receipts),
    ]
    names.append(keys.leads(shard))
    values: list[bytes | str | int] = [commit.expected, commit.offset, SEEN_SECONDS, commit.owner]
    values += [len(sets), *sets.values(), len(appended), *appended.values(), len(deleted)]
    values += [len(commit.timers_done), *commit.timers_done]
    values.append(len(commit.timers))
    for tag, due in commit.timers.items():
        values += [due, tag]
    values.append(len(commit.popularity))
    for name, pair in commit.popularity.items():
        values += [name, encode_pair(pair)]
    values.append(len(commit.lift))
    for arm, sums in commit.lift.items():
        values += [arm_field(*arm), encode_sums(sums)]
    counts = {name: count for name, count in commit.histogram.items() if count}
    values.append(len(counts))
    for name, count in counts.items():
        values += [name, count]
    emptied = [name for name in commit.histogram if name not in counts]
    values += [len(emptied), *emptied, len(commit.references)]
    for name, reference in commit.references.items():
        values += [name, encode_reference(reference)]
    values += [len(commit.erased), *commit.erased.values()]
    values += [len(commit.examples), *commit.examples, len(commit.dead)]
    for letter in commit.dead:
        reason = f"{letter.reason.code}\x1f{letter.reason.field}\x1f{letter.reason.detail}\x1f{letter.reason.id}"
        values += [letter.raw, reason, letter.key, letter.fingerprint, letter.entry_id]
    going = [one for one in commit.outbox if _has_to_go(one, shard)]
    values.append(len(going))
    for one in going:
        values += [one.shard, one.key, one.event, one.fingerprint, one.source, one.entry, "1" if one.noted else ""]
    values.append(len(commit.outbox) - len(going))
    for one in commit.outbox:
        if not _has_to_go(one, shard):
            values += [one.event, one.fingerprint, one.key, "1" if one.source else ""]
    values += [len(commit.decisions), *commit.decisions, len(commit.actions), *commit.actions, len(commit.complaints)]
    for cell, complaint_sums in commit.complaints.items():
        values += [cell, encode_complaints(complaint_sums)]
    values += [len(commit.baskets), MOST_BASKETS, *commit.baskets]
    values += [len(settled), len(commit.timeline), MOST_KEPT]
    for lines in commit.timeline.values():
        values += [len(lines), *lines]
    values.append(len(commit.reached))
    for _, key, is_so in commit.reached:
        values += [int(is_so), key]
    watched = {name: day for name, day in commit.days.items() if day is not None}
    values.append(len(watched))
    for name, day in watched.items():
        values += [name, encode_day(day)]
    forgotten = [name for name in commit.days if name not in watched]
    values += [len(forgotten), *forgotten, len(commit.receipts), KEPT_SECONDS]
    values += [encode_receipt(one) for one in commit.receipts.values()]
    queued = {key: raw for key, raw in commit.leads.items() if raw}
    values.append(len(queued))
    for key, raw in queued.items():
        values += [key, raw]
    no_more = [key for key in commit.leads if key not in queued]
    values += [len(no_more), *no_more]
    return names, values
