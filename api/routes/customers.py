"""`/v1/customers`: what is known of one, handing it over, consent, and erasure."""

import os
from typing import Any

import msgspec
import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api import schemas
from api.access import need_secret
from api.asking import invalid
from api.container import Container
from api.customer_state import Known
from api.customers import customer_view
from api.own_events import take
from api.privacy import Erased, erased_as, folded, forget_answers, held, read_customer
from api.problems import Problem
from api.requests import body_of, header
from engine.ids import CustomerKey, shard_of
from engine.moments import rfc3339

_MEDIA_TYPE = "application/json"
_NO_STORE = {"cache-control": "no-store"}
ERASURE_WAIT_S = 2.0


_CONSENTS = msgspec.json.Decoder(schemas.Consents)


def add_routes(app: FastAPI, container: Container) -> None:
    """Puts the customer routes on the application."""

    async def find(request: Request) -> Response:
        """Find a customer by loyalty card, by anonymous id, or by user id."""
        return await _view(container, request, _named_in(request))

    async def get(request: Request) -> Response:
        """What is known of a customer: purchases, consent, complaints, risk of leaving with its drivers, readings."""
        return await _view(container, request, _user(request))

    async def export(request: Request) -> Response:
        """Everything held of a customer, one JSON object a line."""
        need_secret(container.access.caller(header(request.scope, b"authorization")))
        key = _user(request)
        found = await existing(container, key)
        lines = held(container.redis.ask, container.rules.shards, key, found)
        return StreamingResponse(lines, media_type="application/x-ndjson", headers=_NO_STORE)

    async def consent(request: Request) -> Response:
        """Set what a customer allows; the next decision follows it."""
        caller = container.access.caller(header(request.scope, b"authorization"))
        if caller.is_web:
            raise Problem(403, "key.not_allowed", "this takes a write key; a page sends consent_updated")
        said = _consents(await body_of(request, container.settings.max_body_bytes))
        user_id = _user(request)[2:]
        now = rfc3339(container.now())
        events = [
            {"id": f"consent-{os.urandom(10).hex()}", "type": "consent_updated", "time": now, "user_id": user_id,
             "source": "regulars://consent", "data": msgspec.to_builtins(one)}
            for one in said.consents
        ]  # fmt: skip
        await take(container, events)
        return Response(orjson.dumps({"user_id": user_id, "consents": len(events), "at": now}), 200, _NO_STORE, _MEDIA_TYPE)

    async def erase(request: Request) -> Response:
        """Have a customer forgotten, and say where."""
        need_secret(container.access.caller(header(request.scope, b"authorization")))
        key = _user(request)
        now = rfc3339(container.now())
        event = {"id": f"erasure-{os.urandom(10).hex()}", "type": "erasure_requested", "time": now, "user_id": key[2:],
                 "source": "regulars://erasure"}  # fmt: skip
        await take(container, [event])
        return Response(orjson.dumps(await _certificate(container, key, now)), 200, _NO_STORE, _MEDIA_TYPE)

    described = schemas.CUSTOMERS
    app.add_api_route("/v1/customers", find, methods=["GET"], tags=["customers"], **described.find)
    app.add_api_route("/v1/customers/{id}", get, methods=["GET"], tags=["customers"], **described.get)
    app.add_api_route("/v1/customers/{id}/export", export, methods=["GET"], tags=["customers"], **described.export)
    app.add_api_route("/v1/customers/{id}/consent", consent, methods=["PUT"], tags=["customers"], **described.consent)
    app.add_api_route("/v1/customers/{id}", erase, methods=["DELETE"], tags=["customers"], **described.erase)


def _user(request: Request) -> CustomerKey:
    return CustomerKey(f"u:{request.path_params['id']}")


def _named_in(request: Request) -> CustomerKey:
    for name, kind in (("user_id", "u"), ("loyalty_id", "l"), ("anonymous_id", "a")):
        value = request.query_params.get(name)
        if value:
            return CustomerKey(f"{kind}:{value}")
    raise Problem(422, "schema.missing", "name the customer: loyalty_id, anonymous_id or user_id", "loyalty_id")


async def _view(container: Container, request: Request, key: CustomerKey) -> Response:
    need_secret(container.access.caller(header(request.scope, b"authorization")))
    found = await existing(container, key)
    view = customer_view(found, container.basis, container.now())
    return Response(orjson.dumps(view), 200, _NO_STORE, _MEDIA_TYPE)


async def existing(container: Container, key: CustomerKey) -> Known:
    """The customer under a key. Raises `Problem`: 404 for one nobody knows, 410 for one who was erased."""
    try:
        found = await read_customer(container.redis.ask, container.rules.shards, key)
    except Erased:
        raise Problem(410, "customer.erased", "this customer asked to be forgotten") from None
    if found is None:
        raise Problem(404, "customer.unknown", "no event of this customer has been accepted")
    return found


def _consents(body: bytes) -> schemas.Consents:
    try:
        return _CONSENTS.decode(body)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "body.not_json", f"the body is not JSON: {error}") from None


async def _certificate(container: Container, key: CustomerKey, requested_at: str) -> dict[str, Any]:
    """What was erased and where. The engine erases; while it is down the request stands and is obeyed already."""
    ask, shard = container.redis.ask, shard_of(key, container.rules.shards)
    done = await folded(ask, shard, key, ERASURE_WAIT_S)
    answers = await forget_answers(ask, shard, key)
    state = "erased" if done else "accepted"
    return {
        "certificate_id": f"erasure-{os.urandom(10).hex()}",
        "customer_hash": (await erased_as(ask, key)).hex(),
        "status": state,
        "requested_at": requested_at,
        "stores": [
            {"store": "profile", "status": state},
            {"store": "contact ledger", "status": state},
            {"store": "labels in waiting", "status": state},
            {"store": "timeline", "status": state},
            {"store": "hashed addresses", "status": state},
            {"store": "pending events", "status": state},
            {"store": "answers to request ids", "status": "erased", "records": answers},
            {"store": "event log and decision log", "status": "expires with the retention of the streams"},
        ],
        "remembered": "a keyed hash of the identity, so that late events are refused",
    }
