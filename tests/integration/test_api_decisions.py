"""Decisions over HTTP: what is allowed is offered, what was promised is kept, and nothing is taken twice."""

import hmac
import os
import signal
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from httpx import Client
from redis import Redis

from engine.decisioning.ledger import RESERVED, VIEWED, decode_ledger
from engine.events.decode import decode_canonical
from engine.events.offers import OfferDecided
from engine.features.affinity import CROSS_NAMES
from engine.features.vector import NAMES
from engine.ids import shard_of
from engine.store import keys
from engine.store.embedded import EmbeddedRedis
from tests.integration.api_client import SHARDS, api_client, consent, fold, shown, write_catalogue


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return write_catalogue(tmp_path)


@pytest.fixture
def client(redis_url: str, shop: Path) -> Iterator[Client]:
    with api_client(redis_url, catalogue=shop, decision_deadline_ms=2000) as client:
        yield client


@pytest.fixture
def redis(redis_url: str) -> Iterator[Any]:
    with Redis.from_url(redis_url) as client:
        yield client


def ask(client: Client, *placements: str, count: int = 1, **more: Any) -> Any:
    wanted = [{"name": name, "count": count} for name in placements or ("home_hero",)]
    return client.post("/v1/decisions", json={"user_id": "u-1", "placements": wanted, **more})


def logged(redis: Any, user: str = "u-1") -> list[OfferDecided]:
    found = [decode_canonical(fields[b"e"]) for _, fields in redis.xrange(keys.events(shard_of(f"u:{user}", SHARDS)))]
    return [event for event in found if isinstance(event, OfferDecided)]


def ledger(redis: Any, user: str = "u-1") -> list[tuple[str, int]]:
    blob = redis.get(keys.ledger(shard_of(f"u:{user}", SHARDS), f"u:{user}"))
    return [(entry.offer_id, entry.state) for entry in decode_ledger(blob).entries]


def test_without_consent_only_what_has_a_basis_of_its_own_is_shown(client: Client) -> None:
    answer = ask(client)

    placement = answer.json()["placements"][0]
    assert shown(answer) == ["house"]
    assert placement["reason"] == "consent"
    assert "consent_updated" in placement["hint"]


def test_with_consent_an_offer_is_drawn_with_its_probability_and_terms(client: Client) -> None:
    client.post("/v1/events", json=consent())

    answer = ask(client, count=3)

    body = answer.json()
    assert sorted(shown(answer)) == ["coffee", "wine"]
    assert body["placements"][0]["reason"] == "ok"
    first = body["placements"][0]["offers"][0]
    assert 0 < first["terms"]["propensity"] < 1
    assert first["terms"]["value"] in ("1.80", "2.40")
    assert set(body["versions"]) == {"policy", "next_best_offer", "catalogue"}
    assert answer.headers["cache-control"] == "no-store"


def test_a_revocation_through_one_process_is_obeyed_by_another_while_the_engine_is_stopped(redis_url: str, shop: Path) -> None:
    with api_client(redis_url, catalogue=shop) as one, api_client(redis_url, catalogue=shop) as other:
        one.post("/v1/events", json=consent())
        assert shown(ask(other)) != ["house"]

        one.post("/v1/events", json={**consent("revoked", "c-2"), "time": "2026-01-02T00:00:00Z"})

        assert shown(ask(other)) == ["house"]


def test_what_is_pending_and_what_is_folded_give_the_same_answer(client: Client, redis_url: str, redis: Any) -> None:
    client.post("/v1/events", json=consent())
    before = ask(client, dry_run=True).json()["placements"][0]["reason"]

    fold(redis_url)

    assert redis.get(keys.pending(shard_of("u:u-1", SHARDS), "u:u-1")) is None
    assert ask(client, dry_run=True).json()["placements"][0]["reason"] == before == "ok"


def test_an_event_that_rides_along_is_seen_by_the_decision_and_kept(client: Client, redis: Any) -> None:
    answer = ask(client, events=[consent(), {"type": "nonsense"}])

    assert shown(answer) != ["house"]
    assert answer.json()["events"]["accepted"] == 1
    assert answer.json()["events"]["rejected"][0]["index"] == 1
    entries = redis.xrange(keys.events(shard_of("u:u-1", SHARDS)))
    assert sum(fields.get(b"k") == b"u:u-1" for _, fields in entries) == 2


def test_a_repeated_request_gets_the_same_bytes_and_takes_nothing_twice(client: Client, redis: Any) -> None:
    client.post("/v1/events", json=consent())

    first, second = (ask(client, "banner", request_id="r-1") for _ in range(2))

    assert first.content == second.content
    assert len(logged(redis)) == 1
    assert redis.zcard(keys.stock("last-two")) == 1


def test_a_request_id_used_for_another_request_is_a_conflict(client: Client) -> None:
    ask(client, request_id="r-1")

    answer = ask(client, "till", request_id="r-1")

    assert (answer.status_code, answer.json()["code"]) == (409, "request.conflict")


def test_the_log_holds_what_learning_needs(client: Client, redis: Any) -> None:
    client.post("/v1/events", json=consent())

    answer = ask(client, channel="web", session_id="s-1").json()

    (entry,) = logged(redis)
    (offer,) = entry.data.offers
    assert entry.decision_id == entry.id == answer["decision_id"]
    assert (offer.offer_id, offer.learn) == (answer["placements"][0]["offers"][0]["offer_id"], True)
    assert offer.propensity == answer["placements"][0]["offers"][0]["terms"]["propensity"]
    assert sorted(entry.data.eligible["home_hero"]) == ["coffee", "house", "wine"]
    assert entry.data.fingerprint
    assert len(offer.vector) * 3 / 4 >= 4 * (len(NAMES) + len(CROSS_NAMES))
    assert entry.session_id == "s-1"


def test_dry_runs_and_explanations_leave_no_trace(client: Client, redis: Any) -> None:
    client.post("/v1/events", json=consent())
    before = sorted(redis.keys())

    ask(client, "banner", dry_run=True, request_id="r-1")
    ask(client, "banner", explain=True)

    assert sorted(redis.keys()) == before
    assert logged(redis) == []


def test_stock_is_never_exceeded_and_the_next_customer_is_told_why(client: Client, redis: Any) -> None:
    for user in ("u-1", "u-2", "u-3"):
        client.post("/v1/events", json=consent(name=f"c-{user}", user_id=user))

    got = [ask(client, "banner", user_id=user).json()["placements"][0] for user in ("u-1", "u-2", "u-3")]

    assert [len(one["offers"]) for one in got] == [1, 1, 0]
    assert got[2]["reason"] == "capped"
    assert redis.zcard(keys.stock("last-two")) == 2


def test_a_reload_within_the_sticky_time_shows_the_same_and_takes_nothing(client: Client, redis: Any) -> None:
    client.post("/v1/events", json=consent())

    first, second = ask(client).json(), ask(client).json()

    assert first["decision_id"] == second["decision_id"]
    assert len(logged(redis)) == 1
    assert len(ledger(redis)) == 1


def test_a_till_offer_counts_as_shown_when_decided_and_its_cap_holds(client: Client, redis: Any) -> None:
    client.post("/v1/events", json=consent())

    got = [shown(ask(client, "till")) for _ in range(12)]

    assert [("once" in offers) for offers in got].count(True) <= 1
    assert {state for _, state in ledger(redis)} == {VIEWED}


def test_a_view_is_marked_in_the_ledger_and_keeps_its_unit_of_stock(client: Client, redis: Any) -> None:
    client.post("/v1/events", json=consent())
    decision = ask(client, "banner").json()
    assert ledger(redis) == [("last-two", RESERVED)]

    viewed = {
        "id": "v-1", "type": "offer_viewed", "time": "2026-03-01T00:00:00Z", "user_id": "u-1",
        "decision_id": decision["decision_id"], "offer_id": "last-two", "placement": "banner",
    }  # fmt: skip
    answers = [client.post("/v1/events", json=viewed) for _ in range(2)]
    client.post("/v1/events", json={**viewed, "id": "v-2", "decision_id": "d-unknown", "offer_id": "nothing"})

    assert {answer.json()["accepted"] for answer in answers} == {1}
    assert ledger(redis) == [("last-two", VIEWED)]
    assert redis.zscore(keys.stock("last-two"), decision["decision_id"]) == float("inf")


def test_at_moves_the_decisions_now(client: Client, redis: Any) -> None:
    client.post("/v1/events", json={**consent(), "time": "2017-01-01T00:00:00Z"})

    ask(client, at="2017-02-01T12:00:00+01:00")

    (entry,) = logged(redis)
    assert entry.time.isoformat() == "2017-02-01T11:00:00+00:00"


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"{", 400, "body.not_json", ""),
        (b"[]", 422, "schema.type", ""),
        (b"{}", 422, "schema.missing", "placements"),
        (b'{"placements": [{"name": "home_hero"}]}', 422, "schema.missing", "user_id"),
        (b'{"user_id": "u", "placements": [{"name": "home_herro"}]}', 422, "placement.unknown", "placements[0].name"),
        (b'{"user_id": "u", "placements": [{"name":"till"}, {"name":"till"}]}', 422, "placement.repeated", "placements[1].name"),
        (b'{"user_id": "u", "placements": [{"name": "till", "count": 0}]}', 422, "schema.type", "placements[0].count"),
        (b'{"user_id": "u", "placements": [{"name": "till"}], "at": "2026-01-01T00:00:00"}', 422, "schema.type", "at"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(client: Client, body: bytes, status: int, code: str, field: str) -> None:
    answer = client.post("/v1/decisions", content=body)

    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem.get("field", "")) == (status, code, field)


def test_a_misspelt_placement_is_answered_with_what_was_perhaps_meant(client: Client) -> None:
    assert "home_hero" in ask(client, "home_herro").json()["detail"]


def test_one_placement_can_be_asked_for_with_get(client: Client) -> None:
    client.post("/v1/events", json=consent())

    answer = client.get("/v1/offers", params={"user_id": "u-1", "placement": "home_hero", "limit": 3, "locale": "de-AT"})

    assert sorted(shown(answer)) == ["coffee", "wine"]
    titles = {offer["content"]["title"] for offer in answer.json()["placements"][0]["offers"]}
    assert titles == {"Coffee", "Wein"}
    assert client.get("/v1/offers", params={"user_id": "u-1"}).json()["field"] == "placement"


def test_the_deadline_holds_when_redis_is_stopped(client: Client, redis_server: EmbeddedRedis) -> None:
    client.post("/v1/events", json=consent())
    process = redis_server.pid

    try:
        os.kill(process, signal.SIGSTOP)
        answer = ask(client, deadline_ms=60)
    finally:
        os.kill(process, signal.SIGCONT)

    body = answer.json()
    assert shown(answer) == ["house"]
    assert {"profile", "ledger", "deadline"} <= set(body["degraded"])
    assert answer.elapsed.total_seconds() < 1.0


def test_without_redis_only_fallbacks_are_shown_and_that_is_said(shop: Path) -> None:
    with api_client("redis://127.0.0.1:1/0", redis_timeout_ms=300, catalogue=shop) as client:
        answer = ask(client)

    assert shown(answer) == ["house"]
    assert {"profile", "ledger"} <= set(answer.json()["degraded"])


@pytest.fixture
def keyed(redis_url: str, shop: Path) -> Iterator[Client]:
    with api_client(redis_url, catalogue=shop, web_keys="w", write_keys="t", secret_keys="s") as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_a_page_gets_content_and_no_figures(keyed: Client) -> None:
    keyed.post("/v1/events", json=consent(anonymous_id="a-1"), headers=bearer("w"))
    body = {"anonymous_id": "a-1", "placements": [{"name": "home_hero"}]}

    answer = keyed.post("/v1/decisions", json=body, headers=bearer("w"))

    offer = answer.json()["placements"][0]["offers"][0]
    assert offer["content"]["title"]
    assert not {"terms", "score", "probability"} & set(offer)
    assert offer["reasons"] == []


@pytest.mark.parametrize("more", [{"explain": True}, {"dry_run": True}, {"at": "2026-01-01T00:00:00Z"}])
def test_a_page_may_not_ask_for_what_tells(keyed: Client, more: dict[str, Any]) -> None:
    body = {"anonymous_id": "a-1", "placements": [{"name": "home_hero"}], **more}

    assert keyed.post("/v1/decisions", json=body, headers=bearer("w")).status_code == 403


def test_a_page_asks_for_a_user_only_with_their_hash(keyed: Client) -> None:
    body = {"user_id": "u-1", "placements": [{"name": "home_hero"}]}
    signed = hmac.new(b"s", b"u-1", sha256).hexdigest()

    answers = [
        keyed.post("/v1/decisions", json={**body, **more}, headers=bearer("w")).status_code
        for more in ({}, {"user_hash": "0" * 64}, {"user_hash": signed})
    ]

    assert answers == [403, 403, 200]


def test_a_write_key_gets_figures_but_not_another_time(keyed: Client) -> None:
    body = {"user_id": "u-1", "placements": [{"name": "home_hero"}]}

    plain = keyed.post("/v1/decisions", json=body, headers=bearer("t"))
    moved = keyed.post("/v1/decisions", json={**body, "at": "2026-01-01T00:00:00Z"}, headers=bearer("t"))

    assert "terms" in plain.json()["placements"][0]["offers"][0]
    assert moved.status_code == 403


def test_pages_send_what_happens_in_them_and_nothing_else(keyed: Client) -> None:
    time = "2026-03-01T00:00:00Z"
    sent = [
        {"id": "1", "type": "page_viewed", "anonymous_id": "a", "time": time},
        {"id": "2", "type": "order_completed", "anonymous_id": "a", "time": time},
        {"id": "3", "type": "page_viewed", "user_id": "u", "time": time},
        consent("revoked", "4"),
        consent("granted", "5"),
    ]

    answer = keyed.post("/v1/events", json=sent, headers=bearer("w")).json()

    assert answer["accepted"] == 2
    assert [(one["id"], one["code"]) for one in answer["rejected"]] == [
        ("2", "key.event_type"), ("3", "key.user_hash"), ("5", "key.user_hash"),
    ]  # fmt: skip


def test_without_a_key_nothing_is_answered(keyed: Client) -> None:
    statuses = [
        keyed.post("/v1/events", json=[], headers=headers).status_code
        for headers in ({}, bearer("x"), {"authorization": "Basic czo="}, {"authorization": "Basic ???"})
    ]

    assert statuses == [401, 401, 202, 401]
