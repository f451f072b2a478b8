"""The service desk: who is calling, what happened with them, and what customers complain of."""

from datetime import UTC, datetime

import msgspec
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from api import schemas
from api.access import need_secret
from api.asking import invalid
from api.complaints import FIELDS, By, complaints_answer, read_complaints
from api.container import Container
from api.customer_state import Known
from api.find import FindAnswer, FindRequest, named
from api.identities import identities_answer
from api.problems import Problem, store_away
from api.requests import body_of, header
from api.routes.customers import existing
from api.service_schemas import SERVICE
from api.timeline import timeline_answer, touch_points
from config.mistakes import did_you_mean
from engine.errors import StoreUnavailable
from engine.ids import CustomerKey
from engine.moments import DAY, Millis, millis
from engine.shards.timeline import MOST_KEPT

_MEDIA_TYPE = "application/json"
_NO_STORE = {"cache-control": "no-store"}
MOST_LINES = 500
MOST_DAYS = 3650
_FIND = msgspec.json.Decoder(FindRequest)


def add_routes(app: FastAPI, container: Container) -> None:
    """Puts the routes of the service desk on the application."""
    ask, shards = container.redis.ask, container.rules.shards

    def check(request: Request) -> None:
        need_secret(container.access.caller(header(request.scope, b"authorization")))

    async def known(request: Request) -> Known:
        try:
            return await existing(container, CustomerKey(f"u:{request.path_params['id']}"))
        except StoreUnavailable:
            raise store_away() from None

    async def timeline(request: Request) -> Response:
        """What happened with a customer: orders, complaints, feedback, conversations, messages, newest first."""
        check(request)
        limit = _limit(request)
        try:
            points = await touch_points(ask, shards, await known(request))
        except StoreUnavailable:
            raise store_away() from None
        return _told(timeline_answer(points, limit))

    async def identities(request: Request) -> Response:
        """Which identities are joined to a customer, by which events, and what was linked and unlinked before."""
        check(request)
        found = await known(request)
        return _told(identities_answer(request.path_params["id"], found.profile))

    async def find(request: Request) -> Response:
        """Who is reached at an e-mail address or a phone number, or at both. Addresses are compared as keyed hashes."""
        check(request)
        wanted = _wanted(await body_of(request, container.settings.max_body_bytes))
        try:
            keys = await container.addresses.find(ask, shards, wanted)
        except StoreUnavailable:
            raise store_away() from None
        return _told(FindAnswer([named(key) for key in keys]))

    async def complaints(request: Request) -> Response:
        """What customers complain of, by reason, product and store, and how long it takes to put it right."""
        check(request)
        by = _by(request)
        only = {name: request.query_params[name] for name in FIELDS if name in request.query_params}
        since = _since(request, container.now())
        try:
            counts, past_due = await read_complaints(ask, shards)
        except StoreUnavailable:
            raise store_away() from None
        return _told(complaints_answer(counts, past_due, container.now(), by, only, since))

    app.add_api_route("/v1/customers/{id}/timeline", timeline, methods=["GET"], tags=["service"], **SERVICE.timeline)
    app.add_api_route("/v1/customers/{id}/identities", identities, methods=["GET"], tags=["customers"], **SERVICE.identities)
    app.add_api_route("/v1/customers/find", find, methods=["POST"], tags=["service"], **SERVICE.find)
    app.add_api_route("/v1/insights/complaints", complaints, methods=["GET"], tags=["insights"], **SERVICE.complaints)


def _told(answer: msgspec.Struct) -> Response:
    return Response(schemas.encode(answer), 200, _NO_STORE, _MEDIA_TYPE)


def _limit(request: Request) -> int:
    given = request.query_params.get("limit", str(MOST_KEPT))
    if not given.isdecimal() or not 1 <= int(given) <= MOST_LINES:
        raise Problem(422, "schema.range", f"limit is a number from 1 to {MOST_LINES}", "limit")
    return int(given)


def _wanted(body: bytes) -> FindRequest:
    try:
        wanted = _FIND.decode(body)
    except msgspec.ValidationError as error:
        raise invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "body.not_json", f"the body is not JSON: {error}") from None
    if not (wanted.email or wanted.phone):
        raise Problem(422, "schema.missing", "say where the customer is reached: email or phone", "email")
    return wanted


def _since(request: Request, now: Millis) -> Millis | None:
    """From when on, as an instant, a day, or so many days back."""
    given, days = request.query_params.get("since"), request.query_params.get("window_days")
    if given is not None and days is not None:
        raise Problem(422, "schema.conflict", "say since or window_days, not both", "window_days")
    if days is not None:
        if not days.isdecimal() or not 1 <= int(days) <= MOST_DAYS:
            raise Problem(422, "schema.range", f"window_days is a number from 1 to {MOST_DAYS}", "window_days")
        return Millis(now - int(days) * DAY)
    if given is None:
        return None
    try:
        read = datetime.fromisoformat(given)
    except ValueError:
        raise Problem(422, "schema.time", "since is a day or an RFC 3339 time, such as 2026-01-31", "since") from None
    return millis(read if read.tzinfo is not None else read.replace(tzinfo=UTC))


def _by(request: Request) -> tuple[By, ...]:
    given = request.query_params.get("by")
    if given is None:
        return FIELDS
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if name not in FIELDS:
            raise Problem(422, "schema.choice", f"{name!r} is none of {', '.join(FIELDS)}{did_you_mean(name, FIELDS)}", "by")
    return tuple(name for name in FIELDS if name in names)
