"""FastAPI routes at the price of their handlers.

A route is in the OpenAPI description like any other. Its handler takes the `Request` and returns a finished response,
so there is nothing to solve, validate or serialise around it, and the exit stacks that dependencies need are not opened.
Routes whose path has no parameters are found by one look into a table, before the framework's own search begins.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import Problem, store_away
from engine.errors import StoreUnavailable

Handler = Callable[[Request], Awaitable[ASGIApp]]


class JsonAnswer:
    """A JSON body on its way out, with the headers it always has."""

    def __init__(self, body: bytes, status: int = 200, no_store: bool = False) -> None:
        self.body = body
        self.status = status
        self.no_store = no_store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(self.body))]
        if self.no_store:
            headers.append((b"cache-control", b"no-store"))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


Reply = Callable[[JsonAnswer | BaseException], None]
"""Takes the answer to a request, or what went wrong with it; once."""
Direct = Callable[[bytes, str, Reply], None]
"""Answers a request from its body and its `Authorization`, without waiting."""


class LeanRoute(APIRoute):
    """Answers a `Problem` with its document and an unreachable store with 503."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **described: Any) -> None:
        super().__init__(path, endpoint, **{**described, "response_model": None})
        self.app = _answering(cast("Handler", endpoint))


class LeanApp(FastAPI):
    """An application that finds its busiest routes first; `complete` has the last word on its OpenAPI document."""

    direct: Mapping[bytes, Direct] = {}
    """By path, what answers plain requests on the way of `api.direct`."""

    def __init__(self, complete: Callable[[dict[str, Any]], dict[str, Any]], **described: Any) -> None:
        super().__init__(**described)
        self._complete = complete

    def openapi(self) -> dict[str, Any]:
        """The document, made when it is first asked for."""
        if self.openapi_schema is None:
            self.openapi_schema = self._complete(super().openapi())
        return self.openapi_schema

    def find_first(self, around: Callable[[ASGIApp], ASGIApp]) -> None:
        """Puts every route without parameters into the table; call it when all routes are there.

        `around` is put around them as middleware is around the rest.
        """
        self.table: dict[tuple[str, str], ASGIApp] = {
            (method, route.path): around(route.app)
            for route in self.router.routes
            if isinstance(route, LeanRoute) and "{" not in route.path
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            answer = self.table.get((scope["method"], scope["path"]))
            if answer is not None:
                await answer(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def _answering(handler: Handler) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await handler(Request(scope, receive, send))
        except Problem as problem:
            response = problem.response()
        except StoreUnavailable:
            response = store_away().response()
        await response(scope, receive, send)

    return answer
