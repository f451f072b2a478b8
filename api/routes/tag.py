"""`GET /v1/tag.js`: the web tag, as it is written, for any page that names it in a script element."""

import gzip
from hashlib import blake2b
from importlib.resources import files
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from api import schemas
from api.container import Container
from api.requests import header

KEPT_S: Final = 3600
"""How long a browser keeps it without asking; then the ETag tells it in few bytes that nothing is new."""
MEDIA_TYPE: Final = "text/javascript; charset=utf-8"


def source() -> bytes:
    """The tag's own text."""
    return files("api").joinpath("static", "tag.js").read_bytes()


def packed(script: bytes) -> bytes:
    """As it travels: the same bytes for the same text, whenever it is packed."""
    return gzip.compress(script, 9, mtime=0)


def add_routes(app: FastAPI, container: Container) -> None:  # noqa: ARG001 (the tag is the same for everybody)
    """Puts the tag on the application."""
    script = source()
    small = packed(script)
    headers = {
        "etag": f'W/"{blake2b(script, digest_size=12).hexdigest()}"',
        "cache-control": f"public, max-age={KEPT_S}, stale-while-revalidate=86400",
        "vary": "accept-encoding",
        # It holds nothing of anybody and reads no cookie: every page may load it, also with an integrity check.
        "access-control-allow-origin": "*",
        "cross-origin-resource-policy": "cross-origin",
        "x-content-type-options": "nosniff",
    }

    async def tag(request: Request) -> Response:
        """The web tag: events out, offers in, with one script element."""
        scope = request.scope
        if headers["etag"] in header(scope, b"if-none-match"):
            return Response(status_code=304, headers=headers)
        if "gzip" in header(scope, b"accept-encoding"):
            return Response(small, 200, {**headers, "content-encoding": "gzip"}, MEDIA_TYPE)
        return Response(script, 200, headers, MEDIA_TYPE)

    app.add_api_route("/v1/tag.js", tag, methods=["GET"], tags=["web"], **schemas.WEB.tag)
