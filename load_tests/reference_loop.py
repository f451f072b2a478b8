"""The yardstick of the benchmarks: the least that any engine in Python has to do with an event. It never changes.

Parse the JSON, find the customer, add up count, spend and categories in dicts: no duplicates, no time, no labels, no
storage. What others do in an event is told in multiples of this, so that figures of different days and machines compare.
"""

from collections.abc import Sequence
from typing import Any

import orjson


def reference_loop(events: Sequence[bytes]) -> dict[str, dict[str, Any]]:
    """Customers after all events, each with `count`, `spend`, `last` and `categories`."""
    customers: dict[str, dict[str, Any]] = {}
    for raw in events:
        event = orjson.loads(raw)
        customer = customers.get(event["user_id"])
        if customer is None:
            customer = customers[event["user_id"]] = {"count": 0, "spend": 0, "last": "", "categories": {}}
        customer["count"] += 1
        customer["last"] = event["time"]
        categories = customer["categories"]
        data = event.get("data", {})
        if event["type"] == "order_completed":
            customer["spend"] += data["total"]
            for line in data["products"]:
                categories[line["category"]] = categories.get(line["category"], 0) + 1
        elif "category" in data:
            categories[data["category"]] = categories.get(data["category"], 0) + 1
    return customers
