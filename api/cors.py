"""Which pages of other origins may talk to which doors.

Browsers ask first (the preflight) and keep the answer. Only what a page does is open to pages: events, decisions and offers.
No cookie is ever read, so credentials are never allowed.

Without keys, whoever reaches the server may do everything, and so could any page that is open in a browser on the same
machine: browsers send simple requests without asking. Then pages of origins that nobody has allowed change nothing.
"""

from collections.abc import Callable, Sequence
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import Problem
from api.requests import header

SEGMENT_PATHS: Final = ("track", "identify", "page", "screen", "group", "alias", "batch", "t", "i", "p", "s", "g", "a", "b", "m")
"""As clients in a browser call them."""
WEB_DOORS: Final = frozenset({"/v1/events", "/v1/decisions", "/v1/offers", *(f"/v1/{path}" for path in SEGMENT_PATHS)})
_CHANGES_NOTHING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
PREFLIGHT_KEPT_S: Final = 7200
"""As long as browsers keep the answer at most."""


def open_to(origins: Sequence[str], keyless: bool) -> Callable[[ASGIApp], ASGIApp]:
    """What to put around an application, or around one route, so that pages of these origins reach the web doors."""

    def around(app: ASGIApp) -> ASGIApp:
        opened = _WebDoors(app, origins) if origins else app
        return _WithoutStrangers(opened, origins) if keyless and "*" not in origins else opened

    return around


class _WithoutStrangers:
    """Refuses what pages of other origins than the server's own and the allowed ones would change."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app, self._origins = app, frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in _CHANGES_NOTHING:
            origin = header(scope, b"origin")
            if origin and origin not in self._origins and origin.partition("://")[2] != header(scope, b"host"):
                detail = f"without keys, pages of other origins are let in by name: add {origin[:100]} to REGULARS_CORS_ORIGINS"
                await Problem(403, "origin.not_allowed", detail).response()(scope, receive, send)
                return
        await self._app(scope, receive, send)


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
