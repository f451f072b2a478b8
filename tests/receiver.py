"""A webhook's other end: a real HTTP server that notes what reaches it and answers as it is told."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec


class Request(msgspec.Struct, frozen=True):
    """One request as it came in, and what it was answered."""

    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def message(self) -> Any:
        return msgspec.json.decode(self.body)


class Receiver:
    """`answer` says the status for the n-th request (from 0) under an id."""

    def __init__(self, answer: Callable[[str, int], int] = lambda _id, _nth: 204) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.url = ""
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def acknowledged(self) -> Counter[str]:
        """How often each id was answered with success."""
        return Counter(one.id for one in self.requests if 200 <= one.status < 300)

    def take(self, headers: dict[str, str], body: bytes) -> int:
        with self._lock:
            name = headers["webhook-id"]
            status = self.answer(name, self._seen[name])
            self._seen[name] += 1
            self.requests.append(Request(headers, body, status))
        return status


@contextmanager
def receiving(answer: Callable[[str, int], int] = lambda _id, _nth: 204) -> Iterator[Receiver]:
    """A receiver that listens. A status of 0 closes the connection without an answer."""
    receiver = Receiver(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = self.rfile.read(length)
            if len(body) < length:  # whoever sent it was killed in the middle
                self.close_connection = True
                return
            status = receiver.take({name.lower(): value for name, value in self.headers.items()}, body)
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
