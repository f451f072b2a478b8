"""One connection of the request path: many commands in one write, and their answers as they come.

redis-py opens it and shakes hands, with all that an address may ask for; from then on bytes go straight from the socket into
the parser. A stream, a task and a timeout for each answer would cost as much as the work of both sides together.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import hiredis
from redis._parsers.base import BaseParser
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import InvalidResponse
from redis.exceptions import TimeoutError as TooLate


class Line:
    """A connection to Redis, made when it is first used. One question at a time."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._answers: _Answers | None = None
        self.loaded: set[str] = set()
        """The scripts that were loaded through it."""

    @property
    def lost(self) -> bool:
        """Whether the other side has hung up."""
        return self._answers is not None and self._answers.lost

    async def ask(self, commands: Sequence[bytes], timeout_s: float) -> list[Any]:
        """The answers to packed commands, errors among them; raises what redis-py does, `TooLate` after the time is up.

        After anything that it raised the connection is of no use any more: `drop` it.
        """
        answers = self._answers
        if answers is None:
            async with asyncio.timeout(timeout_s):
                answers = self._answers = await self._connected()
        return await answers.ask(b"".join(commands), len(commands), timeout_s)

    async def _connected(self) -> "_Answers":
        await self._connection.connect()  # type: ignore[no-untyped-call]
        writer: Any = self._connection._writer
        return _Answers(writer.transport)

    async def drop(self) -> None:
        """Closes the connection."""
        await self._connection.disconnect(nowait=True)


class _Answers(asyncio.Protocol):
    """What comes in on a connection, parsed and counted off."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._parser = hiredis.Reader(protocolError=InvalidResponse, replyError=_error, notEnoughData=_MORE)
        self._found: list[Any] = []
        self._wanted = 0
        self._all: asyncio.Future[list[Any]] | None = None
        self.lost = False
        transport.set_protocol(self)

    async def ask(self, sent: bytes, wanted: int, timeout_s: float) -> list[Any]:
        if self.lost:
            raise ConnectionLost("Redis hung up")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Any]] = loop.create_future()
        self._all = future
        self._wanted = wanted
        self._transport.write(sent)
        timer = loop.call_later(timeout_s, _give_up, future)
        try:
            return await future
        finally:
            timer.cancel()

    def data_received(self, data: bytes) -> None:
        parser, found = self._parser, self._found
        try:
            parser.feed(data)
            answer = parser.gets()
            while answer is not _MORE:
                found.append(answer)
                answer = parser.gets()
        except InvalidResponse as error:
            self._end(error)
            return
        if len(found) >= self._wanted and self._all is not None and not self._all.done():
            future, self._all, self._found = self._all, None, []
            future.set_result(found)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(ConnectionLost(str(exc) if exc else "Redis hung up"))

    def _end(self, error: Exception) -> None:
        self.lost = True
        future, self._all = self._all, None
        if future is not None and not future.done():
            future.set_exception(error)


_MORE = object()


def _error(text: str) -> Exception:
    """An error that Redis answers with, as redis-py names it."""
    return cast("Exception", BaseParser.parse_error(text))  # type: ignore[no-untyped-call]


def _give_up(future: "asyncio.Future[list[Any]]") -> None:
    if not future.done():
        future.set_exception(TooLate("Redis did not answer in time"))
