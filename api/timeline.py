"""`GET /v1/customers/{id}/timeline`: the last touch points of a customer and of all their identities, newest first."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from msgspec import Struct

from api.customer_state import Known
from engine.errors import StoreUnavailable
from engine.events.decode import time_of
from engine.ids import shard_of
from engine.moments import rfc3339
from engine.shards.timeline import MOST_KEPT, TouchPoint, read_touch_point, touch_point
from engine.store import keys
from engine.store.redis_reader import Refused

Ask = Callable[[Sequence[Any]], Awaitable[list[Any]]]


class Line(Struct, frozen=True, omit_defaults=True):
    """One touch point; `ref` names the order, case, survey or offer that it is about."""

    at: str
    type: str
    words: str
    id: str
    channel: str = ""
    ref: str = ""


class TimelineAnswer(Struct, frozen=True):
    """`kept` is how many of each identity are kept at most."""

    events: list[Line]
    kept: int = MOST_KEPT


TIMELINE_EXAMPLE = {
    "events": [
        {
            "at": "2026-03-06T09:30:00.000Z",
            "type": "complaint_filed",
            "words": "complaint filed: damaged",
            "id": "e-9",
            "channel": "call_center",
            "ref": "k-1",
        },
        {
            "at": "2026-03-01T10:00:00.000Z",
            "type": "order_completed",
            "words": "order completed: 19.90 EUR",
            "id": "e-1",
            "channel": "web",
            "ref": "o-1",
        },
    ],
    "kept": MOST_KEPT,
}


async def touch_points(ask: Ask, shards: int, found: Known) -> list[TouchPoint]:
    """What is kept of all identities, with what is on its way, newest first. Raises `StoreUnavailable`."""
    names = sorted({found.profile.key, *found.profile.parts})
    held = await ask([("LRANGE", keys.timeline(shard_of(name, shards), name), 0, -1) for name in names])
    points: dict[tuple[str, int], TouchPoint] = {}
    for raw in held:
        if isinstance(raw, Refused):
            raise StoreUnavailable(str(raw))
        for line in map(read_touch_point, raw):
            points[line.id, line.at] = line
    for event in found.underway:
        told = touch_point(event, time_of(event))
        if told is not None:
            line = read_touch_point(told)
            points[line.id, line.at] = line
    return sorted(points.values(), key=lambda one: (-one.at, one.id))


def timeline_answer(points: Sequence[TouchPoint], limit: int) -> TimelineAnswer:
    """The answer to `GET /v1/customers/{id}/timeline`."""
    return TimelineAnswer([Line(rfc3339(one.at), one.type, one.words, one.id, one.channel, one.ref) for one in points[:limit]])
