"""A served API process inside the test, on a real Redis, and a client of it."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from api.app import SERVED, create_app
from config.settings import ApiSettings, RedisSettings
from engine.moments import DAY
from engine.shards.labels import ChurnRule, Labels
from engine.shards.processor import ShardProcessor
from engine.store.redis_writer import RedisStore
from flows.owner import Owner
from flows.runner import run_until_idle

SHARDS = 8


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The address at which the application answers, on loopback."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, **SERVED))
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


POLICY = """\
timezone: UTC
placements:
  home_hero: {channel: web, max: 3, shown_when: viewed, sticky_seconds: 600}
  banner: {channel: web, max: 1, shown_when: viewed}
  till: {channel: pos, stage: in_transaction, max: 1, shown_when: decided}
holdout: {share: 0.0, salt: none}
reservation_seconds: 1800
"""
OFFERS = """\
offers:
  - {id: coffee, kind: sell, placements: [home_hero, till], promotes: {categories: [coffee]}, margin: 1.80 EUR,
     content: {default: {title: Coffee}}}
  - {id: wine, kind: sell, placements: [home_hero], promotes: {categories: [wine]}, margin: 2.40 EUR,
     content: {default: {title: Wine}, de: {title: Wein}}}
  - {id: last-two, kind: sell, placements: [banner], stock: 2, promotes: {categories: [bread]}, margin: 0.90 EUR,
     content: {default: {title: Bread}}}
  - {id: once, kind: sell, placements: [till], caps: [{count: 1, window_days: 7}], promotes: {categories: [fruit]},
     margin: 9.90 EUR, content: {default: {title: Fruit}}}
  - {id: house, kind: fallback, placements: [home_hero], content: {default: {title: Welcome}}}
"""


def write_catalogue(folder: Path, policy: str = POLICY, offers: str = OFFERS) -> Path:
    """A small shop: two offers on the home page, one with a stock of two, one that is capped, and a fallback."""
    (folder / "offers").mkdir(parents=True, exist_ok=True)
    (folder / "policy.yaml").write_text(policy)
    (folder / "offers" / "all.yaml").write_text(offers)
    return folder


def fold(redis_url: str) -> int:
    """Runs the engine over everything that waits; returns how many entries that were."""
    store = RedisStore(redis_url)
    return run_until_idle(Owner(store, ShardProcessor(Labels(ChurnRule()), DAY, SHARDS), range(SHARDS)), store)


def consent(status: str = "granted", name: str = "c-1", **who: str) -> dict[str, Any]:
    """What a customer allows."""
    said = {"purpose": "marketing", "status": status}
    return {"id": name, "type": "consent_updated", "time": "2026-01-01T00:00:00Z", "data": said, **(who or {"user_id": "u-1"})}


def shown(answer: httpx.Response, placement: int = 0) -> list[str]:
    """The offers of a placement."""
    assert answer.status_code == 200, answer.text
    return [offer["offer_id"] for offer in answer.json()["placements"][placement]["offers"]]
