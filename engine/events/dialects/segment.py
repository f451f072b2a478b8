"""Segment's messages, as its clients and those of RudderStack send them: one call, or a batch of calls.

A message that names a user and an anonymous visitor links the two, as every native event does. What is shared by a batch
(`context`, `sentAt`) counts for each message of it that does not say its own.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from engine.errors import Rejected
from engine.events.base import CHANNELS
from engine.events.decode import payload_hash
from engine.events.dialects.base import Dialect, Part
from engine.events.dialects.exact import plain, read_exactly
from engine.events.dialects.shop_words import MESSAGES, OFFERS, ONE_PRODUCT, attribution, body_of, event_type, is_name, snake
from engine.events.identity import Traits, shaped

CALLS: Final = ("track", "identify", "page", "screen", "group", "alias")
SOURCE: Final = "segment"
"""One source for all of it: a message keeps its id on whichever way it comes, and counts once."""

_MARKS: Final = frozenset({"messageId", "userId", "anonymousId", "previousId", "writeKey", "batch"})
_CHANNELS: Final[Mapping[str, str]] = {"browser": "web", "client": "web", "mobile": "app", **{name: name for name in CHANNELS}}
_PHONES: Final = ("ios", "android", "react-native", "flutter", "kotlin", "swift", "unity", "xamarin")
_PAGES: Final = ("analytics.js", "ajs", "rudderlabs javascript sdk")
_CONTEXT: Final = ("locale", "timezone", "campaign", "device", "consent", "os", "app", "screen", "network")
_PAGE: Final = ("path", "referrer", "search", "title", "url")
_OF_DEVICE: Final = ("type", "manufacturer", "model", "name")
MOST_LINES: Final = 50
_LONGEST: Final = 200
_OF_EACH_LINE: Final = ("currency", "cart_id", "list_id")


class _Batch(msgspec.Struct):
    """What a batch says once for all its messages."""

    batch: msgspec.Raw = msgspec.Raw()
    sentAt: Any = None
    context: Any = None


class _Key(msgspec.Struct):
    writeKey: str = ""


class Shared(NamedTuple):
    """What a message takes from the document around it."""

    call: str = ""
    sent_at: object = None
    context: object = None


_BATCH: Final = msgspec.json.Decoder(_Batch)
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])
_KEY: Final = msgspec.json.Decoder(_Key)


def write_key(body: bytes) -> str:
    """The key that a body carries; empty where there is none, or where the body cannot be read."""
    try:
        return _KEY.decode(body).writeKey
    except (msgspec.MsgspecError, RecursionError):
        return ""


def told(raw: bytes, call: str = "") -> Iterator[Part]:
    """The native events of a message, a list of messages or a batch; `call` is what a message without a `type` is."""
    try:
        messages, shared = _taken_apart(raw, call)
    except (ValueError, RecursionError) as error:
        yield Part(raw, _unreadable(error))
        return
    for place, message in enumerate(messages):
        yield from _parts(message, place, shared)


def _taken_apart(raw: bytes, call: str) -> tuple[Iterable[bytes], Shared]:
    """The sender's own bytes of each message, and what they share."""
    if raw.lstrip()[:1] == b"[":
        return map(bytes, _LIST.decode(raw)), Shared()
    around = _BATCH.decode(raw)
    batch = bytes(around.batch)
    if batch[:1] != b"[":
        return (raw,), Shared(call)
    return map(bytes, _LIST.decode(batch)), Shared("", around.sentAt, around.context)


def _parts(raw: bytes, place: int, shared: Shared) -> list[Part]:
    try:
        first, *others = map(_known_by_itself, _natives(read_exactly(raw), shared))
        return [Part(raw, first, place), *(Part(msgspec.json.encode(native), native, place) for native in others)]
    except (ValueError, RecursionError, OverflowError, TypeError) as error:
        return [Part(raw, _unreadable(error), place)]


def _known_by_itself(native: dict[str, Any] | Rejected) -> dict[str, Any] | Rejected:
    """A message that carries neither id nor time, as whoever writes one by hand may leave them out, is known by what it says:
    it can be sent again after no answer, and counts once."""
    if isinstance(native, Rejected) or "id" in native or "time" in native:
        return native
    return {"id": f"h-{payload_hash(native).hex()}", **native}


def _unreadable(error: Exception) -> Rejected:
    if isinstance(error, msgspec.ValidationError):
        return Rejected("schema.type", "a message is a JSON object")
    code = "schema.depth" if isinstance(error, RecursionError) else "json.invalid"
    return Rejected(code, f"the message cannot be read: {error}"[:300])


def _natives(message: object, shared: Shared) -> list[dict[str, Any] | Rejected]:
    if not isinstance(message, dict):
        return [Rejected("schema.type", "a message is a JSON object")]
    if "batch" in message:
        return [Rejected("schema.type", "`batch` is a list of messages, and none of them a batch", "batch")]
    call = message.get("type") or shared.call or _guessed(message)
    native = _envelope(message, shared)
    match call:
        case "track":
            return _tracked(native, message)
        case "identify":
            return [_identified(native, message)]
        case "page" | "screen":
            return [_paged(native, message, call)]
        case "group":
            traits = _mapping(message.get("traits"))
            kept = shaped(plain(traits)).get("extra", {})
            return [{**native, "type": "group_joined", "data": {"group_id": plain(message.get("groupId")), "traits": kept}}]
        case "alias":
            return [_aliased(native, message)]
        case _:
            return [Rejected("schema.type", f"`type` is one of {', '.join(CALLS)}", "type", _text(message.get("messageId")))]


def _guessed(message: Mapping[str, Any]) -> str:
    """What a message is whose path said so, and not the message: that of a dead letter."""
    for name, call in (("event", "track"), ("previousId", "alias"), ("groupId", "group"), ("traits", "identify")):
        if name in message:
            return call
    return "page"


def _envelope(message: Mapping[str, Any], shared: Shared) -> dict[str, Any]:
    context = {**_mapping(shared.context), **_mapping(message.get("context"))}
    properties, traits = _mapping(message.get("properties")), _mapping(message.get("traits"))
    sent_at = message.get("sentAt") or shared.sent_at
    time = message.get("timestamp") or message.get("originalTimestamp")
    found = {
        "id": message.get("messageId"),
        "source": SOURCE,
        "time": _with_zone(time),
        "sent_at": _with_zone(sent_at) if time else None,
        "user_id": message.get("userId"),
        "anonymous_id": message.get("anonymousId"),
        "session_id": context.get("sessionId") or properties.get("session_id"),
        "loyalty_id": properties.get("loyalty_id") or traits.get("loyalty_id") or traits.get("loyaltyId"),
        "user_hash": context.get("user_hash") or traits.get("user_hash") or properties.get("user_hash"),
        "channel": _channel(message, context),
        "context": _context(context) or None,
    }
    return {name: plain(value) for name, value in found.items() if value is not None and value != ""}


def _tracked(native: dict[str, Any], message: Mapping[str, Any]) -> list[dict[str, Any] | Rejected]:
    name = message.get("event")
    kind = event_type(name) if isinstance(name, str) else ""
    if not kind:
        return [Rejected("schema.missing", "a track call names what happened in `event`", "event", _text(native.get("id")))]
    native["type"] = kind
    if kind in MESSAGES:
        native.setdefault("channel", "email")
    properties = _mapping(message.get("properties"))
    native |= plain(attribution(properties))
    data = body_of(kind, properties)
    if kind in OFFERS or kind in ONE_PRODUCT:
        return _one_by_one(native, data)
    return [{**native, "data": data}]


def _one_by_one(native: dict[str, Any], data: dict[str, Any]) -> list[dict[str, Any] | Rejected]:
    """Something that is of one product or offer, said of several: an event for each line.

    The first keeps the message's id and all it says; the others count up from that id and say their line.
    """
    lines = data.get("products")
    if not isinstance(lines, list) or "product_id" in data or "promotion_id" in data:
        return [_of_one(native, data)]
    told = [line for line in lines if isinstance(line, dict)]
    if len(told) > MOST_LINES:
        return [Rejected("schema.type", f"a message is of at most {MOST_LINES} things", "properties", _text(native.get("id")))]
    around = {name: value for name, value in data.items() if name != "products"}
    shared = {name: data[name] for name in _OF_EACH_LINE if isinstance(data.get(name), str | int)}
    bare = {name: value for name, value in native.items() if name != "context"}
    if any(len(value) > _LONGEST for value in bare.values() if isinstance(value, str)):
        told = told[:1]  # refused as it is; that is not said fifty times
    others = [_of_one({**bare, **_counted_up(native, number)}, {**shared, **line}) for number, line in enumerate(told[1:], 2)]
    return [_of_one(native, {**around, **(told[0] if told else {})}), *others]


def _counted_up(native: Mapping[str, Any], number: int) -> dict[str, Any]:
    return {"id": f"{native['id']}/{number}"} if "id" in native else {}


def _of_one(native: Mapping[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """With what the line itself says of decision, offer and placement."""
    if native["type"] not in OFFERS:
        return {**native, "data": data}
    said = {"offer_id": data.get("offer_id") or data.get("promotion_id"), "placement": data.get("placement")}
    return {**native, **{name: value for name, value in said.items() if is_name(value)}, "data": data}


def _identified(native: dict[str, Any], message: Mapping[str, Any]) -> dict[str, Any]:
    """Traits in the types that the vocabulary has for them; those it does not know stay as they were sent."""
    data: dict[str, Any] = {}
    for name, value in _mapping(message.get("traits")).items():
        said = snake(name) if len(name) <= 100 else name
        if said in ("user_hash", "loyalty_id", "reached_by", "removed", "extra"):
            continue
        known = said in Traits.__struct_fields__
        if not known or value is None:
            data[said if known else name] = plain(value)
        elif said in ("has_children", "home_owner"):
            data.update({said: value} if isinstance(value, bool) else {})
        elif isinstance(value, str | int) and not isinstance(value, bool):
            data[said] = str(value)
    return {**native, "type": "customer_identified", "data": data}


def _paged(native: dict[str, Any], message: Mapping[str, Any], call: str) -> dict[str, Any]:
    said = {name: message[name] for name in ("name", "category") if message.get(name)}
    if call == "screen":
        native["channel"] = "app"
    return {**native, "type": "page_viewed", "data": plain({**_mapping(message.get("properties")), **said})}


def _aliased(native: dict[str, Any], message: Mapping[str, Any]) -> dict[str, Any] | Rejected:
    before = message.get("previousId")
    if not before or not native.get("user_id"):
        field = "userId" if before else "previousId"
        return Rejected("schema.missing", "an alias joins `previousId` to `userId`", field, _text(native.get("id")))
    return {**native, "type": "identity_linked", "anonymous_id": plain(before)}


def _context(context: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of the surroundings: nothing that reaches a person, no address of a device."""
    kept = {name: context[name] for name in _CONTEXT if context.get(name)}
    if isinstance(kept.get("device"), dict):
        kept["device"] = {name: value for name, value in kept["device"].items() if name in _OF_DEVICE}
    page = {name: value for name, value in _mapping(context.get("page")).items() if name in _PAGE}
    agent = context.get("userAgent")
    return {**kept, **({"page": page} if page else {}), **({"user_agent": agent[:500]} if isinstance(agent, str) else {})}


def _channel(message: Mapping[str, Any], context: Mapping[str, Any]) -> str | None:
    """As the message says, else by the library that made it, else by what surrounded it."""
    said = message.get("channel")
    if isinstance(said, str) and said:
        return _CHANNELS.get(said)
    library = _text(_mapping(context.get("library")).get("name")).lower()
    if library.startswith(_PAGES) or _mapping(context.get("page")).get("url"):
        return "web"
    return "app" if any(phone in library for phone in _PHONES) else None


def _with_zone(value: object) -> object:
    """A time without an offset is in UTC, as it is to everybody who reads this dialect."""
    if not isinstance(value, str):
        return value
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        return value
    return f"{read.isoformat()}Z" if read.tzinfo is None else value


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value[:100] if isinstance(value, str) else ""


def _knows(value: Mapping[str, Any]) -> bool:
    if isinstance(value.get("batch"), list) and "type" not in value:
        return True
    return (value.get("type") or "track") in CALLS


DIALECT: Final = Dialect("segment", _MARKS, _knows, told)
BY_CALL: Final[Mapping[str, Dialect]] = {call: Dialect("segment", _MARKS, _knows, partial(told, call=call)) for call in CALLS}
"""The same for a message whose path says what it is."""
