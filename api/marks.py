"""What offer events tell the contact ledger: that an offer was seen, or taken.

The marks go out with the event's own append. An event whose decision nobody knows marks nothing and is an event all the
same. What an offer that was seen took of stock, codes and budget stays taken, under the name of the decision that reserved it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from engine.decisioning.ledger import REDEEMED, VIEWED
from engine.decisioning.pools import Pool
from engine.events.decode import arrival_of, time_of
from engine.events.offers import OfferSeen
from engine.events.routing import Admitted
from engine.ids import shard_of
from engine.moments import Millis
from engine.store.redis_ledger import queue_mark, queue_seen
from engine.store.redis_reader import Command, commands_of

_STATES: Mapping[str, int] = {
    "offer_viewed": VIEWED,
    "offer_clicked": VIEWED,
    "offer_accepted": REDEEMED,
    "offer_redeemed": REDEEMED,
}


class Mark(Struct, frozen=True):
    """An offer of a decision, as an event names it."""

    offer_id: str
    state: int
    at: Millis
    now: Millis
    """When it came in. A time of the sender's before that is taken, so that a decision about another time finds its own."""
    command: Command


def marks_of(admitted: Sequence[Admitted], shards: int) -> list[Mark]:
    """The marks of these events, in their order."""
    return [mark for one in admitted if (mark := _mark(one, shards)) is not None]


def _mark(admitted: Admitted, shards: int) -> Mark | None:
    event = admitted.event
    state = _STATES.get(event.type)
    if state is None or not isinstance(event, OfferSeen):
        return None
    offer_id = event.offer_id or str(event.data.get("offer_id", ""))
    if not offer_id:
        return None
    at = time_of(event)
    call = partial(
        queue_mark,
        shard=shard_of(admitted.key, shards),
        customer=admitted.key,
        decision_id=event.decision_id or str(event.data.get("decision_id", "")),
        offer_id=offer_id,
        placement=event.placement or str(event.data.get("placement", "")),
        state=state,
        at=at,
    )
    return Mark(offer_id, state, at, min(at, arrival_of(event) or at), commands_of(call)[0])


def keeps_of(marks: Sequence[Mark], answers: Sequence[Any], pools_of: Callable[[str], Sequence[Pool]]) -> list[Command]:
    """Commands that keep what was taken for what was seen, from the answers to the marks."""
    queued = [
        partial(
            queue_seen, pool=pool, decision_id=answer.decode(), offer_id=one.offer_id, state=one.state, at=one.at, now=one.now
        )
        for one, answer in zip(marks, answers, strict=True)
        if isinstance(answer, bytes) and answer
        for pool in pools_of(one.offer_id)
    ]
    return commands_of(*queued)
