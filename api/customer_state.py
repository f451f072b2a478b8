"""A customer as a decision must see them: the stored profile with what is still on its way to it."""

from collections.abc import Iterable

from msgspec import Struct

from engine.decisioning.ledger import EMPTY, Ledger, decode_ledger
from engine.errors import Rejected
from engine.events.base import Event
from engine.events.consent import ErasureRequested
from engine.events.decode import decode_canonical
from engine.ids import CustomerKey
from engine.profiles.profile import Profile
from engine.store import keys
from engine.store.codec import decode_profile
from engine.store.redis_reader import pending_lines


class Known(Struct, frozen=True):
    """What the store said, folded. Nobody known is an empty profile; `erased` says that they asked to be forgotten."""

    profile: Profile
    ledger: Ledger = EMPTY
    erased: bool = False


def names_of(shard: int, key: CustomerKey) -> tuple[str, str, str]:
    """The keys to read together, in the order in which `known` takes their values."""
    return keys.profile(shard, key), keys.pending(shard, key), keys.ledger(shard, key)


def known(
    key: CustomerKey, stored: bytes | None, pending: bytes | None, ledger: bytes | None, riding: Iterable[Event] = ()
) -> Known:
    """The customer from what was read at one instant, and events that came with the request.

    An event that is both pending and riding along counts once. Raises `StoredFormatError`.
    """
    profile = decode_profile(key, stored) if stored else Profile(key)
    entries = decode_ledger(ledger, key)
    erased = False
    seen: set[tuple[str, str]] = set()
    on_the_way = [event for event in map(decode_canonical, pending_lines(pending)) if not isinstance(event, Rejected)]
    for event in (*on_the_way, *riding):
        if (event.source, event.id) in seen:
            continue
        seen.add((event.source, event.id))
        if isinstance(event, ErasureRequested):
            profile, entries, erased = Profile(key), EMPTY, True
        elif not erased:
            profile = profile.after(event)
    return Known(profile, entries, erased)
