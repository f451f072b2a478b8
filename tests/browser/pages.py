"""A shop's own web server for tests: pages of another origin than Regulars, under a strict Content-Security-Policy."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SCRIPT = """\
"use strict";
window.told = [];
window.violations = [];
for (const name of ["ready", "filled", "empty", "dismissed", "rejected"]) {
  document.addEventListener(`regulars:${name}`, (event) => window.told.push({ name, ...event.detail }));
}
document.addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) => {
  window.violations.push(`${effectiveDirective} ${blockedURI}`);
});
"""


class Pages:
    """What is served, by path. `origin` is that of the pages, `regulars` that of the tag."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://127.0.0.1:{port}"
        self.regulars = ""
        self.bodies: dict[str, str] = {}

    def put(self, path: str, content: str, tag: str) -> str:
        """Serves a page with this content and this script element; its address."""
        self.bodies[path] = (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shop</title><link rel="icon" href="data:,">'
            f'<script src="/page.js"></script>{tag}</head><body>{content}</body></html>'
        )
        return f"{self.origin}{path}"

    @property
    def policy(self) -> str:
        """The strictest policy under which the tag works: its own address for scripts and requests, nothing inline."""
        return (
            f"default-src 'none'; script-src 'self' {self.regulars}; connect-src {self.regulars}; img-src 'self' data:;"
            f" base-uri 'none'; require-trusted-types-for 'script'"
        )


@contextmanager
def serving() -> Iterator[Pages]:
    """A server on loopback for as long as the block lasts."""
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            body = SCRIPT if path == "/page.js" else pages.bodies.get(path)
            self.send_response(200 if body is not None else 404)
            self.send_header("content-type", "text/javascript" if path.endswith(".js") else "text/html; charset=utf-8")
            if not path.endswith(".js"):
                self.send_header("content-security-policy", pages.policy)
            self.end_headers()
            self.wfile.write((body or "").encode())

        def log_message(self, format: str, *args: object) -> None:
            """Tests are quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        pages = Pages(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield pages
        finally:
            server.shutdown()
            thread.join(10)
