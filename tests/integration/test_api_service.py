"""The service desk over HTTP and Redis: nothing is sold while something is wrong, and everything that is owed is told."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as sync_redis
from httpx import Client

from engine.ids import shard_of
from engine.moments import HOUR
from engine.shards.complaints import ComplaintSums
from engine.store import keys
from engine.store.codec import decode_profile
from engine.store.redis_writer import RedisStore
from tests.integration.api_client import POLICY, SHARDS, api_client, consent, fold, shown, write_catalogue

OFFERS = """\
offers:
  - {id: coffee, kind: sell, placements: [home_hero], margin: 1.80 EUR, content: {default: {title: Coffee}}}
  - {id: wine, kind: sell, placements: [home_hero], margin: 2.40 EUR, content: {default: {title: Wine}}}
  - {id: sorry, kind: service, placements: [home_hero], eligible_when: [{service: [recovery]}],
     content: {default: {title: Sorry}}}
  - {id: thanks, kind: thank_you, placements: [home_hero], eligible_when: [{service: [thank_you]}],
     content: {default: {title: Thank you}}}
  - {id: house, kind: fallback, placements: [home_hero], content: {default: {title: Welcome}}}
"""
SERVICE = "service: {sla_hours: {complaint: 24}, low_nps: 5}\n"


@pytest.fixture
def client(redis_url: str, tmp_path: Path) -> Iterator[Client]:
    folder = write_catalogue(tmp_path, POLICY + SERVICE, OFFERS)
    with api_client(redis_url, catalogue=folder, decision_deadline_ms=2000) as client:
        yield client


def send(client: Client, kind: str, name: str, user: str = "u-1", **data: Any) -> None:
    answer = client.post("/v1/events", json={"id": name, "type": kind, "user_id": user, "data": data})
    assert answer.json()["accepted"] == 1, answer.text


def offers(client: Client, user: str = "u-1") -> list[str]:
    return shown(client.post("/v1/decisions", json={"user_id": user, "placements": [{"name": "home_hero", "count": 3}]}))


def pass_on(redis_url: str) -> None:
    store = RedisStore(redis_url)
    while fold(redis_url):
        for shard in range(SHARDS):
            store.relay(shard)
    store.client.close()


def test_no_sale_between_a_complaint_and_its_resolution_over_random_interleavings(client: Client, redis_url: str) -> None:
    chance = random.Random(4)
    users = [f"u-{number}" for number in range(6)]
    still_open: dict[str, set[str]] = {user: set() for user in users}
    for user in users:
        client.post("/v1/events", json=consent(name=f"c-{user}", user_id=user))
    decided = {True: 0, False: 0}

    for number in range(400):
        user, name = chance.choice(users), chance.choice(["k1", "k2"])
        match chance.randrange(8):
            case 0:
                send(client, "complaint_filed", f"e{number}", user, complaint_id=name)
                still_open[user].add(name)
            case 1 | 2:
                send(client, "complaint_resolved", f"e{number}", user, complaint_id=name)
                still_open[user].discard(name)
            case 3:
                send(client, "product_viewed", f"e{number}", user, product_id="p")
            case 4:
                fold(redis_url)
            case _:
                sold = {"coffee", "wine"} & set(offers(client, user))
                assert not (sold and still_open[user]), number
                decided[bool(still_open[user])] += 1
                assert sold or still_open[user]

    assert min(decided.values()) > 30


@pytest.mark.parametrize(
    ("kind", "data", "hint"),
    [
        ("complaint_filed", {"complaint_id": "k"}, "a complaint is open"),
        ("support_case_opened", {"case_id": "k", "severity": "critical"}, "high severity"),
        ("order_late", {"order_id": "o-1"}, "an order is late"),
        ("feedback_submitted", {"nps": 5}, "would not recommend"),
    ],
)
def test_what_goes_wrong_is_obeyed_by_the_next_decision_without_an_engine(
    client: Client, kind: str, data: dict[str, Any], hint: str
) -> None:
    client.post("/v1/events", json=consent())
    assert {"coffee", "wine"} & set(offers(client))

    send(client, kind, "wrong", **data)

    body = client.post("/v1/decisions", json={"user_id": "u-1", "placements": [{"name": "home_hero", "count": 3}]}).json()
    assert [offer["offer_id"] for offer in body["placements"][0]["offers"]] == ["sorry"]
    view = client.get("/v1/customers/u-1").json()
    assert (view["service"]["selling"], hint in view["service"]["words"]) == (False, True)
    assert [one["action"] for one in view["actions_due"]] == ["recovery"]


def test_a_complaint_from_filing_to_thanks(client: Client) -> None:
    client.post("/v1/events", json=consent())
    send(client, "complaint_filed", "1", complaint_id="k", reason="damaged", store="12")
    first = client.get("/v1/customers/u-1").json()
    send(client, "complaint_acknowledged", "2", complaint_id="k")
    send(client, "complaint_resolved", "3", complaint_id="k")
    then = client.get("/v1/customers/u-1").json()

    (case,) = first["service"]["cases"]
    assert (case["case_id"], case["kind"], case["open"], case["past_due"]) == ("k", "complaint", True, False)
    assert [(one["action"], one["case_id"]) for one in first["actions_due"]] == [("recovery", "k")]
    assert {one["action"] for one in then["actions_due"]} == {"follow_up", "thank_you"}
    assert offers(client)[0] == "thanks"


def test_a_case_past_due_is_counted_and_told(client: Client, redis_url: str) -> None:
    body = {
        "id": "k",
        "type": "complaint_filed",
        "user_id": "u-1",
        "time": "2026-03-01T10:00:00Z",
        "data": {"complaint_id": "k", "reason": "rude"},
    }
    later = {"id": "v", "type": "page_viewed", "user_id": "u-1", "time": "2026-03-09T10:00:00Z"}
    client.post("/v1/events", json=[body, later])
    pass_on(redis_url)

    told = client.get("/v1/insights/complaints").json()
    timeline = client.get("/v1/customers/u-1/timeline").json()["events"]

    assert told["past_due"] == 1
    assert [(row["reason"], row["count"], row["open"], row["median_hours"]) for row in told["rows"]] == [("rude", 1, 1, None)]
    assert [one["type"] for one in timeline] == ["case_past_due", "complaint_filed"]
    view = client.get("/v1/customers/u-1").json()
    assert view["service"]["cases"][0]["past_due"] is True
    assert {one["action"] for one in view["actions_due"]} == {"recovery", "case_past_due"}


def test_complaints_are_counted_since_a_monday(client: Client, redis_url: str) -> None:
    for name, day in (("old", "2026-02-22"), ("monday", "2026-02-23"), ("sunday", "2026-03-01"), ("late", "2026-03-02")):
        data = {"complaint_id": name, "reason": "rude" if name == "old" else "damaged"}
        filed = {"id": name, "type": "complaint_filed", "user_id": f"u-{name}", "time": f"{day}T10:00:00Z", "data": data}
        client.post("/v1/events", json=filed)
    client.post("/v1/events", json={"id": "r", "type": "complaint_resolved", "user_id": "u-late", "time": "2026-03-02T12:00:00Z",
                                    "data": {"complaint_id": "late"}})  # fmt: skip
    fold(redis_url)

    def told(**window: Any) -> tuple[int, int, list[str | None], str | None]:
        body = client.get("/v1/insights/complaints", params={"by": "reason", **window}).json()
        return body["total"]["count"], body["total"]["resolved"], [row["reason"] for row in body["rows"]], body["since"]

    assert told() == (4, 1, ["damaged", "rude"], None)
    assert told(since="2026-02-26") == told(since="2026-02-23T08:00:00Z") == (3, 1, ["damaged"], "2026-02-23T00:00:00.000Z")
    assert told(since="2026-03-02") == (1, 1, ["damaged"], "2026-03-02T00:00:00.000Z")
    assert told(window_days=3650)[:2] == (4, 1)
    for wrong in ("since=lately", "window_days=0", "window_days=7&since=2026-03-02"):
        assert client.get(f"/v1/insights/complaints?{wrong}").status_code == 422


def test_a_timeline_joins_identities_and_what_is_on_its_way(client: Client, redis_url: str) -> None:
    anonymous = {
        "id": "a",
        "type": "feedback_submitted",
        "anonymous_id": "b-1",
        "time": "2026-03-01T10:00:00Z",
        "data": {"csat": 4},
    }
    order = {"id": "o", "type": "order_completed", "user_id": "u-1", "anonymous_id": "b-1", "channel": "web",
             "time": "2026-03-02T10:00:00Z", "data": {"order_id": "o-1", "currency": "EUR", "total": 1990}}  # fmt: skip
    client.post("/v1/events", json=[anonymous, order])
    pass_on(redis_url)
    send(client, "complaint_filed", "k", complaint_id="k-1", reason="damaged")

    events = client.get("/v1/customers/u-1/timeline").json()["events"]

    assert [(one["words"], one.get("ref", ""), one.get("channel", "")) for one in events] == [
        ("complaint filed: damaged", "k-1", ""),
        ("order completed: 19.90 EUR", "o-1", "web"),
        ("segment changed: new", "", ""),
        ("feedback submitted: csat 4", "", ""),
    ]
    assert len(client.get("/v1/customers/u-1/timeline", params={"limit": 1}).json()["events"]) == 1
    assert client.get("/v1/customers/u-1/timeline", params={"limit": 0}).status_code == 422
    assert client.get("/v1/customers/nobody/timeline").status_code == 404


def test_a_customer_is_found_by_address_and_no_address_is_held(client: Client, redis_url: str) -> None:
    send(client, "customer_identified", "1", email=" Ann.Example@Shop.Example ", phone="+43 (0)664 123 45 67")
    send(client, "customer_identified", "2", user="u-2", phone="0043 664 1234567")
    fold(redis_url)

    def found(**wanted: str) -> list[str]:
        answer = client.post("/v1/customers/find", json=wanted)
        return [one["user_id"] for one in answer.json()["customers"]]

    assert found(email="ann.example@shop.example") == ["u-1"]
    assert found(phone="+436641234567") == ["u-1", "u-2"]
    assert found(email="ANN.EXAMPLE@SHOP.EXAMPLE", phone="+43 664 1234567") == ["u-1"]
    assert found(email="other@shop.example") == []
    store = sync_redis.Redis.from_url(redis_url)
    held = b"".join(store.dump(name) or b"" for name in store.scan_iter(count=1000))
    assert b"ann.example" not in held.lower()
    assert b"1234567" not in held.replace(b" ", b"")
    store.close()
    send(client, "customer_identified", "3", email="new@shop.example", phone=None)
    fold(redis_url)
    assert [found(email="ann.example@shop.example"), found(email="new@shop.example"), found(phone="+436641234567")] == [
        [],
        ["u-1"],
        ["u-2"],
    ]
    assert client.post("/v1/customers/find", json={}).status_code == 422


def test_an_address_that_is_taken_back_finds_nobody_and_leaves_no_name(client: Client, redis_url: str) -> None:
    send(client, "customer_identified", "1", email="ann@shop.example", phone="+436641234567")
    fold(redis_url)

    answer = client.patch("/v1/customers/u-1/traits", json={"email": None})
    fold(redis_url)

    assert answer.status_code in (200, 202)
    assert client.post("/v1/customers/find", json={"email": "ann@shop.example"}).json() == {"customers": []}
    assert client.post("/v1/customers/find", json={"phone": "+436641234567"}).json() == {"customers": [{"user_id": "u-1"}]}
    assert client.get("/v1/customers/u-1").json()["traits"] == {}
    store: Any = sync_redis.Redis.from_url(redis_url)
    profile = decode_profile("u:u-1", store.get(keys.profile(shard_of("u:u-1", SHARDS), "u:u-1")))
    store.close()
    identity = profile.whole.identity
    assert (identity.traits, identity.reached_by["email"][0], len(identity.reached)) == ({}, "", 1)


def test_an_erased_customer_is_found_and_told_of_nowhere(client: Client, redis_url: str) -> None:
    send(client, "customer_identified", "1", email="ann@shop.example")
    send(client, "complaint_filed", "2", complaint_id="k", reason="rude")
    fold(redis_url)
    exported = [json.loads(line)["kind"] for line in client.get("/v1/customers/u-1/export").text.splitlines()]

    client.delete("/v1/customers/u-1")
    pass_on(redis_url)

    assert exported.count("timeline") == 2
    assert client.post("/v1/customers/find", json={"email": "ann@shop.example"}).json() == {"customers": []}
    assert client.get("/v1/customers/u-1/timeline").status_code == 410
    assert client.get("/v1/insights/complaints").json()["total"]["open"] == 0
    store = sync_redis.Redis.from_url(redis_url)
    assert not [name for family in ("time:*", "who:*", "prof:*") for name in store.scan_iter(family)]
    store.close()


def test_complaints_are_told_by_what_is_asked_for(client: Client, redis_url: str) -> None:
    for number, (reason, store) in enumerate([("damaged", "12"), ("damaged", "13"), ("rude", "12")]):
        body = {"reason": reason, "store": store, "product_id": "p-1", "complaint_id": "k"}
        send(client, "complaint_filed", f"f{number}", f"u-{number}", **body)
    send(client, "complaint_resolved", "r", "u-0", complaint_id="k")
    fold(redis_url)

    by_reason = client.get("/v1/insights/complaints", params={"by": "reason"}).json()
    in_store = client.get("/v1/insights/complaints", params={"by": "reason,store", "store": "12"}).json()
    wrong = client.get("/v1/insights/complaints", params={"by": "reasn"})

    assert [(row["reason"], row["count"], row["open"], "store" in row) for row in by_reason["rows"]] == [
        ("damaged", 2, 1, False),
        ("rude", 1, 1, False),
    ]
    assert (by_reason["total"]["count"], by_reason["total"]["resolved"]) == (3, 1)
    assert by_reason["total"]["median_hours"] < 1
    assert [(row["reason"], row["store"]) for row in in_store["rows"]] == [("damaged", "12"), ("rude", "12")]
    assert (wrong.status_code, "did you mean 'reason'" in wrong.json()["detail"]) == (422, True)


def test_the_service_desk_takes_a_secret_key(redis_url: str, tmp_path: Path) -> None:
    with api_client(redis_url, catalogue=write_catalogue(tmp_path), web_keys="w", write_keys="t", secret_keys="s") as client:
        for key, status in (("w", 403), ("t", 403), ("s", 200)):
            headers = {"authorization": f"Bearer {key}"}
            assert client.post("/v1/customers/find", json={"email": "a@b.c"}, headers=headers).status_code == status
            assert client.get("/v1/insights/complaints", headers=headers).status_code == status


def test_the_median_is_read_between_the_edges_of_its_class() -> None:
    assert ComplaintSums().median_ms == 0
    assert ComplaintSums(1, 0, 1, 3 * HOUR, (0, 0, 1, *(0,) * 10)).median_ms == 3 * HOUR
