"""Value, segments and stages over HTTP: in the customer's shape, and in the rules of offers."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from httpx import Client

from engine.events.announcing import announcement
from engine.models.lifetime_value import LIFETIME_VALUE, LifetimeValueLearner, with_cuts
from engine.models.segments import SEGMENTS, Cuts
from engine.models.snapshot import encode_snapshot
from engine.moments import Millis
from engine.store import keys
from engine.store.redis_facts import RedisFacts
from engine.store.redis_writer import RedisStore
from tests.integration.api_client import POLICY, SHARDS, api_client, consent, fold, shown, write_catalogue

CUTS = Cuts(1, 99, (2.0, 4.0), 12.0, ((-60.0, -30.0, -10.0, -3.0), (-1.0, 0.0, 1.0, 2.0), (2.0, 3.0, 4.0, 5.0)))
OFFERS = """\
offers:
  - {id: for-heavy, kind: sell, placements: [home_hero], promotes: {categories: [coffee]}, margin: 1.80 EUR,
     eligible_when: [{segment: heavy}, {rfm: [x3x, x4x]}], content: {default: {title: Coffee}}}
  - {id: for-new, kind: sell, placements: [home_hero], promotes: {categories: [bread]}, margin: 1.80 EUR,
     eligible_when: [{lifecycle: [new]}, {feature: value.alive, above: 0.0}], content: {default: {title: Bread}}}
  - {id: for-the-lost, kind: sell, placements: [home_hero], promotes: {categories: [wine]}, margin: 1.80 EUR,
     eligible_when: [{lifecycle: [lapsed, lost]}], content: {default: {title: Wine}}}
"""


@pytest.fixture
def client(redis_url: str, tmp_path: Path) -> Iterator[Client]:
    folder = write_catalogue(tmp_path, POLICY + "value: {margin_rate: 0.25, acquire_retain_ratio: 5}\n", OFFERS)
    with api_client(redis_url, catalogue=folder, decision_deadline_ms=2000) as client:
        yield client


@pytest.fixture
def plain(redis_url: str, tmp_path: Path) -> Iterator[Client]:
    with api_client(redis_url, catalogue=write_catalogue(tmp_path), decision_deadline_ms=2000) as client:
        yield client


def order(name: str, total: str, day: int) -> dict[str, object]:
    return {
        "id": name, "type": "order_completed", "user_id": "u-1", "time": f"2026-03-{day:02}T10:00:00Z",
        "data": {"order_id": name, "currency": "EUR", "total": total, "products": [{"product_id": "p", "category": "milk"}]},
    }  # fmt: skip


def announce(redis_url: str) -> None:
    store = RedisStore(redis_url)
    RedisFacts(store.client, SHARDS).announce(announcement(SEGMENTS, 1, CUTS, Millis(1_770_000_000_000)))
    store.client.close()


def test_who_has_bought_nothing_is_a_prospect_of_unknown_value(client: Client, redis_url: str) -> None:
    client.post("/v1/events", json={"id": "1", "type": "page_viewed", "user_id": "u-1", "time": "2026-03-01T10:00:00Z"})
    fold(redis_url)

    body = client.get("/v1/customers/u-1").json()

    assert (body["segments"], body["lifecycle"]) == ([], "prospect")
    assert set(body["value"]) >= {"expected_purchases_365d", "expected_margin_minor", "alive", "profit_to_date_minor"}
    assert {body["value"][name] for name in body["value"] if name != "status"} == {None}


def test_a_buyer_has_a_stage_at_once_and_segments_with_the_first_cut_points(client: Client, redis_url: str) -> None:
    client.post("/v1/events", json=[order("o-1", "19.90", 1)])
    fold(redis_url)
    first = client.get("/v1/customers/u-1").json()
    announce(redis_url)
    client.post("/v1/events", json=[order("o-2", "39.80", 5)])
    fold(redis_url)

    second = client.get("/v1/customers/u-1").json()

    assert (first["segments"], first["lifecycle"]) == ([], "new")
    assert (second["segments"], second["lifecycle"]) == (["heavy", "rfm_535"], "new")


def test_a_buyer_from_before_the_first_cut_points_is_placed_by_the_published_ones(client: Client, redis_url: str) -> None:
    client.post("/v1/events", json=[order("o-1", "19.90", 1), order("o-2", "39.80", 5)])
    fold(redis_url)
    store = RedisStore(redis_url)
    published = with_cuts(LifetimeValueLearner().publish(), msgspec.structs.replace(CUTS, at=1_772_800_000_000))
    store.client.set(keys.snapshot(LIFETIME_VALUE), encode_snapshot(published))
    store.client.close()

    until = time.monotonic() + 5.0
    while not (segments := client.get("/v1/customers/u-1").json()["segments"]) and time.monotonic() < until:
        time.sleep(0.05)

    assert segments == ["heavy", "rfm_535"]


def test_all_customers_are_told_by_tier_and_stage(client: Client, redis_url: str) -> None:
    announce(redis_url)
    bought = [order(f"o-{number}", f"{1 + 3 * number}.00", 1 + number) | {"user_id": f"u-{number}"} for number in range(9)]
    client.post("/v1/events", json=bought)
    fold(redis_url)

    body = client.get("/v1/insights/segments").json()

    assert body["tiers"] == {"heavy": 3, "moderate": 4, "light": 2}
    assert (body["stages"]["new"], body["stages"]["lost"], body["compared"], body["best"]) == (9, 0, 9, 0)
    assert body["heavy_from_minor"] is None


def test_margin_and_profit_are_shares_of_sales_where_costs_are_known(client: Client, redis_url: str) -> None:
    client.post("/v1/events", json=[order("o-1", "19.90", 1), order("o-2", "39.80", 5)])
    fold(redis_url)

    body = client.get("/v1/customers/u-1").json()
    value = body["value"]

    assert value["profit_to_date_minor"] == round(5970 * 0.25)
    expected = value["expected_purchases_365d"] * value["expected_spend_minor"] * 0.25
    assert value["expected_margin_minor"] == pytest.approx(expected, rel=0.01, abs=1)
    budget = value["expected_margin_minor"] * body["churn"]["probability"] / 5
    assert value["retention_budget_minor"] == pytest.approx(budget, abs=1)
    assert 0 < value["alive"] < 1
    assert (value["currency"], value["status"]) == ("EUR", "warming_up")


def test_without_costs_margin_and_profit_are_null(plain: Client, redis_url: str) -> None:
    plain.post("/v1/events", json=[order("o-1", "19.90", 1), order("o-2", "39.80", 5)])
    fold(redis_url)

    value = plain.get("/v1/customers/u-1").json()["value"]

    assert {value["profit_to_date_minor"], value["expected_margin_minor"], value["retention_budget_minor"]} == {None}
    assert value["expected_purchases_365d"] > 0


def test_rules_ask_for_segment_cell_and_stage(client: Client, redis_url: str) -> None:
    client.post("/v1/events", json=[consent(), order("o-1", "19.90", 1)])
    announce(redis_url)
    fold(redis_url)
    asked = {"user_id": "u-1", "channel": "web", "placements": [{"name": "home_hero", "count": 3}]}

    new = shown(client.post("/v1/decisions", json=asked | {"at": "2026-03-02T10:00:00Z"}))
    client.post("/v1/events", json=[order("o-2", "390.80", 31)])
    fold(redis_url)

    explained = client.post("/v1/decisions", json=asked | {"at": "2026-03-31T12:00:00Z", "explain": True, "dry_run": True}).json()

    assert set(new) == {"for-new"}
    dropped = {one["offer_id"]: one["rule"] for one in explained["explanation"] if one["stage"] == "eligibility"}
    assert dropped == {"for-the-lost": "needs lifecycle lapsed or lost"}
