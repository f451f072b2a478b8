"""A fall of a price is noted with the price, waits until all shards are told, and is told again harmlessly."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import httpx
import pytest

from engine.events.decode import decode_canonical
from engine.events.prices import PriceDrop, PriceDropped
from engine.store import keys
from engine.store.redis_facts import RedisFacts
from engine.store.redis_products import Falls
from engine.store.redis_writer import RedisStore
from flows.price_news import PriceNews
from tests.integration.api_client import SHARDS, api_client, fold, write_catalogue


@pytest.fixture
def store(redis_url: str) -> Iterator[RedisStore]:
    store = RedisStore(redis_url)
    yield store
    store.client.close()


@pytest.fixture
def client(redis_url: str, tmp_path: Path) -> Iterator[httpx.Client]:
    with api_client(redis_url, catalogue=write_catalogue(tmp_path)) as client:
        yield client


def told(client: httpx.Client, price: str, currency: str = "EUR", at: str = "") -> None:
    product = {"product_id": "p-1", "title": "Kettle", "price": price, "currency": currency}
    assert client.post("/v1/products", json=product | ({"updated_at": at} if at else {})).json()["accepted"] == 1


def drops(store: RedisStore, shard: int) -> list[PriceDrop]:
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", store.client.xrange(keys.events(shard)))
    events = [decode_canonical(fields[b"e"]) for _, fields in entries if b"e" in fields]
    return [event.data for event in events if isinstance(event, PriceDropped)]


def test_only_a_fall_in_the_same_currency_is_noted(client: httpx.Client, store: RedisStore) -> None:
    for price, currency in (("10.00", "EUR"), ("12.00", "EUR"), ("12.00", "EUR"), ("9.00", "USD"), ("8.00", "USD")):
        told(client, price, currency)

    assert [fall.drop for fall in Falls(store.client).waiting(10)] == [
        PriceDrop(product_id="p-1", was=900, price=800, currency="USD")
    ]


def test_what_was_told_late_is_no_fall(client: httpx.Client, store: RedisStore) -> None:
    told(client, "10.00", at="2026-02-02T00:00:00Z")
    told(client, "8.00", at="2026-02-01T00:00:00Z")

    assert Falls(store.client).waiting(10) == []


def test_every_shard_is_told_and_nothing_waits_any_more(client: httpx.Client, store: RedisStore) -> None:
    told(client, "10.00")
    told(client, "8.00")
    news = PriceNews(Falls(store.client), RedisFacts(store.client, SHARDS), lambda event: event == "price_dropped")

    assert (news.look(), news.look()) == (1, 0)
    assert all(
        drops(store, shard) == [PriceDrop(product_id="p-1", was=1000, price=800, currency="EUR")] for shard in range(SHARDS)
    )


def test_what_is_told_twice_after_a_crash_counts_once(client: httpx.Client, store: RedisStore, redis_url: str) -> None:
    told(client, "10.00")
    told(client, "8.00")
    falls = Falls(store.client)
    held = falls.waiting(10)
    news = PriceNews(falls, RedisFacts(store.client, SHARDS), lambda _: True)
    news.look()
    store.client.xadd(keys.PRICE_FALLS, {"p": "p-1", "w": held[0].drop.was, "n": held[0].drop.price, "c": "EUR", "t": held[0].at})
    news.look()
    fold(redis_url)

    assert [store.open(shard).record.totals.duplicates for shard in range(SHARDS)] == [1] * SHARDS


def test_nobody_is_told_where_no_trigger_starts_from_it(client: httpx.Client, store: RedisStore) -> None:
    told(client, "10.00")
    told(client, "8.00")

    assert PriceNews(Falls(store.client), RedisFacts(store.client, SHARDS), lambda _: False).look() == 0
    assert Falls(store.client).waiting(10) == []
    assert not any(drops(store, shard) for shard in range(SHARDS))
