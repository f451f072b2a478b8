"""Finding a customer by what a caller at the service desk says: an e-mail address or a phone number.

Neither is held anywhere. The door makes a keyed hash of each before the event is stored, with the installation's salt, so what
Redis holds can be compared and not read. Only bytes that were refused keep an address, as dead letters, as long as those stay.
"""

import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from engine.errors import StoreUnavailable
from engine.ids import CustomerKey, erased_name
from engine.store import keys
from engine.store.redis_reader import Refused

Ask = Callable[[Sequence[Any]], Awaitable[list[Any]]]
_KINDS = {
    **dict.fromkeys(("email", "mail", "emailaddress"), "email"),
    **dict.fromkeys(("phone", "phonenumber", "mobile", "telephone"), "phone"),
}
_IDENTITIES = {"u": "user_id", "l": "loyalty_id", "a": "anonymous_id"}


class FindRequest(Struct, frozen=True):
    """The body of `POST /v1/customers/find`: one of the two, or both."""

    email: str | None = None
    phone: str | None = None


class FindAnswer(Struct, frozen=True):
    """Customers who are reached there, each by the name it is kept under."""

    customers: list[dict[str, str]]


FIND_EXAMPLE = {"customers": [{"user_id": "u-42"}]}


def normalised(kind: str, address: str) -> str:
    """How an address is compared: e-mail in small letters; of a phone number the digits, without 00 or + before the country."""
    if kind == "email":
        return address.strip().casefold()
    plain = address.strip().replace("(0)", "")
    digits = re.sub(r"\D", "", plain)
    return digits[2:] if digits.startswith("00") else digits


class Addresses:
    """Hashes addresses. Until the salt is known nothing can be stored either, so no event slips through without."""

    def __init__(self) -> None:
        self._salt = b""

    async def look(self, ask: Ask) -> None:
        """Take the installation's salt, or be the first to make one. Raises `StoreUnavailable`."""
        if self._salt:
            return
        _, salt = await ask([("HSETNX", keys.META, "salt", os.urandom(32)), ("HGET", keys.META, "salt")])
        if isinstance(salt, bytes):
            self._salt = salt

    def digest(self, kind: str, address: str) -> str:
        """The keyed hash of an address; empty where nothing is left of it."""
        plain = normalised(kind, address)
        return erased_name(f"{kind}:{plain}", self._salt).hex() if plain else ""

    def hashed(self, body: object) -> object:
        """An event as it may be stored: who is identified in it is found by hash. Hashes that a sender made are dropped."""
        if not isinstance(body, dict) or body.get("type") != "customer_identified" or not isinstance(body.get("data"), dict):
            return body
        data = {name: value for name, value in body["data"].items() if name != "reached_by"}
        found = {**self._in(data.get("extra")), **self._in(data)}
        return {**body, "data": {**data, "reached_by": found} if found else data}

    def _in(self, traits: object) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, value in traits.items() if isinstance(traits, Mapping) else ():
            kind = _KINDS.get(re.sub(r"[^a-z]", "", str(name).lower()))
            if kind is not None and (value is None or isinstance(value, str)):
                found[kind] = self.digest(kind, value) if value else ""
        return found

    async def find(self, ask: Ask, shards: int, wanted: FindRequest) -> list[CustomerKey]:
        """Who is reached at all the addresses given. Raises `StoreUnavailable`."""
        await self.look(ask)
        answers: list[set[str]] = []
        for kind in ("email", "phone"):
            address = getattr(wanted, kind)
            if address:
                digest = self.digest(kind, address)
                held = await ask([("SMEMBERS", keys.reached(shard, digest)) for shard in range(shards)])
                answers.append({name.decode() for members in held for name in _members(members)})
        return [CustomerKey(name) for name in sorted(set.intersection(*answers))] if answers else []


def _members(answer: Any) -> list[bytes]:
    if isinstance(answer, Refused):
        raise StoreUnavailable(str(answer))
    return list(answer)


def named(key: CustomerKey) -> dict[str, str]:
    """A customer's key as callers name them."""
    kind, _, name = key.partition(":")
    return {_IDENTITIES[kind]: name}
