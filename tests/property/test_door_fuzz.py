"""Whatever arrives at the door is answered: never a fault of the server, and every item is answered for."""

import asyncio
import json
import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from api.access import Access, Caller
from api.asking import DecisionRequest, asked_in, asked_of, check
from api.coalesce import Coalescer
from api.door import Door, Rules, checked
from api.items import items_of
from api.problems import Problem
from engine.events.dialects.roster import NAMES
from engine.moments import Millis
from engine.store.redis_reader import Command

Result = TypeVar("Result")
SECRET = Caller("secret")
PAGE = Caller("web")
NOW = Millis(1_700_000_000_000)
RULES = Rules(8, 500, Access((), (), ("s",)).vouches)

CORPUS: tuple[bytes, ...] = (
    b"",
    b" ",
    b"\x00",
    b"\xef\xbb\xbf{}",
    b"\xff\xfe\x00",
    b"null",
    b"5",
    b'"text"',
    b"[]",
    b"[[]]",
    b"[null, 5, {}, []]",
    b"{}\n{}",
    b"{}\n\n{\n{}",
    b"{}\r\n{}\r\n",
    b"[" * 5000,
    b'{"a":' * 2000,
    b'{"type": "x", "user_id": "u", "id": "1", "data": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}",
    b'{"type": "x", "user_id": "u", "time": "9999-12-31T23:59:59.999999+00:00", "sent_at": "0001-01-01T00:00:00Z"}',
    b'{"type": "x", "user_id": "u", "time": "0001-01-01T00:00:00+23:59"}',
    b'{"type": "order_completed", "user_id": "u", "id": "1", "time": "2026-01-01T00:00:00Z",'
    b' "data": {"currency": "EUR", "total": 1e999}}',
    b'{"type": "order_completed", "user_id": "u", "id": "1", "data": {"order_id": "1", "currency": "EUR", "total": "1e999999"}}',
    b'{"type": "order_completed", "user_id": "u", "id": "1", "data": {"currency": "XTS", "total": "1"}}',
    b'{"type": "order_completed", "user_id": "u", "id": "1", "data": {"currency": ["EUR"], "total": "1"}}',
    b'{"type": "order_completed", "user_id": "u", "id": "1", "data": {"currency": "EUR", "total": 99999999999999999999999}}',
    b'{"type": "pos_transaction_completed", "id": "1", "data": {"store": {}, "workstation": [], "lines": {"a": 1}}}',
    b'{"type": "pos_transaction_completed", "data": {"store": 1, "workstation": 2, "business_day": "x", "sequence_number": -1}}',
    b'{"type": "consent_updated", "user_id": "u", "id": "1", "data": {"purpose": "", "status": "granted", "channels": "web"}}',
    b'{"type": "offer_viewed", "user_id": "u", "id": "1", "offer_id": 5, "data": {"offer_id": {"a": 1}, "decision_id": [1]}}',
    b'{"type": ["x"], "user_id": "u"}',
    b'{"type": "x", "user_id": {"a": 1}, "id": 1}',
    b'{"type": "x", "user_id": true, "id": false}',
    b'{"type": "x", "user_id": "\\u0000\\u001f", "id": "\\n"}',
    b'{"type": "x", "user_id": "u", "id": "1", "context": [], "data": []}',
    b'{"type": "x", "user_id": "u", "id": "1", "context": {"library": 1}, "mode": "backfill"}',
    b'{"type": "x", "user_id": "u", "id": 123456789012345678901234567890}',
    '{"type": "x", "user_id": "\U0001f600\u202e", "id": "ß"}'.encode(),
    b'{"type": "offer_decided", "user_id": "u", "id": "1"}',
    b'{"type": "page_viewed", "user_id": "u", "user_hash": {"a": 1}, "id": "1"}',
)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
names = st.sampled_from(
    ["id", "type", "time", "source", "sent_at", "user_id", "anonymous_id", "loyalty_id", "channel", "context", "data",
     "decision_id", "offer_id", "placement", "mode", "timestamp", "user_hash", "received_at", "session_id"]
)  # fmt: skip
types = st.sampled_from(
    ["page_viewed", "order_completed", "order_refunded", "pos_transaction_completed", "pos_return_completed", "consent_updated",
     "complaint_filed", "offer_viewed", "erasure_requested", "customer_identified", "made_up", "offer_decided"]
)  # fmt: skip
times = st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01", "2026-13-01T00:00:00Z", "now", "0001-01-01T00:00:00Z"])
bodies = st.dictionaries(
    st.sampled_from(["currency", "total", "price", "products", "lines", "store", "workstation", "business_day", "purpose",
                     "status", "sequence_number", "complaint_id", "offer_id", "channels", "tenders", "coupon"]),
    values | st.sampled_from(["EUR", "JPY", "19.99", 1999, "granted", -1, [{}], [{"price": "1.5", "category": 5}]]),
    max_size=6,
)  # fmt: skip
events = st.builds(
    lambda free, kind, time, data: {**free, "type": kind, "time": time, "data": data},
    st.dictionaries(names, values, max_size=6),
    types | values,
    times | values,
    bodies | values,
)
documents = st.one_of(
    st.binary(max_size=60),
    events.map(lambda event: json.dumps(event).encode()),
    st.lists(events, max_size=4).map(lambda sent: json.dumps(sent).encode()),
    st.lists(events, max_size=4).map(lambda sent: b"\n".join(json.dumps(event).encode() for event in sent)),
    st.tuples(events, st.integers(0, 200)).map(lambda pair: json.dumps(pair[0]).encode()[: pair[1]]),
)


class Counts:
    """Where the door counts in these tests."""

    def accepted(self, events: int) -> None:
        assert events >= 0

    def spoken(self, dialect: str, events: int) -> None:
        assert dialect in NAMES
        assert events > 0

    def rejected(self, code: str) -> None:
        assert code


async def acknowledging(wanted: Sequence[Sequence[Command]]) -> list[list[Any]]:
    """A log that takes everything it is given."""
    return [[b"1-0" for _ in commands] for commands in wanted]


def understood(read: Callable[[], Result], *statuses: int) -> Result | None:
    """What was read; None where it was refused with a reason and one of these statuses."""
    problem: Problem
    try:
        return read()
    except Problem as refused:
        problem = refused
    assert problem.status in statuses
    assert problem.code
    assert problem.detail
    return None


def answered(body: bytes, content_type: str, caller: Caller) -> None:
    items = understood(lambda: items_of(body, content_type, RULES.most_items), 400, 413)
    if items is None:
        return

    async def send() -> None:
        door = Door(Coalescer(acknowledging), RULES, lambda _: (), Counts())
        sent = door.sorted(items, NOW, {}, False, caller)
        receipt = await door.take(sent)
        assert receipt.accepted + len(receipt.rejected) == len(items)
        assert {one.index for one in receipt.rejected} <= {item.place for item in items}
        assert all(one.code and one.detail and one.dead_letter_id for one in receipt.rejected)

    asyncio.run(send())
    for item in items:
        orjson.dumps(checked(item, NOW, {}, False, caller, RULES))


def test_every_body_of_the_corpus_is_answered() -> None:
    for body in CORPUS:
        for content_type in ("application/json", "application/x-ndjson"):
            for caller in (SECRET, PAGE):
                answered(body, content_type, caller)


@settings(max_examples=150, deadline=None)
@given(body=documents, content_type=st.sampled_from(["application/json", "application/x-ndjson", "", "text/plain; x=y"]))
@example(body=struct.pack("<d", 1.5), content_type="application/json")
def test_any_body_is_answered_and_every_item_in_it(body: bytes, content_type: str) -> None:
    answered(body, content_type, SECRET)
    answered(body, content_type, PAGE)


asking = st.dictionaries(
    st.sampled_from(["user_id", "anonymous_id", "loyalty_id", "placements", "context", "exclude", "deadline_ms", "at", "events",
                     "request_id", "channel", "explain", "dry_run", "user_hash", "session_id"]),
    values | st.sampled_from([[{"name": "home_hero"}], [{"name": "home_hero", "count": 2}], "2026-01-01T00:00:00Z"]),
    max_size=8,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=40) | asking.map(lambda asked: json.dumps(asked).encode()))
def test_any_request_for_a_decision_is_understood_or_refused_with_a_reason(body: bytes) -> None:
    for caller in (SECRET, PAGE):
        asked = understood(lambda caller=caller: request_in(body, caller), 400, 403, 422)  # type: ignore[misc]
        assert asked is None or asked.key


@settings(max_examples=100, deadline=None)
@given(
    query=st.dictionaries(st.sampled_from(["placement", "limit", "user_id", "at", "explain", "deadline_ms"]), st.text(max_size=8))
)
def test_any_query_for_offers_is_understood_or_refused(query: dict[str, str]) -> None:
    asked = understood(lambda: asked_in(query), 422)

    assert asked is None or asked.placements[0].name == query["placement"]


def request_in(body: bytes, caller: Caller) -> DecisionRequest:
    asked = asked_of(body)
    check(asked, caller, {"home_hero": None}, RULES.vouches)
    return asked
