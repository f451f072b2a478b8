"""The busiest route without the price of the stack around it.

Theory of operation. For each request uvicorn makes a scope, a cycle, an event and a task, and the task goes through three
callables of the framework before a handler sees the body. For a decision that is as much work as parsing, reading and
answering together. A plain request of a direct route is therefore given to its handler from where it is parsed, and its
answer is written from where it is made, in one write. Plain is a POST of exactly that path in HTTP/1.1, with a declared length
that is not large and with nothing that changes how it is read or answered. Whatever is not plain, and every other route,
goes on as before, to the same handlers behind the framework: nobody can tell from the answers which way they took.

Requests that follow on the same connection wait their turn, a connection without requests is closed, and a server that
shuts down finishes what it has, all of it as uvicorn does it: what is being answered stands in `cycle`, where it looks for it.
"""

import logging
from asyncio import AbstractEventLoop
from collections.abc import Iterable
from typing import Any, Final

from starlette.responses import Response
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from api.lean_route import Direct, JsonAnswer, LeanApp
from api.problems import Problem, broken, store_away
from engine.errors import StoreUnavailable

log = logging.getLogger(__name__)

MOST_BYTES: Final = 64 * 1024
"""A longer body takes the way that holds back its sender."""
_CHANGES_THE_WAY: Final = frozenset({b"content-encoding", b"expect", b"origin", b"transfer-encoding", b"upgrade"})
_JSON: Final = b"content-type: application/json\r\ncontent-length: %d\r\n"
_NO_STORE: Final = b"cache-control: no-store\r\n"


class DirectProtocol(HttpToolsProtocol):
    """A connection of `LeanApp`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        served = config.app
        self._direct = served.direct if isinstance(served, LeanApp) and not self.access_log else {}

    def on_headers_complete(self) -> None:
        handler = self._direct.get(self.url)
        if handler is not None:
            authorization = self._plain()
            if authorization is not None:
                self.cycle = _Cycle(self, handler, authorization)  # type: ignore[assignment]
                return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        cycle: object = self.cycle
        if type(cycle) is _Cycle:
            cycle.body = cycle.body + body if cycle.body else body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        cycle: object = self.cycle
        if type(cycle) is _Cycle:
            cycle.begin()
        else:
            super().on_message_complete()

    def _plain(self) -> str | None:
        """The `Authorization` of a plain request, or ""; None where it is not plain, or has to wait for another."""
        parser, before = self.parser, self.cycle
        if before is not None and not before.response_complete:  # type: ignore[redundant-expr]
            return None
        if parser.get_method() != b"POST" or parser.get_http_version() != "1.1" or parser.should_upgrade():
            return None
        declared, authorization = b"", b""
        for name, value in self.headers:
            if name == b"content-length":
                declared = value
            elif name == b"authorization":
                authorization = authorization or value
            elif name in _CHANGES_THE_WAY:
                return None
        if not declared.isdigit() or int(declared) > MOST_BYTES:
            return None
        return authorization.decode("latin-1")


class _Cycle:
    """One request until it is answered; it stands where uvicorn looks for what a connection is working on."""

    __slots__ = ("_authorization", "_handler", "_protocol", "body", "disconnected", "keep_alive", "response_complete")

    def __init__(self, protocol: DirectProtocol, handler: Direct, authorization: str) -> None:
        self._protocol = protocol
        self._handler = handler
        self._authorization = authorization
        self.body = b""
        self.keep_alive = protocol.parser.should_keep_alive()
        """Whether the connection stays open; a server that shuts down clears it."""
        self.disconnected = False
        self.response_complete = False

    @property
    def message_event(self) -> "_Cycle":
        """Who waits for more of the body; nobody does."""
        return self

    def set(self) -> None:
        """Nobody waits."""

    def begin(self) -> None:
        """Hands the request over; a handler's failure is an answer too."""
        try:
            self._handler(self.body, self._authorization, self.reply)
        except Exception as error:  # noqa: BLE001
            self.reply(error)

    def reply(self, answer: JsonAnswer | BaseException) -> None:
        """Writes the answer, or the document of what went wrong. Whoever has gone in the meantime is told nothing."""
        if self.response_complete:
            return
        self.response_complete = True
        protocol = self._protocol
        transport = protocol.transport
        if self.disconnected or transport.is_closing():
            return
        words = [b"%b: %b\r\n" % header for header in protocol.server_state.default_headers]
        if not self.keep_alive:
            words.append(b"connection: close\r\n")
        transport.write(_written(answer, words))
        if not self.keep_alive:
            transport.close()
        protocol.on_response_complete()


def _written(answer: JsonAnswer | BaseException, more: Iterable[bytes]) -> bytes:
    if isinstance(answer, JsonAnswer):
        kept = _NO_STORE if answer.no_store else b""
        body = answer.body
        return b"".join((STATUS_LINE[answer.status], *more, _JSON % len(body), kept, b"\r\n", body))
    response = _problem(answer)
    headers = [b"%b: %b\r\n" % header for header in response.raw_headers]
    return b"".join((STATUS_LINE[response.status_code], *more, *headers, b"\r\n", bytes(response.body)))


def _problem(error: BaseException) -> Response:
    if isinstance(error, Problem):
        return error.response()
    if isinstance(error, StoreUnavailable):
        return store_away().response()
    log.error("a request failed", exc_info=error)
    return broken().response()
