"""What offer events tell the contact ledger: that an offer was seen, or taken.

The marks go out with the event's own append. One that fits nothing is tried again where the customer's other names are: who
was shown an offer may log in before it is seen. An event whose decision nobody knows marks nothing and is an event all the
same. What an offer that was seen took of stock, codes and budget stays taken, under the name of the decision that reserved it.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from msgspec import Struct

from engine.decisioning.ledger import REDEEMED, VIEWED
from engine.decisioning.pools import Pool
from engine.errors import StoredFormatError
from engine.events.decode import arrival_of, time_of
from engine.events.offers import OfferSeen
from engine.events.routing import Admitted
from engine.ids import shard_of
from engine.moments import Millis
from engine.store import keys
from engine.store.codec import decode_profile
from engine.store.redis_ledger import queue_mark, queue_seen
from engine.store.redis_reader import Command, commands_of

_NOWHERE = "-"
"""No placement bears this name."""
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
    admitted: Admitted


def marks_of(admitted: Sequence[Admitted], shards: int) -> list[Mark]:
    """The marks of these events, in their order."""
    return [mark for one in admitted if (mark := _mark(one, shards)) is not None]


def _mark(admitted: Admitted, shards: int, key: str = "", exactly: bool = False) -> Mark | None:
    """`key` is whose ledger it is, where that is not the event's own; `exactly`: only the decision that the event names."""
    key, event = key or admitted.key, admitted.event
    state = _STATES.get(event.type)
    if state is None or not isinstance(event, OfferSeen):
        return None
    offer_id = event.offer_id or str(event.data.get("offer_id", ""))
    if not offer_id:
        return None
    at = time_of(event)
    call = partial(
        queue_mark,
        shard=shard_of(key, shards),
        customer=key,
        decision_id=event.decision_id or str(event.data.get("decision_id", "")),
        offer_id=offer_id,
        placement=_NOWHERE if exactly else event.placement or str(event.data.get("placement", "")),
        state=state,
        at=at,
    )
    return Mark(offer_id, state, at, min(at, arrival_of(event) or at), commands_of(call)[0], admitted)


def missed(marks: Sequence[Mark], answers: Sequence[Any]) -> list[Mark]:
    """Marks that no ledger entry fits: the decision may have been made to the customer under another name."""
    return [one for one, answer in zip(marks, answers, strict=True) if answer in (b"", "")]


def where_kept(marks: Sequence[Mark], shards: int) -> list[Command]:
    """Commands that read, for each mark, the profile of the event's own key: it may have moved."""
    return [("GET", keys.profile(shard_of(one.admitted.key, shards), one.admitted.key)) for one in marks]


def elsewhere(marks: Sequence[Mark], profiles: Sequence[Any], shards: int) -> list[Mark]:
    """The marks again: for who the event's identity belongs to, and for the other identities that it names."""
    found: list[Mark | None] = []
    for one, stored in zip(marks, profiles, strict=True):
        own, event = one.admitted.key, one.admitted.event
        to = _moved_to(own, stored)
        named = [f"{kind}:{name}" for kind, name in (("l", event.loyalty_id), ("a", event.anonymous_id)) if name]
        found += [_mark(one.admitted, shards, to)] if to else []
        found += [_mark(one.admitted, shards, key, exactly=True) for key in named if key != own]
    return [one for one in found if one is not None]


def _moved_to(key: str, stored: Any) -> str:
    if not isinstance(stored, bytes) or key.startswith("u:"):
        return ""
    with suppress(StoredFormatError):
        return decode_profile(key, stored).moved_to
    return ""


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
