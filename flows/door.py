"""The HTTP doors seen from outside: one kept connection, and the manners that every sender should have.

429 and 503 say when to come again and are obeyed. No answer at all means that nothing is known, so the same bytes are
sent again: events carry ids, and one that arrives twice counts once. Anything else that is not a success is final.
"""

import http.client
import ssl
import threading
import time
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from msgspec import Struct

from engine.errors import RegularsError, StoreUnavailable

NDJSON: Final = "application/x-ndjson"
JSON: Final = "application/json"

_COME_AGAIN: Final = frozenset({429, 502, 503, 504})
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_LONGEST_TOLD_PAUSE_S: Final = 60.0


class DoorClosed(StoreUnavailable):
    """Nobody answered for as long as the sender is patient, or the sender was told to stop."""


class DoorRefused(RegularsError):
    """An answer that sending again does not change."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"the server answered {status}: {body[:300].decode(errors='replace')}")
        self.status = status
        self.body = body


class Answer(Struct, frozen=True):
    """What came back, after `tries` attempts that took `seconds` in all (pauses included)."""

    status: int
    body: bytes
    seconds: float
    tries: int = 1

    def json(self) -> Any:
        """The body as plain values; raises `DoorRefused` where it is no JSON."""
        try:
            return orjson.loads(self.body)
        except ValueError:
            raise DoorRefused(self.status, self.body) from None


class Door:
    """One connection to a running Regulars. Not for two threads at once.

    `patience_s` is how long one call keeps trying without a usable answer. `stopping` ends every wait at once.
    """

    def __init__(
        self,
        url: str,
        key: str = "",
        *,
        patience_s: float = 60.0,
        timeout_s: float = 30.0,
        stopping: threading.Event | None = None,
    ) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RegularsError(f"{url!r} is no address such as http://127.0.0.1:8080")
        self._address = parts.scheme, parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/")
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._patience_s = patience_s
        self._timeout_s = timeout_s
        self._stopping = stopping or threading.Event()
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str) -> Answer:
        """GET, with retries. Raises `DoorClosed` and `DoorRefused`."""
        return self.call("GET", path)

    def post(self, path: str, body: bytes, content_type: str = JSON, headers: dict[str, str] | None = None) -> Answer:
        """POST, with retries. Raises `DoorClosed` and `DoorRefused`."""
        return self.call("POST", path, body, {"content-type": content_type, **(headers or {})})

    def call(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        """One request until it is answered for good. Raises `DoorClosed` and `DoorRefused`."""
        began = time.monotonic()
        pause, tries, why = _FIRST_PAUSE_S, 0, "no answer"
        while True:
            tries += 1
            told: float | None = None
            try:
                status, told, content = self._once(method, path, body, headers or {})
            except (OSError, http.client.HTTPException) as error:
                self.close()
                why = str(error) or type(error).__name__
            else:
                if status < 400:
                    return Answer(status, content, time.monotonic() - began, tries)
                if status not in _COME_AGAIN:
                    raise DoorRefused(status, content)
                why = f"{status} {content[:200].decode(errors='replace')}"
            wait = min(told, _LONGEST_TOLD_PAUSE_S) if told is not None else pause
            if time.monotonic() + wait - began > self._patience_s:
                raise DoorClosed(f"{method} {path} got no usable answer in {self._patience_s:.0f} s: {why}")
            if self._stopping.wait(wait):
                raise DoorClosed(f"{method} {path} was given up: stopping")
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def close(self) -> None:
        """Drops the connection; the next call makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _once(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, float | None, bytes]:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request(method, self._prefix + path, body or None, {**self._headers, **headers})
        response = self._connection.getresponse()
        content = response.read()
        if response.will_close:
            self.close()
        return response.status, _seconds(response.headers.get("retry-after")), content

    def _connect(self) -> http.client.HTTPConnection:
        scheme, host, port = self._address
        if scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=ssl.create_default_context())
        return http.client.HTTPConnection(host, port, timeout=self._timeout_s)


def _seconds(header: str | None) -> float | None:
    """A Retry-After in seconds; its other form, a date, reads as not told."""
    try:
        return max(float(header), 0.0) if header else None
    except ValueError:
        return None
