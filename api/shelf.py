"""The shelf of one process, kept up beside the requests: products that changed, and baskets told since the last look."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from engine.decisioning.shelf import Shelf
from engine.errors import StoreUnavailable
from engine.store import keys
from engine.store.redis_products import changed_command, count_basket, decode_product, products_command
from engine.store.redis_reader import Refused

Ask = Callable[..., Awaitable[list[Any]]]
AT_ONCE = 1_000
"""Products in one answer."""
EACH_SHARD = 50
"""Baskets of each shard in one answer."""
BREATH = 200
"""Baskets between which requests get their turn."""


class Goods:
    """Reads what is new into the shelf. `ask` sends commands to the store and gives their answers."""

    def __init__(self, ask: Ask, shards: int) -> None:
        self.shelf = Shelf()
        self._ask = ask
        self._version = 0
        self._read: dict[str, str] = {keys.baskets(shard): "0-0" for shard in range(shards)}

    async def look(self) -> None:
        """Takes over all that is new. Raises `StoreUnavailable`."""
        for more in (self._products, self._baskets):
            while await more():
                continue

    async def _products(self) -> bool:
        (changed,) = await self._ask([changed_command(self._version, AT_ONCE)])
        names, versions = _sound(changed)[::2], _sound(changed)[1::2]
        if not names:
            return False
        (held,) = await self._ask([products_command(names)])
        for raw in _sound(held):
            if isinstance(raw, bytes):
                self.shelf.take(decode_product(raw).facts)
        self._version = int(versions[-1])
        return len(names) == AT_ONCE

    async def _baskets(self) -> bool:
        (answer,) = await self._ask([("XREAD", "COUNT", EACH_SHARD, "STREAMS", *self._read, *self._read.values())])
        full, taken = False, 0
        for name, entries in _sound(answer) or ():
            for entry, fields in entries:
                count_basket(self.shelf, fields[1])
                self._read[name.decode()] = entry.decode()
                taken += 1
                if taken % BREATH == 0:
                    await asyncio.sleep(0)
            full = full or len(entries) == EACH_SHARD
        return full


def _sound(answer: Any) -> Any:
    if isinstance(answer, Refused):
        raise StoreUnavailable(str(answer))
    return answer
