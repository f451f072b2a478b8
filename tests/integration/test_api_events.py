"""The events door on a real Redis: what is accepted is in its stream, what is not is a dead letter, each is answered."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from httpx import Client
from redis import Redis

from engine.events.announcing import OURSELVES
from engine.events.decode import decode_canonical
from engine.ids import shard_of
from engine.store import keys
from engine.store.redis_archive import Archive
from engine.store.redis_writer import RedisStore
from tests.integration.api_client import SHARDS, api_client
from tests.property.test_door_fuzz import CORPUS


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    with api_client(redis_url) as client:
        yield client


@pytest.fixture
def redis(redis_url: str) -> Iterator[Any]:
    with Redis.from_url(redis_url) as client:
        yield client


def viewed(number: int, user: str = "u-1", **more: Any) -> dict[str, Any]:
    return {
        "id": f"e-{number}",
        "type": "product_viewed",
        "time": "2026-03-01T10:00:00Z",
        "user_id": user,
        "data": {"product_id": "p-1", "price": "19.99", "currency": "EUR"},
        **more,
    }


def entries(redis_url: str) -> list[tuple[int, str, str]]:
    """(shard, customer, event id) of what callers put into the streams, as the flow reads it."""
    store = RedisStore(redis_url)
    batches = store.read(dict.fromkeys(range(SHARDS), "0-0"), 1000, 0)
    found = []
    for batch in batches:
        for entry in batch.entries:
            if entry.key == OURSELVES:
                continue
            event = decode_canonical(entry.event)
            found.append((batch.shard, entry.key, event.id))
            assert len(entry.fingerprint) == 12
    return found


def kept(redis: Any, shard: int) -> list[Any]:
    """A shard's entries but for announcements of the catalogue."""
    return [entry for entry in redis.xrange(keys.events(shard)) if entry[1][b"k"] != OURSELVES.encode()]


def test_one_object_lands_in_the_stream_of_its_customers_shard(client: Client, redis_url: str) -> None:
    answer = client.post("/v1/events", json=viewed(1))

    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "rejected": []})
    assert entries(redis_url) == [(shard_of("u:u-1", SHARDS), "u:u-1", "e-1")]


def test_events_of_one_request_keep_their_order(client: Client, redis_url: str) -> None:
    consent = {
        "id": "c-1", "type": "consent_updated", "user_id": "u-1", "time": "2026-03-01T10:00:00Z",
        "data": {"purpose": "marketing", "status": "granted"},
    }  # fmt: skip
    sent = [viewed(1), consent, viewed(2), {**consent, "id": "c-2"}, viewed(3)]

    client.post("/v1/events", json=sent)

    assert [name for _, _, name in entries(redis_url)] == ["e-1", "c-1", "e-2", "c-2", "e-3"]


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/json", "text/plain"])
def test_lines_stand_alone_whether_declared_or_not(client: Client, redis_url: str, content_type: str) -> None:
    body = "\n".join([json.dumps(viewed(1)), '{"id": "cut', "", json.dumps(viewed(2))]) + "\n"

    answer = client.post("/v1/events", content=body, headers={"content-type": content_type})

    assert answer.status_code == 202
    assert answer.json()["accepted"] == 2
    assert [(one["index"], one["code"]) for one in answer.json()["rejected"]] == [(1, "json.invalid")]
    assert len(entries(redis_url)) == 2


def test_each_refused_event_is_answered_for_and_kept_as_a_dead_letter(client: Client, redis_url: str) -> None:
    bad = {"id": "o-1", "type": "order_completed", "time": "2026-03-01T10:00:00Z", "user_id": "u-1", "data": {}}

    answer = client.post("/v1/events", json=[viewed(1), bad, 7])

    rejected = answer.json()["rejected"]
    assert [(one["index"], one.get("id", ""), one["code"]) for one in rejected] == [
        (1, "o-1", "schema.missing"), (2, "", "schema.type"),
    ]  # fmt: skip
    letter = Archive(redis_url, SHARDS).letter(rejected[0]["dead_letter_id"])
    assert letter is not None
    assert json.loads(letter.raw) == bad
    assert (letter.reason.code, letter.reason.field) == ("schema.missing", rejected[0]["field"])


def test_consent_is_pending_beside_the_profile_until_it_is_folded(client: Client, redis: Any) -> None:
    consent = {
        "id": "c-1", "type": "consent_updated", "user_id": "u-1", "time": "2026-03-01T10:00:00Z",
        "data": {"purpose": "marketing", "status": "revoked"},
    }  # fmt: skip

    client.post("/v1/events", json=consent)

    shard = shard_of("u:u-1", SHARDS)
    name, _, event = redis.get(keys.pending(shard, "u:u-1")).strip().partition(b" ")
    stored = kept(redis, shard)
    assert stored[0][0] == name
    assert stored[0][1][b"e"] == event


@pytest.mark.parametrize("body", [b"", b"{", b"[1,", b"nonsense", b'{"a": NaN}', b'"\\ud800"', b"\xff\xfe", b"[" * 2000])
def test_a_body_that_is_not_json_at_all_is_refused_as_a_whole(client: Client, body: bytes) -> None:
    answer = client.post("/v1/events", content=body)

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "body.not_json"


def test_a_body_beyond_the_limit_is_refused(redis_url: str) -> None:
    with api_client(redis_url, max_body_bytes=2000, max_events_per_request=5) as client:
        large = client.post("/v1/events", content=b" " * 2001)
        chunked = client.post("/v1/events", content=iter([b" " * 1500, b" " * 1500]))
        many = client.post("/v1/events", json=[{}] * 6)

    assert [one.status_code for one in (large, chunked, many)] == [413, 413, 413]


def test_an_empty_list_is_nothing_to_refuse(client: Client) -> None:
    assert client.post("/v1/events", json=[]).json() == {"accepted": 0, "rejected": []}


def test_without_redis_the_sender_is_told_to_send_again() -> None:
    with api_client("redis://127.0.0.1:1/0", redis_timeout_ms=500) as client:
        answer = client.post("/v1/events", json=viewed(1))

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["code"] == "store.unavailable"


def test_scripts_that_redis_forgot_are_loaded_again(client: Client, redis: Any) -> None:
    consent = {
        "type": "consent_updated", "user_id": "u-1", "time": "2026-03-01T10:00:00Z",
        "data": {"purpose": "marketing", "status": "granted"},
    }  # fmt: skip
    client.post("/v1/events", json={**consent, "id": "c-1"})
    redis.script_flush()

    answer = client.post("/v1/events", json={**consent, "id": "c-2"})

    assert answer.json()["accepted"] == 1
    assert len(kept(redis, shard_of("u:u-1", SHARDS))) == 2


def test_history_is_marked_as_such(client: Client, redis: Any) -> None:
    client.post("/v1/events", json=viewed(1), headers={"Regulars-Mode": "backfill"})

    stored = kept(redis, shard_of("u:u-1", SHARDS))
    assert json.loads(stored[0][1][b"e"])["mode"] == "backfill"


def test_a_check_tells_how_an_event_is_understood_and_writes_nothing(client: Client, redis: Any) -> None:
    before = sorted(redis.keys("[^m]*")), [redis.xlen(keys.events(shard)) for shard in range(SHARDS)]

    answer = client.post("/v1/events/check", json=[viewed(1), {"type": "x"}])

    good, bad = answer.json()["events"]
    assert good["canonical"]["data"]["price"] == 1999
    assert good["money"] == {"data.price": "19.99 EUR"}
    assert good["shard"] == shard_of("u:u-1", SHARDS)
    assert bad["problems"][0]["field"] == "user_id"
    assert (sorted(redis.keys("[^m]*")), [redis.xlen(keys.events(shard)) for shard in range(SHARDS)]) == before


@pytest.mark.parametrize("path", ["/v1/events", "/v1/events/check", "/v1/decisions"])
def test_nothing_that_arrives_is_answered_with_a_fault_of_the_server(client: Client, path: str) -> None:
    answers = [client.post(path, content=body) for body in CORPUS]

    assert {answer.status_code for answer in answers} <= {200, 202, 400, 422}
    assert client.get("/livez").status_code == 200
