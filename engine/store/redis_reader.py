"""Redis for the request path: asynchronous, many commands a round trip, few connections.

A command here is a tuple, and a call sends a list of them in one write and reads as many answers, so callers that join
the work of concurrent requests pay for one round trip between them. `MGET` answers for all keys at one instant: a profile and the
events that are on their way to it are never read from two different moments.

Every failure to reach Redis is a `StoreUnavailable`; nothing is then known about the commands that were sent. A refusal
of one command by Redis is an answer of its own (`Refused`), since the others of the same call were carried out.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any, cast

import hiredis
import redis.asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from engine.errors import StoreUnavailable
from engine.events.decode import arrival_of
from engine.events.products import ProductUpserted
from engine.events.roster import OBEYED_AT_ONCE
from engine.events.routing import Admitted
from engine.store import keys
from engine.store.redis_ledger import SCRIPTS
from engine.store.redis_line import Line
from engine.store.redis_products import UPSERT, upsert_command

Word = bytes | str | int
Command = tuple[Word, ...]


class Script:
    """A Lua script, known to Redis by the hash of its text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()

    def call(self, names: Sequence[Word], arguments: Sequence[Word]) -> Command:
        """The command that runs it."""
        return ("EVALSHA", self.sha, len(names), *names, *arguments)


class Refused(Exception):
    """Redis answered one command with an error; a value in lists of answers."""


class _Forgotten(Refused):
    """A script that this Redis does not know; nothing of it was carried out."""


_TO_OBEY = Script(files("engine.store").joinpath("lua/append_pending.lua").read_text())


class RedisReader:
    """The connections of one API process. `timeout_s` bounds each call, connecting included."""

    def __init__(self, url: str, timeout_s: float, scripts: Iterable[Script] = ()) -> None:
        self._timeout_s = timeout_s
        self._scripts = {script.sha: script for script in (_TO_OBEY, *scripts)}
        self._idle: list[Line] = []
        self._pool = aioredis.ConnectionPool.from_url(
            url, protocol=2, socket_timeout=None, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
        )

    async def read(self, names: Sequence[str]) -> list[bytes | None]:
        """Values of string keys, all of one instant."""
        answer = (await self.ask([("MGET", *names)]))[0]
        return cast("list[bytes | None]", _sound(answer))

    async def write(self, commands: Sequence[Command]) -> list[Any]:
        """`ask` for commands that write: Redis carries so many at a time out in one go, and flushes to its disk once for them.

        Without that, it looks at so many kilobytes at a time, and flushes what they held before it looks at the next ones.
        """
        return await self.ask(commands, at_once=len(commands) > 1)

    async def ask(self, commands: Sequence[Command], timeout_s: float | None = None, at_once: bool = False) -> list[Any]:
        """The answers to the commands, in order; where Redis refused one, a `Refused`. Sent in one write.

        A script that this Redis has forgotten is loaded, and its calls, which changed nothing, are sent again.
        """
        if not commands:
            return []
        line = self._line()
        try:
            try:
                answers = await self._asked(line, commands, timeout_s or self._timeout_s, at_once)
            except BaseException:
                await line.drop()
                raise
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(str(error) or "Redis did not answer in time") from error
        self._idle.append(line)
        return answers

    def _line(self) -> Line:
        """One that nobody uses. Those that Redis has closed in the meantime are forgotten."""
        while self._idle:
            line = self._idle.pop()
            if not line.lost:
                return line
        return Line(self._pool.make_connection())  # type: ignore[no-untyped-call]

    async def _asked(self, line: Line, commands: Sequence[Command], timeout_s: float, at_once: bool) -> list[Any]:
        answers = await self._sent(line, commands, timeout_s, at_once)
        forgotten = [place for place, answer in enumerate(answers) if isinstance(answer, _Forgotten)]
        if forgotten:
            line.loaded.clear()
            again = await self._sent(line, [commands[place] for place in forgotten], timeout_s, at_once)
            for place, answer in zip(forgotten, again, strict=True):
                answers[place] = answer
        return answers

    async def _sent(self, line: Line, commands: Sequence[Command], timeout_s: float, at_once: bool) -> list[Any]:
        called = {cast("str", command[1]) for command in commands if command[0] == "EVALSHA"} - line.loaded
        loads: list[Command] = [("SCRIPT", "LOAD", self._scripts[sha].text) for sha in called]
        packed = [hiredis.pack_command(command) for command in (*loads, *commands)]  # type: ignore[arg-type]
        blocks = range(len(loads), len(packed), MOST_AT_ONCE) if at_once else ()
        for place in reversed(blocks):
            packed[place : place + MOST_AT_ONCE] = [_BEGIN, *packed[place : place + MOST_AT_ONCE], _END]
        answers = [_told(answer) for answer in await line.ask(packed, timeout_s)]
        for answer in answers[: len(loads)]:
            _sound(answer)
        line.loaded |= called
        answers = answers[len(loads) :]
        if not at_once:
            return answers
        step = MOST_AT_ONCE + 2
        return [one for place in range(0, len(answers), step) for one in _of_block(answers[place : place + step])]

    async def value(self, *command: Word) -> Any:
        """The answer to one command; a refusal by Redis is a `StoreUnavailable` too."""
        return _sound((await self.ask([command]))[0])

    async def close(self) -> None:
        """Lets go of the connections."""
        idle, self._idle = self._idle, []
        for line in idle:
            await line.drop()


MOST_AT_ONCE = 256
"""Commands that Redis carries out without looking at anybody else's."""
_BEGIN, _END = hiredis.pack_command(("MULTI",)), hiredis.pack_command(("EXEC",))


def _told(answer: Any) -> Any:
    if isinstance(answer, NoScriptError):
        return _Forgotten(str(answer))
    if isinstance(answer, ResponseError):
        return Refused(str(answer))
    if isinstance(answer, RedisError):
        raise answer
    return answer


def _of_block(answers: list[Any]) -> list[Any]:
    """The answers to the commands of a block, from those to its opening, its lines and its closing."""
    _, *lines, done = answers
    if isinstance(done, list):
        return [_told(answer) for answer in done]
    # Nothing of the block was carried out: a line that was refused tells why, the others have its closing to go by.
    return [line if isinstance(line, Refused) else done for line in lines]


def _sound(answer: Any) -> Any:
    if isinstance(answer, Refused):
        raise StoreUnavailable(str(answer))
    return answer


def refusal(answers: Iterable[Any]) -> StoreUnavailable | None:
    """The first refusal among answers, as our own error: full memory, a read-only replica, a server still loading."""
    return next((StoreUnavailable(str(answer)) for answer in answers if isinstance(answer, Refused)), None)


def append_command(shard: int, admitted: Admitted) -> Command:
    """Appends an event to its shard's stream; one that is obeyed at once is also put beside its customer's profile.

    What tells of a product belongs to no shard: it changes what is known of products.
    """
    if isinstance(admitted.event, ProductUpserted):
        return upsert_command(admitted.event, arrival_of(admitted.event))
    if admitted.event.type in OBEYED_AT_ONCE:
        names = (keys.events(shard), keys.pending(shard, admitted.key))
        return _TO_OBEY.call(names, (admitted.entry, admitted.fingerprint, admitted.key))
    return ("XADD", keys.events(shard), "*", "e", admitted.entry, "h", admitted.fingerprint, "k", admitted.key)


def dead_letter_command(shard: int, raw: bytes, code: str, field: str, detail: str, event_id: str) -> Command:
    """Keeps an event that the door refused, in the form in which the shard commit keeps its own."""
    reason = f"{code}\x1f{field}\x1f{detail}\x1f{event_id}"
    return ("XADD", keys.dead(shard), "*", "e", raw, "r", reason, "k", "", "h", "", "i", "")


def pending_lines(raw: bytes | None) -> list[bytes]:
    """The events on their way to a profile, oldest first, as canonical JSON."""
    if not raw:
        return []
    return [line.partition(b" ")[2] for line in raw.split(b"\n") if line]


class _Recorder:
    """Stands where a pipeline is asked for, and keeps the commands."""

    def __init__(self) -> None:
        self.commands: list[Command] = []

    def evalsha(self, sha: str, count: int, *rest: Word) -> None:
        self.commands.append(("EVALSHA", sha, count, *rest))

    def zadd(self, name: str, mapping: dict[str, float], xx: bool = False, gt: bool = False) -> None:
        scored = [word for member, score in mapping.items() for word in (repr(score), member)]
        self.commands.append(("ZADD", name, *(("XX",) if xx else ()), *(("GT",) if gt else ()), *scored))

    def zrem(self, name: str, *members: Word) -> None:
        self.commands.append(("ZREM", name, *members))

    def zcount(self, name: str, low: str, high: str) -> None:
        self.commands.append(("ZCOUNT", name, low, high))


def commands_of(*queued: Callable[[Any], None]) -> list[Command]:
    """The commands that calls of `redis_ledger` would queue on a pipeline."""
    recorder = _Recorder()
    for call in queued:
        call(recorder)
    return recorder.commands


def ledger_scripts() -> list[Script]:
    """The scripts that are called by their hash: those of `redis_ledger`, and the one of products."""
    return [Script(text) for text in (*SCRIPTS, UPSERT)]
