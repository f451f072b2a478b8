"""`/v1/leads`: open leads, those worth most first."""

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from api import schemas
from api.access import need_secret
from api.container import Container
from api.leads import LEADS_EXAMPLE, MOST_ANSWERED, STATUSES, LeadsAnswer, leads_answer
from api.problems import Problem, store_away
from api.requests import header
from config.mistakes import did_you_mean, one_of
from engine.errors import StoreUnavailable

_DESCRIBED: schemas.Described = {
    "summary": "Open leads by likelihood times value",
    "openapi_extra": {
        "parameters": [
            {"name": "limit", "in": "query", "required": False, "schema": {"type": "integer", "default": 50, "maximum": 500}},
            {"name": "status", "in": "query", "required": False, "schema": {"enum": list(STATUSES), "default": "open"}},
        ]
    },
    "responses": {
        **schemas.problems(401, 403, 422, 429, 503),
        200: {
            "description": "The queue, the most promising first",
            "content": {"application/json": {"schema": schemas.schema_of(LeadsAnswer) | {"examples": [LEADS_EXAMPLE]}}},
        },
    },
}


def add_routes(app: FastAPI, container: Container) -> None:
    """Puts the route on the application."""

    async def leads(request: Request) -> Response:
        """Whom to follow up first: open leads by how likely they buy times what winning them is worth."""
        need_secret(container.access.caller(header(request.scope, b"authorization")))
        limit, status = _limit(request), request.query_params.get("status", "open")
        if status not in STATUSES:
            near = did_you_mean(status, STATUSES)
            raise Problem(422, "schema.type", f"status is one of {one_of(STATUSES)}, not {status!r}{near}", "status")
        shards = container.rules.shards
        try:
            answer = await leads_answer(container.redis.ask, shards, container.basis, container.now(), limit, status)
        except StoreUnavailable:
            raise store_away() from None
        return Response(schemas.encode(answer), 200, {"cache-control": "no-store"}, "application/json")

    app.add_api_route("/v1/leads", leads, methods=["GET"], tags=["leads"], **_DESCRIBED)


def _limit(request: Request) -> int:
    written = request.query_params.get("limit", "50")
    if not written.isdecimal() or not 1 <= int(written) <= MOST_ANSWERED:
        raise Problem(422, "schema.type", f"limit is a whole number from 1 to {MOST_ANSWERED}", "limit")
    return int(written)
