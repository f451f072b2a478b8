"""`/livez`, `/readyz` and `/metrics`: for supervisors and dashboards, without a key and without a customer."""

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from api import schemas
from api.container import Container
from api.metrics import EXPOSITION_TYPE, exposition

_NO_STORE = {"cache-control": "no-store"}


def add_routes(app: FastAPI, container: Container) -> None:
    """Puts the operating routes on the application."""

    async def livez(_: Request) -> Response:
        """The process answers."""
        return Response(b'{"alive": true}', 200, _NO_STORE, "application/json")

    async def readyz(_: Request) -> Response:
        """Whether requests can be served, and what is missing or wants looking at."""
        ready, body = container.readiness()
        if not ready:
            # What was missing at the last look may have come since, and workers must not disagree about it.
            await container.health.look()
            ready, body = container.readiness()
        return Response(orjson.dumps(body), 200 if ready else 503, _NO_STORE, "application/json")

    async def metrics(_: Request) -> Response:
        """Prometheus exposition of all processes."""
        return Response(exposition(container.metrics.registry, container.gauges), headers={"content-type": EXPOSITION_TYPE})

    described = schemas.OPERATING
    app.add_api_route("/livez", livez, methods=["GET"], tags=["operating"], **described.livez)
    app.add_api_route("/readyz", readyz, methods=["GET"], tags=["operating"], **described.readyz)
    app.add_api_route("/metrics", metrics, methods=["GET"], tags=["operating"], **described.metrics)
