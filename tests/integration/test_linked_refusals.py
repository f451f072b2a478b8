"""What one identity of a customer refuses holds for all of them at once, wherever the engine stopped on the way."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx import Client

from engine.ids import shard_of
from engine.moments import DAY
from engine.shards.labels import ChurnRule, Labels
from engine.shards.processor import ShardProcessor
from engine.store import keys
from engine.store.redis_writer import RedisStore
from flows.owner import Owner
from flows.runner import run_until_idle
from tests.integration.api_client import SHARDS, api_client, consent, fold, write_catalogue

OFFERS = """\
offers:
  - {id: coffee, kind: sell, placements: [hero], margin: 1.80 EUR, content: {default: {title: Coffee}}}
  - {id: house, kind: fallback, placements: [hero], content: {default: {title: Welcome}}}
"""
BROWSER, USER = {"anonymous_id": "b-1"}, {"user_id": "u-1"}


@pytest.fixture
def client(redis_url: str, tmp_path: Path) -> Iterator[Client]:
    folder = write_catalogue(tmp_path, "placements:\n  hero: {channel: web}\n", OFFERS)
    with api_client(redis_url, catalogue=folder, decision_deadline_ms=2000) as client:
        yield client


@pytest.fixture
def linked(client: Client, redis_url: str) -> RedisStore:
    """A customer and their browser, who have allowed offers; the engine is caught up."""
    says(client, {"type": "identity_linked", "id": "link", **USER, **BROWSER})
    says(client, consent(name="yes", **USER))
    store = RedisStore(redis_url)
    for _ in range(4):
        fold(redis_url)
        passed_on(store)
    assert kinds(client, USER) == kinds(client, BROWSER) == ["sell"]
    return store


def says(client: Client, event: dict[str, Any]) -> None:
    assert client.post("/v1/events", json=event).json()["accepted"] == 1


def kinds(client: Client, who: dict[str, str]) -> list[str]:
    answer = client.post("/v1/decisions", json={**who, "placements": [{"name": "hero"}]})
    return [offer["kind"] for offer in answer.json()["placements"][0]["offers"]]


def committed(store: RedisStore) -> None:
    """What the engine writes before it dies: commits, and nothing is passed on."""
    run_until_idle(Owner(store, ShardProcessor(Labels(ChurnRule()), DAY, SHARDS), range(SHARDS)), store)


def passed_on(store: RedisStore) -> int:
    """What shards have for each other goes there; returns how much it was."""
    return sum(store.relay(shard) for shard in range(SHARDS))


def pending(store: RedisStore) -> set[str]:
    """Customers for whom something has to be obeyed that no profile holds yet."""
    names = {f"{kind}:{name}" for kind, name in (("u", "u-1"), ("a", "b-1"))}
    return {name for name in names if store.client.exists(keys.pending(shard_of(name, SHARDS), name))}


REFUSALS = [
    {"type": "consent_updated", "data": {"purpose": "marketing", "status": "revoked"}},
    {"type": "complaint_filed", "data": {"complaint_id": "k-1", "severity": "high"}},
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda one: one["type"])
def test_a_browsers_refusal_holds_for_its_user_at_every_stop_of_the_engine(
    client: Client, linked: RedisStore, refusal: dict[str, Any]
) -> None:
    says(client, {"id": "no", **BROWSER, **refusal})
    told = {"accepted": (kinds(client, USER), kinds(client, BROWSER), pending(linked))}

    committed(linked)
    told["committed"] = kinds(client, USER), kinds(client, BROWSER), pending(linked)
    assert passed_on(linked) == 1
    told["passed on"] = kinds(client, USER), kinds(client, BROWSER), pending(linked)
    committed(linked)
    told["folded"] = kinds(client, USER), kinds(client, BROWSER), pending(linked)

    nothing = ["fallback"]
    assert told == {
        "accepted": (nothing, nothing, {"a:b-1"}),
        "committed": (nothing, nothing, {"a:b-1"}),
        "passed on": (nothing, nothing, {"u:u-1"}),
        "folded": (nothing, nothing, set()),
    }


def test_a_refusal_that_is_sent_twice_leaves_nothing_behind(client: Client, linked: RedisStore) -> None:
    no = {"id": "no", "time": "2026-03-02T12:00:00Z", **BROWSER, **REFUSALS[0]}
    says(client, no)
    committed(linked)
    says(client, no)
    committed(linked)
    assert kinds(client, USER) == ["fallback"]

    for _ in range(2):
        passed_on(linked)
        assert kinds(client, USER) == ["fallback"]
        committed(linked)

    assert kinds(client, USER) == ["fallback"]
    assert pending(linked) == set()
