"""A thousand explanations change neither what Redis holds nor the numbers that rank."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from fastapi import FastAPI
from redis import Redis

from api.app import create_app
from api.decision_log import ARM_FINGERPRINT
from api.serving import Serving
from config.settings import ApiSettings, RedisSettings
from engine.decisioning.offer_features import OFFER_NAMES
from engine.features.affinity import CROSS_NAMES
from engine.features.vector import FINGERPRINT, NAMES
from engine.models.base import Example, recorded
from engine.models.roster import Inputs, learners
from engine.models.snapshot import encode_snapshot
from engine.store import keys
from tests.integration.api_client import SHARDS, consent, fold, served, write_catalogue

EXPLAINS = 1_000


def learned() -> bytes:
    """A published model with a say of its own."""
    learner = learners(Inputs(NAMES, FINGERPRINT, OFFER_NAMES, CROSS_NAMES))["next_best_offer"]
    chance = np.random.default_rng(3)
    rows = chance.lognormal(0.0, 1.0, (60, len(NAMES) + len(OFFER_NAMES) + len(CROSS_NAMES)))
    learner.learn(
        [
            Example(
                "next_best_offer",
                f"d-{at}|coffee|home_hero",
                "u:9",
                0,
                1,
                float(at % 3 == 0),
                ARM_FINGERPRINT,
                recorded(row),
                "coffee",
            )
            for at, row in enumerate(rows)
        ]
    )
    return encode_snapshot(learner.publish())


def digest_of_store(redis: Any) -> str:
    """Every key with its value as Redis would write it to disk; `DUMP` leaves out how long it has to live."""
    told = sha256()
    for name in sorted(redis.keys()):
        told.update(name + b"\0" + redis.dump(name))
    return told.hexdigest()


def digest_of_model(serving: Any) -> str:
    """The numbers that rank, as the serving process holds them."""
    told = sha256()
    for name, prepared in sorted(serving.scorers.prepared.items()):
        told.update(name.encode())
        for array in (prepared.crowd, prepared.popularity, prepared.learned, prepared.frozen, prepared.packed):
            told.update(np.ascontiguousarray(array).tobytes())
    learner = serving.scorers.learned
    told.update(repr(learner.version).encode() + b"".join(np.ascontiguousarray(one).tobytes() for one in arrays_of(learner)))
    return told.hexdigest()


def arrays_of(scorer: Any) -> Iterator[np.ndarray[Any, Any]]:
    for name in sorted(vars(scorer)):
        value = vars(scorer)[name]
        if isinstance(value, np.ndarray):
            yield value


@contextmanager
def client_of(app: FastAPI) -> Iterator[httpx.Client]:
    with served(app) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def test_a_thousand_explanations_change_neither_store_nor_model(redis_url: str, tmp_path: Path) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.set(keys.snapshot("next_best_offer"), learned())
        settings = ApiSettings(catalogue=write_catalogue(tmp_path), decision_deadline_ms=5_000)
        app = create_app(settings, RedisSettings(redis_url=redis_url, redis_timeout_ms=5_000), SHARDS)
        with client_of(app) as client:
            for number in range(5):
                client.post("/v1/events", json=consent(name=f"c-{number}", user_id=f"u-{number}"))
                body = {"user_id": f"u-{number}", "placements": [{"name": "home_hero", "count": 2}, {"name": "banner"}]}
                client.post("/v1/decisions", json=body)
            fold(redis_url)
            container = app.state.container
            assert isinstance(container.serving, Serving)
            before = digest_of_store(redis), digest_of_model(container.basis), redis.dbsize()

            for number in range(EXPLAINS):
                asked = {
                    "user_id": f"u-{number % 7}",
                    "placements": [{"name": "home_hero", "count": 1 + number % 3}, {"name": "till"}],
                    "explain": True,
                    "request_id": f"r-{number}",
                }
                answer = client.post("/v1/decisions", json=asked).json()
                assert len(answer["explanation"]) == 2 * 5

            assert (digest_of_store(redis), digest_of_model(container.basis), redis.dbsize()) == before
