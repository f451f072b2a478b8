"""What goes wrong in a request, as RFC 9457 `application/problem+json`."""

from http import HTTPStatus

import orjson
from starlette.responses import Response

from engine.errors import RegularsError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1


class Problem(RegularsError):
    """A request that is answered with an error. `code` is stable; `field` is a path into the body, or a parameter."""

    def __init__(
        self, status: int, code: str, detail: str, field: str = "", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field
        self.headers = headers or {}

    def response(self) -> Response:
        """The answer to send."""
        body: dict[str, object] = {
            "type": f"urn:regulars:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        if self.field:
            body["field"] = self.field
        return Response(orjson.dumps(body), self.status, self.headers, MEDIA_TYPE)


def store_away() -> Problem:
    """Redis is away: nothing is known to have happened, so send it again."""
    return Problem(
        503,
        "store.unavailable",
        "the store does not answer; send the same again, it counts once",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


def broken() -> Problem:
    """A fault of ours, of which the log tells more."""
    return Problem(500, "server.error", "this is a fault of the server; it has been logged")


def too_large(limit: int) -> Problem:
    """The body is beyond the limit."""
    return Problem(413, "body.too_large", f"a body is at most {limit} bytes")
