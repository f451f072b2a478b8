"""A served API process inside the test, on a real Redis, and a client of it."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from config.settings import ApiSettings, RedisSettings

SHARDS = 8


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The address at which the application answers, on loopback."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


@contextmanager
def api_client(redis_url: str, redis_timeout_ms: int = 5_000, **settings: Any) -> Iterator[httpx.Client]:
    """A client of an application with these settings."""
    app = create_app(
        ApiSettings(**settings), RedisSettings(redis_url=redis_url, redis_timeout_ms=redis_timeout_ms), SHARDS
    )
    with served(app) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client
