"""A decision can be read back by its name: what it was made from, and what came of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx import Client
from redis import Redis

from api.decision_ids import decision_id, origin_of
from engine.features.vector import NAMES
from engine.ids import shard_of
from engine.store import keys
from tests.integration.api_client import SHARDS, api_client, consent, fold, write_catalogue


@pytest.fixture
def client(redis_url: str, tmp_path: Path) -> Iterator[Client]:
    with api_client(redis_url, catalogue=write_catalogue(tmp_path)) as client:
        yield client


@pytest.fixture
def redis(redis_url: str) -> Iterator[Any]:
    with Redis.from_url(redis_url) as client:
        yield client


def ask(client: Client, placement: str = "home_hero", **fields: Any) -> dict[str, Any]:
    body = {"user_id": "u-1", "channel": "web", "placements": [{"name": placement}], **fields}
    answer = client.post("/v1/decisions", json=body)
    assert answer.status_code == 200, answer.text
    decided: dict[str, Any] = answer.json()
    return decided


def recalled(client: Client, name: str) -> dict[str, Any]:
    answer = client.get(f"/v1/decisions/{name}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def told(client: Client, decided: dict[str, Any], what: str) -> None:
    offer = decided["placements"][0]["offers"][0]["offer_id"]
    event = {"id": f"e-{what}", "type": what, "user_id": "u-1", "decision_id": decided["decision_id"], "offer_id": offer}
    assert client.post("/v1/events", json=event).json()["accepted"] == 1


def test_a_decision_is_there_at_once_with_set_stages_readings_and_choice(client: Client) -> None:
    client.post("/v1/events", json=consent())
    decided = ask(client, request_id="r-1")

    found = recalled(client, decided["decision_id"])

    (place,) = found["placements"]
    (offer,) = place["offers"]
    answered = decided["placements"][0]["offers"][0]
    assert (found["user_id"], found["channel"], found["request_id"]) == ("u-1", "web", "r-1")
    assert found["versions"]["catalogue"] == decided["versions"]["catalogue"]
    assert (offer["offer_id"], offer["propensity"]) == (answered["offer_id"], answered["terms"]["propensity"])
    assert sorted(place["eligible"]) == ["coffee", "house", "wine"]
    assert sum(place["stages"].values()) == 5
    assert place["stages"]["chosen"] == 1
    assert set(NAMES) < set(offer["features"])
    assert "offer.margin" in offer["features"]


def test_it_tells_what_came_of_each_offer_and_still_does_when_it_is_folded(client: Client, redis_url: str) -> None:
    client.post("/v1/events", json=consent())
    decided = ask(client)
    fold(redis_url)
    outcomes = [recalled(client, decided["decision_id"])["placements"][0]["offers"][0]["outcome"]]

    for what in ("offer_viewed", "offer_clicked", "offer_redeemed"):
        told(client, decided, what)
        fold(redis_url)
        outcomes.append(recalled(client, decided["decision_id"])["placements"][0]["offers"][0]["outcome"])

    assert [(one["shown"], one["clicked"], one["closed"]) for one in outcomes] == [
        (False, False, False),
        (True, False, False),
        (True, True, False),
        (True, True, False),
    ]
    assert outcomes[1]["shown_at"] > "2026"


def test_it_is_found_in_the_log_of_decisions_when_the_event_is_gone(client: Client, redis: Any, redis_url: str) -> None:
    decided = ask(client)
    fold(redis_url)
    before = recalled(client, decided["decision_id"])

    redis.delete(keys.events(shard_of("u:u-1", SHARDS)))

    assert recalled(client, decided["decision_id"]) == before


def test_without_an_offer_the_customers_readings_are_told_by_themselves(client: Client) -> None:
    decided = ask(client)

    found = recalled(client, decided["decision_id"])

    assert [offer["kind"] for offer in found["placements"][0]["offers"]] == ["fallback"]
    assert set(found["features"]) == set(NAMES)


def test_a_decision_that_nobody_made_is_not_found_and_that_of_an_erased_customer_is_gone(client: Client) -> None:
    client.post("/v1/events", json=consent())
    decided = ask(client)
    client.delete("/v1/customers/u-1")

    gone = client.get(f"/v1/decisions/{decided['decision_id']}")
    unknown = [client.get(f"/v1/decisions/{name}") for name in ("d-1", "nonsense", decision_id(1_800_000_000_000, 3))]

    assert (gone.status_code, gone.json()["code"]) == (410, "customer.erased")
    assert {(one.status_code, one.json()["code"]) for one in unknown} == {(404, "decision.unknown")}


def test_reading_a_decision_takes_a_secret_key(redis_url: str, tmp_path: Path) -> None:
    keys_of: dict[str, Any] = {"web_keys": "w" * 32, "write_keys": "t" * 32, "secret_keys": "s" * 32}
    with api_client(redis_url, catalogue=write_catalogue(tmp_path), **keys_of) as client:
        name = decision_id(1_800_000_000_000, 3)
        answers = [
            client.get(f"/v1/decisions/{name}", headers={"authorization": f"Bearer {key * 32}"}).status_code for key in "wts"
        ]

    assert answers == [403, 403, 404]


def test_hundreds_of_eligible_offers_are_told_by_name(redis_url: str, tmp_path: Path) -> None:
    offers = "offers:\n" + "".join(
        f"  - {{id: o-{n}, kind: sell, placements: [home_hero, till, banner], content: {{default: {{title: T}}}}}}\n"
        for n in range(300)
    )
    with api_client(redis_url, catalogue=write_catalogue(tmp_path, offers=offers)) as client:
        client.post("/v1/events", json=consent())
        decided = ask(client)
        (place,) = recalled(client, decided["decision_id"])["placements"]

    assert len(place["eligible"]) == 300
    assert place["eligible"][7] == "o-7"


def test_the_name_of_a_decision_tells_when_and_where_it_was_made() -> None:
    name = decision_id(1_772_452_800_000, 63)

    assert origin_of(name) == (1_772_452_800_000, 63)
    assert decision_id(1_772_452_800_000, 63) != name
    assert origin_of("d-") is origin_of(name + "0") is origin_of("") is None
