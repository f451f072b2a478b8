"""Tills over HTTP: POSLog in, customers and gaps out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx import Client

from engine.store.redis_writer import RedisStore
from tests.integration.api_client import SHARDS, api_client, fold, write_catalogue

STORES = "stores:\n  s-1: {zone: Europe/Vienna, currency: EUR, name: Vienna}\n"
KEYS: dict[str, Any] = {"web_keys": ("page",), "write_keys": ("till",), "secret_keys": ("all",)}


@pytest.fixture
def client(redis_url: str, tmp_path: Path) -> Iterator[Client]:
    folder = write_catalogue(tmp_path)
    (folder / "stores.yaml").write_text(STORES)
    with api_client(redis_url, catalogue=folder, **KEYS) as client:
        client.headers["authorization"] = "Bearer till"
        yield client


def settle(redis_url: str) -> None:
    """Folds everything, and passes on what shards have for each other."""
    store = RedisStore(redis_url)
    fold(redis_url)
    while sum([store.relay(shard) for shard in range(SHARDS)]):
        fold(redis_url)


def transaction(number: int, total: str = "19.90", card: str = "", **head: Any) -> dict[str, Any]:
    line = {"Sale": {"ItemID": "p-1", "MerchandiseHierarchy": "coffee", "ExtendedAmount": total}}
    retail: dict[str, Any] = {"LineItem": [line], "Total": total}
    if card:
        retail["LoyaltyAccount"] = [{"LoyaltyAccountID": card}]
    return {
        "RetailStoreID": "s-1", "WorkstationID": "1", "SequenceNumber": number, "BusinessDayDate": "2026-03-02",
        "EndDateTime": f"2026-03-02T10:{number % 60:02}:00", **head, "RetailTransaction": retail,
    }  # fmt: skip


def purchases(client: Client, card: str) -> tuple[int, int]:
    found = client.get("/v1/customers", params={"loyalty_id": card}, headers={"authorization": "Bearer all"}).json()["purchases"]
    return found["count"], found["spend_minor"]


def test_a_poslog_becomes_purchases_once_and_each_transaction_is_answered_for(client: Client, redis_url: str) -> None:
    log = [
        transaction(1, card="c-9"),
        transaction(2, "5.00", "c-9"),
        transaction(3, "7.00", "c-9", TrainingModeFlag=True),
        transaction(4, "1.999", "c-9"),
        transaction(2, "5.00", "c-9", CancelFlag=True),
    ]

    answers = [client.post("/v1/pos/transactions", json={"POSLog": {"Transaction": log}}) for _ in range(2)]
    settle(redis_url)

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json()["accepted"] == 4
    (refused,) = answers[0].json()["rejected"]
    assert (refused["index"], refused["code"], refused["field"]) == (3, "schema.money", "data.total")
    assert refused["dead_letter_id"]
    assert purchases(client, "c-9") == (1, 1990)


def test_a_return_without_a_card_finds_the_customer_who_bought(client: Client, redis_url: str) -> None:
    back = transaction(8, BusinessDayDate="2026-04-02")
    link = {"RetailStoreID": "s-1", "WorkstationID": "1", "BusinessDayDate": "2026-03-02", "SequenceNumber": 1}
    back["RetailTransaction"]["LineItem"] = [{"Return": {"ItemID": "p-1", "ExtendedAmount": "19.90", "TransactionLink": link}}]
    client.post("/v1/pos/transactions", json=[transaction(1, card="c-9"), transaction(2, "5.00", "c-9")])
    settle(redis_url)

    client.post("/v1/pos/transactions", json=back)
    settle(redis_url)

    assert purchases(client, "c-9") == (1, 500)


def test_gaps_are_told_by_workstation_and_day_and_close_when_the_missing_comes(client: Client, redis_url: str) -> None:
    client.post("/v1/pos/transactions", json=[transaction(number) for number in (1, 2, 5, 6, 9)])
    told = {"store": "s-1", "workstation": "1", "business_day": "2026-03-02", "last_sequence": 10, "count": 10, "total": "250.00"}
    client.post("/v1/events", json={"type": "pos_day_closed", "time": "2026-03-02T20:00:00Z", "data": told})
    settle(redis_url)

    body = client.get("/v1/pos/gaps").json()
    (day,) = body["gaps"]

    assert body["missing_count"] == day["missing_count"] == 5
    assert day["missing"] == [{"first": 3, "last": 4}, {"first": 7, "last": 8}, {"first": 10, "last": 10}]
    assert (day["store"], day["workstation"], day["business_day"], day["closed"]) == ("s-1", "1", "2026-03-02", True)
    assert day["total"] == {"told_minor": 25_000, "seen_minor": 9_950, "currency": "EUR"}
    assert client.get("/v1/pos/gaps", params={"store": "s-2"}).json()["gaps"] == []
    assert client.get("/v1/pos/gaps", params={"since": "2026-03-03"}).json()["gaps"] == []
    assert client.get("/v1/pos/gaps", params={"since": "2026-03-02T23:00:00Z"}).json()["days"] == 1

    client.post("/v1/pos/transactions", json=[transaction(number, "30.10") for number in (3, 4, 7, 8, 10)])
    settle(redis_url)
    assert client.get("/v1/pos/gaps").json()["gaps"] == []


def test_a_card_shown_later_moves_a_receipt_of_nobody(client: Client, redis_url: str) -> None:
    client.post("/v1/pos/transactions", json=transaction(1))
    settle(redis_url)
    named = {"store": "s-1", "workstation": "1", "business_day": "2026-03-02", "sequence_number": 1}
    shown = {"id": "k", "type": "pos_customer_identified", "time": "2026-03-03T10:00:00Z", "loyalty_id": "c-9", "data": named}

    for _ in range(2):
        client.post("/v1/events", json=shown)
        settle(redis_url)

    assert purchases(client, "c-9") == (1, 1990)


def test_only_keys_of_tills_send_and_read(client: Client) -> None:
    for answer in (
        client.post("/v1/pos/transactions", json=transaction(1), headers={"authorization": "Bearer page"}),
        client.get("/v1/pos/gaps", headers={"authorization": "Bearer page"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "key.not_allowed")


def test_a_day_that_is_none_is_refused(client: Client) -> None:
    answer = client.get("/v1/pos/gaps", params={"since": "yesterday"})

    assert (answer.status_code, answer.json()["field"]) == (422, "since")


def test_a_poslog_is_understood_by_the_check_without_being_written(client: Client) -> None:
    (found,) = client.post("/v1/events/check", json=transaction(1, card="c-9")).json()["events"]

    assert (found["dialect"], found["customer"], found["money"]["data.total"]) == ("poslog", "l:c-9", "19.90 EUR")
