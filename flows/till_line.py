"""A till's connections to the server: one kept for each thread and purpose, and a new one where the kept one has gone stale.

Servers close connections that say nothing for seconds, and tills say nothing for minutes. A request that fails on a connection
which was used before is therefore tried once more on a new one; what a till sends may be sent twice.
"""

import http.client
import ssl
import threading
import time
from urllib.parse import urlsplit

from engine.errors import RegularsError

Answer = tuple[int, float | None, bytes]


class Line:
    """Where a till sends to. Raises `OSError` where nobody answers."""

    def __init__(self, url: str, key: str, timeout_s: float) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RegularsError(f"{url!r} is no address such as http://127.0.0.1:8080")
        self._host, self._port = parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/")
        self._headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
        self._timeout_s = timeout_s
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._own = threading.local()
        self._lock = threading.Lock()
        self._open: set[http.client.HTTPConnection] = set()

    def post(self, purpose: str, path: str, body: bytes, until: float | None = None) -> Answer:
        """The status, a Retry-After in seconds and the body of the answer. `until` (monotonic) is when every wait ends."""
        kept: http.client.HTTPConnection | None = getattr(self._own, purpose, None)
        if kept is not None:
            try:
                return self._once(kept, path, body, until, purpose)
            except (OSError, http.client.HTTPException):
                self._drop(kept, purpose)
        fresh = self._connect(until, purpose)
        try:
            return self._once(fresh, path, body, until, purpose)
        except http.client.HTTPException as error:
            self._drop(fresh, purpose)
            raise ConnectionError(str(error) or type(error).__name__) from None
        except OSError:
            self._drop(fresh, purpose)
            raise

    def close(self) -> None:
        """Lets go of all connections."""
        with self._lock:
            held, self._open = self._open, set()
        for one in held:
            one.close()

    def _once(
        self, connection: http.client.HTTPConnection, path: str, body: bytes, until: float | None, purpose: str
    ) -> Answer:
        if connection.sock is not None:
            connection.sock.settimeout(self._left(until))
        connection.request("POST", self._prefix + path, body, self._headers)
        response = connection.getresponse()
        content = response.read()
        if response.will_close:
            self._drop(connection, purpose)
        return response.status, _seconds(response.headers.get("retry-after")), content

    def _connect(self, until: float | None, purpose: str) -> http.client.HTTPConnection:
        left = self._left(until)
        if self._tls is None:
            made = http.client.HTTPConnection(self._host, self._port, timeout=left)
        else:
            made = http.client.HTTPSConnection(self._host, self._port, timeout=left, context=self._tls)
        setattr(self._own, purpose, made)
        with self._lock:
            self._open.add(made)
        return made

    def _left(self, until: float | None) -> float:
        if until is None:
            return self._timeout_s
        left = until - time.monotonic()
        if left <= 0.0:
            raise TimeoutError("the time is up")
        return left

    def _drop(self, connection: http.client.HTTPConnection, purpose: str) -> None:
        connection.close()
        setattr(self._own, purpose, None)
        with self._lock:
            self._open.discard(connection)


def _seconds(header: str | None) -> float | None:
    """A Retry-After in seconds; its other form, a date, reads as not told."""
    try:
        return max(float(header), 0.0) if header else None
    except ValueError:
        return None
