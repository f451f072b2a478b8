"""Every dialect is total, and exact where it speaks of money."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.errors import Rejected
from engine.events.base import Event
from engine.events.decode import decode_value, encode_canonical
from engine.events.dialects import cloudevents, segment
from engine.events.dialects.base import Part
from engine.events.dialects.roster import DIALECTS, spoken_in
from engine.events.dialects.shop_words import EVENTS, event_type
from engine.events.orders import OrderCompleted
from engine.events.roster import TYPES
from engine.moments import Millis
from engine.money import exponent
from tests.property.test_door_fuzz import CORPUS, values

NOW = Millis(1_772_359_200_000)
POWERS = st.integers(-4, 4)
CURRENCIES = ("EUR", "USD", "JPY", "KWD", "CLF")

fields = st.sampled_from(
    ["messageId", "userId", "anonymousId", "previousId", "groupId", "event", "properties", "traits", "context", "timestamp",
     "originalTimestamp", "sentAt", "channel", "name", "category", "writeKey", "integrations", "batch", "specversion", "id",
     "source", "subject", "data", "data_base64", "datacontenttype", "time", "anonymousid", "channel"]
)  # fmt: skip
names = st.sampled_from([*EVENTS, "Order Completed", "Product Viewed", "Consent Updated", "order-completed", "!!!", "", "Kauf"])
properties = st.dictionaries(
    st.sampled_from(["order_id", "currency", "total", "revenue", "value", "products", "items", "price", "quantity", "position",
                     "promotion_id", "product_id", "item_id", "index", "decision_id", "purpose", "status", "coupon"]),
    values | st.sampled_from(["EUR", "jpy", "19.99", 19.99, 5, [{}], [{"item_id": "1", "price": 1.5, "discount": 1}], [None, 3]]),
    max_size=6,
)  # fmt: skip
messages = st.builds(
    lambda free, call, event, told: {**free, **({"type": call} if call else {}), "event": event, "properties": told},
    st.dictionaries(fields, values | properties, max_size=7),
    st.sampled_from([*segment.CALLS, "", "zzz", "1.0"]) | values,
    names | values,
    properties | values,
)


def is_json(message: object) -> bool:
    try:
        json.dumps(message, allow_nan=False)
    except ValueError:
        return False
    return True


alone = messages.filter(lambda message: "batch" not in message and is_json(message))
documents = st.one_of(
    st.sampled_from(CORPUS),
    values.map(lambda value: json.dumps(value).encode()),
    messages.map(lambda message: json.dumps(message).encode()),
    messages.map(lambda message: json.dumps({**message, "specversion": "1.0"}).encode()),
    st.lists(messages, max_size=3).map(lambda sent: json.dumps({"batch": sent, "sentAt": "2026-01-01T00:00:00Z"}).encode()),
    st.lists(messages, max_size=3).map(lambda sent: json.dumps(sent).encode()),
    st.binary(max_size=40),
)


def said(raw: bytes, call: str = "") -> list[Part]:
    return list(segment.told(raw, call))


def events(parts: list[Part]) -> list[Event | Rejected]:
    return [part.native if isinstance(part.native, Rejected) else decode_value(part.native, NOW) for part in parts]


def one(message: object, call: str = "") -> Event:
    raw = message if isinstance(message, bytes) else json.dumps(message).encode()
    (found,) = events(said(raw, call))
    assert isinstance(found, Event), found
    return found


@settings(max_examples=150, deadline=None)
@given(raw=documents)
@example(raw=b'{"type": "track", "event": "a", "userId": "u", "messageId": "1", "properties": {"a": 1e99999999999999999999}}')
@example(raw=b'{"type": "track", "event": "a", "userId": "u", "messageId": "1", "properties": {"a": ' + b"9" * 5000 + b"}}")
@example(raw=b'{"batch": ' + b"[" * 3000)
def test_whatever_is_said_in_a_dialect_becomes_events_or_reasons(raw: bytes) -> None:
    for told in (cloudevents.told, said, lambda raw: said(raw, "track")):
        for part, event in zip(parts := told(raw), events(parts), strict=True):
            assert part.raw in raw or (isinstance(part.native, dict) and "/" in str(part.native.get("id", "/")))
            if isinstance(event, Rejected):
                assert event.code
                assert event.detail
            else:
                assert encode_canonical(event)


@settings(max_examples=100, deadline=None)
@given(sent=st.lists(alone, max_size=4))
def test_every_message_of_a_batch_is_answered_for(sent: list[Any]) -> None:
    parts = said(json.dumps({"batch": sent}).encode())

    assert {part.place for part in parts} == set(range(len(sent)))


@settings(max_examples=100, deadline=None)
@given(message=alone)
def test_a_batch_changes_nothing_of_what_a_message_says(message: dict[str, Any]) -> None:
    by_itself = said(json.dumps(message).encode())

    assert said(json.dumps({"batch": [message]}).encode()) == by_itself


def order(text: str, currency: str) -> bytes:
    return (
        '{"type": "track", "event": "Order Completed", "userId": "u", "messageId": "m",'
        f' "properties": {{"order_id": "o", "currency": "{currency}", "total": {text}}}}}'
    ).encode()


@settings(max_examples=150, deadline=None)
@given(
    minor=st.integers(-(10**13), 10**13), currency=st.sampled_from(CURRENCIES), zeros=st.integers(0, 3), power=st.integers(-4, 4)
)
def test_money_is_read_exactly_in_every_spelling_of_its_number(minor: int, currency: str, zeros: int, power: int) -> None:
    amount = Decimal(minor).scaleb(-exponent(currency))
    plain, shifted = f"{amount:f}", f"{amount.scaleb(-power):f}e{power}"
    padded = plain + ("." if "." not in plain and zeros else "") + "0" * zeros

    for text in (plain, padded, shifted):
        found = one(order(text, currency))
        assert isinstance(found, OrderCompleted)
        assert found.data.total == minor


@settings(max_examples=100, deadline=None)
@given(cents=st.lists(st.integers(0, 10**6), min_size=2, max_size=20), currency=st.sampled_from(("EUR", "KWD", "USD")))
def test_a_sum_that_a_sender_made_in_binary_floats_is_the_sum(cents: list[int], currency: str) -> None:
    unit = 10 ** exponent(currency)
    total = 0.0
    for number in cents:
        total += number / unit

    found = one(order(json.dumps(total), currency))

    assert isinstance(found, OrderCompleted)
    assert found.data.total == sum(cents)


@settings(max_examples=100, deadline=None)
@given(minor=st.integers(0, 10**9), beyond=st.integers(1, 9), currency=st.sampled_from(CURRENCIES))
def test_a_digit_beyond_the_currency_is_refused_and_not_rounded(minor: int, beyond: int, currency: str) -> None:
    amount = Decimal(minor * 10 + beyond).scaleb(-exponent(currency) - 1)

    (found,) = events(said(order(f"{amount:f}", currency)))

    assert isinstance(found, Rejected)
    assert (found.code, found.field) == ("schema.money", "data.total")


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [("19.99", "EUR", 1999), ("1e2", "EUR", 10_000), ("0.30000000000000004", "EUR", 30), ("19", "eur", 1900),
     ("1500", "JPY", 1500), ("1.234", "KWD", 1234), ('"19.99"', "EUR", 1999), ("1.5E+1", "USD", 1500), ("-0.0", "EUR", 0)],
)  # fmt: skip
def test_amounts_as_clients_write_them(text: str, currency: str, minor: int) -> None:
    found = one(order(text, currency))

    assert isinstance(found, OrderCompleted)
    assert (found.data.total, found.data.currency) == (minor, currency.upper())


def test_every_name_of_the_table_leads_to_the_vocabulary() -> None:
    kept_as_activity = {"message_delivered", "message_opened", "message_clicked", "message_bounced"}

    assert {name for name in EVENTS.values() if name not in TYPES} == kept_as_activity
    assert all(event_type(name) == kind for name, kind in EVENTS.items())
    assert not EVENTS.keys() & TYPES.keys()


@given(st.text(max_size=60))
def test_any_name_of_an_event_is_one_spelling_of_itself(name: str) -> None:
    assert event_type(event_type(name)) == event_type(name)


def test_no_native_event_is_taken_for_a_dialect() -> None:
    native = {"type": "page_viewed", "id": "1", "user_id": "u", "anonymous_id": "a", "data": {}, "context": {}}

    assert spoken_in(native) is None
    assert spoken_in({"type": "x", "userId": "u"}) is None
    assert spoken_in([native]) is None
    assert len({dialect.name for dialect in DIALECTS}) == len(DIALECTS)


def test_what_is_said_of_several_products_is_several_events_and_costs_no_more_than_it_says() -> None:
    lines = [{"item_id": f"p-{number}", "price": 1.5} for number in range(segment.MOST_LINES)]
    message = {
        "type": "track", "event": "add_to_cart", "userId": "u", "messageId": "m", "context": {"page": {"url": "x" * 100_000}},
        "properties": {"currency": "EUR", "items": lines, "note": "x" * 100_000},
    }  # fmt: skip

    parts = said(json.dumps(message).encode())
    found = events(parts)

    assert len({event.id for event in found if isinstance(event, Event)}) == len(lines)
    assert sum(len(part.raw) for part in parts[1:]) < 20_000
    assert sum(len(encode_canonical(event)) for event in found[1:] if isinstance(event, Event)) < 20_000
    one_more = {**message, "properties": {"items": [*lines, {}]}}
    assert [event.code for event in events(said(json.dumps(one_more).encode())) if isinstance(event, Rejected)] == ["schema.type"]


def test_the_events_of_one_message_are_each_sent_again_as_themselves() -> None:
    several = {"items": [{"promotion_id": "a"}, {"promotion_id": "b"}]}
    message = {"type": "track", "event": "view_promotion", "userId": "u", "messageId": "m", "properties": several}
    raw = json.dumps(message).encode()

    whole, second = said(raw)

    assert (whole.raw, whole.place, second.place) == (raw, 0, 0)
    assert spoken_in(json.loads(second.raw)) is None
    assert json.loads(second.raw) == second.native


def test_what_somebody_did_is_joined_to_the_decision_they_name() -> None:
    shared = {"type": "track", "userId": "u", "messageId": "m"}
    bought = {"order_id": "1", "currency": "EUR", "total": 5, "recommendationId": "d-1", "offer_id": "coffee"}
    order = one({**shared, "event": "Order Completed", "properties": bought})
    other = one({**shared, "event": "Leaflet Taken", "properties": {"attributionToken": "d-2", "placement": "till"}})

    assert (order.decision_id, order.offer_id) == ("d-1", "coffee")
    assert (other.decision_id, other.placement) == ("d-2", "till")
