"""The demo's web shop: one page with the tag in it, served on loopback beside the system that it shows.

The page is the shop's, the tag is Regulars'. Its policy lets nothing load or send anywhere but here, inline code included.
Only pages of this very address are answered, whatever name somebody gave to loopback: the shop's servers hold a key.
"""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from msgspec import to_builtins

from engine.errors import RegularsError
from flows.door import Door, DoorClosed, DoorRefused
from load_tests.shop_counter import Refused, ShopCounter

HOST: Final = "127.0.0.1"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_SCRIPT: Final = "text/javascript; charset=utf-8"
_FILES: Final = {"/shop.js": _SCRIPT, "/shop.css": "text/css; charset=utf-8", "/shop.svg": "image/svg+xml"}
_HTML: Final = "text/html; charset=utf-8"
_JSON: Final = "application/json"
_MOST_BYTES: Final = 256 * 1024

Answer = tuple[int, bytes, str]


class ShopTaken(RegularsError):
    """The port is in use."""


class DemoShop:
    """Serves from `start` until `stop`. `url` is where."""

    def __init__(self, counter: ShopCounter, url: str) -> None:
        self._counter = counter
        self._tag = Door(url, patience_s=5.0)
        self._tag_lock = threading.Lock()
        self._told: dict[str, Callable[[Any], Any]] = {
            "/orders": counter.order,
            "/complaints": counter.complain,
            "/why": counter.why,
        }
        self._passed: dict[str, Callable[[bytes], Any]] = {"/v1/events": counter.events, "/v1/decisions": counter.decide}
        self._server: ThreadingHTTPServer | None = None
        self.url = ""

    def start(self, port: int) -> str:
        """Opens the page on loopback; 0 takes any free port. Raises `ShopTaken`."""
        try:
            self._server = ThreadingHTTPServer((HOST, port), _handler(self))
        except OSError as error:
            raise ShopTaken(f"the shop cannot be opened on port {port}: {error}") from None
        self._server.daemon_threads = True
        self.url = f"http://{HOST}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, name="shop", daemon=True).start()
        return self.url

    def stop(self) -> None:
        """Closes it; repeating that does nothing."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        self._tag.close()

    def got(self, path: str) -> Answer:
        """What stands at an address."""
        if path in _FILES:
            return 200, _page(path[1:]), _FILES[path]
        match path:
            case "/v1/tag.js":
                with self._tag_lock:
                    return 200, self._tag.get(path).body, _SCRIPT
            case "/state.json":
                return 200, orjson.dumps(self._counter.state()), _JSON
            case "/shelf.json":
                return 200, orjson.dumps(to_builtins(self._counter.shelf)), _JSON
            case _ if path == "/" or path.startswith("/c/"):
                return 200, _page("index.html"), _HTML
            case _:
                return 404, b"{}", _JSON

    def posted(self, path: str, body: bytes) -> Answer:
        """What somebody does."""
        if path in self._passed:
            answer = self._passed[path](body)
            return (202 if path == "/v1/events" else 200), orjson.dumps(answer), _JSON
        if path in self._told:
            return 200, orjson.dumps(self._told[path](orjson.loads(body))), _JSON
        return 404, b"{}", _JSON

    def is_own(self, host: str, origin: str | None) -> bool:
        """Whether a request comes from the shop's own page."""
        own = urlsplit(self.url)
        return host in (own.netloc, f"localhost:{own.port}") and origin in (None, f"http://{host}")


def _page(name: str) -> bytes:
    return files("load_tests").joinpath("shop_page", name).read_bytes()


def _handler(shop: DemoShop) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(lambda: shop.got(urlsplit(self.path).path))

        def do_POST(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            if size > _MOST_BYTES:
                self.close_connection = True
                self._send(413, b"{}", _JSON)
                return
            body = self.rfile.read(size)
            self._answer(lambda: shop.posted(urlsplit(self.path).path, body))

        def _answer(self, made: Callable[[], Answer]) -> None:
            if not shop.is_own(self.headers.get("host", ""), self.headers.get("origin")):
                self._send(403, b"{}", _JSON)
                return
            try:
                self._send(*made())
            except DoorRefused as refused:
                self._send(refused.status, refused.body, _JSON)
            except DoorClosed:
                self._send(503, b"{}", _JSON)
            except (Refused, ValueError, KeyError, TypeError, AttributeError) as error:
                self._send(422, orjson.dumps({"code": "shop.refused", "detail": str(error)}), _JSON)

        def _send(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.send_header("cache-control", "no-store")
            self.send_header("x-content-type-options", "nosniff")
            self.send_header("referrer-policy", "same-origin")
            if kind == _HTML:
                self.send_header("content-security-policy", POLICY)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """The screen belongs to the demo."""

    return Handler
