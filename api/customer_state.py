"""A customer as a decision must see them: the stored profile with what is still on its way to it."""

from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from engine.decisioning.ledger import EMPTY, Ledger, decode_ledger, with_contacts
from engine.errors import Rejected
from engine.events.base import Event
from engine.events.consent import ErasureRequested
from engine.events.decode import arrival_of, decode_canonical, time_of
from engine.events.identity import PartHandedOver
from engine.events.routing import route
from engine.ids import CustomerKey
from engine.profiles.profile import Profile
from engine.shards.handover import carried
from engine.store import keys
from engine.store.codec import decode_profile
from engine.store.redis_reader import pending_lines

Values = tuple[bytes | None, bytes | None, bytes | None]
"""What is held under the keys of one identity: profile, pending events, ledger."""


class Known(Struct, frozen=True):
    """What the store said, folded. Nobody known is an empty profile; `erased` says that they asked to be forgotten."""

    profile: Profile
    ledger: Ledger = EMPTY
    erased: bool = False
    underway: tuple[Event, ...] = ()
    """Events that are not in the stored profile yet."""

    @property
    def moved_to(self) -> CustomerKey | None:
        """Where this identity's customer is kept, if it was found to belong to somebody."""
        return CustomerKey(self.profile.moved_to) if self.profile.moved_to else None

    @property
    def elsewhere(self) -> tuple[CustomerKey, ...]:
        """Other identities of the customer: what is underway to them is underway to the customer."""
        if (len(self.profile.parts) < 2 and not self.profile.links.by_key) or self.profile.moved_to:
            return ()
        return (*(CustomerKey(key) for key in self.profile.parts if key != self.profile.key), *self.awaited)

    @property
    def awaited(self) -> tuple[CustomerKey, ...]:
        """Of these, identities whose part is not there yet, or never comes, because another customer was faster."""
        held = self.profile.parts
        return tuple(CustomerKey(key) for key, one in self.profile.links.by_key.items() if one.linked and key not in held)


def names_of(shard: int, key: CustomerKey) -> tuple[str, str, str]:
    """The keys to read together, in the order in which `known` takes their values."""
    return keys.profile(shard, key), keys.pending(shard, key), keys.ledger(shard, key)


def underway(pending: bytes | None) -> list[Event]:
    """Events on their way to an identity of a customer. Who wants one identity forgotten says nothing about the others."""
    events = (decode_canonical(line) for line in pending_lines(pending))
    return [event for event in events if not isinstance(event, Rejected | ErasureRequested)]


def joined(found: Known, mine: Values, others: Sequence[Values], riding: Iterable[Event]) -> Known:
    """The customer with what their other identities have: what is underway to them, contacts made under them, and the part
    itself where it has not been handed over. `mine` are the values of `names_of`, `others` those of each of `elsewhere`.

    Who belongs to somebody else by now brings nothing. Raises `StoredFormatError`.
    """
    key, events, ledgers, beside = CustomerKey(found.profile.key), list(riding), [], []
    for name, (stored, pending, ledger) in zip(found.elsewhere, others, strict=True):
        if name not in found.profile.parts and stored:
            other = decode_profile(name, stored)
            if other.moved_to and other.moved_to != key and other.moved_to not in found.elsewhere:
                continue
            beside.append(other)
        events += underway(pending)
        ledgers += [decode_ledger(ledger, name)] if ledger else []
    customer = known(key, *mine, riding=events, beside=beside, names=(key, *found.elsewhere))
    return replace(customer, ledger=with_contacts(customer.ledger, ledgers))


def known(
    key: CustomerKey,
    stored: bytes | None,
    pending: bytes | None,
    ledger: bytes | None,
    riding: Iterable[Event] = (),
    beside: Sequence[Profile] = (),
    names: Collection[str] = (),
) -> Known:
    """The customer from what was read at one instant, and events that came with the request.

    An event that is both pending and riding along counts once. What is underway to an identity that has moved belongs
    to the customer it moved to, and is folded there. A part on its way to one of `names` has come, and so have those of
    profiles `beside`. Raises `StoredFormatError`.
    """
    profile = decode_profile(key, stored) if stored else Profile(key)
    for other in beside:
        profile = replace(profile, parts={**other.parts, **profile.parts})
    if not (pending or riding):
        return Known(profile, decode_ledger(ledger, key))
    moved = bool(profile.moved_to)
    entries = decode_ledger(ledger, key)
    erased = False
    seen: dict[tuple[str, str], Event] = {}
    on_the_way = [event for event in map(decode_canonical, pending_lines(pending)) if not isinstance(event, Rejected)]
    for event in (*on_the_way, *riding):
        if (event.source, event.id) in seen:
            continue
        seen[event.source, event.id] = event
        if moved:
            continue
        if isinstance(event, PartHandedOver):
            profile = carried(profile, event) if event.data.by in (names or (key,)) else profile
        elif isinstance(event, ErasureRequested):
            profile, entries, erased = Profile(key), EMPTY, True
        elif not erased:
            profile = profile.folded(event, route(event), time_of(event), arrival_of(event))
    return Known(profile, entries, erased, tuple(seen.values()))
