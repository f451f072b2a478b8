"""Segment's HTTP API: an unmodified client of theirs, or of RudderStack's, that is pointed at this host works.

Clients drop what is answered with 400 and send again after 429 and 503, so a message that cannot be used is told in a 200.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from api import schemas
from api.access import Caller
from api.container import Container
from api.items import told_in
from api.lean_route import JsonAnswer
from api.problems import Problem
from api.requests import body_of, header
from api.segment_schemas import SETTINGS, SegmentReceipt, described
from engine.events.dialects import segment

SHORT: Final = {"t": "track", "i": "identify", "p": "page", "s": "screen", "g": "group", "a": "alias", "b": "batch"}
"""As analytics.js says them."""
Answer = Callable[[Request], Coroutine[Any, Any, JsonAnswer]]


def add_routes(app: FastAPI, container: Container) -> None:
    """Puts the routes on the application, each by its whole name and by its letter."""

    def taking(call: str) -> Answer:
        async def take(request: Request) -> JsonAnswer:
            return await _taken(request, container, call)

        take.__doc__ = f"Takes Segment's `{call}`; answered once it is durable."
        return take

    letters = {name: letter for letter, name in SHORT.items()}
    for call in (*segment.CALLS, "batch", "import"):
        taken = taking(call)
        app.add_api_route(f"/v1/{call}", taken, methods=["POST"], tags=["segment"], name=call, **described(call))
        if call in letters:
            app.add_api_route(f"/v1/{letters[call]}", taken, methods=["POST"], include_in_schema=False)

    async def metrics(request: Request) -> JsonAnswer:
        """What a client counts of itself is taken politely and not looked at."""
        await body_of(request, container.settings.max_body_bytes)
        return JsonAnswer(b'{"success":true}')

    async def settings(request: Request) -> Response:
        """What analytics.js asks before it sends anything: where to, and that there is nothing else to load."""
        key = request.path_params["key"]
        container.access.caller(f"Bearer {key}")
        url = request.url
        found = orjson.dumps(_client_settings(key, f"{url.netloc}/v1", url.scheme))
        # It says what the asker knows already: the key, and the address it came to.
        headers = {"access-control-allow-origin": "*", "cache-control": "no-store"}
        return Response(found, 200, headers, "application/json")

    app.add_api_route("/v1/m", metrics, methods=["POST"], include_in_schema=False)
    app.add_api_route("/v1/projects/{key}/settings", settings, methods=["GET"], tags=["segment"], **SETTINGS)


async def _taken(request: Request, container: Container, call: str) -> JsonAnswer:
    scope = request.scope
    authorization = header(scope, b"authorization")
    caller = container.access.caller(authorization) if authorization else None
    body = await body_of(request, container.settings.max_body_bytes)
    if caller is None:
        key = segment.write_key(body)
        caller = container.access.caller(f"Bearer {key}" if key else None)
    items = told_in(segment.BY_CALL.get(call, segment.DIALECT), body, container.rules.most_items)
    sent = container.door.sorted(items, container.now(), container.stores, _is_history(scope, call, caller), caller)
    receipt = await container.door.take(sent)
    return JsonAnswer(schemas.encode(SegmentReceipt(receipt.accepted, receipt.rejected)))


def _is_history(scope: Any, call: str, caller: Caller) -> bool:
    history = call == "import" or header(scope, b"regulars-mode").lower() == "backfill"
    if history and caller.is_web:
        raise Problem(403, "key.not_allowed", "history takes a write key")
    return history


def _client_settings(key: str, host: str, scheme: str) -> dict[str, Any]:
    here = {"apiKey": key, "apiHost": host, "protocol": scheme, "unbundledIntegrations": [], "addBundledMetadata": False}
    return {
        "integrations": {"Segment.io": here},
        "metrics": {"sampleRate": 0, "host": host},
        "plan": {"track": {"__default": {"enabled": True}}, "identify": {"__default": {"enabled": True}}},
        "edgeFunction": {},
        "middlewareSettings": {},
        "enabledMiddleware": {},
    }
