"""A served API whose clock stands still, behind a tap, and what is stored of what came through it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx
import msgspec
from redis import Redis

from api.app import create_app
from config.settings import ApiSettings, RedisSettings
from engine.shards.own import OURSELVES
from engine.store import keys
from tests.conformance.recording import Tap, tapped
from tests.integration.api_client import SHARDS, fold, served

KEY: Final = "write-key-of-a-server"
PAGE_KEY: Final = "web-key-of-a-page"
SECRET: Final = "secret-key-of-the-shop"
NOW_S: Final = 1_772_359_200.0
"""What the server's clock shows; whatever a client's own shows is corrected by when it says that it sends."""


class World:
    """The doors on one Redis, with the tap in front of them."""

    def __init__(self, url: str, tap: Tap, redis_url: str) -> None:
        self.tap = tap
        self._redis_url = redis_url
        self._asking = httpx.Client(base_url=url, headers={"authorization": f"Bearer {SECRET}"}, timeout=30)

    def stored(self) -> list[tuple[int, bytes, bytes, bytes]]:
        """What callers' events became, byte for byte: shard, customer, canonical event, fingerprint."""
        with Redis.from_url(self._redis_url) as redis:
            entries: list[Any] = [(shard, entry) for shard in range(SHARDS) for _, entry in redis.xrange(keys.events(shard))]
        theirs = [(shard, one) for shard, one in entries if msgspec.json.decode(one[b"e"]).get("source") != OURSELVES]
        return sorted((shard, one[b"k"], one[b"e"], one[b"h"]) for shard, one in theirs)

    def customer(self, user_id: str) -> dict[str, Any]:
        """What is held of a customer once everything is folded."""
        fold(self._redis_url)
        found = self._asking.get(f"/v1/customers/{user_id}")
        assert found.status_code == 200, found.text
        told: dict[str, Any] = found.json()
        return {name: value for name, value in told.items() if name != "age_ms"}

    def metric(self, line: str) -> float:
        """One sample of the exposition."""
        text = self._asking.get("/metrics").text
        return float(next(each for each in text.splitlines() if each.startswith(f"{line} ")).rpartition(" ")[2])

    def forget(self) -> None:
        """An empty Redis, but for what an installation chooses once."""
        with Redis.from_url(self._redis_url) as redis:
            chosen: dict[Any, Any] = redis.hgetall(keys.META)
            redis.flushall()
            redis.hset(keys.META, mapping=chosen)

    def close(self) -> None:
        self._asking.close()


@contextmanager
def world(redis_url: str, **settings: Any) -> Iterator[World]:
    """Serves with a key of every kind."""
    kept = {"web_keys": PAGE_KEY, "write_keys": KEY, "secret_keys": SECRET, **settings}
    app = create_app(ApiSettings(**kept), RedisSettings(redis_url=redis_url), SHARDS)
    app.state.container.clock = lambda: NOW_S
    with served(app) as url, tapped(url) as tap:
        here = World(url, tap, redis_url)
        try:
            yield here
        finally:
            here.close()
