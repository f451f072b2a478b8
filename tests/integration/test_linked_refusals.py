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
USER = {"user_id": "u-1"}


def browser(together: bool) -> str:
    """A browser whose shard is that of the user, or another one."""
    home = shard_of("u:u-1", SHARDS)
    return next(name for name in map(str, range(1000)) if (shard_of(f"a:{name}", SHARDS) == home) is together)


BROWSER, NEAR = {"anonymous_id": browser(together=False)}, {"anonymous_id": browser(together=True)}


@pytest.fixture
def client(redis_url: str, tmp_path: Path) -> Iterator[Client]:
    folder = write_catalogue(tmp_path, "placements:\n  hero: {channel: web}\n", OFFERS)
    with api_client(redis_url, catalogue=folder, decision_deadline_ms=2000) as client:
        yield client


@pytest.fixture
def linked(client: Client, redis_url: str) -> RedisStore:
    """A customer and their two browsers, who have allowed offers; the engine is caught up."""
    for who in (BROWSER, NEAR):
        says(client, {"type": "identity_linked", "id": f"link-{who['anonymous_id']}", **USER, **who})
    says(client, consent(name="yes", **USER))
    store = RedisStore(redis_url)
    for _ in range(4):
        fold(redis_url)
        passed_on(store)
    assert kinds(client, USER) == kinds(client, BROWSER) == kinds(client, NEAR) == ["sell"]
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
    names = {"user": "u:u-1", "browser": f"a:{BROWSER['anonymous_id']}", "near": f"a:{NEAR['anonymous_id']}"}
    return {who for who, name in names.items() if store.client.exists(keys.pending(shard_of(name, SHARDS), name))}


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
        "accepted": (nothing, nothing, {"browser"}),
        "committed": (nothing, nothing, {"browser"}),
        "passed on": (nothing, nothing, {"user"}),
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


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda one: one["type"])
def test_in_one_shard_it_goes_over_with_the_commit(client: Client, linked: RedisStore, refusal: dict[str, Any]) -> None:
    says(client, {"id": "no", **NEAR, **refusal})
    told = [(kinds(client, USER), kinds(client, NEAR), pending(linked))]

    owner = Owner(linked, ShardProcessor(Labels(ChurnRule()), DAY, SHARDS), range(SHARDS))
    owner.write(owner.process(linked.read(owner.offsets, 500, 0)))
    told.append((kinds(client, USER), kinds(client, NEAR), pending(linked)))
    assert passed_on(linked) == 0
    committed(linked)
    told.append((kinds(client, USER), kinds(client, NEAR), pending(linked)))

    nothing = ["fallback"]
    assert told == [(nothing, nothing, {"near"}), (nothing, nothing, {"user"}), (nothing, nothing, set())]


@pytest.mark.parametrize("who", [BROWSER, NEAR], ids=["another shard", "one shard"])
@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda one: one["type"])
def test_what_was_refused_before_the_login_holds_while_the_part_is_on_its_way(
    client: Client, redis_url: str, who: dict[str, str], refusal: dict[str, Any]
) -> None:
    store = RedisStore(redis_url)
    says(client, consent(name="yes", **USER))
    says(client, {"id": "no", **who, **refusal})
    committed(store)
    assert kinds(client, USER) == ["sell"]
    says(client, {"type": "identity_linked", "id": "link", **USER, **who})
    owner = Owner(store, ShardProcessor(Labels(ChurnRule()), DAY, SHARDS), range(SHARDS))
    told = []

    for _ in range(6):
        if batches := store.read(owner.offsets, 500, 0):
            owner.write(owner.process(batches))
            told.append(kinds(client, USER))
        passed_on(store)
        told.append(kinds(client, USER))

    assert told == [["fallback"]] * len(told)
    assert pending(store) == set()
    assert store.client.keys("pend:*") == []


def test_a_browser_that_belongs_to_somebody_else_refuses_for_them_alone(client: Client, linked: RedisStore) -> None:
    other = {"user_id": "u-2"}
    says(client, consent(name="yes-2", **other))
    says(client, {"type": "identity_linked", "id": "shared", **other, **BROWSER})
    for _ in range(4):
        committed(linked)
        passed_on(linked)

    says(client, {"id": "no", **BROWSER, **REFUSALS[0]})

    assert (kinds(client, USER), kinds(client, other)) == (["fallback"], ["sell"])


@pytest.mark.parametrize("who", [USER, BROWSER], ids=["user", "browser"])
def test_who_reads_a_customer_sees_what_decisions_obey(client: Client, linked: RedisStore, who: dict[str, str]) -> None:
    says(client, {**REFUSALS[0], "id": "no", **BROWSER})
    says(client, {**REFUSALS[1], "id": "complaint", **BROWSER})
    committed(linked)
    view = client.get("/v1/customers", params=who).json()
    told = view["consent"]["marketing"], view["service"]
    passed_on(linked)
    committed(linked)
    stored = client.get("/v1/customers", params=who).json()
    assert told == (stored["consent"]["marketing"], stored["service"])
    assert stored["service"]["open_complaints"] == 1
    assert told[0]["status"] == "revoked"
