"""Which pages of other origins may talk to which doors.

Browsers ask first (the preflight) and keep the answer. Only what a page does is open to pages: events, decisions and offers.
No cookie is ever read, so credentials are never allowed.
"""

from collections.abc import Callable, Sequence
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

SEGMENT_PATHS: Final = ("track", "identify", "page", "screen", "group", "alias", "batch", "t", "i", "p", "s", "g", "a", "b", "m")
"""As clients in a browser call them."""
WEB_DOORS: Final = frozenset({"/v1/events", "/v1/decisions", "/v1/offers", *(f"/v1/{path}" for path in SEGMENT_PATHS)})
PREFLIGHT_KEPT_S: Final = 7200
"""As long as browsers keep the answer at most."""


def open_to(origins: Sequence[str]) -> Callable[[ASGIApp], ASGIApp]:
    """What to put around an application, or around one route, so that pages of these origins reach the web doors."""
    return (lambda app: _WebDoors(app, origins)) if origins else (lambda app: app)


class _WebDoors:
    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._open = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=("GET", "POST"),
            allow_headers=("authorization", "content-type", "x-retry-count"),
            expose_headers=("retry-after",),
            max_age=PREFLIGHT_KEPT_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_door = scope["type"] == "http" and scope["path"] in WEB_DOORS
        await (self._open if is_door else self._app)(scope, receive, send)
