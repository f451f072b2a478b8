"""From any bytes to an event in canonical form, or to the reason why not. Nothing here raises.

The door reads JSON into plain values, repairs what can be repaired without guessing (money to minor units, the store's
zone on a till's wall clock, aliases), and only then checks it against the type's struct, once. What is stored is the
canonical form; `decode_canonical` reads that back without any of the repairs.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import orjson

from engine.errors import Rejected
from engine.events.base import Activity, Event
from engine.events.identity import shaped
from engine.events.offers import OURS
from engine.events.products import OF_NOBODY, shaped_product
from engine.events.roster import TYPES
from engine.ids import digest_of
from engine.moments import MINUTE, Millis, localised, millis, moment
from engine.money import AmountError, to_minor


class Store(msgspec.Struct, frozen=True, gc=False):
    """What a till does not say and its store knows."""

    zone: str
    currency: str
    name: str = ""


Stores = Mapping[str, Store]
NO_STORES: Stores = {}

LEAD = "lead:"
"""How the anonymous id of somebody begins of whom only a lead is known."""
_ENVELOPE_IDS = ("id", "user_id", "anonymous_id", "session_id", "loyalty_id", "decision_id", "offer_id", "placement")
_PRODUCT_IDS = ("product_id", "sku", "gtin", "order_id", "store", "workstation", "complaint_id", "case_id", "lead_id")
_AMOUNTS = ("total", "subtotal", "price", "discount", "shipping", "tax", "amount", "unit_cost")
_LISTS = ("products", "lines", "tenders")
_ALIASES = {"store_id": "store", "workstation_id": "workstation", "sequence": "sequence_number", "revenue": "total"}
_NEED_CURRENCY = frozenset(
    {"order_completed", "order_refunded", "pos_transaction_completed", "pos_return_completed", "product_upserted"}
)
_WHO = ("user_id", "anonymous_id", "loyalty_id")
_RECEIPTS = frozenset({"pos_transaction_completed", "pos_transaction_voided", "pos_return_completed"})
_TRANSPORT = frozenset({"sent_at", "received_at", "writeKey", "write_key", "mode"})
_ERROR = re.compile(r"^(?P<detail>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<name>[^`]+)`")


def decode(raw: bytes, arrival: Millis | None = None, stores: Stores = NO_STORES) -> Event | Rejected:
    """One event in the native dialect, from any bytes at all."""
    try:
        body = orjson.loads(raw)
    except ValueError as error:
        return Rejected(code="json.invalid", detail=f"the body is not JSON: {error}")
    return decode_value(body, arrival, stores)


def decode_value(body: object, arrival: Millis | None = None, stores: Stores = NO_STORES) -> Event | Rejected:
    """One event that is parsed already. `arrival` dates an event without a time and corrects a wrong clock."""
    if not isinstance(body, dict):
        return Rejected(code="schema.type", detail="an event is a JSON object")
    try:
        return _decode_object(body, arrival, stores)
    except _Refusal as refusal:
        return Rejected(refusal.code, refusal.detail, refusal.field, _safe_id(body))
    except (msgspec.ValidationError, ValueError, OverflowError, RecursionError, TypeError) as error:
        return _explained(error, body)


class _Refusal(Exception):
    def __init__(self, code: str, detail: str, field: str = "") -> None:
        super().__init__(detail)
        self.code, self.detail, self.field = code, detail, field


def _decode_object(body: dict[str, Any], arrival: Millis | None, stores: Stores) -> Event:
    type_name = body.get("type")
    if not isinstance(type_name, str) or not type_name:
        raise _Refusal("schema.missing", "an event says what happened in `type`, for example page_viewed", "type")
    if type_name in OURS:
        raise _Refusal("type.reserved", f"{type_name} is written by the engine itself", "type")
    fields = {key: value for key, value in body.items() if value is not None}
    if "timestamp" in fields:
        fields.setdefault("time", fields.pop("timestamp"))
    _texts(fields, _ENVELOPE_IDS)
    if "data" in fields:
        fields["data"] = _body(fields["data"], type_name, stores)
    if type_name.startswith("lead_"):
        _named_by_lead(fields, type_name)
    if type_name.startswith("pos_"):
        _lift_from_till(fields, type_name, stores)
    elif type_name not in OF_NOBODY and not any(fields.get(name) for name in ("user_id", "anonymous_id", "loyalty_id")):
        raise _Refusal("schema.missing", "name the customer: user_id, anonymous_id or loyalty_id", "user_id")
    if "id" not in fields and "time" not in fields:
        raise _Refusal("schema.missing", "give `id` or `time`: without both a retry cannot be told from a second event", "time")
    if "id" not in fields:
        fields["id"] = "h-" + payload_hash(body).hex()
    _times(fields, arrival)
    event = msgspec.convert(fields, TYPES.get(type_name, Activity))
    encode_canonical(event)
    return event


def _body(data: object, type_name: str, stores: Stores) -> object:
    if not isinstance(data, dict):
        return data
    if type_name == "customer_identified":
        return shaped(data)
    if type_name == "preference_updated":
        return data  # null says something: back to what the shop does
    known: dict[str, Any] = {_ALIASES.get(key) or key: value for key, value in data.items() if value is not None}
    if type_name.startswith("pos_"):
        _named(known, "lines", ("products", "items"))
    elif type_name.startswith("order_"):
        _named(known, "products", ("lines", "items"))
    elif type_name.startswith("lead_"):
        _named(known, "amount", ("value", "estimated_value"))
        _named(known, "origin", ("source",))
    elif type_name in OF_NOBODY:
        known = shaped_product(known)
    _texts(known, _PRODUCT_IDS)
    store = stores.get(str(known.get("store", "")))
    currency = known.get("currency")
    if currency is None and store is not None:
        currency = known["currency"] = store.currency
    if type_name not in TYPES:
        return known
    if currency is None and type_name in _NEED_CURRENCY and known.get("status", "completed") == "completed":
        if type_name in _RECEIPTS and "store" in known:
            raise _of_nowhere(known["store"], "its amounts have no currency: add it, or send `currency`")
        raise _Refusal("schema.missing", "amounts need a currency such as EUR", "data.currency")
    _amounts(known, currency, "data")
    for name in _LISTS:
        if isinstance(known.get(name), list | tuple):
            known[name] = [_line(line, currency, f"data.{name}[{at}]") for at, line in enumerate(known[name])]
    return known


def _named(fields: dict[str, Any], name: str, others: tuple[str, ...]) -> None:
    """One list under one name, whichever of its names the sender uses."""
    for other in others:
        if name not in fields and other in fields:
            fields[name] = fields.pop(other)


def _line(line: object, currency: object, path: str) -> object:
    if not isinstance(line, dict):
        return line
    known = {key: value for key, value in line.items() if value is not None}
    _texts(known, _PRODUCT_IDS)
    _amounts(known, currency, path)
    return known


def _amounts(fields: dict[str, Any], currency: object, path: str) -> None:
    for name in _AMOUNTS:
        if name not in fields:
            continue
        if currency is None:
            if isinstance(fields[name], int):
                continue
            raise _Refusal("schema.missing", "a decimal amount needs a currency such as EUR", "data.currency")
        try:
            fields[name] = to_minor(fields[name], str(currency))
        except AmountError as error:
            raise _Refusal("schema.money", str(error), f"{path}.{name}") from None


def _texts(fields: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        value = fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            fields[name] = str(value)


def _lift_from_till(fields: dict[str, Any], type_name: str, stores: Stores) -> None:
    """A till names store and receipt in the body; the envelope needs customer, id and a time with a zone."""
    data = fields.get("data")
    if not isinstance(data, dict):
        return
    store = stores.get(str(data.get("store", "")))
    for holder, names in ((data, ("begin", "end")), (fields, ("time",))):
        for name in names:
            if name in holder:
                holder[name] = _with_zone(holder[name], store, data.get("store"))
    if type_name == "pos_day_closed":
        for name in _WHO:
            fields.pop(name, None)
        fields.setdefault("id", f"{type_name}/{payload_hash(data).hex()}")
    for name in ("loyalty_id", "user_id"):
        if data.get(name) and not fields.get(name):
            fields[name] = data[name]
    _texts(fields, _ENVELOPE_IDS)
    if "time" not in fields and (data.get("end") or data.get("begin")):
        fields["time"] = data.get("end") or data.get("begin")
    fields.setdefault("channel", "pos")
    if "id" not in fields and type_name in _RECEIPTS:
        parts = [data.get(name) for name in ("store", "workstation", "business_day", "sequence_number")]
        if all(part is not None for part in parts):
            status = data.get("status", "completed")
            aside = [] if status == "completed" else [str(status)]
            own = data.get("voided_on")
            fields["id"] = ("/".join([type_name, str(own)] if own else [type_name, *map(str, parts), *aside]))[:100]


def _named_by_lead(fields: dict[str, Any], type_name: str) -> None:
    """Somebody of whom only the lead is known is the anonymous `lead:ID`; a conversion that names a user claims that one."""
    data = fields.get("data")
    lead = data.get("lead_id") if isinstance(data, dict) else None
    if not isinstance(lead, str) or not lead or fields.get("anonymous_id") or fields.get("loyalty_id"):
        return
    if type_name == "lead_converted" or not fields.get("user_id"):
        fields["anonymous_id"] = f"{LEAD}{lead}"[:100]


def _of_nowhere(store: object, so: str) -> _Refusal:
    return _Refusal("store.unknown", f"store {str(store)[:40]!r} is not in stores.yaml, so {so}", "data.store")


def _with_zone(value: object, store: Store | None, named: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        return value
    if read.tzinfo is not None:
        return value
    if store is None and named is not None:
        raise _of_nowhere(named, f"{value[:40]} has no zone: add it, or send offsets")
    if store is None:
        return value
    return localised(read, ZoneInfo(store.zone)).isoformat()


def _times(fields: dict[str, Any], arrival: Millis | None) -> None:
    """Parse the envelope's times, and correct a clock that is wrong by as much as `sent_at` shows."""
    for name in ("time", "sent_at"):
        if name in fields:
            fields[name] = _parsed(fields[name], name)
    if arrival is None:
        if "time" not in fields:
            raise _Refusal("schema.missing", "an event says when it happened in `time`", "time")
        if "received_at" in fields:
            fields["received_at"] = _parsed(fields["received_at"], "received_at")
        return
    received = moment(arrival)
    fields["received_at"] = received
    if "time" not in fields:
        fields["time"] = received
    elif "sent_at" in fields:
        fields["time"] = fields["time"] + (received - fields["sent_at"])


def _parsed(value: object, name: str) -> datetime:
    if not isinstance(value, str):
        raise _Refusal("schema.time", "a time is RFC 3339 text such as 2026-01-31T09:30:00+01:00", name)
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        raise _Refusal("schema.time", f"{value[:40]!r} is no RFC 3339 time such as 2026-01-31T09:30:00Z", name) from None
    if read.tzinfo is None:
        raise _Refusal("schema.time", "the time has no offset: add Z or +01:00, or declare the store's zone", name)
    return read.astimezone(UTC)


def _explained(error: Exception, body: dict[str, Any]) -> Rejected:
    match = _ERROR.match(str(error))
    detail, path = (match["detail"], match["path"] or "") if match else (str(error), "")
    missing = _MISSING.search(detail)
    if missing:
        path = f"{path}.{missing['name']}".lstrip(".")
        return Rejected("schema.missing", f"`{path}` is required", path, _safe_id(body))
    code = "schema.depth" if isinstance(error, RecursionError) else "schema.type"
    return Rejected(code, detail[:300], path, _safe_id(body))


def _safe_id(body: dict[str, Any]) -> str:
    given = body.get("id")
    return given[:100] if isinstance(given, str) else ""


def payload_hash(body: Mapping[str, Any]) -> bytes:
    """Eight bytes that two deliveries of one event share: clients change clocks and library names on a retry."""
    kept = {key: value for key, value in body.items() if key not in _TRANSPORT}
    context = kept.get("context")
    if isinstance(context, dict):
        kept["context"] = {key: value for key, value in context.items() if key != "library"}
    return digest_of(orjson.dumps(kept, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS))


class _Head(msgspec.Struct):
    type: str


_HEAD = msgspec.json.Decoder(_Head)
_ACTIVITY = msgspec.json.Decoder(Activity)
_DECODERS = {name: msgspec.json.Decoder(kind) for name, kind in TYPES.items()}
_ENCODER = msgspec.json.Encoder()
_NAMES = {name.encode(): name for name in TYPES}
_TYPE_MARK = b'","type":"'


def encode_canonical(event: Event) -> bytes:
    """The form that streams, pending entries and exports hold: one line of JSON."""
    return _ENCODER.encode(event)


def decode_canonical(raw: bytes) -> Event | Rejected:
    """An event that this product wrote."""
    try:
        return _DECODERS.get(_type_of(raw), _ACTIVITY).decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return Rejected(code="stored.format", detail=str(error)[:300])


def _type_of(raw: bytes) -> str:
    """The type, found without parsing where the bytes begin as canonical ones do: the id, and right behind it the type."""
    if raw.startswith(b'{"id":"'):
        start = raw.find(b'"', 7)
        if raw.startswith(_TYPE_MARK, start):
            start += len(_TYPE_MARK)
            known = _NAMES.get(raw[start : raw.find(b'"', start)])
            if known:
                return known
    return _HEAD.decode(raw).type


AHEAD_MS = 5 * MINUTE
"""A time further ahead of its arrival than this is a wrong clock."""


def time_of(event: Event) -> Millis:
    """When it happened; an event from the future is dated at its arrival."""
    return times_of(event)[0]


def arrival_of(event: Event) -> Millis:
    """When it came in, on the server's clock; 0 where nobody stamped it."""
    return millis(event.received_at) if event.received_at is not None else Millis(0)


def times_of(event: Event) -> tuple[Millis, Millis, bool]:
    """(when it happened, when it came in, whether its own time lay so far ahead that it is dated at its arrival)."""
    at, arrived = millis(event.time), arrival_of(event)
    if arrived and at > arrived + AHEAD_MS:
        return arrived, arrived, True
    return at, arrived, False
