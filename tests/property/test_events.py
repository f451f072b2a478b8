"""Laws of the door: what decoding, money, time and routing do for any input."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.errors import Rejected
from engine.events.base import Event
from engine.events.decode import Store, decode, decode_canonical, decode_value, encode_canonical, payload_hash, times_of
from engine.events.offers import OURS
from engine.events.roster import TYPES
from engine.events.routing import Admitted, admit, route
from engine.ids import digest_of, is_after, shard_of, unit_interval
from engine.moments import DAY, MINUTE, Millis, localised, millis, moment, rfc3339
from engine.money import MOST_MINOR, AmountError, exponent, to_major, to_minor
from tests.builders import START, order, simple, taken

LIMITED = settings(max_examples=50, deadline=None)
ARRIVAL = Millis(START + 100 * DAY)
STORES = {"12": Store("Europe/Vienna", "EUR"), "9": Store("America/New_York", "USD")}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(["EUR", "12", "2017-03-26T02:30:00", "2017-03-26T02:30:00Z", "19.99", "9" * 600, "\ud7ff", "\x00"]),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=12
)
NAMES = [
    "id", "type", "time", "timestamp", "source", "sent_at", "received_at", "user_id", "anonymous_id", "loyalty_id", "channel",
    "context", "decision_id", "offer_id", "placement", "mode", "data",
]  # fmt: skip
FIELDS = [
    "order_id", "currency", "total", "subtotal", "discount", "products", "lines", "items", "tenders", "store", "workstation",
    "business_day", "sequence_number", "begin", "end", "loyalty_id", "status", "coupons", "purpose", "channels", "expires_at",
    "complaint_id", "product_id", "price", "quantity", "category", "kind", "amount", "original", "birthday", "extra", "revenue",
]  # fmt: skip
bodies_like_ours = st.fixed_dictionaries(
    {"type": st.sampled_from([*sorted(TYPES), *sorted(OURS), "made_up"])},
    optional={
        name: scalars if name != "data" else st.dictionaries(st.sampled_from(FIELDS), values, max_size=6)
        for name in NAMES
        if name != "type"
    },
)


@LIMITED
@given(st.binary(max_size=200))
@example(b"")
@example(b"\xff\xfe")
@example(b"[" * 100_000)
@example(b'{"type": "order_completed", "time": "0001-01-01T00:00:00+14:00", "user_id": "u", "data": {}}')
def test_decoding_answers_for_any_bytes(raw: bytes) -> None:
    assert isinstance(decode(raw, ARRIVAL, STORES), Event | Rejected)
    assert isinstance(decode_canonical(raw), Event | Rejected)


@LIMITED
@given(values)
def test_decoding_answers_for_any_value(value: Any) -> None:
    assert isinstance(decode_value(value, ARRIVAL, STORES), Event | Rejected)
    assert isinstance(admit(value, ARRIVAL, STORES), Admitted | Rejected)


@settings(max_examples=50, deadline=None)
@given(bodies_like_ours, st.booleans())
def test_decoding_answers_for_any_body_that_looks_like_an_event(body: dict[str, Any], stamped: bool) -> None:
    event = decode_value(body, ARRIVAL if stamped else None, STORES)

    if isinstance(event, Rejected):
        assert event.code
        assert event.detail
        return
    canonical = encode_canonical(event)
    assert decode_canonical(canonical) == event
    assert encode_canonical(event) == canonical


@LIMITED
@given(
    st.text(min_size=1, max_size=40), st.sampled_from([*sorted(TYPES), "made_up", 'x","type":"page_viewed']), st.integers(0, 300)
)
@example('","type":"order_completed","a":"', "page_viewed", 0)
@example("\\", "product_viewed", 1)
def test_the_canonical_form_decodes_to_itself_whatever_the_names(name: str, kind: str, days: int) -> None:
    body = simple(kind, name, "ann", START + days * DAY, note={"deep": [1, "ü", None]})
    event = decode_value(body, ARRIVAL)

    if not isinstance(event, Rejected):
        again = decode_canonical(encode_canonical(event))
        assert (again, type(again)) == (event, type(event))
        assert b"\n" not in encode_canonical(event)


@LIMITED
@given(values)
def test_a_body_is_refused_or_kept_with_all_it_says(data: Any) -> None:
    body = simple("something_new", "e-1", "ann", START) | {"data": {"given": data}}
    event = decode_value(body, ARRIVAL)

    if not isinstance(event, Rejected):
        kept = orjson.loads(encode_canonical(event))
        expected = {} if data is None else {"given": data}
        assert kept.get("data", {}) == json.loads(json.dumps(expected))


currencies = st.sampled_from(["EUR", "USD", "JPY", "KWD", "HUF", "CLF"])


@LIMITED
@given(st.integers(-MOST_MINOR, MOST_MINOR), currencies)
def test_an_amount_survives_the_way_to_major_units_and_back(minor: int, currency: str) -> None:
    assert to_minor(to_major(minor, currency), currency) == minor
    assert to_minor(minor, currency) == minor
    assert Decimal(to_major(minor, currency)) * 10 ** exponent(currency) == minor


@LIMITED
@given(st.integers(-(10**9), 10**9), currencies, st.integers(1, 9))
def test_a_fraction_of_a_minor_unit_is_refused_and_never_rounded(minor: int, currency: str, digit: int) -> None:
    with pytest.raises(AmountError):
        to_minor(f"{to_major(minor, currency)}{'.' if exponent(currency) == 0 else ''}{digit}", currency)


@LIMITED
@given(st.floats() | st.booleans() | st.none() | st.lists(st.integers(), max_size=1) | st.integers(min_value=MOST_MINOR + 1))
def test_what_is_no_exact_amount_is_refused(amount: Any) -> None:
    with pytest.raises(AmountError):
        to_minor(amount, "EUR")


@LIMITED
@given(st.text(max_size=50))
def test_any_text_is_an_amount_or_refused(text: str) -> None:
    try:
        assert isinstance(to_minor(text, "EUR"), int)
    except AmountError:
        return


@LIMITED
@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=30))
def test_lines_add_up_to_the_cent(prices: list[int]) -> None:
    lines = [{"product_id": f"{at}", "price": to_major(price, "EUR")} for at, price in enumerate(prices)]
    body = simple("order_completed", "e", "ann", START, order_id="o", currency="EUR", products=lines)

    event: Any = taken(body).event

    assert event.data.amount_minor == sum(prices)


zones = st.sampled_from(["Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "UTC", "Asia/Kolkata"])


@settings(max_examples=200, deadline=None)
@given(st.datetimes(datetime(2015, 1, 1), datetime(2018, 12, 31)), zones)  # noqa: DTZ001
@example(datetime(2017, 3, 26, 2, 30), "Europe/Vienna")  # noqa: DTZ001
@example(datetime(2017, 10, 29, 2, 30), "Europe/Vienna")  # noqa: DTZ001
@example(datetime(2017, 10, 1, 2, 10), "Australia/Lord_Howe")  # noqa: DTZ001
def test_wall_clock_is_kept_the_gap_goes_forward_and_the_overlap_is_the_first(naive: datetime, zone: str) -> None:
    place = ZoneInfo(zone)
    read = localised(naive, place)
    wall = read.astimezone(UTC).astimezone(place).replace(tzinfo=None)
    instants = {naive.replace(tzinfo=place, fold=fold).astimezone(UTC) for fold in (0, 1)}
    real = {at for at in instants if at.astimezone(place).replace(tzinfo=None) == naive}

    if real:
        assert wall == naive
        assert read.astimezone(UTC) == min(real)
    else:
        before, after = (place.utcoffset(naive.replace(fold=fold)) for fold in (0, 1))
        assert before is not None
        assert after is not None
        assert wall - naive == after - before > timedelta(0)


def test_a_till_in_the_gap_and_in_the_overlap() -> None:
    vienna = ZoneInfo("Europe/Vienna")

    assert localised(datetime(2017, 3, 26, 2, 30), vienna).isoformat() == "2017-03-26T03:30:00+02:00"  # noqa: DTZ001
    assert localised(datetime(2017, 10, 29, 2, 30), vienna).isoformat() == "2017-10-29T02:30:00+02:00"  # noqa: DTZ001


@LIMITED
@given(st.integers(0, 4_000_000_000_000))
def test_an_instant_survives_the_way_to_text_and_back(at: int) -> None:
    assert millis(moment(at)) == at
    assert millis(datetime.fromisoformat(rfc3339(at))) == at


@LIMITED
@given(st.integers(-10, 400), st.integers(0, 10))
def test_a_wrong_clock_is_corrected_by_what_it_says_it_is(ago_min: int, wrong_h: int) -> None:
    wrong = timedelta(hours=wrong_h)
    happened, sent = moment(ARRIVAL - ago_min * MINUTE), moment(ARRIVAL)
    body = simple("page_viewed", "e", "ann", START) | {
        "time": (happened + wrong).isoformat(),
        "sent_at": (sent + wrong).isoformat(),
    }

    event = taken(body, ARRIVAL).event

    assert millis(event.time) == ARRIVAL - ago_min * MINUTE
    assert times_of(event) == ((ARRIVAL, ARRIVAL, True) if ago_min < -5 else (millis(event.time), ARRIVAL, False))


@LIMITED
@given(st.dictionaries(st.sampled_from(["user_id", "loyalty_id", "anonymous_id"]), st.text(min_size=1, max_size=10), min_size=1))
def test_the_customer_of_an_event_is_named_by_its_payload_alone(who: dict[str, str]) -> None:
    body = {"id": "e", "type": "page_viewed", "time": rfc3339(START), **who}
    first, again = admit(body, ARRIVAL), admit(body | {"sent_at": rfc3339(ARRIVAL + DAY)}, Millis(ARRIVAL + DAY))

    assert isinstance(first, Admitted)
    assert isinstance(again, Admitted)
    order_of_names = [("user_id", "u"), ("loyalty_id", "l"), ("anonymous_id", "a")]
    assert first.key == route(first.event) == next(f"{kind}:{who[name]}" for name, kind in order_of_names if name in who)
    assert (again.key, again.fingerprint) == (first.key, first.fingerprint)


@LIMITED
@given(st.text(max_size=20), st.integers(1, 200))
def test_a_shard_is_one_of_them_and_always_the_same(key: str, shards: int) -> None:
    assert 0 <= shard_of(key, shards) < shards
    assert shard_of(key, shards) == shard_of(key, shards)
    assert 0.0 <= unit_interval("salt", key) < 1.0


SHARDS_FOR_EVER = [42, 6, 20, 61]


def test_shards_are_a_format_and_do_not_move() -> None:
    assert [shard_of(key) for key in ("u:1", "u:ann", "l:900", "a:\u00e9")] == SHARDS_FOR_EVER


def test_a_retry_is_known_by_its_payload_and_another_content_is_not_it() -> None:
    body = order("1", "ann", START)
    retried = body | {"sent_at": rfc3339(START + 1), "context": {"library": {"name": "x"}}, "received_at": rfc3339(START)}

    assert payload_hash(body | {"context": {}}) == payload_hash(retried)
    assert payload_hash(body) != payload_hash(order("1", "ann", START, 999))


@LIMITED
@given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_a_digest_knows_where_its_parts_end(parts: list[bytes], others: list[bytes]) -> None:
    assert (digest_of(*parts) == digest_of(*others)) == (parts == others)


@LIMITED
@given(st.tuples(st.integers(0, 2**48), st.integers(0, 20)), st.tuples(st.integers(0, 2**48), st.integers(0, 20)))
def test_stream_ids_are_ordered_by_number_and_not_as_text(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert is_after(f"{one[0]}-{one[1]}", f"{other[0]}-{other[1]}") == (one > other)


def test_what_is_nested_too_deeply_is_refused_with_its_id() -> None:
    deep: list[Any] = []
    for _ in range(400):
        deep = [deep]

    refused = admit(simple("page_viewed", "deep", "ann", START, nested=deep), START)

    assert isinstance(refused, Rejected)
    assert (refused.code, refused.id) == ("schema.depth", "deep")
