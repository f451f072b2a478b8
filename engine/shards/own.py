"""Events that a shard tells of a customer by itself, under the engine's own name."""

from typing import Any, Final

from engine.events.base import Event
from engine.events.routing import admitted
from engine.moments import moment
from engine.shards.commit import Outgoing

OURSELVES: Final = "regulars"
"""The source of events that the engine derives."""
IDENTITIES: Final = {"u": "user_id", "l": "loyalty_id", "a": "anonymous_id"}
"""By the kind of a customer's key, the field that names them."""


def own_event(
    kind: type[Event],
    event_type: str,
    name: str,
    key: str,
    shard: int,
    at: int,
    *,
    arrived: int = 0,
    live: bool = True,
    **body: Any,
) -> Outgoing:
    """An event of the customer under `key`, for the log of `shard`. `name` is the same whenever the same is told again."""
    body[IDENTITIES[key[0]]] = key[2:]
    event = kind(
        id=name,
        type=event_type,
        time=moment(at),
        source=OURSELVES,
        received_at=moment(max(arrived, at)),
        mode="live" if live else "backfill",
        **body,
    )
    ready = admitted(event)
    return Outgoing(shard, ready.key, ready.entry, ready.fingerprint)
