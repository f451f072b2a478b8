"""One attempt at a webhook: the signed request, and what its answer means.

Signed as the open Standard Webhooks specification says, so a receiver checks it with a library it can find for any language:
HMAC-SHA256 over `id.timestamp.body`, in base64, with the timestamp beside it so that an old request cannot be played again.
The id is that of the action in every attempt, and stands in `Idempotency-Key` as well.
"""

import base64
import binascii
import hmac
import http.client
import ssl
from collections.abc import Mapping
from hashlib import sha256
from typing import Final, Literal
from urllib.parse import urlsplit

from msgspec import Struct

from engine.errors import RegularsError

Meaning = Literal["acknowledged", "try_again", "refused"]
_TRY_AGAIN: Final = frozenset({408, 409, 421, 425, 429})
_MOST_READ: Final = 65_536
_LONGEST_TOLD_PAUSE_S: Final = 3_600.0


class Told(Struct, frozen=True):
    """What an attempt came to. `status` is 0 without an answer; `wait_s` is a pause that the receiver asks for."""

    meaning: Meaning
    status: int = 0
    detail: str = ""
    wait_s: float = 0.0


def signature(secret: str, name: str, timestamp_s: int, body: bytes) -> str:
    """The `webhook-signature` header. A secret `whsec_…` is base64, as the specification writes them; any other is its text."""
    signed = hmac.new(secret_bytes(secret), f"{name}.{timestamp_s}.".encode() + body, sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def secret_bytes(secret: str) -> bytes:
    """The key that is meant by a written secret."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            raise RegularsError("a secret that begins with whsec_ goes on in base64") from None
    return secret.encode()


class Webhook:
    """A receiver's address and its secret, over one kept connection. Not for two threads at once."""

    def __init__(self, url: str, secret: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RegularsError(f"{url!r} is no address of a webhook such as https://crm.example/hooks/regulars")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._secret = secret
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None
        secret_bytes(secret)

    def post(self, name: str, body: bytes, timestamp_s: int) -> Told:
        """One attempt. Never raises for what a network or a receiver does."""
        headers = {
            "content-type": "application/json",
            "user-agent": "Regulars",
            "idempotency-key": name,
            "webhook-id": name,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": signature(self._secret, name, timestamp_s, body),
        }
        try:
            return self._once(body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return Told("try_again", detail=str(error) or type(error).__name__)

    def close(self) -> None:
        """Drops the connection; the next attempt makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _once(self, body: bytes, headers: Mapping[str, str]) -> Told:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request("POST", self._path, body, dict(headers))
        response = self._connection.getresponse()
        content = response.read(_MOST_READ)
        if response.will_close or not response.isclosed():
            self.close()
        status = response.status
        if 200 <= status < 300:
            return Told("acknowledged", status)
        detail = content[:200].decode(errors="replace")
        if status >= 500 or status in _TRY_AGAIN:
            return Told("try_again", status, detail, _seconds(response.headers.get("retry-after")))
        return Told("refused", status, detail)

    def _connect(self) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)


def _seconds(header: str | None) -> float:
    """A Retry-After in seconds; its other form, a date, reads as not told."""
    try:
        return min(max(float(header or 0.0), 0.0), _LONGEST_TOLD_PAUSE_S)
    except ValueError:
        return 0.0
