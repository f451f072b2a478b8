"""`/v1/insights`: what personalization adds, why customers leave, where they stand. Numbers of groups, never of one customer."""

import logging

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from api import schemas
from api.access import need_secret
from api.campaigns import campaigns_answer, campaigns_known, read_figures
from api.container import Container
from api.departures import churn_answer
from api.insights import campaigns_with, lift_answer, read_sums
from api.problems import Problem, store_away
from api.requests import header
from api.segments import read_groups, segments_answer
from config.mistakes import did_you_mean
from engine.errors import StoreUnavailable
from engine.models.defection import DEFECTION
from engine.models.snapshot import SnapshotMismatch, decode_snapshot
from engine.store import keys

log = logging.getLogger(__name__)

_MEDIA_TYPE = "application/json"
_NO_STORE = {"cache-control": "no-store"}


def add_routes(app: FastAPI, container: Container) -> None:
    """Puts the insight routes on the application."""

    async def lift(request: Request) -> Response:
        """What customers spend who get personal offers, beside those held out; by campaign, with an interval."""
        need_secret(container.access.caller(header(request.scope, b"authorization")))
        try:
            sums = await read_sums(container.redis.ask, container.rules.shards)
        except StoreUnavailable:
            raise store_away() from None
        loaded = container.basis.loaded
        wanted = request.query_params.get("campaign")
        known = campaigns_with(sums, loaded.catalogue)
        if wanted is not None and wanted not in known:
            near = did_you_mean(wanted, known)
            raise Problem(404, "campaign.unknown", f"there is no campaign {wanted!r}{near}", "campaign")
        answer = lift_answer(sums, loaded.catalogue, loaded.policy, container.now(), wanted)
        return Response(schemas.encode(answer), 200, _NO_STORE, _MEDIA_TYPE)

    async def churn(request: Request) -> Response:
        """What had moved with customers who then stayed away, beside those who came again; by what they used to spend."""
        need_secret(container.access.caller(header(request.scope, b"authorization")))
        try:
            sealed = await container.redis.value("GET", keys.snapshot(DEFECTION))
        except StoreUnavailable:
            raise store_away() from None
        horizon = float(container.basis.loaded.policy.churn.horizon_days)
        try:
            answer = churn_answer(decode_snapshot(sealed) if sealed else None, horizon, container.now())
        except SnapshotMismatch as mismatch:
            log.error("an insight cannot be read", extra={"model": DEFECTION, "error": str(mismatch)})
            answer = churn_answer(None, horizon, container.now())
        return Response(schemas.encode(answer), 200, _NO_STORE, _MEDIA_TYPE)

    async def segments(request: Request) -> Response:
        """How many customers are heavy, moderate, light, among the best, and at which stage of their time with the shop."""
        need_secret(container.access.caller(header(request.scope, b"authorization")))
        try:
            groups = await read_groups(container.redis.ask, container.rules.shards)
        except StoreUnavailable:
            raise store_away() from None
        answer = segments_answer(groups, container.basis.value.cuts, container.now())
        return Response(schemas.encode(answer), 200, _NO_STORE, _MEDIA_TYPE)

    async def campaigns(request: Request) -> Response:
        """What campaigns do: whom they reach, what becomes of their offers, what they cost and what they add."""
        need_secret(container.access.caller(header(request.scope, b"authorization")))
        loaded, shards = container.basis.loaded, container.rules.shards
        try:
            figures = await read_figures(container.redis.ask, shards, loaded.catalogue, container.now())
            sums = await read_sums(container.redis.ask, shards)
        except StoreUnavailable:
            raise store_away() from None
        wanted = request.path_params.get("id")
        known = campaigns_known(figures, loaded.catalogue)
        if wanted is not None and wanted not in known:
            near = did_you_mean(wanted, known)
            raise Problem(404, "campaign.unknown", f"there is no campaign {wanted!r}{near}", "id")
        answer = campaigns_answer(figures, sums, loaded.catalogue, loaded.policy, container.now(), wanted)
        body = schemas.encode(answer if wanted is None else answer.campaigns[0])
        return Response(body, 200, _NO_STORE, _MEDIA_TYPE)

    described = schemas.INSIGHTS
    app.add_api_route("/v1/insights/campaigns", campaigns, methods=["GET"], tags=["insights"], **described.campaigns)
    app.add_api_route("/v1/insights/campaigns/{id}", campaigns, methods=["GET"], tags=["insights"], **described.campaign)
    app.add_api_route("/v1/insights/churn", churn, methods=["GET"], tags=["insights"], **described.churn)
    app.add_api_route("/v1/insights/lift", lift, methods=["GET"], tags=["insights"], **described.lift)
    app.add_api_route("/v1/insights/segments", segments, methods=["GET"], tags=["insights"], **described.segments)
