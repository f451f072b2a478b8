"""Customers over HTTP: the firm shape, consent, everything handed over, and being forgotten."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from httpx import Client

from engine.store.redis_writer import RedisStore
from tests.integration.api_client import SHARDS, api_client, consent, fold, shown, write_catalogue


@pytest.fixture
def client(redis_url: str, tmp_path: Path) -> Iterator[Client]:
    with api_client(redis_url, catalogue=write_catalogue(tmp_path), decision_deadline_ms=2000) as client:
        yield client


def order(name: str, total: str, day: int) -> dict[str, object]:
    return {
        "id": name, "type": "order_completed", "user_id": "u-1", "loyalty_id": "c-9", "anonymous_id": "a-1",
        "time": f"2026-03-{day:02}T10:00:00Z",
        "data": {"order_id": name, "currency": "EUR", "total": total, "products": [{"product_id": "p", "category": "wine"}]},
    }  # fmt: skip


def test_a_customer_has_the_firm_shape(client: Client, redis_url: str) -> None:
    client.post("/v1/events", json=[order("o-1", "19.90", 1), order("o-2", "39.80", 5), consent()])
    client.post("/v1/events", json={"id": "k", "type": "complaint_filed", "user_id": "u-1", "time": "2026-03-06T00:00:00Z"})
    fold(redis_url)

    body = client.get("/v1/customers/u-1").json()

    assert body["user_id"] == "u-1"
    assert body["identities"] == {"anonymous": ["a-1"], "loyalty": ["c-9"]}
    assert body["purchases"] == {
        "count": 2, "spend_minor": 5970, "currency": "EUR",
        "first_at": "2026-03-01T10:00:00.000Z", "last_at": "2026-03-05T10:00:00.000Z",
    }  # fmt: skip
    assert body["churn"]["status"] == "warming_up"
    assert 0 <= body["churn"]["probability"] <= 1
    assert body["purchase"]["status"] == "warming_up"
    assert 0 <= body["purchase"]["probability_7d"] <= 1 - body["churn"]["probability"]
    assert body["consent"]["marketing"]["status"] == "granted"
    assert body["service"]["open_complaints"] == 1
    assert body["features"]["rfm.frequency"] == 2
    assert {"segments", "lifecycle", "value", "purchase", "actions_due", "loyalty", "updated_at", "age_ms"} <= set(body)


def test_somebody_never_heard_of_is_unknown(client: Client) -> None:
    answer = client.get("/v1/customers/nobody")

    assert (answer.status_code, answer.json()["code"]) == (404, "customer.unknown")


def test_a_customer_is_found_by_another_identity(client: Client, redis_url: str) -> None:
    event = {"id": "1", "type": "page_viewed", "anonymous_id": "a-7", "time": "2026-03-01T10:00:00Z"}
    client.post("/v1/events", json=event)
    fold(redis_url)

    assert client.get("/v1/customers", params={"anonymous_id": "a-7"}).json()["user_id"] is None
    assert client.get("/v1/customers", params={"loyalty_id": "c-0"}).status_code == 404
    assert client.get("/v1/customers").status_code == 422


def test_consent_put_is_followed_by_the_next_decision(client: Client) -> None:
    body = {"consents": [{"purpose": "marketing", "status": "granted"}]}
    asked = {"user_id": "u-1", "placements": [{"name": "home_hero"}]}

    answer = client.put("/v1/customers/u-1/consent", json=body)

    assert answer.status_code == 200
    assert shown(client.post("/v1/decisions", json=asked)) != ["house"]
    wrong = client.put("/v1/customers/u-1/consent", json={"consents": [{"purpose": "marketing", "status": "maybe"}]})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "consents[0].status")


def test_an_export_hands_over_profile_events_and_decisions(client: Client, redis_url: str) -> None:
    client.post("/v1/events", json=[order("o-1", "19.90", 1), consent()])
    client.post("/v1/decisions", json={"user_id": "u-1", "placements": [{"name": "home_hero"}]})
    client.post("/v1/events", json=consent(name="c-other", user_id="u-2"))
    fold(redis_url)

    lines = [json.loads(line) for line in client.get("/v1/customers/u-1/export").text.splitlines()]

    kinds = [line["kind"] for line in lines if "segment_changed" not in json.dumps(line)]
    counted = {kind: kinds.count(kind) for kind in set(kinds)}
    assert counted == {"profile": 1, "ledger": 1, "timeline": 2, "event": 3, "decision": 1}


def test_an_erasure_is_obeyed_before_it_is_folded(client: Client) -> None:
    client.post("/v1/events", json=consent())

    answer = client.delete("/v1/customers/u-1")

    assert (answer.status_code, answer.json()["status"]) == (200, "accepted")
    assert client.get("/v1/customers/u-1").status_code == 410
    assert shown(client.post("/v1/decisions", json={"user_id": "u-1", "placements": [{"name": "home_hero"}]})) == ["house"]


def test_an_erasure_that_the_engine_carries_out_is_certified(client: Client, redis_url: str) -> None:
    client.post("/v1/events", json=[order("o-1", "19.90", 1), consent()])
    fold(redis_url)
    engine = threading.Timer(0.3, fold, [redis_url])
    engine.start()

    answer = client.delete("/v1/customers/u-1")
    engine.join()

    assert answer.json()["status"] == "erased"
    assert {store["store"] for store in answer.json()["stores"]} >= {"profile", "contact ledger", "answers to request ids"}
    assert client.get("/v1/customers/u-1").json()["code"] == "customer.erased"


def test_only_a_secret_key_reads_customers(redis_url: str, tmp_path: Path) -> None:
    with api_client(redis_url, catalogue=write_catalogue(tmp_path), web_keys="w", write_keys="t", secret_keys="s") as client:
        statuses = [
            client.get("/v1/customers/u-1", headers={"authorization": f"Bearer {key}"}).status_code for key in ("w", "t", "s")
        ]

    assert statuses == [403, 403, 404]


def _fold_and_pass_on(redis_url: str) -> None:
    """The engine, until nothing is left for it in any shard."""
    store = RedisStore(redis_url)
    while fold(redis_url):
        for shard in range(SHARDS):
            store.relay(shard)


def test_who_logs_in_is_found_by_card_and_browser_and_decided_as_one(client: Client, redis_url: str) -> None:
    browsing = {"id": "b", "type": "product_viewed", "anonymous_id": "a-1", "data": {"product_id": "p", "category": "coffee"}}
    client.post("/v1/events", json=[browsing, consent(anonymous_id="a-1"), order("o-1", "19.90", 1)])
    _fold_and_pass_on(redis_url)

    by_browser = client.get("/v1/customers", params={"anonymous_id": "a-1"}).json()
    by_card = client.get("/v1/customers", params={"loyalty_id": "c-9"}).json()
    decided = client.get("/v1/offers", params={"anonymous_id": "a-1", "placement": "home_hero"})

    assert by_browser["user_id"] == by_card["user_id"] == "u-1"
    assert by_browser["purchases"]["spend_minor"] == by_card["purchases"]["spend_minor"] == 1990
    assert by_browser["consent"]["marketing"]["status"] == "granted"
    assert shown(decided) in (["coffee"], ["wine"])
    fold(redis_url)
    assert client.get("/v1/customers/u-1").json()["offers"]["decided"] == 1


def test_a_withdrawal_by_a_browser_that_logged_in_is_obeyed_before_it_is_passed_on(client: Client, redis_url: str) -> None:
    client.post("/v1/events", json=[consent(user_id="u-1"), order("o-1", "19.90", 1)])
    _fold_and_pass_on(redis_url)

    client.post("/v1/events", json=consent("revoked", "c-2", anonymous_id="a-1") | {"time": "2026-02-01T00:00:00Z"})
    decided = client.get("/v1/offers", params={"anonymous_id": "a-1", "placement": "home_hero"})

    assert shown(decided) == ["house"]
