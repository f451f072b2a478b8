"""What the OpenAPI document says of bodies and answers, and how answers become bytes.

The routes read and write msgspec structs; their JSON Schemas describe them here, so that the document cannot drift
from the code.
"""

from typing import Any

import msgspec
from msgspec import Struct

from api.answering import DecisionAnswer
from api.asking import DecisionRequest
from api.campaigns import CAMPAIGNS_EXAMPLE, CampaignAnswer, CampaignsAnswer
from api.catalogue import CATALOGUE_EXAMPLE, CatalogueAnswer, Proposed
from api.departures import CHURN_EXAMPLE, ChurnAnswer
from api.door import Receipt
from api.insights import LIFT_EXAMPLE, LiftAnswer
from api.recall import Recalled
from api.segments import SEGMENTS_EXAMPLE, SegmentsAnswer
from engine.events.consent import Consent


class Consents(Struct, frozen=True):
    """The body of `PUT /v1/customers/{id}/consent`."""

    consents: list[Consent]


encode = msgspec.json.Encoder().encode

Described = dict[str, Any]


class Group:
    """Keyword arguments for the routes of one group, by route."""

    def __init__(self, **routes: Described) -> None:
        self.__dict__.update(routes)

    def __getattr__(self, name: str) -> Described:
        raise AttributeError(name)


def _content(schema: Described) -> Described:
    return {"content": {"application/json": {"schema": schema}}}


def schema_of(kind: Any) -> Described:
    """The JSON Schema of a struct, self-contained."""
    return _inlined(msgspec.json.schema(kind))


def _inlined(schema: Described) -> Described:
    parts = schema.pop("$defs", {})

    def without_references(value: Any) -> Any:
        if isinstance(value, dict):
            reference = value.get("$ref")
            if isinstance(reference, str):
                return without_references(parts[reference.rpartition("/")[2]])
            return {name: without_references(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [without_references(inner) for inner in value]
        return value

    inlined: Described = without_references(schema)
    return inlined


PROBLEM: Described = {
    "description": "A problem, RFC 9457",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                    "field": {"type": "string"},
                },
                "required": ["type", "title", "status", "code", "detail"],
            }
        }
    },
}


def problems(*statuses: int) -> dict[int | str, Described]:
    """These answers are problems."""
    return dict.fromkeys(statuses, PROBLEM)


_EVENT: Described = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "id": {"type": "string", "maxLength": 100},
        "type": {"type": "string", "examples": ["product_viewed"]},
        "time": {"type": "string", "format": "date-time"},
        "source": {"type": "string", "examples": ["web://shop.example"]},
        "user_id": {"type": "string"},
        "anonymous_id": {"type": "string"},
        "loyalty_id": {"type": "string"},
        "session_id": {"type": "string"},
        "channel": {"enum": ["web", "app", "pos", "call_center", "email", "sms", "kiosk"]},
        "data": {"type": "object"},
    },
}
_CLOUD_EVENT: Described = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "maxLength": 100},
        "source": {"type": "string"},
        "type": {"type": "string", "examples": ["example.shop.product_viewed"]},
        "subject": {"type": "string", "description": "the user id"},
        "time": {"type": "string", "format": "date-time"},
        "anonymousid": {"type": "string"},
        "loyaltyid": {"type": "string"},
        "data": {"type": "object"},
    },
}
_EVENT_BODY: Described = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"oneOf": [_EVENT, {"type": "array", "items": _EVENT}]}},
            "application/x-ndjson": {"schema": {"type": "string", "description": "one event a line, in any dialect"}},
            "application/cloudevents+json": {"schema": _CLOUD_EVENT},
            "application/cloudevents-batch+json": {"schema": {"type": "array", "items": _CLOUD_EVENT}},
        },
    }
}

EVENTS = Group(
    send={
        "summary": "Send events",
        "openapi_extra": _EVENT_BODY,
        "responses": {
            **problems(400, 401, 403, 413, 415, 429, 503),
            202: {"description": "Durable; an answer for each event", **_content(schema_of(Receipt))},
        },
    },
    check={
        "summary": "Check events without sending them",
        "openapi_extra": _EVENT_BODY,
        "responses": {**problems(400, 401, 403, 413, 415, 429), 200: {"description": "How each would be understood"}},
    },
)

_PARAMETERS: list[Described] = [
    {"name": name, "in": "query", "required": name == "placement", "schema": {"type": kind}}
    for name, kind in (
        ("placement", "string"),
        ("limit", "integer"),
        ("user_id", "string"),
        ("user_hash", "string"),
        ("anonymous_id", "string"),
        ("loyalty_id", "string"),
        ("session_id", "string"),
        ("channel", "string"),
        ("locale", "string"),
        ("timezone", "string"),
        ("exclude", "string"),
        ("request_id", "string"),
        ("deadline_ms", "integer"),
        ("dry_run", "boolean"),
        ("explain", "boolean"),
        ("at", "string"),
    )
]
_DECISION: Described = {"description": "The decision", **_content(schema_of(DecisionAnswer))}

DECISIONS = Group(
    decide={
        "summary": "Decide",
        "openapi_extra": {"requestBody": {"required": True, **_content(schema_of(DecisionRequest))}},
        "responses": {**problems(400, 401, 403, 409, 413, 422, 429, 503), 200: _DECISION},
    },
    recall={
        "summary": "A decision as it was logged, and what came of it",
        "openapi_extra": {"parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]},
        "responses": {
            **problems(401, 403, 404, 410, 503),
            200: {"description": "The decision", **_content(schema_of(Recalled))},
        },
    },
    offers={
        "summary": "The offers of one placement",
        "openapi_extra": {"parameters": _PARAMETERS},
        "responses": {**problems(401, 403, 409, 422, 429, 503), 200: _DECISION},
    },
)

_ID: Described = {"parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]}
_LOOKUP: Described = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
        for name in ("loyalty_id", "anonymous_id", "user_id")
    ]
}
_CUSTOMER: Described = {"description": "The customer", **_content({"type": "object"})}

CUSTOMERS = Group(
    find={
        "summary": "Find a customer by another identity",
        "openapi_extra": _LOOKUP,
        "responses": {**problems(401, 403, 404, 410, 422, 503), 200: _CUSTOMER},
    },
    get={
        "summary": "A customer",
        "openapi_extra": _ID,
        "responses": {**problems(401, 403, 404, 410, 503), 200: _CUSTOMER},
    },
    export={
        "summary": "Everything held of a customer",
        "openapi_extra": _ID,
        "responses": {**problems(401, 403, 404, 410, 503), 200: {"description": "NDJSON"}},
    },
    consent={
        "summary": "Set what a customer allows",
        "openapi_extra": {**_ID, "requestBody": {"required": True, **_content(schema_of(Consents))}},
        "responses": {**problems(400, 401, 403, 422, 503), 200: {"description": "Durable, and obeyed from now on"}},
    },
    erase={
        "summary": "Have a customer forgotten",
        "openapi_extra": _ID,
        "responses": {**problems(401, 403, 503), 200: {"description": "A certificate"}},
    },
)

_KNOWN: Described = {
    "description": "The files, and what is served",
    **_content(schema_of(CatalogueAnswer) | {"examples": [CATALOGUE_EXAMPLE]}),
}
_FILE: Described = {
    "name": "file", "in": "query", "required": False, "schema": {"type": "string"}, "description": "one file, as YAML",
}  # fmt: skip
_IF_MATCH: Described = {
    "name": "If-Match", "in": "header", "required": False, "schema": {"type": "string"},
    "description": "the ETag of what was read; with another one nothing is written",
}  # fmt: skip

CATALOGUE = Group(
    get={
        "summary": "The catalogue",
        "openapi_extra": {"parameters": [_FILE]},
        "responses": {**problems(401, 403, 404, 429, 503), 200: _KNOWN},
    },
    put={
        "summary": "Replace the catalogue, or one file of it",
        "openapi_extra": {
            "parameters": [_IF_MATCH],
            "requestBody": {"required": True, **_content(schema_of(Proposed))},
        },
        "responses": {**problems(400, 401, 403, 409, 412, 413, 422, 429, 503), 200: _KNOWN},
    },
)

_CAMPAIGNS: Described = {"description": "By campaign", **_content(schema_of(CampaignsAnswer) | {"examples": [CAMPAIGNS_EXAMPLE]})}

_HTML: Described = {"content": {"text/html": {"schema": {"type": "string"}}}}
_TOKEN: Described = {"parameters": [{"name": "token", "in": "path", "required": True, "schema": {"type": "string"}}]}
_FORM: Described = {"content": {"application/x-www-form-urlencoded": {"schema": {"type": "object"}}}}
_TRAITS: Described = {
    "type": "object",
    "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
    "examples": [{"locale": "de-AT", "has_children": None}],
}

PREFERENCES = Group(
    show={
        "summary": "The page of a customer's choices",
        "openapi_extra": _TOKEN,
        "responses": {
            200: {"description": "The form", **_HTML},
            404: {"description": "The link is not one of ours", **_HTML},
            410: {"description": "The link has ended, or the customer asked to be forgotten", **_HTML},
        },
    },
    choose={
        "summary": "A customer's choices, as the page sends them",
        "status_code": 303,
        "openapi_extra": {**_TOKEN, "requestBody": {"required": True, **_FORM}},
        "responses": {
            303: {"description": "Saved; back to the page"},
            400: {"description": "The form cannot be read", **_HTML},
            404: {"description": "The link is not one of ours", **_HTML},
            410: {"description": "The link has ended, or the customer asked to be forgotten", **_HTML},
        },
    },
    link={
        "summary": "A link to the page of a customer's choices",
        "openapi_extra": _ID,
        "responses": {**problems(401, 403, 404, 410, 503), 200: {"description": "The link and its end"}},
    },
    traits={
        "summary": "Correct a customer's traits",
        "openapi_extra": {
            **_ID,
            "requestBody": {
                "required": True,
                "content": {"application/merge-patch+json": {"schema": _TRAITS}, "application/json": {"schema": _TRAITS}},
            },
        },
        "responses": {**problems(400, 401, 403, 404, 410, 413, 422, 503), 200: {"description": "The traits that are held now"}},
    },
)

INSIGHTS = Group(
    campaigns={"summary": "What campaigns do", "responses": {**problems(401, 403, 429, 503), 200: _CAMPAIGNS}},
    campaign={
        "summary": "What one campaign does",
        "openapi_extra": _ID,
        "responses": {
            **problems(401, 403, 404, 429, 503),
            200: {"description": "The campaign", **_content(schema_of(CampaignAnswer))},
        },
    },
    churn={
        "summary": "Why customers leave",
        "responses": {
            **problems(401, 403, 429, 503),
            200: {
                "description": "By tier of spend, what had moved",
                **_content(schema_of(ChurnAnswer) | {"examples": [CHURN_EXAMPLE]}),
            },
        },
    },
    segments={
        "summary": "Where customers stand",
        "responses": {
            **problems(401, 403, 429, 503),
            200: {
                "description": "By tier and stage, and where the tiers begin",
                **_content(schema_of(SegmentsAnswer) | {"examples": [SEGMENTS_EXAMPLE]}),
            },
        },
    },
    lift={
        "summary": "What personalization adds",
        "openapi_extra": {
            "parameters": [
                {
                    "name": "campaign",
                    "in": "query",
                    "required": False,
                    "schema": {"type": "string"},
                    "description": "one campaign of the catalogue; without it all of them, and all together",
                }
            ]
        },
        "responses": {
            **problems(401, 403, 404, 429, 503),
            200: {
                "description": "By campaign, arm and comparison",
                **_content(schema_of(LiftAnswer) | {"examples": [LIFT_EXAMPLE]}),
            },
        },
    },
)

WEB = Group(
    tag={
        "summary": "The web tag",
        "responses": {
            200: {
                "description": "A script for a page",
                "content": {
                    "text/javascript": {
                        "schema": {"type": "string"},
                        "example": '<script src="https://regulars.example/v1/tag.js" data-regulars-key="WEB-KEY" defer></script>',
                    }
                },
            },
            304: {"description": "It is as it was"},
        },
    },
)

OPERATING = Group(
    livez={"summary": "Alive", "responses": {200: {"description": "The process answers"}}},
    readyz={
        "summary": "Ready",
        "responses": {200: {"description": "Requests can be served"}, 503: {"description": "What is missing"}},
    },
    metrics={"summary": "Metrics", "responses": {200: {"description": "Prometheus exposition"}}},
)
