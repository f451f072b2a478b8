"""`/v1/catalogue`: the files that decide what is offered, read and replaced."""

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from api import schemas
from api.access import need_secret
from api.catalogue import CatalogueAnswer, etag, file_of, proposed, replaced, shown
from api.container import Container
from api.requests import body_of, header

_NO_STORE = {"cache-control": "no-store"}


def add_routes(app: FastAPI, container: Container) -> None:
    """Puts the catalogue routes on the application."""

    async def get(request: Request) -> Response:
        """The files of the catalogue as they stand, what is served of them, and since when."""
        need_secret(container.access.caller(header(request.scope, b"authorization")))
        answer = await shown(container.catalogue, container.activation.active)
        headers = {**_NO_STORE, "ETag": etag(answer.tag)}
        if header(request.scope, b"if-none-match") == headers["ETag"]:
            return Response(b"", 304, headers)
        file = request.query_params.get("file")
        if file is not None:
            return Response(file_of(answer, file).encode(), 200, headers, "application/yaml")
        return _told(answer)

    async def put(request: Request) -> Response:
        """Put another catalogue in its place. It is checked first: with any mistake nothing is written."""
        need_secret(container.access.caller(header(request.scope, b"authorization")))
        wanted = proposed(await body_of(request, container.settings.max_body_bytes))
        await replaced(container.catalogue, wanted, header(request.scope, b"if-match"))
        await container.reload()
        return _told(await shown(container.catalogue, container.activation.active))

    described = schemas.CATALOGUE
    app.add_api_route("/v1/catalogue", get, methods=["GET"], tags=["catalogue"], **described.get)
    app.add_api_route("/v1/catalogue", put, methods=["PUT"], tags=["catalogue"], **described.put)


def _told(answer: CatalogueAnswer) -> Response:
    return Response(schemas.encode(answer), 200, {**_NO_STORE, "ETag": etag(answer.tag)}, "application/json")
