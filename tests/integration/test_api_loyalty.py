"""Points, tiers and leads over HTTP: in the customer's shape, in the rules of offers, and in the queue."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from httpx import Client

from config.catalogue_files import load_catalogue
from config.mistakes import CatalogueError
from engine.store.redis_facts import RedisFacts
from engine.store.redis_writer import RedisStore
from flows.policy_rules import PolicyRules
from tests.integration.api_client import POLICY, SHARDS, api_client, consent, fold, shown, write_catalogue

PROGRAMME = """\
loyalty:
  earn: {per: 1.00 EUR, points: 2}
  expires_days: 365
  tiers: [{id: silver, from_points: 100}, {id: gold, from_points: 1000}]
leads:
  default_value: 20.00 EUR
  rules:
    - {points: 20, origin: [referral]}
    - {points: -20, attributes: {budget: [small]}}
    - {points: 10, when: [{feature: engagement.views_7d, at_least: 1}]}
"""
OFFERS = """\
offers:
  - {id: for-silver, kind: sell, placements: [home_hero], promotes: {categories: [coffee]}, margin: 1.80 EUR,
     eligible_when: [{tier: {at_least: silver}}], content: {default: {title: Coffee}}}
  - {id: for-gold, kind: sell, placements: [home_hero], promotes: {categories: [wine]}, margin: 1.80 EUR,
     eligible_when: [{tier: gold}], content: {default: {title: Wine}}}
  - {id: nearly-there, kind: sell, placements: [home_hero], promotes: {categories: [bread]}, margin: 1.80 EUR,
     eligible_when: [{feature: loyalty.points_to_next_tier, at_most: 20}, {not: {tier: [silver, gold]}}],
     content: {default: {title: Bread}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_catalogue(tmp_path, POLICY + PROGRAMME, OFFERS)


@pytest.fixture
def client(redis_url: str, folder: Path) -> Iterator[Client]:
    with api_client(redis_url, catalogue=folder, decision_deadline_ms=2000) as client:
        yield client


def ago(days: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


def decided(client: Client) -> list[str]:
    asked = {"user_id": "u-1", "placements": [{"name": "home_hero", "count": 3}], "dry_run": True}
    return shown(client.post("/v1/decisions", json=asked))


def settle(redis_url: str) -> None:
    """Fold all that waits, and what the shards then send each other."""
    store = RedisStore(redis_url)
    while fold(redis_url) + sum(store.relay(shard) for shard in range(SHARDS)):
        continue
    store.client.close()


def order(name: str, total: str, days: int) -> dict[str, object]:
    return {
        "id": name, "type": "order_completed", "user_id": "u-1", "time": ago(days),
        "data": {"order_id": name, "currency": "EUR", "total": total, "products": [{"product_id": "p", "category": "milk"}]},
    }  # fmt: skip


def event(kind: str, name: str, days: int = 2, **data: object) -> dict[str, object]:
    return {"id": name, "type": kind, "user_id": "u-1", "time": ago(days), "data": data}


def test_a_stranger_to_the_programme_has_no_points_yet(client: Client, redis_url: str) -> None:
    client.post("/v1/events", json=event("page_viewed", "1"))
    fold(redis_url)

    loyalty = client.get("/v1/customers/u-1").json()["loyalty"]

    assert (loyalty["points"], loyalty["tier"], loyalty["next_tier"]) == (0, None, "silver")
    assert loyalty["points_to_next_tier"] == 100


def test_points_follow_purchases_and_returns_and_rules_follow_the_tier(client: Client, redis_url: str) -> None:
    client.post("/v1/events", json=[consent(), order("o-1", "44.90", 3)])
    fold(redis_url)
    before = decided(client)
    nearly = client.get("/v1/customers/u-1").json()["loyalty"]
    client.post("/v1/events", json=[event("points_earned", "p-1", points=30, reason="birthday"), order("o-2", "5.20", 2)])
    fold(redis_url)

    after = client.get("/v1/customers/u-1").json()["loyalty"]

    assert (nearly["points"], nearly["points_to_next_tier"], before) == (89, 11, ["nearly-there"])
    assert (after["points"], after["tier"], after["next_tier"]) == (130, "silver", "gold")
    assert after["expires"]["points"] > 0
    assert decided(client) == ["for-silver"]
    client.post("/v1/events", json=event("order_refunded", "r-2", 1, order_id="o-2", currency="EUR"))
    fold(redis_url)
    assert client.get("/v1/customers/u-1").json()["loyalty"]["points"] == 119


def test_the_learner_announces_the_programme_once_and_the_move_is_told(client: Client, redis_url: str, folder: Path) -> None:
    store = RedisStore(redis_url)
    rules = PolicyRules(folder, RedisFacts(store.client, SHARDS))
    assert [rules.look(0.0, 1_790_000_000_000), rules.look(100.0, 1_790_000_000_001)] == [True, False]
    client.post("/v1/events", json=[consent(), order("o-1", "60.00", 3)])
    fold(redis_url)
    settle(redis_url)
    again = PolicyRules(folder, RedisFacts(store.client, SHARDS))

    assert not again.look(200.0, 1_790_000_000_002)
    loyalty = client.get("/v1/customers/u-1").json()["loyalty"]
    assert (loyalty["tier"], loyalty["tier_since"][:10]) == ("silver", ago(3)[:10])
    assert decided(client) == ["for-silver"]
    store.client.close()


def test_a_rule_that_asks_for_a_tier_that_is_not_there_is_told_what_was_meant(tmp_path: Path) -> None:
    wrong = OFFERS.replace("at_least: silver", "at_least: sliver").replace("tier: gold", "tier: {from: gold}")

    with pytest.raises(CatalogueError) as raised:
        load_catalogue(write_catalogue(tmp_path, POLICY + PROGRAMME, wrong))
    told = [str(mistake) for mistake in raised.value.mistakes]

    assert any("eligible_when[0].tier" in one and "a list of tiers, or {at_least: …}" in one for one in told)
    with pytest.raises(CatalogueError) as raised:
        load_catalogue(write_catalogue(tmp_path, POLICY + PROGRAMME, OFFERS.replace("at_least: silver", "at_least: sliver")))
    told = [str(mistake) for mistake in raised.value.mistakes]
    assert any("there is no tier 'sliver' in policy.yaml" in one and "silver" in one for one in told)


def lead(name: str, kind: str = "lead_created", **data: object) -> dict[str, object]:
    return {"id": f"{kind}-{name}", "type": kind, "time": ago(2), "data": {"lead_id": name, **data}}


def test_the_queue_goes_by_likelihood_times_value_and_a_won_lead_brings_its_history(client: Client, redis_url: str) -> None:
    client.post("/v1/events", json=[
        lead("L-1", value="50.00", currency="EUR", source="referral", categories=["coffee"]),
        lead("L-2", value="50.00", currency="EUR", attributes={"budget": "small"}),
        lead("L-3", value="400.00", currency="EUR"),
        lead("L-4"),
        {"id": "v", "type": "product_viewed", "anonymous_id": "lead:L-1", "time": ago(1),
         "data": {"product_id": "p-9", "category": "coffee"}},
        lead("L-5", value="9.00", currency="EUR"), lead("L-5", "lead_lost", reason="price"),
        lead("L-2", "lead_qualified"),
    ])  # fmt: skip
    fold(redis_url)

    body = client.get("/v1/leads").json()
    qualified = client.get("/v1/leads", params={"status": "qualified"}).json()

    assert (body["open"], [one["lead_id"] for one in body["leads"]]) == (4, ["L-3", "L-1", "L-4", "L-2"])
    first = {one["lead_id"]: one for one in body["leads"]}["L-1"]
    assert (first["score"], first["origin"], first["customer"]) == (20, "referral", {"anonymous_id": "lead:L-1"})
    assert [one["lead_id"] for one in qualified["leads"]] == ["L-2"]
    assert [one["lead_id"] for one in client.get("/v1/leads", params={"limit": 1}).json()["leads"]] == ["L-3"]
    client.post("/v1/events", json=[lead("L-1", "lead_converted") | {"user_id": "u-7"}])
    settle(redis_url)
    won = client.get("/v1/customers/u-7").json()
    assert [(one["lead_id"], one["status"], one["amount_minor"]) for one in won["leads"]] == [("L-1", "converted", 5000)]
    assert won["identities"]["anonymous"] == ["lead:L-1"]
    assert won["events"] >= 2
    assert client.get("/v1/leads").json()["open"] == 3
    client.delete("/v1/customers/u-7")


def test_the_queue_refuses_what_it_does_not_know(client: Client) -> None:
    wrong = client.get("/v1/leads", params={"status": "qualifed"})

    assert (wrong.status_code, wrong.json()["field"]) == (422, "status")
    assert "qualified" in wrong.json()["detail"]
    assert client.get("/v1/leads", params={"limit": "0"}).status_code == 422


def test_subscriptions_are_told_as_they_stand(client: Client, redis_url: str) -> None:
    client.post("/v1/events", json=[
        event("subscription_started", "1", 9, subscription_id="s-1", plan="beans", amount="9.90", currency="EUR"),
        event("subscription_renewed", "2", 2, subscription_id="s-1"),
        event("payment_failed", "3", 1, subscription_id="s-1"),
    ])  # fmt: skip
    fold(redis_url)

    (one,) = client.get("/v1/customers/u-1").json()["subscriptions"]

    assert (one["status"], one["plan"], one["amount_minor"], one["renewals"]) == ("payment_failed", "beans", 990, 1)
