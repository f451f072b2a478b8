"""What every test may ask for: a real Redis, empty at the start of each test that uses it, and a real browser."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from redis import Redis

from engine.store.embedded import EmbeddedRedis, start_embedded
from tests.chromium import chromium

# As the `regulars` command does it: sums are equal to the last bit, and test processes share the cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """The bundled server, one for each test process, without persistence."""
    server = start_embedded(tmp_path_factory.mktemp("redis"), maxmemory_mb=512, persistence="none")
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """The address of an empty Redis."""
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def short_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh folder near the root of the temporary ones: a Unix socket inside it has a path short enough to bind."""
    return tmp_path_factory.mktemp("d")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser, one for each module: its driver holds an event loop, which other tests must not find running."""
    with chromium() as running:
        yield running
