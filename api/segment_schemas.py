"""What the OpenAPI document says of the routes that Segment's clients call."""

from typing import Final

from msgspec import Struct

from api.door import Refusal
from api.schemas import Described, problems, schema_of


class SegmentReceipt(Struct, frozen=True):
    """What clients look for, and what became of each message."""

    accepted: int
    rejected: list[Refusal]
    success: bool = True


_TRACK: Final[Described] = {
    "messageId": "m-1",
    "type": "track",
    "event": "Order Completed",
    "userId": "u-42",
    "anonymousId": "a-1",
    "timestamp": "2026-03-01T09:00:00Z",
    "properties": {
        "order_id": "1",
        "currency": "EUR",
        "total": 19.9,
        "products": [{"product_id": "p-1", "price": 9.95, "quantity": 2}],
    },
}
_PAGE: Final[Described] = {"messageId": "m-2", "type": "page", "anonymousId": "a-1", "name": "Home", "properties": {"path": "/"}}
SUMMARIES: Final = {
    "track": "Segment: something happened",
    "identify": "Segment: who somebody is",
    "page": "Segment: a page was viewed",
    "screen": "Segment: a screen of an app was viewed",
    "group": "Segment: somebody belongs to a group",
    "alias": "Segment: two names are one person",
    "batch": "Segment: many messages",
    "import": "Segment: many messages of the past",
}
_SHOWN: Final[dict[str, Described]] = {
    "track": _TRACK,
    "identify": {"messageId": "m-3", "userId": "u-42", "anonymousId": "a-1", "traits": {"plan": "gold"}},
    "page": _PAGE,
    "screen": {"messageId": "m-4", "anonymousId": "a-1", "name": "Cart"},
    "group": {"messageId": "m-5", "userId": "u-42", "groupId": "g-1", "traits": {"plan": "team"}},
    "alias": {"messageId": "m-6", "previousId": "a-1", "userId": "u-42"},
    "batch": {"sentAt": "2026-03-01T09:00:01Z", "writeKey": "KEY", "batch": [_TRACK, _PAGE]},
    "import": {"batch": [{**_TRACK, "messageId": "m-7", "timestamp": "2025-03-01T09:00:00Z"}]},
}
_RECEIPT: Final = {
    "accepted": 1,
    "rejected": [
        {
            "index": 1,
            "code": "schema.missing",
            "detail": "amounts need a currency such as EUR",
            "id": "m-8",
            "field": "data.currency",
            "dead_letter_id": "d3-1772359200000-0",
        }
    ],
    "success": True,
}


def described(call: str) -> Described:
    """Keyword arguments for the route of a call."""
    message = {"schema": {"type": "object"}, "example": _SHOWN[call]}
    answer = {"application/json": {"schema": schema_of(SegmentReceipt), "example": _RECEIPT}}
    return {
        "summary": SUMMARIES[call],
        "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": message}}},
        "responses": {
            **problems(400, 401, 403, 413, 415, 429, 503),
            200: {"description": "Durable; what could not be used is told", "content": answer},
        },
    }


_SENT_TO: Final = {"apiKey": "KEY", "apiHost": "regulars.example/v1", "protocol": "https"}
SETTINGS: Final[Described] = {
    "summary": "What analytics.js loads before it sends",
    "openapi_extra": {"parameters": [{"name": "key", "in": "path", "required": True, "schema": {"type": "string"}}]},
    "responses": {
        **problems(401, 429),
        200: {
            "description": "Where to send to",
            "content": {
                "application/json": {
                    "schema": {"type": "object"},
                    "example": {"integrations": {"Segment.io": _SENT_TO}},
                }
            },
        },
    },
}
