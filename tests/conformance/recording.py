"""A wire tap between a client and the doors: it passes bytes on, remembers requests, and can lose an answer."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

_NOT_PASSED: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"})


Headers = tuple[tuple[str, str], ...]


class Call(Struct, frozen=True):
    """One request as it was on the wire, and how it was answered."""

    method: str
    path: str
    headers: Headers
    body: bytes
    status: int
    answer: bytes


class Tap:
    """What went through. The next `lose` answers to POSTs become a 503, after the request was passed on."""

    def __init__(self, url: str, port: int) -> None:
        self.target = urlsplit(url).netloc
        self.url = f"http://127.0.0.1:{port}"
        self.host = f"127.0.0.1:{port}"
        self.calls: list[Call] = []
        self.lose = 0

    def posts(self) -> list[Call]:
        """What was sent, in order."""
        return [call for call in self.calls if call.method == "POST"]

    def pass_on(self, method: str, path: str, headers: Headers, body: bytes) -> tuple[int, Headers, bytes]:
        """The request once more, to the byte; status, headers and body of the answer."""
        with closing(http.client.HTTPConnection(self.target, timeout=30)) as connection:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            return response.status, tuple(response.getheaders()), response.read()

    def replay(self) -> list[int]:
        """Everything that was sent goes out again, one after another; the statuses."""
        return [self.pass_on(call.method, call.path, call.headers, call.body)[0] for call in self.posts()]


@contextmanager
def tapped(url: str) -> Iterator[Tap]:
    """A tap on the way to `url` for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(length)
            headers = tuple(self.headers.items())
            status, answered, answer = tap.pass_on(self.command, self.path, headers, body)
            tap.calls.append(Call(self.command, self.path, headers, body, status, answer))
            lost = self.command == "POST" and tap.lose > 0
            if lost:
                tap.lose -= 1
                status, answer = 503, b""
            self.send_response_only(status)
            for name, value in answered:
                if name.lower() not in _NOT_PASSED:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_OPTIONS = _handle

        def log_message(self, format: str, *args: object) -> None:
            """Tests are quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        tap = Tap(url, server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield tap
        finally:
            server.shutdown()
            thread.join(10)
