"""Who has looked at what lately, for as long as news of its price may interest them.

A look is an alarm: it ends by itself after `WATCHED_MS`, is durable with the shard, and is forgotten with the customer. Looks are
kept only while some trigger starts from `price_dropped`, and only of customers who can be written to.
"""

from collections.abc import Iterator

from engine.events.base import Event
from engine.events.clickstream import ProductAdded, ProductViewed
from engine.events.orders import OrderCompleted
from engine.events.roster import TYPES
from engine.ids import digest_of
from engine.moments import DAY
from engine.shards.alarms import Alarms
from engine.shards.timers import Timers, watch_tag

WATCHED_MS = 14 * DAY
LOOKS = frozenset(name for name, kind in TYPES.items() if issubclass(kind, ProductViewed | ProductAdded | OrderCompleted))
"""Types that begin a look or end it."""
_REACHABLE = ("u:", "l:")


def digest_for(product_id: str) -> str:
    """A product's name inside a tag, whatever its id holds."""
    return digest_of(product_id.encode()).hex()


class Watching:
    """The looks of a shard's customers while one batch is folded."""

    def __init__(self, timers: Timers, alarms: Alarms, lateness_ms: int) -> None:
        self._timers, self._alarms, self._lateness_ms = timers, alarms, lateness_ms

    def happened(self, customer: str, event: Event, at: int) -> None:
        """A look lasts from its event on; what is bought is looked at no longer."""
        if isinstance(event, ProductViewed | ProductAdded):
            if event.data.product_id and customer.startswith(_REACHABLE):
                tag = watch_tag(digest_for(event.data.product_id), customer)
                self._alarms.set(tag, at + WATCHED_MS - self._lateness_ms)
        elif isinstance(event, OrderCompleted):
            for product in _products(event):
                tag = watch_tag(digest_for(product), customer)
                if tag in self._alarms:
                    self._alarms.drop(tag)

    def of(self, product_id: str, before: int) -> Iterator[str]:
        """Customers whose last look at a product was before an instant and not too long ago, in order."""
        name = digest_for(product_id)
        for customer in self._timers.watching(name):
            ends = (self._timers.due_at(watch_tag(name, customer)) or 0) + self._lateness_ms
            if ends - WATCHED_MS < before <= ends:
                yield customer


def _products(event: OrderCompleted) -> Iterator[str]:
    return (line.product_id for line in event.data.products if line.product_id)
