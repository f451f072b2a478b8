"""Segment's HTTP API on a real Redis: keys, packed bodies, short paths, what is answered, and what is kept."""

import base64
import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from httpx import Client, Response
from hypothesis import HealthCheck, given, settings

from engine.store.redis_archive import Archive
from flows.dead_letters import refusal
from flows.door import Door
from tests.conformance.segment_world import KEY, PAGE_KEY, SECRET, World, world
from tests.integration.api_client import SHARDS, api_client
from tests.property.test_dialects import documents

AT = "2026-03-01T10:00:00Z"
VIEWED = {"product_id": "p-1", "price": 19.99, "currency": "EUR"}


@pytest.fixture
def here(redis_url: str) -> Iterator[World]:
    with world(redis_url) as built:
        yield built


@pytest.fixture
def client(here: World) -> Iterator[Client]:
    with Client(base_url=here.tap.url, timeout=30) as client:
        yield client


def message(call: str = "track", **more: Any) -> dict[str, Any]:
    said = {"type": call, "messageId": "m-1", "userId": "u-1", "anonymousId": "a-1", "timestamp": AT}
    return {**said, **({"event": "Product Viewed", "properties": VIEWED} if call == "track" else {}), **more}


def basic(key: str = KEY) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(f'{key}:'.encode()).decode()}"}


def stored(here: World) -> list[dict[str, Any]]:
    return [msgspec.json.decode(entry) for _, _, entry, _ in here.stored()]


def done(answer: Response, accepted: int = 1) -> None:
    assert (answer.status_code, answer.json()) == (200, {"success": True, "accepted": accepted, "rejected": []})


@pytest.mark.parametrize("path", ["track", "t", "batch", "b", "import"])
@pytest.mark.parametrize("carried", ["basic", "bearer", "body"])
def test_a_key_is_taken_from_wherever_clients_put_it(here: World, client: Client, path: str, carried: str) -> None:
    key = {"basic": basic(), "bearer": {"authorization": f"Bearer {KEY}"}, "body": {}}[carried]
    said: dict[str, Any] = message() if path in ("track", "t") else {"batch": [message()]}

    done(client.post(f"/v1/{path}", json={**said, **({"writeKey": KEY} if carried == "body" else {})}, headers=key))

    assert stored(here)[0]["data"]["price"] == 1999
    assert stored(here)[0].get("mode") == ("backfill" if path == "import" else None)


@pytest.mark.parametrize(
    ("path", "kind", "more"),
    [
        ("t", "product_viewed", {"event": "Product Viewed", "properties": VIEWED}),
        ("i", "customer_identified", {"traits": {"a": 1}}),
        ("p", "page_viewed", {"name": "Home"}), ("s", "page_viewed", {"name": "Cart"}), ("g", "group_joined", {"groupId": "g"}),
        ("a", "identity_linked", {"previousId": "a-0"}),
    ],
)  # fmt: skip
def test_a_path_says_what_a_message_is(here: World, client: Client, path: str, kind: str, more: dict[str, Any]) -> None:
    bare = {name: value for name, value in message("").items() if name != "type"}

    done(client.post(f"/v1/{path}", json={**bare, **more}, headers=basic()))

    assert stored(here)[0]["type"] == kind


def test_a_packed_body_is_unpacked_and_a_bomb_is_not(redis_url: str) -> None:
    body = json.dumps(message()).encode()
    packed = {"content-encoding": "gzip"}
    with api_client(redis_url, max_body_bytes=4096) as client:
        whole = client.post("/v1/track", content=gzip.compress(body), headers=packed)
        pieces = client.post("/v1/events", content=gzip.compress(body[:50]) + gzip.compress(body[50:]), headers=packed)
        bomb = client.post("/v1/track", content=gzip.compress(b" " * 3_000_000), headers=packed)
        cut = client.post("/v1/track", content=gzip.compress(body)[:-9], headers=packed)
        not_packed = client.post("/v1/track", content=body, headers=packed)
        many = client.post("/v1/track", content=gzip.compress(b"") * 150, headers=packed)
        other = client.post("/v1/track", content=body, headers={"content-encoding": "br"})

    done(whole)
    assert (pieces.status_code, pieces.json()["accepted"]) == (202, 1)
    assert (bomb.status_code, bomb.json()["code"]) == (413, "body.too_large")
    assert [(one.status_code, one.json()["code"]) for one in (cut, not_packed, many)] == [(400, "body.not_gzip")] * 3
    assert (other.status_code, other.headers["accept-encoding"]) == (415, "gzip")


def test_without_a_key_that_is_known_nothing_is_taken(client: Client) -> None:
    answers = [
        client.post("/v1/track", json=message()),
        client.post("/v1/track", json={**message(), "writeKey": "made-up"}),
        client.post("/v1/batch", json={"batch": [{**message(), "writeKey": KEY}]}),
        client.post("/v1/track", json=message(), headers=basic("made-up")),
        client.post("/v1/track", content=b"{", headers={}),
    ]

    assert [answer.status_code for answer in answers] == [401] * 5
    assert client.post("/v1/import", json={"batch": []}, headers=basic(PAGE_KEY)).status_code == 403


def test_what_cannot_be_used_is_told_in_a_success_and_kept(here: World, client: Client, redis_url: str) -> None:
    wrong = [
        message(messageId="m-2", event="Order Completed", properties={"order_id": "1", "total": 5}),
        {"type": "track", "messageId": "m-3", "event": "Left"},
        message("zzz", messageId="m-4"),
        message(messageId="m-5", properties={"product_id": "p", "currency": "EUR", "price": 19.999}),
        7,
    ]

    answer = client.post("/v1/batch", json={"batch": [message(), *wrong]}, headers=basic())

    assert answer.status_code == 200
    assert (answer.json()["success"], answer.json()["accepted"]) == (True, 1)
    rejected = answer.json()["rejected"]
    assert [(one["index"], one.get("id"), one["code"], one.get("field", "")) for one in rejected] == [
        (1, "m-2", "schema.missing", "data.currency"), (2, "m-3", "schema.missing", "user_id"), (3, "m-4", "schema.type", "type"),
        (4, "m-5", "schema.money", "data.price"), (5, None, "schema.type", ""),
    ]  # fmt: skip
    letters = [Archive(redis_url, SHARDS).letter(one["dead_letter_id"]) for one in rejected]
    assert [json.loads(letter.raw) for letter in letters if letter is not None] == wrong
    assert here.metric('regulars_events_rejected_total{reason="schema.money"}') == 1
    assert len(stored(here)) == 1


def test_a_kept_message_can_be_sent_again_with_its_own_time(here: World, client: Client, redis_url: str) -> None:
    early = message(event="Order Completed", properties={"order_id": "1", "currency": "XXA", "total": 5.5}, sentAt=AT)
    rejected = client.post("/v1/t", json={**early, "type": None, "writeKey": KEY}).json()["rejected"]
    letter = Archive(redis_url, SHARDS).letter(rejected[0]["dead_letter_id"])
    assert letter is not None
    door = Door(here.tap.url, SECRET)

    still, mended = refusal(door, letter.raw), refusal(door, letter.raw.replace(b"XXA", b"EUR"))
    door.close()

    assert (still, mended) == ("schema.money", None)
    assert (stored(here)[0]["time"], stored(here)[0]["data"]["total"]) == (AT, 550)


@pytest.mark.parametrize("body", [b"", b"{", b'{"batch": [', b"nonsense", b'{"a": NaN}', b"\xff\xfe"])
def test_a_body_that_is_not_json_is_refused_for_good(client: Client, body: bytes) -> None:
    answer = client.post("/v1/batch", content=body, headers=basic())

    assert (answer.status_code, answer.json()["code"]) == (400, "body.not_json")


def test_clients_are_told_to_send_again_where_that_helps(redis_url: str) -> None:
    with api_client(redis_url, write_keys=KEY, rate_limit_per_s=1) as client:
        answers = [client.post("/v1/track", json=message(), headers=basic()) for _ in range(10)]
    with api_client("redis://127.0.0.1:1/0", redis_timeout_ms=500) as client:
        away = client.post("/v1/track", json=message())
    with api_client(redis_url, max_events_per_request=2) as client:
        many = client.post("/v1/batch", json={"batch": [message()] * 3})

    limited = [answer for answer in answers if answer.status_code != 200]
    assert {answer.status_code for answer in limited} == {429}
    assert int(limited[0].headers["retry-after"]) >= 1
    assert (away.status_code, int(away.headers["retry-after"]) >= 1) == (503, True)
    assert many.status_code == 413


def test_a_message_written_by_hand_needs_nothing_that_only_clients_know(here: World, client: Client) -> None:
    bought = {"userId": "u-1", "event": "Order Completed", "properties": {"order_id": "1", "currency": "EUR", "total": 14.99}}

    for _ in range(2):
        done(client.post("/v1/track", json=bought, headers=basic()))

    customer = here.customer("u-1")
    assert (customer["purchases"]["count"], customer["purchases"]["spend_minor"]) == (1, 1499)
    assert here.metric("regulars_events_accepted_total") == 2


def test_one_message_counts_once_whichever_way_it_comes(here: World, client: Client) -> None:
    order = message(event="Order Completed", properties={"order_id": "1", "currency": "EUR", "total": 19.99})

    client.post("/v1/track", json={**order, "sentAt": "2026-03-01T10:00:01Z"}, headers=basic())
    client.post("/v1/batch", json={"batch": [order], "sentAt": "2026-03-01T10:00:09Z"}, headers=basic())
    client.post("/v1/events", json=order, headers=basic())

    assert len(stored(here)) == 3
    customer = here.customer("u-1")
    assert (customer["purchases"]["count"], customer["purchases"]["spend_minor"]) == (1, 1999)


def test_one_body_may_hold_every_dialect(here: World, client: Client) -> None:
    lines: list[dict[str, Any]] = [
        {"id": "n-1", "type": "page_viewed", "time": AT, "user_id": "u-1"},
        {"batch": [message(), message("page", messageId="m-2")]},
        {"specversion": "1.0", "id": "c-1", "type": "page_viewed", "source": "/shop", "subject": "u-1"},
        {"type": "page_viewed"},
    ]
    body = "\n".join(json.dumps(line) for line in lines)

    checked = client.post("/v1/events/check", content=body, headers=basic()).json()["events"]
    answer = client.post("/v1/events", content=body, headers=basic())

    assert [(one["index"], one["dialect"], one["ok"]) for one in checked] == [
        (0, "native", True), (1, "segment", True), (1, "segment", True), (2, "cloudevents", True), (3, "native", False),
    ]  # fmt: skip
    assert checked[1]["money"] == {"data.price": "19.99 EUR"}
    assert (answer.json()["accepted"], [one["index"] for one in answer.json()["rejected"]]) == (4, [3])
    assert here.metric('regulars_dialect_events_total{dialect="native"}') == 1


def test_several_promotions_of_one_message_are_several_views(here: World, client: Client) -> None:
    said = {"items": [{"promotion_id": "coffee", "placement": "home_hero"}, {"promotion_id": "wine"}], "decision_id": "d-1"}

    done(client.post("/v1/track", json=message(event="view_promotion", properties=said), headers=basic()), 2)

    assert sorted((event["id"], event["offer_id"], event["decision_id"]) for event in stored(here)) == [
        ("m-1", "coffee", "d-1"), ("m-1/2", "wine", "d-1"),
    ]  # fmt: skip


def test_what_a_client_says_of_itself_is_taken_politely(client: Client) -> None:
    said = client.post("/v1/m", content=b'{"series": []}', headers={"content-type": "text/plain"})

    assert (said.status_code, said.json()) == (200, {"success": True})


def test_a_page_learns_where_to_send_to(here: World, client: Client) -> None:
    found = client.get(f"/v1/projects/{PAGE_KEY}/settings")

    assert found.headers["access-control-allow-origin"] == "*"
    sent_to = found.json()["integrations"]["Segment.io"]
    assert (sent_to["apiKey"], sent_to["apiHost"], sent_to["protocol"]) == (PAGE_KEY, f"{here.tap.host}/v1", "http")
    assert client.get("/v1/projects/made-up/settings").status_code == 401


def test_whatever_arrives_is_answered_and_never_with_a_fault_of_the_server(redis_url: str) -> None:
    with api_client(redis_url) as client:

        @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(body=documents)
        def law(body: bytes) -> None:
            told: list[tuple[str, dict[str, str]]] = [
                ("/v1/batch", {}), ("/v1/t", {}), ("/v1/events", {"content-type": "application/cloudevents-batch+json"}),
                ("/v1/events", {"ce-specversion": "1.0", "ce-id": "%zz%ff"}), ("/v1/events/check", {}),
            ]  # fmt: skip
            for path, headers in told:
                answer: httpx.Response = client.post(path, content=body, headers=headers)
                assert answer.status_code in (200, 202, 400), answer.text
                packed = client.post(path, content=gzip.compress(body), headers={**headers, "content-encoding": "gzip"})
                assert packed.status_code == answer.status_code

        law()
