"""What operators look at: the streams and profiles as they lie in Redis, read page by page.

Every reading is bounded by its page, so that a year of events can be exported from a server that is serving. Order is
the order of acceptance: the ids of stream entries begin with the server's clock, and the shards are merged by them.
"""

import heapq
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import redis
from redis.exceptions import RedisError

from engine.errors import Rejected, StoreUnavailable
from engine.ids import is_after, stream_order
from engine.models.base import Example
from engine.profiles.profile import Profile
from engine.store import keys
from engine.store.codec import decode_names, decode_profile

_PAGE: Final = 500
_LETTER_ID: Final = re.compile(r"(\d+)-(\d+-\d+)")
_EXAMPLE = msgspec.msgpack.Decoder(Example)

Fields = dict[bytes, bytes]
Found = tuple[str, Fields]


class Letter(msgspec.Struct, frozen=True):
    """A dead letter: the bytes of one event and why they could not be used.

    `id` names it to callers; `entry_id` is the accepted entry it came from, empty where the door already refused it.
    """

    id: str
    raw: bytes
    reason: Rejected
    customer: str = ""
    entry_id: str = ""


class Accepted(msgspec.Struct, frozen=True):
    """An accepted event: where it lies, whose it is, and its canonical JSON."""

    shard: int
    entry_id: str
    customer: str
    event: bytes


class Archive:
    """A reading connection. Every failure to reach Redis is a `StoreUnavailable`."""

    def __init__(self, url: str, shards: int) -> None:
        self._client: redis.Redis = redis.Redis.from_url(url, protocol=2, socket_timeout=30.0)
        # The client gives each command's answer a shape of its own; here what comes back is what Redis said.
        self._client.response_callbacks.clear()
        self.shards = range(int(self._ask("HGET", keys.META, "shards") or shards))

    def letters(self, limit: int) -> list[Letter]:
        """The newest dead letters of all shards, newest first."""
        found = [letter for shard in self.shards for letter in self._letters(shard, limit)]
        found.sort(key=_letter_order, reverse=True)
        return found[:limit]

    def letter(self, letter_id: str) -> Letter | None:
        """One dead letter by the id that its sender was told."""
        named = _LETTER_ID.fullmatch(letter_id)
        if not named:
            return None
        shard, entry = int(named[1]), named[2]
        found = _entries(self._ask("XRANGE", keys.dead(shard), entry, entry))
        return _letter(shard, *found[0]) if found else None

    def forget_letter(self, letter_id: str) -> None:
        """Drops a dead letter whose event has been accepted after all."""
        named = _LETTER_ID.fullmatch(letter_id)
        if named:
            self._ask("XDEL", keys.dead(int(named[1])), named[2])

    def events(self, since_ms: int = 0) -> Iterator[Accepted]:
        """Accepted events from `since_ms` of arrival on, in order of arrival; ticks are left out."""
        streams = [self._tagged(shard, keys.events(shard), since_ms) for shard in self.shards]
        for _, shard, entry_id, fields in heapq.merge(*streams, key=lambda one: one[:2]):
            if b"e" in fields:
                yield accepted(shard, entry_id, fields)

    def decisions(self, since_ms: int = 0) -> Iterator[tuple[int, bytes]]:
        """Logged decisions with their shard, in the order in which they were folded."""
        streams = [self._tagged(shard, keys.decisions(shard), since_ms) for shard in self.shards]
        for _, shard, _, fields in heapq.merge(*streams, key=lambda one: one[:2]):
            yield shard, fields[b"d"]

    def offers(self, catalogue: str) -> tuple[str, ...]:
        """The offers of a catalogue in order, by its version; none where nobody remembers it."""
        held = self._ask("GET", keys.offers(catalogue))
        return decode_names(held) if held else ()

    def examples(self, shard: int) -> Iterator[Example]:
        """The matured labels of a shard, in the order in which they matured."""
        for _, fields in self._pages(keys.examples(shard), "-"):
            yield _EXAMPLE.decode(fields[b"x"])

    def profiles(self) -> Iterator[Profile]:
        """Every profile, in no order; one that changes meanwhile may be read before or after."""
        for shard in self.shards:
            prefix = keys.profile(shard, "")
            cursor = b"0"
            while True:
                cursor, names = self._ask("SCAN", cursor, "MATCH", _literal(prefix) + "*", "COUNT", _PAGE)
                for name, raw in zip(names, self._ask("MGET", *names) if names else (), strict=True):
                    if raw is not None:
                        yield decode_profile(name.decode(), raw)
                if cursor == b"0":
                    break

    def ends(self) -> dict[str, str]:
        """Where every event stream and dead-letter stream ends now."""
        names = [name for shard in self.shards for name in (keys.events(shard), keys.dead(shard))]
        last = [_entries(self._ask("XREVRANGE", name, "+", "-", "COUNT", 1)) for name in names]
        return {name: found[0][0] if found else "0-0" for name, found in zip(names, last, strict=True)}

    def after(self, ends: Mapping[str, str], block_ms: int) -> dict[str, list[Found]]:
        """What the streams hold beyond `ends`; waits up to `block_ms` for the first entry."""
        answer = self._ask("XREAD", "COUNT", _PAGE, "BLOCK", block_ms, "STREAMS", *ends, *ends.values())
        return {name.decode(): _entries(raw) for name, raw in answer or ()}

    def offsets(self, shards: list[int]) -> dict[int, str]:
        """How far each of these shards is folded."""
        raw = self._ask("MGET", *(keys.offset(shard) for shard in shards)) if shards else []
        return {shard: (held or b"0-0").decode() for shard, held in zip(shards, raw, strict=True)}

    def _letters(self, shard: int, limit: int) -> list[Letter]:
        found = _entries(self._ask("XREVRANGE", keys.dead(shard), "+", "-", "COUNT", limit))
        return [_letter(shard, *entry) for entry in found]

    def _tagged(self, shard: int, stream: str, since_ms: int) -> Iterator[tuple[tuple[int, int], int, str, Fields]]:
        for entry_id, fields in self._pages(stream, str(since_ms)):
            yield stream_order(entry_id), shard, entry_id, fields

    def _pages(self, stream: str, start: str) -> Iterator[Found]:
        while True:
            page = _entries(self._ask("XRANGE", stream, start, "+", "COUNT", _PAGE))
            yield from page
            if len(page) < _PAGE:
                return
            start = f"({page[-1][0]}"

    def _ask(self, *command: Any) -> Any:
        try:
            return self._client.execute_command(*command)  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error


def accepted(shard: int, entry_id: str, fields: Fields) -> Accepted:
    """An entry of an event stream as an accepted event."""
    return Accepted(shard, entry_id, fields.get(b"k", b"").decode(), fields[b"e"])


def letter_id(shard: int, entry_id: str) -> str:
    """The name of a dead letter towards callers."""
    return f"{shard}-{entry_id}"


def folded(entry_id: str, offset: str) -> bool:
    """Whether the commit at `offset` holds this entry."""
    return not is_after(entry_id, offset)


def _letter(shard: int, entry_id: str, fields: Fields) -> Letter:
    code, field, detail, event_id = (fields.get(b"r", b"").decode(errors="replace") + "\x1f" * 3).split("\x1f")[:4]
    return Letter(
        letter_id(shard, entry_id),
        fields.get(b"e", b""),
        Rejected(code, detail, field, event_id),
        fields.get(b"k", b"").decode(),
        fields.get(b"i", b"").decode(),
    )


def _letter_order(letter: Letter) -> tuple[int, int]:
    return stream_order(letter.id.partition("-")[2])


def _entries(raw: Any) -> list[Found]:
    return [
        (entry_id.decode(), dict(zip(fields[::2], fields[1::2], strict=True)))
        for entry_id, fields in raw or ()
        if fields is not None
    ]


def _literal(text: str) -> str:
    """The text with what SCAN's pattern would take for a wildcard escaped."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)
