"""Bodies and headers of requests, read at the cost of reading them."""

import zlib

from starlette.requests import Request
from starlette.types import Receive, Scope

from api.problems import Problem, too_large

GZIP = ("gzip", "x-gzip")
_MOST_MEMBERS = 100
"""A client packs a body in one piece. Looking for the next piece costs a copy of all that is left."""
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def header(scope: Scope, name: bytes) -> str:
    """The first header of a lower-case name, or ""."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return ""


async def body_of(request: Request, limit: int) -> bytes:
    """The whole body, unpacked where it came packed. Raises 413 as soon as it is known to be over the limit, either way."""
    declared = header(request.scope, b"content-length")
    if declared.isdigit() and int(declared) > limit:
        raise too_large(limit)
    body = await _received(request.receive, limit)
    encoding = header(request.scope, b"content-encoding")
    return unpacked(body, encoding.strip().lower(), limit) if encoding else body


def unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """A body without its encoding. No more than `limit` bytes are ever unpacked, however many are inside."""
    if encoding in ("", "identity") or not body:
        return body
    if encoding not in GZIP:
        raise Problem(415, "body.encoding", "a body comes as it is, or gzip", "Content-Encoding", {"Accept-Encoding": "gzip"})
    parts: list[bytes] = []
    room = limit + 1
    rest = body
    for _ in range(_MOST_MEMBERS):
        reader = zlib.decompressobj(_GZIP_WINDOW)
        try:
            part = reader.decompress(rest, room)
        except zlib.error as error:
            raise Problem(400, "body.not_gzip", f"the body says it is gzip and is not: {error}") from None
        room -= len(part)
        if room <= 0:
            raise too_large(limit)
        if not reader.eof:
            raise Problem(400, "body.not_gzip", "the packed body ended early")
        parts.append(part)
        rest = reader.unused_data
        if not rest:
            return b"".join(parts)
    raise Problem(400, "body.not_gzip", f"a packed body is of at most {_MOST_MEMBERS} members")


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
