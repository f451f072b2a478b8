"""CloudEvents 1.0 in JSON: one event, or a batch of them. `data` is the body of a native event.

`subject` is the user; the extension attributes `anonymousid`, `sessionid`, `loyaltyid`, `channel`, `decisionid`, `offerid`
and `placement` are the rest of the envelope. A `type` in reverse domain form (`example.shop.order_completed`) is known by its
last part.

Source: CloudEvents 1.0.2, JSON event format 1.0.2 and HTTP protocol binding 1.0.2.
"""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import orjson

from engine.errors import Rejected
from engine.events.dialects.base import Dialect, Part
from engine.events.roster import TYPES

VERSION: Final = "1.0"
MEDIA_TYPES: Final = ("application/cloudevents+json", "application/cloudevents-batch+json")
_ATTRIBUTES: Final[Mapping[str, str]] = {
    "id": "id",
    "source": "source",
    "time": "time",
    "subject": "user_id",
    "userhash": "user_hash",
    "anonymousid": "anonymous_id",
    "sessionid": "session_id",
    "loyaltyid": "loyalty_id",
    "channel": "channel",
    "decisionid": "decision_id",
    "offerid": "offer_id",
    "placement": "placement",
}
_REQUIRED: Final = ("id", "source", "type")
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])


def told(raw: bytes) -> list[Part]:
    """The native events of one event or of a batch."""
    try:
        if raw.lstrip()[:1] == b"[":
            return [Part(bytes(one), _read(bytes(one)), place) for place, one in enumerate(_LIST.decode(raw))]
    except (ValueError, RecursionError) as error:
        return [Part(raw, Rejected("json.invalid", f"the batch cannot be read: {error}"[:300]))]
    return [Part(raw, _read(raw))]


def document_of(attributes: Mapping[str, str], content_type: str, body: bytes) -> bytes:
    """An event in binary mode, its attributes from the `ce-` headers and its data in the body, as one JSON document.

    A body that says it is JSON goes in as it is; anything else goes in as base64, to be refused with its reason.
    """
    said = dict(attributes)
    kind = content_type.partition(";")[0].strip().lower()
    if kind:
        said["datacontenttype"] = kind
    if not body:
        return orjson.dumps(said)
    held = {name: msgspec.Raw(orjson.dumps(value)) for name, value in said.items() if name not in ("data", "data_base64")}
    if _is_json(kind) and _parses(body):
        return msgspec.json.encode({**held, "data": msgspec.Raw(body)})
    return msgspec.json.encode({**held, "data_base64": body})


def _parses(body: bytes) -> bool:
    try:
        orjson.loads(body)
    except ValueError:
        return False
    return True


def _is_json(kind: str) -> bool:
    return kind in ("", "application/json", "text/json") or kind.endswith("+json")


def _read(raw: bytes) -> dict[str, Any] | Rejected:
    try:
        event = orjson.loads(raw)
    except ValueError as error:
        return Rejected("json.invalid", f"the event cannot be read: {error}"[:300])
    if not isinstance(event, dict):
        return Rejected("schema.type", "an event is a JSON object")
    return _native(event)


def _native(event: dict[str, Any]) -> dict[str, Any] | Rejected:
    name = event.get("id")
    known = name[:100] if isinstance(name, str) else ""
    version = event.get("specversion")
    if version != VERSION:
        said = f"not {version!r}"[:60] if version is not None else "and has to be there"
        return Rejected("schema.version", f"`specversion` is {VERSION!r}, {said}", "specversion", known)
    for attribute in _REQUIRED:
        if not isinstance(event.get(attribute), str) or not event[attribute]:
            return Rejected("schema.missing", f"`{attribute}` is required, as text", attribute, known)
    native = {said: event[attribute] for attribute, said in _ATTRIBUTES.items() if event.get(attribute) is not None}
    data = _data(event)
    if isinstance(data, Rejected):
        return msgspec.structs.replace(data, id=known)
    return {**native, "type": _type(event["type"]), **({} if data is None else {"data": data})}


def _type(said: str) -> str:
    last = said.rpartition(".")[2]
    return last if said not in TYPES and last in TYPES else said


def _data(event: Mapping[str, Any]) -> object:
    """The data, whichever way it is carried; None where there is none."""
    data, packed = event.get("data"), event.get("data_base64")
    if packed is None:
        return data
    if data is not None:
        return Rejected("schema.type", "`data` and `data_base64` exclude each other", "data_base64")
    kind = event.get("datacontenttype")
    if isinstance(kind, str) and not _is_json(kind.partition(";")[0].strip().lower()):
        return Rejected("schema.type", f"the data is JSON, not {kind[:60]}", "datacontenttype")
    try:
        return orjson.loads(b64decode(packed, validate=True))
    except (binascii.Error, ValueError, TypeError):
        return Rejected("schema.type", "`data_base64` is base64 of JSON", "data_base64")


def _knows(_: Mapping[str, Any]) -> bool:
    return True


DIALECT: Final = Dialect("cloudevents", frozenset({"specversion"}), _knows, told)
