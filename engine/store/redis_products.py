"""Products on Redis: facts by product, the order in which they changed, and prices that fell and are still to be told.

One script writes, whoever runs it: what was told later holds, so the same feed sent twice, late or by two processes comes to the
same. Who follows asks for what changed since a version (`changed_command`). A fall of a price is noted in the same step and
waits until somebody has told all shards (`Falls`).
"""

from collections.abc import Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final, cast

import msgspec
import redis
from redis.exceptions import RedisError

from engine.decisioning.shelf import Shelf
from engine.errors import StoredFormatError, StoreUnavailable
from engine.events.decode import time_of
from engine.events.prices import PriceDrop
from engine.events.products import ProductFacts, ProductUpserted
from engine.moments import DAY
from engine.shards.baskets import decode_basket
from engine.store import keys

UPSERT: Final = files("engine.store").joinpath("lua/product_upsert.lua").read_text()
_SHA: Final = sha1(UPSERT.encode(), usedforsecurity=False).hexdigest()
FALLS_KEPT_MS: Final = 2 * DAY
"""A fall of a price that nobody told in that time is no news any more."""
_FACTS = msgspec.json.Decoder(ProductFacts)
Word = bytes | str | int


class Held(msgspec.Struct, frozen=True):
    """A product as it is held, and when it was told."""

    facts: ProductFacts
    at: int


def upsert_command(event: ProductUpserted, now: int) -> tuple[Word, ...]:
    """Takes a product over where nothing newer is held. `now` is the server's clock."""
    facts, names = event.data, (keys.PRODUCTS, keys.PRODUCTS_CHANGED, keys.PRODUCTS_VERSION, keys.PRICE_FALLS)
    told = (facts.product_id, time_of(event), facts.price, facts.currency, msgspec.json.encode(facts))
    return ("EVALSHA", _SHA, len(names), *names, *told, max(now - FALLS_KEPT_MS, 0))


def product_command(product_id: str) -> tuple[Word, ...]:
    """Asks for one product."""
    return ("HGET", keys.PRODUCTS, product_id)


def products_command(names: Sequence[bytes]) -> tuple[Word, ...]:
    """Asks for several, in order."""
    return ("HMGET", keys.PRODUCTS, *names)


def changed_command(version: int, most: int) -> tuple[Word, ...]:
    """Asks which products changed after a version, the first `most`, each with its own version behind it."""
    return ("ZRANGEBYSCORE", keys.PRODUCTS_CHANGED, f"({version}", "+inf", "WITHSCORES", "LIMIT", 0, most)


def count_command() -> tuple[Word, ...]:
    """Asks how many products are known."""
    return ("HLEN", keys.PRODUCTS)


def decode_product(raw: bytes) -> Held:
    """Raises `StoredFormatError`."""
    try:
        at, _, _, facts = raw.split(b"|", 3)
        return Held(_FACTS.decode(facts), int(at))
    except (ValueError, msgspec.MsgspecError) as error:
        raise StoredFormatError(keys.PRODUCTS, str(error)) from error


class Fall(msgspec.Struct, frozen=True):
    """A price that fell, when, and its name in the stream."""

    name: str
    drop: PriceDrop
    at: int


class Falls:
    """Prices that fell, over the connection of another adapter. Every failure to reach Redis is a `StoreUnavailable`."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def waiting(self, most: int) -> list[Fall]:
        """The oldest that nobody has told yet."""
        try:
            found = cast("list[tuple[bytes, dict[bytes, bytes]]]", self._client.xrange(keys.PRICE_FALLS, count=most))
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
        return [_fall(name.decode(), fields) for name, fields in found]

    def told(self, falls: Sequence[Fall]) -> None:
        """They are known to all shards."""
        if not falls:
            return
        try:
            self._client.xdel(keys.PRICE_FALLS, *(fall.name for fall in falls))
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error


def count_basket(shelf: Shelf, line: bytes) -> None:
    """Counts what a shard told, or takes back what it had told before."""
    basket = decode_basket(line)
    if basket.taken_back:
        shelf.together.take_back(basket.products)
    else:
        shelf.together.add(basket.products, basket.gaps)


def read_shelf(url: str, shards: int) -> Shelf:
    """All products and baskets as they are now. Raises `StoreUnavailable`."""
    shelf = Shelf()
    try:
        with redis.Redis.from_url(url, socket_timeout=30.0) as client:
            for _, raw in client.hscan_iter(keys.PRODUCTS, count=1000):
                shelf.take(decode_product(raw).facts)
            for shard in range(shards):
                entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrange(keys.baskets(shard)))
                for _, fields in entries:
                    count_basket(shelf, fields[b"b"])
    except (RedisError, OSError) as error:
        raise StoreUnavailable(str(error)) from error
    return shelf


def _fall(name: str, fields: dict[bytes, Any]) -> Fall:
    drop = PriceDrop(
        product_id=fields[b"p"].decode(), price=int(fields[b"n"]), was=int(fields[b"w"]), currency=fields[b"c"].decode()
    )
    return Fall(name, drop, int(fields[b"t"]))
