"""What a unit costs the shop, put on the lines of sales and returns as they come in.

It is put there once, at the door, so whoever folds the log later, or again, works with what held then. What the sender says of a
line's cost stays as it is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from engine.events.base import Event, Product
from engine.events.orders import OrderCompleted, OrderRefunded
from engine.events.pos import PosReturnCompleted, PosTransactionCompleted

Costs = dict[str, tuple[int, str]]
"""By product: minor units, and the currency they are of."""
NO_COSTS: Mapping[str, tuple[int, str]] = {}


def with_costs(event: Event, costs: Mapping[str, tuple[int, str]]) -> Event:
    """The event with the costs of its lines, where they are known; any other event is left as it is."""
    if not costs:
        return event
    match event:
        case OrderCompleted() | OrderRefunded():
            products = _costed(event.data.products, event.data.currency, costs)
            return event if products is event.data.products else replace(event, data=replace(event.data, products=products))
        case PosTransactionCompleted() | PosReturnCompleted():
            lines = _costed(event.data.lines, event.data.currency, costs)
            return event if lines is event.data.lines else replace(event, data=replace(event.data, lines=lines))
        case _:
            return event


def _costed(lines: Any, currency: str | None, costs: Mapping[str, tuple[int, str]]) -> Any:
    known: Sequence[Product] = lines
    found = [costs.get(line.product_id or "") if line.unit_cost is None else None for line in known]
    if not any(cost is not None and cost[1] == currency for cost in found):
        return lines
    return tuple(
        replace(line, unit_cost=cost[0]) if cost is not None and cost[1] == currency else line
        for line, cost in zip(known, found, strict=True)
    )
