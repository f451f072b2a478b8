"""Each store by itself, empty."""

from collections.abc import Iterator

import pytest

from tests.conformance.stores import Held, InMemory, OnRedis


@pytest.fixture(params=["memory", "redis"])
def held(request: pytest.FixtureRequest) -> Iterator[Held]:
    if request.param == "memory":
        yield InMemory()
        return
    on_redis = OnRedis(request.getfixturevalue("redis_url"))
    yield on_redis
    on_redis.store.client.close()


@pytest.fixture
def redis_held(redis_url: str) -> Iterator[OnRedis]:
    on_redis = OnRedis(redis_url)
    yield on_redis
    on_redis.store.client.close()
