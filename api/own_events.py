"""Events of the API's own making: what a customer or a clerk decided through it, on its way like any other."""

import os
from typing import Any

from api.container import Container
from api.items import Item
from api.problems import Problem
from engine.errors import Rejected
from engine.moments import rfc3339


def own_event(container: Container, kind: str, user_id: str, source: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
    """An event of this instant."""
    event = {
        "id": f"{kind.partition('_')[0]}-{os.urandom(10).hex()}",
        "type": kind,
        "time": rfc3339(container.now()),
        "user_id": user_id,
        "source": f"regulars://{source}",
    }
    return event if data is None else {**event, "data": data}


async def take(container: Container, events: list[dict[str, Any]]) -> None:
    """Accepts events of our own making; one that the door refuses is the caller's mistake."""
    caller = container.access.itself
    sent = container.door.sorted([Item(event) for event in events], container.now(), container.stores, False, caller)
    if sent.refused:
        why: Rejected = sent.refused[0][1]
        raise Problem(422, why.code, why.detail, why.field)
    await container.door.take(sent)
