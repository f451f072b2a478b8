"""Bodies and headers of requests, read at the cost of reading them."""

from starlette.requests import Request
from starlette.types import Receive, Scope

from api.problems import Problem, too_large


def header(scope: Scope, name: bytes) -> str:
    """The first header of a lower-case name, or ""."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return ""


async def body_of(request: Request, limit: int) -> bytes:
    """The whole body. Raises 413 as soon as it is known to be over the limit."""
    declared = header(request.scope, b"content-length")
    if declared.isdigit() and int(declared) > limit:
        raise too_large(limit)
    return await _received(request.receive, limit)


async def _received(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "body.incomplete", "the body ended early")
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise too_large(limit)
        if not message.get("more_body", False):
            return part if not parts else b"".join([*parts, part])
        parts.append(part)
