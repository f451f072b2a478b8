"""CloudEvents as the project's own library writes them: one, a batch, in binary mode, and wrong ones."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary, to_binary_event, to_structured, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from tests.conformance.segment_world import KEY, PAGE_KEY, World, world

AT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
ORDER = {"order_id": "o-1", "currency": "EUR", "total": "19.90", "products": [{"product_id": "p-1", "price": 1990}]}


@pytest.fixture
def here(redis_url: str) -> Iterator[World]:
    with world(redis_url) as built:
        yield built


def event(name: str = "e-1", data: dict[str, Any] | bytes | str | None = None, **more: Any) -> CloudEvent:
    attributes = {"id": name, "type": "order_completed", "source": "/shop/orders", "subject": "u-1", "time": AT, **more}
    return CloudEvent(attributes, ORDER if data is None else data)


def send(here: World, message: HTTPMessage, path: str = "/v1/events", key: str = KEY) -> httpx.Response:
    headers = {**message.headers, "authorization": f"Bearer {key}"}
    return httpx.post(here.tap.url + path, content=message.body, headers=headers, timeout=30)


def stored(here: World) -> list[dict[str, Any]]:
    return [msgspec.json.decode(entry) for _, _, entry, _ in here.stored()]


def codes(answer: httpx.Response) -> list[tuple[str, str]]:
    assert answer.status_code == 202, answer.text
    return [(one["code"], one.get("field", "")) for one in answer.json()["rejected"]]


def test_attributes_and_extensions_are_the_envelope(here: World) -> None:
    sent = event(anonymousid="a-1", sessionid="s-1", loyaltyid="c-9", channel="web", type="example.shop.order_completed")

    answer = send(here, to_structured_event(sent))

    assert answer.json() == {"accepted": 1, "rejected": []}
    (found,) = stored(here)
    assert {name: found[name] for name in ("id", "type", "source", "user_id", "anonymous_id", "session_id", "loyalty_id")} == {
        "id": "e-1", "type": "order_completed", "source": "/shop/orders", "user_id": "u-1", "anonymous_id": "a-1",
        "session_id": "s-1", "loyalty_id": "c-9",
    }  # fmt: skip
    assert (found["time"], found["channel"], found["data"]["total"]) == ("2026-03-01T09:00:00Z", "web", 1990)
    assert here.metric('regulars_dialect_events_total{dialect="cloudevents"}') == 1
    assert here.customer("u-1")["purchases"]["spend_minor"] == 1990


@pytest.mark.parametrize("message", [to_structured(event(), JSONFormat()), to_binary(event(), JSONFormat())])
def test_every_mode_says_the_same(here: World, message: HTTPMessage) -> None:
    send(here, to_structured_event(event()))
    before = stored(here)
    here.forget()

    assert codes(send(here, message)) == []
    assert stored(here) == before


def test_data_as_bytes_is_data(here: World) -> None:
    message = to_structured_event(event(data=json.dumps(ORDER).encode(), datacontenttype="application/json"))

    assert b"data_base64" in message.body
    assert codes(send(here, message)) == []
    assert stored(here)[0]["data"]["total"] == 1990


def test_a_batch_is_answered_one_by_one_and_a_repeat_counts_once(here: World) -> None:
    good = [json.loads(to_structured_event(event(name)).body) for name in ("e-1", "e-2", "e-1")]
    old, bare = {**good[0], "specversion": "0.3"}, {name: value for name, value in good[1].items() if name != "specversion"}
    batch = HTTPMessage({"content-type": "application/cloudevents-batch+json"}, json.dumps([*good, old, bare, 5]).encode())

    answer = send(here, batch)

    assert answer.json()["accepted"] == 3
    assert [(one["index"], one["code"], one.get("field", "")) for one in answer.json()["rejected"]] == [
        (3, "schema.version", "specversion"), (4, "schema.version", "specversion"), (5, "schema.type", ""),
    ]  # fmt: skip
    assert "not '0.3'" in answer.json()["rejected"][0]["detail"]
    assert here.customer("u-1")["purchases"]["count"] == 1


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"id": ""}, "schema.missing", "id"),
        ({"source": None}, "schema.missing", "source"),
        ({"type": 5}, "schema.missing", "type"),
        ({"data": {"order_id": "1", "currency": "EUR", "total": 19.9}}, "schema.money", "data.total"),
        ({"data_base64": "AAAA"}, "schema.type", "data_base64"),
        ({"data": None, "data_base64": "%%"}, "schema.type", "data_base64"),
        ({"data": None, "data_base64": "AAAA", "datacontenttype": "text/plain"}, "schema.type", "datacontenttype"),
        ({"subject": None}, "schema.missing", "user_id"),
    ],
)
def test_a_wrong_event_is_refused_with_its_reason(here: World, change: dict[str, Any], code: str, field: str) -> None:
    said = {**json.loads(to_structured_event(event()).body), **change}
    message = HTTPMessage({"content-type": "application/cloudevents+json; charset=utf-8"}, json.dumps(said).encode())

    assert codes(send(here, message)) == [(code, field)]


def test_a_check_understands_it_and_a_page_speaks_for_itself_only(here: World) -> None:
    checked = send(here, to_binary_event(event()), "/v1/events/check").json()["events"][0]
    viewed = {"id": "e-2", "type": "product_viewed", "source": "/shop"}
    own = send(here, to_structured_event(CloudEvent({**viewed, "anonymousid": "a-1"}, {"product_id": "p-1"})), key=PAGE_KEY)
    others = send(here, to_structured_event(CloudEvent({**viewed, "subject": "u-1"}, {"product_id": "p-1"})), key=PAGE_KEY)

    assert (checked["dialect"], checked["money"]["data.total"]) == ("cloudevents", "19.90 EUR")
    assert codes(own) == []
    assert codes(others) == [("key.user_hash", "user_hash")]
