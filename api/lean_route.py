"""A FastAPI route at the price of its handler.

The route is in the OpenAPI description like any other. Its handler takes the `Request` and returns a finished
`Response`, so there is nothing to solve, validate or serialise around it, and the exit stacks that dependencies need are not
opened.
"""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.problems import Problem, store_away
from engine.errors import StoreUnavailable

Handler = Callable[[Request], Awaitable[Response]]


class LeanRoute(APIRoute):
    """Answers a `Problem` with its document and an unreachable store with 503."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **described: Any) -> None:
        super().__init__(path, endpoint, **described)
        self.app = _answering(cast("Handler", endpoint))


def _answering(handler: Handler) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await handler(Request(scope, receive, send))
        except Problem as problem:
            response = problem.response()
        except StoreUnavailable:
            response = store_away().response()
        await response(scope, receive, send)

    return answer
