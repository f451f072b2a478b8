"""Links with which customers reach the page of their own choices: signed, and good for a while.

A token names the customer and its end and carries an HMAC-SHA256 of both under a secret of the installation, so nobody can
make one for somebody else, and nothing has to be stored for one. Who holds the link holds the choice, as with any mailed
link; the page shows no more than the choices themselves.
"""

import hmac
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from hashlib import sha256

from msgspec import Struct

from api.privacy import Ask
from engine.ids import CustomerKey
from engine.moments import Millis
from engine.store import keys

_FOR = b"preferences\x00"
_SEAL = 24
"""Bytes of the signature that a token carries: 192 bits."""
MOST_TOKEN = 400


class Link(Struct, frozen=True):
    """Whose choices, and until when."""

    customer: CustomerKey
    until: Millis


async def secret_of(ask: Ask) -> bytes:
    """The installation's secret for links; made when it is first asked for."""
    _, secret = await ask([("HSETNX", keys.META, "links", os.urandom(32)), ("HGET", keys.META, "links")])
    return bytes(secret)


def token_of(link: Link, secret: bytes) -> str:
    """The link as the last part of an address."""
    said = f"{link.until:x}.{link.customer}".encode()
    return urlsafe_b64encode(_seal(said, secret) + said).rstrip(b"=").decode()


def link_in(token: str, secret: bytes) -> Link | None:
    """What a token says; None where it is not one of ours. Whether it is still good is for the caller to see."""
    if len(token) > MOST_TOKEN:
        return None
    try:
        raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        seal, said = raw[:_SEAL], raw[_SEAL:]
        if not hmac.compare_digest(seal, _seal(said, secret)):
            return None
        until, _, customer = said.decode().partition(".")
        return Link(CustomerKey(customer), Millis(int(until, 16)))
    except (Error, ValueError):
        return None


def _seal(said: bytes, secret: bytes) -> bytes:
    return hmac.new(secret, _FOR + said, sha256).digest()[:_SEAL]
