"""Prices that fell, told to all shards: who looked at the product may be in any of them.

The store notes a fall in the step in which it takes the new price over, and it waits there until it is told, so a crash in
between tells it later, or twice, which counts once. Where no trigger starts from it nobody has to be told.
"""

import logging
from collections.abc import Callable

from engine.decisioning.triggers import PRICE_DROPPED
from engine.events.announcing import price_drop
from engine.store.redis_facts import RedisFacts
from engine.store.redis_products import Falls

_LOG = logging.getLogger("regulars.act")
AT_ONCE = 100


class PriceNews:
    """Tells what fell. `starts` says whether anything starts from an event of a type."""

    def __init__(self, falls: Falls, facts: RedisFacts, starts: Callable[[str], bool]) -> None:
        self._falls, self._facts, self._starts = falls, facts, starts

    def look(self) -> int:
        """Tell all that fell since the last look; how many prices that were."""
        told = 0
        while waiting := self._falls.waiting(AT_ONCE):
            if self._starts(PRICE_DROPPED):
                for fall in waiting:
                    drop = fall.drop
                    self._facts.announce(price_drop(drop.product_id, drop.was, drop.price, drop.currency, fall.at))
                told += len(waiting)
            self._falls.told(waiting)
        if told:
            _LOG.info("the shards are told prices that fell", extra={"products": told})
        return told
