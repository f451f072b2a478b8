"""Insights over HTTP: decisions are made and logged, the engine folds what customers do, and the lift is read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx import Client

from engine.features.vector import FINGERPRINT, NAMES
from engine.models.defection import DEFECTION, Defection
from engine.models.snapshot import encode_snapshot
from engine.store import keys
from engine.store.redis_writer import RedisStore
from tests.integration.api_client import api_client, fold, write_catalogue
from tests.unit.models.test_defection import crowd

POLICY = """\
timezone: UTC
placements:
  home_hero: {channel: web, max: 1, shown_when: viewed}
holdout: {share: 0.5, salt: s}
experiment: {salt: e, outcome_days: 14, variations: {learned: {share: 0.5, ranker: learned}, rule: {share: 0.5, ranker: rule}}}
"""
OFFERS = """\
offers:
  - {id: coffee, kind: sell, campaign: coffee-weeks, placements: [home_hero], promotes: {categories: [coffee]},
     margin: 1.80 EUR, content: {default: {title: Coffee}}}
"""
CAMPAIGNS = "campaigns:\n  - {id: coffee-weeks, name: Coffee weeks}\n  - {id: quiet, name: Nothing yet}\n"
PEOPLE = [f"u-{number}" for number in range(620)]


@pytest.fixture
def client(redis_url: str, tmp_path: Path) -> Iterator[Client]:
    folder = write_catalogue(tmp_path, POLICY, OFFERS)
    (folder / "campaigns").mkdir()
    (folder / "campaigns" / "all.yaml").write_text(CAMPAIGNS)
    with api_client(redis_url, catalogue=folder, decision_deadline_ms=5000) as client:
        yield client


def send(client: Client, events: list[dict[str, Any]]) -> None:
    for start in range(0, len(events), 300):
        answer = client.post("/v1/events", json=events[start : start + 300], headers={"Regulars-Mode": "backfill"})
        assert answer.json()["rejected"] == []


def happened(kind: str, user: str, at: str, **data: Any) -> dict[str, Any]:
    return {"id": f"{kind}-{user}-{at}", "type": kind, "user_id": user, "time": at, "data": data}


def order(user: str, at: str, total: int) -> dict[str, Any]:
    products = [{"product_id": "p", "category": "coffee"}]
    return happened("order_completed", user, at, order_id=f"{user}-{at}", currency="EUR", total=total, products=products)


def test_lift_goes_from_the_log_of_decisions_through_the_fold_to_the_answer(client: Client, redis_url: str) -> None:
    send(
        client,
        [happened("consent_updated", user, "2026-01-01T00:00:00Z", purpose="marketing", status="granted") for user in PEOPLE],
    )
    send(client, [order(user, "2026-01-02T00:00:00Z", 500 + 10 * (index % 90)) for index, user in enumerate(PEOPLE)])
    fold(redis_url)
    told: dict[str, dict[str, Any]] = {}
    for user in PEOPLE:
        body = {"user_id": user, "placements": [{"name": "home_hero"}], "at": "2026-01-10T12:00:00Z"}
        told[user] = client.post("/v1/decisions", json=body).json()["experiment"]
    held = [user for user in PEOPLE if told[user]["holdout"]]
    fold(redis_url)
    counted = client.get(f"/v1/customers/{held[0]}").json()["experiment"]
    assert [(one["campaign_id"], one["arm"], one["until"]) for one in counted] == [
        (None, "holdout", "2026-01-24T12:00:00.000Z"),
        ("coffee-weeks", "holdout", "2026-01-24T12:00:00.000Z"),
    ]
    spent = [(user, 600 + 10 * (index % 90) + (0 if user in held else 300)) for index, user in enumerate(PEOPLE)]
    send(client, [order(user, "2026-01-12T00:00:00Z", total) for user, total in spent])
    fold(redis_url)

    before = client.get("/v1/insights/lift").json()
    send(client, [happened("page_viewed", user, "2026-03-01T00:00:00Z") for user in PEOPLE])
    fold(redis_url)
    body = client.get("/v1/insights/lift").json()

    assert [campaign["arms"] for campaign in before["campaigns"]] == [[], [], []]
    assert (body["currency"], body["confidence"], body["outcome_days"]) == ("EUR", 0.95, 14)
    everything, coffee, quiet = body["campaigns"]
    assert (everything["campaign_id"], coffee["campaign_id"], quiet["arms"]) == (None, "coffee-weeks", [])
    assert everything["arms"] == coffee["arms"]
    arms = {arm["arm"]: arm for arm in coffee["arms"]}
    assert arms["holdout"]["customers"] == arms["holdout"]["buyers"] == len(held)
    assert arms["holdout"]["spend_minor"] == sum(total for user, total in spent if user in held)
    assert sum(arm["customers"] for arm in arms.values()) == len(PEOPLE)
    assert [(one["arm"], one["control"]) for one in coffee["comparisons"]] == [
        ("personalized", "holdout"),
        ("learned", "holdout"),
        ("rule", "holdout"),
        ("learned", "rule"),
    ]
    found = coffee["comparisons"][0]
    low, high = found["spend"]["interval"]
    assert low <= 300 <= high < low + 60
    assert found["spend"]["significant"]
    assert found["words"].startswith("customers of personalized spend 2")
    assert coffee["comparisons"][1]["spend"] is None
    assert coffee["comparisons"][1]["words"].startswith("nothing can be said yet: the arm has 1")


def test_one_campaign_can_be_asked_for_and_a_misspelt_one_is_named(client: Client) -> None:
    one = client.get("/v1/insights/lift", params={"campaign": "coffee-weeks"}).json()
    wrong = client.get("/v1/insights/lift", params={"campaign": "cofee-weeks"})

    assert [campaign["campaign_id"] for campaign in one["campaigns"]] == ["coffee-weeks"]
    assert (wrong.status_code, wrong.json()["code"], wrong.json()["field"]) == (404, "campaign.unknown", "campaign")
    assert "coffee-weeks" in wrong.json()["detail"]


def test_insights_take_a_secret_key(redis_url: str, tmp_path: Path) -> None:
    with api_client(redis_url, catalogue=write_catalogue(tmp_path), write_keys=("w",), secret_keys=("s",)) as client:
        codes = [
            client.get("/v1/insights/lift", headers={"authorization": f"Bearer {key}"} if key else {}).status_code
            for key in ("", "w", "s")
        ]

    assert codes == [401, 403, 200]


def test_lift_is_a_metric_by_campaign_and_arm(client: Client) -> None:
    text = client.get("/metrics").text

    assert "# TYPE regulars_lift_customers gauge" in text
    assert "# TYPE regulars_lift_spend_relative gauge" in text


def test_why_customers_leave_is_told_by_tier_once_enough_have_left(client: Client, redis_url: str) -> None:
    before = client.get("/v1/insights/churn").json()
    learner = Defection(NAMES, FINGERPRINT)
    learner.learn(crowd(1, 2_000))
    store = RedisStore(redis_url)
    store.client.set(keys.snapshot(DEFECTION), encode_snapshot(learner.publish()))
    store.client.close()

    body = client.get("/v1/insights/churn").json()

    assert (before["status"], before["segments"], before["horizon_days"]) == ("warming_up", [], 28)
    assert (body["status"], body["looks"], body["departures"]) == ("ready", 2_000, learner.report().positives)
    assert [segment["segment"] for segment in body["segments"]] == ["all", "heavy", "moderate", "light"]
    first = {driver["driver"]: driver for driver in body["segments"][0]["drivers"][:2]}
    assert first["gaps"]["shown"]
    assert first["gaps"]["words"].startswith("longer gaps: gaps between purchases +")
    assert first["gaps"]["left"]["now"] > first["gaps"]["left"]["before"]


def test_a_customer_is_told_by_what_changed(client: Client, redis_url: str) -> None:
    days = [2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 27]
    send(client, [order("u-1", f"2026-01-{day:02}T10:00:00Z", 3_000) for day in days])
    send(client, [order("u-1", "2026-04-20T10:00:00Z", 3_000)])
    fold(redis_url)

    changed = client.get("/v1/customers/u-1").json()["churn"]["changed"]

    gaps = next(one for one in changed if one["driver"] == "gaps")
    assert gaps["to"] > gaps["from"]
    assert gaps["words"].startswith("longer gaps:")
