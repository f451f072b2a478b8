"""Ready, alive, measured and watched: what operators and supervisors see of an API process."""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from httpx import Client
from msgspec.structs import replace
from redis import Redis

from api.decision_log import ARM_FINGERPRINT
from engine.decisioning.offer_features import OFFER_NAMES
from engine.features.affinity import CROSS_NAMES
from engine.features.vector import FINGERPRINT, NAMES
from engine.models.base import Example, recorded
from engine.models.purchase import PurchaseLearner
from engine.models.roster import Inputs, learners
from engine.models.snapshot import encode_snapshot
from engine.store import keys
from tests.integration.api_client import OFFERS, api_client, consent, fold, shown, write_catalogue


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return write_catalogue(tmp_path / "catalogue")


@pytest.fixture
def client(redis_url: str, shop: Path) -> Iterator[Client]:
    with api_client(redis_url, catalogue=shop, snapshot_poll_ms=20, catalogue_poll_s=0.05) as client:
        yield client


def eventually(holds: Callable[[], bool], within_s: float = 5.0) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.02)
    return holds()


def metric(client: Client, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def ask(client: Client, **more: object) -> list[str]:
    return shown(client.post("/v1/decisions", json={"user_id": "u-1", "placements": [{"name": "home_hero", "count": 3}], **more}))


def test_an_empty_system_is_ready_and_alive(client: Client) -> None:
    ready = client.get("/readyz")

    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    assert client.get("/livez").status_code == 200


def test_without_redis_it_is_alive_and_not_ready(shop: Path) -> None:
    with api_client("redis://127.0.0.1:1/0", redis_timeout_ms=200, catalogue=shop) as client:
        ready = client.get("/readyz")

        assert ready.status_code == 503
        assert ready.json()["missing"][0].startswith("redis:")
        assert client.get("/livez").status_code == 200


def test_a_crash_loop_is_named(redis_url: str, shop: Path, tmp_path: Path) -> None:
    report = tmp_path / "children.json"
    report.write_text(json.dumps({"children": [{"name": "engine-0", "state": "crash_loop", "restarts": 7, "pid": None}]}))

    with api_client(redis_url, catalogue=shop, children_file=report) as client:
        ready = client.get("/readyz")

    assert ready.status_code == 503
    assert ready.json()["children"] == ["engine-0: crash_loop, 7 restarts"]


def test_an_engine_that_gives_a_sign_of_life_is_seen_by_the_very_next_question(
    redis_url: str, shop: Path, tmp_path: Path
) -> None:
    file = tmp_path / "children.json"
    child = {"name": "engine-0", "pid": 1, "restarts": 0, "state": "running", "since": "2026-01-01T00:00:00Z"}
    file.write_text(json.dumps({"supervisor": 1, "started_at": "2026-01-01T00:00:00Z", "children": [child]}))

    with api_client(redis_url, catalogue=shop, children_file=file) as client, Redis.from_url(redis_url) as redis:
        before = client.get("/readyz")
        redis.set(keys.beat("engine-0"), "1")
        after = client.get("/readyz")

    assert (before.status_code, before.json()["missing"]) == (503, ["engine-0: no sign of life"])
    assert after.status_code == 200


def test_lag_is_what_waits_behind_the_offsets(client: Client, redis_url: str) -> None:
    fold(redis_url)  # That the catalogue is active stands in every shard's log.
    client.post("/v1/events", json=[consent(name=f"c-{number}", user_id=f"u-{number}") for number in range(30)])
    assert eventually(lambda: metric(client, "regulars_stream_lag_events") == 30)

    fold(redis_url)

    assert eventually(lambda: metric(client, "regulars_stream_lag_events") == 0)


def test_counters_count_and_no_label_holds_what_a_caller_typed(client: Client) -> None:
    client.post("/v1/events", json=[consent(), {"type": "offer_decided"}, {"type": "made-up-by-a-caller"}])
    ask(client)

    assert metric(client, "regulars_events_accepted_total") == 1
    assert metric(client, 'regulars_events_rejected_total{reason="type.reserved"}') == 1
    assert metric(client, 'regulars_decisions_total{outcome="ok"}') == 1
    assert metric(client, 'regulars_decision_seconds_count{outcome="ok"}') == 1
    assert "made-up" not in client.get("/metrics").text


def test_the_learned_likelihood_of_a_purchase_is_served_with_its_reasons(client: Client, redis_url: str) -> None:
    chance, learner = np.random.default_rng(1), PurchaseLearner(NAMES, FINGERPRINT)
    rows = chance.lognormal(1.0, 1.0, (600, len(NAMES)))
    recency = rows[:, NAMES.index("rfm.recency")]
    learner.learn(
        [
            Example("purchase", str(at), "u:1", 0, 1, float(recency[at] < 3.0), FINGERPRINT, recorded(rows[at]))
            for at in range(600)
        ]
    )
    orders = [
        {
            "id": str(day),
            "type": "order_completed",
            "user_id": "u-1",
            "time": f"2026-02-{day:02d}T10:00:00Z",
            "data": {"order_id": f"o-{day}", "currency": "EUR", "total": 1000},
        }
        for day in (1, 8, 15, 22)
    ]
    client.post("/v1/events", json=orders)
    fold(redis_url)
    with Redis.from_url(redis_url) as redis:
        redis.set(keys.snapshot("purchase"), encode_snapshot(learner.publish()))

    assert eventually(lambda: metric(client, 'regulars_snapshot_version{model="purchase"}') == 600)
    told = client.get("/v1/customers/u-1").json()["purchase"]
    assert (told["status"], told["version"]) == ("ready", 600)
    assert 0.0 < told["probability_7d"] < 0.5
    assert {"feature", "contribution", "words"} == set(told["drivers"][0])


def test_a_snapshot_is_swapped_in_and_a_bad_one_changes_nothing(client: Client, redis_url: str) -> None:
    learner = learners(Inputs(NAMES, FINGERPRINT, OFFER_NAMES, CROSS_NAMES))["next_best_offer"]
    snapshot = learner.publish()
    assert snapshot.fingerprint == ARM_FINGERPRINT

    with Redis.from_url(redis_url) as redis:
        redis.set(keys.snapshot("next_best_offer"), encode_snapshot(snapshot))
        assert eventually(lambda: client.get("/readyz").json()["models"] == {"next_best_offer": 0})
        redis.set(keys.snapshot("next_best_offer"), b"nonsense")
        assert eventually(lambda: metric(client, 'regulars_snapshot_errors_total{model="next_best_offer"}') == 1)

    client.post("/v1/events", json=consent())
    body = client.post("/v1/decisions", json={"user_id": "u-1", "placements": [{"name": "home_hero"}]}).json()
    assert body["versions"]["next_best_offer"] == "m-0"
    assert body["degraded"] == []


def test_terms_tell_how_likely_a_click_is_where_the_model_knows(client: Client, redis_url: str) -> None:
    snapshot = learners(Inputs(NAMES, FINGERPRINT, OFFER_NAMES, CROSS_NAMES))["next_best_offer"].publish()
    client.post("/v1/events", json=consent())

    for gaps in ({}, {"home_hero": 1.5}):
        facts = {**snapshot.facts, "clicks": gaps, "positives": len(gaps)}
        with Redis.from_url(redis_url) as redis:
            redis.set(keys.snapshot("next_best_offer"), encode_snapshot(replace(snapshot, facts=facts, version=1 + len(gaps))))
        assert eventually(lambda: client.get("/readyz").json()["models"] == {"next_best_offer": 1 + len(gaps)})  # noqa: B023
        body = client.post("/v1/decisions", json={"user_id": "u-1", "placements": [{"name": "home_hero"}]}).json()
        offer = body["placements"][0]["offers"][0]
        if not gaps:
            assert "click_probability" not in offer["terms"]
    assert offer["probability"] < offer["terms"]["click_probability"] < 1.0


def test_an_edited_catalogue_serves_and_a_bad_one_does_not(client: Client, shop: Path) -> None:
    client.post("/v1/events", json=consent())
    before = client.get("/readyz").json()["catalogue"]

    (shop / "offers" / "all.yaml").write_text(OFFERS.replace("title: Coffee", "title: Espresso"))
    assert eventually(lambda: client.get("/readyz").json()["catalogue"] != before)
    after = client.get("/readyz").json()["catalogue"]
    (shop / "offers" / "all.yaml").write_text(OFFERS.replace("kind: sell", "kind: sel"))
    assert eventually(lambda: bool(client.get("/readyz").json()["warnings"]) and "mistakes" in str(client.get("/readyz").json()))

    assert client.get("/readyz").json()["catalogue"] == after
    assert metric(client, "regulars_catalogue_errors_total") >= 1
    assert "coffee" in ask(client)


def test_an_explanation_has_a_stage_for_every_offer(client: Client) -> None:
    asked = {"user_id": "u-1", "placements": [{"name": "home_hero"}], "explain": True}

    entries = client.post("/v1/decisions", json=asked).json()["explanation"]

    stages = {entry["offer_id"]: entry["stage"] for entry in entries}
    assert stages == {"coffee": "consent", "wine": "consent", "last-two": "consent", "once": "consent", "house": "chosen"}
    assert all(entry["rule"] for entry in entries)


def test_the_openapi_document_describes_every_route(client: Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]

    assert {"/v1/events", "/v1/events/check", "/v1/decisions", "/v1/offers", "/v1/customers/{id}", "/readyz"} <= set(paths)
    schema = paths["/v1/decisions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"placements", "user_id", "deadline_ms"} <= set(schema["properties"])


def test_an_unknown_path_is_a_problem_document(client: Client) -> None:
    answer = client.get("/v1/nothing")

    assert (answer.status_code, answer.json()["code"]) == (404, "path.unknown")
    assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/v1/events").status_code == 405


def test_other_origins_are_answered_where_they_are_allowed(redis_url: str, shop: Path) -> None:
    asked = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    with api_client(redis_url, catalogue=shop, cors_origins="https://shop.example") as client:
        allowed = client.options("/v1/events", headers=asked)
        refused = client.options("/v1/events", headers={**asked, "origin": "https://elsewhere.example"})

    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-origin" not in refused.headers


def test_over_the_rate_a_key_is_told_to_wait(redis_url: str, shop: Path) -> None:
    with api_client(redis_url, catalogue=shop, secret_keys="s", rate_limit_per_s=2) as client:
        answers = [client.post("/v1/events", json=[], headers={"authorization": "Bearer s"}) for _ in range(4)]

    assert [answer.status_code for answer in answers[:2]] == [202, 202]
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
