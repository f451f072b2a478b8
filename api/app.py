"""The application, and the process that serves it."""

import logging
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.container import Container
from api.cors import open_to
from api.direct import DirectProtocol
from api.lean_route import LeanApp, LeanRoute
from api.openapi import completed
from api.problems import Problem, broken
from api.routes import (
    catalogue,
    customers,
    decisions,
    events,
    insights,
    leads,
    operating,
    pos,
    preferences,
    products,
    segment,
    service,
    tag,
)
from config.logging import log_to_stderr
from config.memory import settle_memory
from config.settings import ApiSettings, EngineSettings, RedisSettings

log = logging.getLogger(__name__)

GROUPS: Final = (
    events,
    segment,
    pos,
    decisions,
    customers,
    preferences,
    service,
    insights,
    leads,
    products,
    catalogue,
    tag,
    operating,
)


SERVED: Final[dict[str, Any]] = {
    "http": DirectProtocol,
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "date_header": False,
    "proxy_headers": False,
    "lifespan": "on",
}
"""How uvicorn serves the application."""


def create_app(settings: ApiSettings, redis: RedisSettings, shards: int | None = None) -> FastAPI:
    """An application of its own for these settings; `app.state.container` holds its parts."""
    container = Container(settings, redis, shards or EngineSettings().shards)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        await container.start()
        try:
            yield
        finally:
            await container.stop()

    app = LeanApp(
        completed,
        title="Regulars",
        summary="A real-time personalization engine: events in, offers out.",
        lifespan=running,
        redirect_slashes=False,
        exception_handlers={HTTPException: _without_route, Exception: _broken},
    )
    app.router.route_class = LeanRoute
    app.state.container = container
    opened = open_to(settings.cors_origins, settings.keyless)
    app.add_middleware(opened)
    for group in GROUPS:
        group.add_routes(app, container)
    app.direct = {b"/v1/decisions": decisions.direct(container)}
    app.find_first(opened)
    return app


async def _without_route(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    code = {404: "path.unknown", 405: "method.not_allowed"}.get(status, "http.error")
    return Problem(status, code, HTTPStatus(status).phrase, headers=headers).response()


async def _broken(_: Request, error: Exception) -> Response:
    log.error("a request failed", exc_info=error)
    return broken().response()


def main(*, redis_url: str, host: str, port: int, catalogue: Path | None, listen_fd: int | None) -> int:
    """Serves until SIGTERM, then finishes the requests it has. With `listen_fd`, on that inherited socket."""
    log_to_stderr(os.environ.get("REGULARS_PART", "api"))
    chosen: dict[str, Any] = {"catalogue": catalogue} if catalogue else {}
    settings = ApiSettings(host=host, port=port, **chosen)
    settings.refuse_exposure()
    app = create_app(settings, RedisSettings(redis_url=redis_url))
    config = uvicorn.Config(
        app, host=settings.host, port=settings.port, timeout_graceful_shutdown=settings.drain_s, **SERVED
    )
    server = uvicorn.Server(config)
    settle_memory()
    # uvicorn raises the signal again once it has drained; a drained server has done what it was asked.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server.run(sockets=[socket.socket(fileno=listen_fd)] if listen_fd is not None else None)
    return 0 if server.started else 1
