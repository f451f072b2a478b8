"""`POST /v1/events` and `POST /v1/events/check`."""

from urllib.parse import unquote

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import Scope

from api import schemas
from api.access import Caller
from api.container import Container
from api.door import checked
from api.items import Item, items_of, told_in
from api.lean_route import JsonAnswer
from api.problems import Problem
from api.requests import body_of, header
from engine.events.dialects import cloudevents


def add_routes(app: FastAPI, container: Container) -> None:
    """Puts the event routes on the application."""

    async def send_events(request: Request) -> JsonAnswer:
        """Send events: one object, an array, or NDJSON. 202 means durable; each event is answered for by itself."""
        caller, items, backfill = await _received(request, container)
        sent = container.door.sorted(items, container.now(), container.stores, backfill, caller)
        receipt = await container.door.take(sent)
        return JsonAnswer(schemas.encode(receipt), 202)

    async def check_events(request: Request) -> JsonAnswer:
        """How each event would be understood: canonical form, money in words, shard, what is wrong. Writes nothing."""
        caller, items, backfill = await _received(request, container)
        arrival, stores, rules = container.now(), container.stores, container.rules
        found = [
            {"index": item.place, "dialect": item.dialect, **checked(item, arrival, stores, backfill, caller, rules)}
            for item in items
        ]
        return JsonAnswer(orjson.dumps({"events": found}))

    events = schemas.EVENTS
    app.add_api_route("/v1/events", send_events, methods=["POST"], status_code=202, tags=["events"], **events.send)
    app.add_api_route("/v1/events/check", check_events, methods=["POST"], tags=["events"], **events.check)


async def _received(request: Request, container: Container) -> tuple[Caller, list[Item], bool]:
    scope = request.scope
    caller = container.access.caller(header(scope, b"authorization"), scope["query_string"])
    backfill = header(scope, b"regulars-mode").lower() == "backfill"
    if backfill and caller.is_web:
        raise Problem(403, "key.not_allowed", "history takes a write key", "Regulars-Mode")
    body = await body_of(request, container.settings.max_body_bytes)
    return caller, _items(scope, body, container.rules.most_items), backfill


def _items(scope: Scope, body: bytes, most: int) -> list[Item]:
    kind = header(scope, b"content-type")
    if kind.partition(";")[0].strip().lower() in cloudevents.MEDIA_TYPES:
        return told_in(cloudevents.DIALECT, body, most)
    if header(scope, b"ce-specversion"):
        return told_in(cloudevents.DIALECT, cloudevents.document_of(_attributes(scope), kind, body), most)
    return items_of(body, kind, most)


def _attributes(scope: Scope) -> dict[str, str]:
    """What a CloudEvent in binary mode says in its headers; beyond ASCII it is percent-encoded."""
    return {
        name[3:].decode("latin-1"): unquote(value.decode("latin-1"))
        for name, value in scope["headers"]
        if name.startswith(b"ce-")
    }
