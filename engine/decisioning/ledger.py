"""The contact ledger of one customer: what was reserved, what was seen, and the decisions that a reload gets again.

Theory of operation. One script in Redis writes the ledger, so that any number of API processes see one order of events;
this file holds the format, the readings that `decide` takes, and the same transitions as pure functions. Those are what
the script is tested against.

An entry is made when an offer is chosen. It goes from reserved to viewed, to redeemed; a reservation that is not viewed
in time counts no longer, and comes back to life when the view arrives after all, because it was seen then. An entry
holds its place under several *scopes* (the offer, its campaign, its tags, the channels it touched), as they were when it was
made: an offer that is tagged otherwise later has been seen under its old tags. A cap names a scope, and others that have to
be there besides, so counting is the same whatever the cap is about. A decision that chooses what the customer holds a live
reservation of, in the same placement and on the same channels, joins that entry instead of taking another place.

The law: views and live reservations together never exceed a cap by an admitted decision.
"""

from collections.abc import Collection, Iterable
from functools import lru_cache

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from engine.errors import StoredFormatError
from engine.moments import DAY, Millis

RESERVED, VIEWED, REDEEMED = 0, 1, 2
CHANNEL = "x:"
"""What scopes of channels begin with."""
MOST_DECISIONS = 8
"""Ids of decisions that one entry remembers; the first one names its unit of stock."""
LATE_VIEW = DAY
"""How long after its end a reservation can still be found by the view that belongs to it."""
MOST_ENTRIES = 500
"""With so many contacts that still matter a customer gets no more: dropping the oldest would forget what caps count."""


class Entry(Struct, frozen=True, array_like=True):
    """One contact: made `at`, holding its place until `expires`, for good once viewed."""

    decisions: tuple[str, ...] = ()
    offer_id: str = ""
    placement: str = ""
    state: int = RESERVED
    at: Millis = Millis(0)
    expires: Millis = Millis(0)
    scopes: tuple[str, ...] = ()
    coupon: str = ""
    """The customer's own code, where the offer gives one."""

    @property
    def decision_id(self) -> str:
        """The decision that made it."""
        return self.decisions[0] if self.decisions else ""


class StickyOffer(Struct, frozen=True, array_like=True):
    """A choice as it was made, so that it can be shown again with the same figures."""

    offer_id: str = ""
    propensity: float = 1.0
    probability: float = 0.0
    score: float = 0.0


class Sticky(Struct, frozen=True, array_like=True):
    """What a placement shows again until `until` when `count` offers are asked for."""

    placement: str = ""
    decision_id: str = ""
    until: Millis = Millis(0)
    count: int = 1
    offers: tuple[StickyOffer, ...] = ()


class Ledger(Struct, frozen=True, array_like=True):
    """All that is held; `format` comes first so that a later one can tell."""

    format: int = 1
    entries: tuple[Entry, ...] = ()
    sticky: tuple[Sticky, ...] = ()


class CapClaim(Struct, frozen=True, array_like=True):
    """A cap that a new contact must respect: fewer than `count` under `scope` in the last `window_ms`.

    Counted are contacts that are under all of `also` too, and a contact that is not does not have to respect it.
    """

    scope: str = ""
    count: int = 1
    window_ms: int = 0
    also: tuple[str, ...] = ()

    def meets(self, scopes: Collection[str]) -> bool:
        """Whether it is about a contact under these scopes."""
        return self.scope in scopes and (not self.also or all(name in scopes for name in self.also))


class Claim(Struct, frozen=True, array_like=True):
    """One chosen offer on its way into the ledger.

    `joins` says that the decision saw a live reservation, so that no stock was reserved for this claim.
    """

    entry: Entry = Entry()
    caps: tuple[CapClaim, ...] = ()
    joins: bool = False


class Refusal(Struct, frozen=True):
    """A choice that could not be admitted, and the stage that says so: `cap`; `stock` for a reservation gone since."""

    offer_id: str
    placement: str
    stage: str


EMPTY = Ledger()
_decoder = msgspec.msgpack.Decoder(Ledger)


def decode_ledger(blob: bytes | None, key: str = "ledger") -> Ledger:
    """The ledger of a stored blob; none is an empty one. Raises `StoredFormatError`."""
    if not blob:
        return EMPTY
    try:
        return _decoder.decode(blob)
    except msgspec.DecodeError as error:
        raise StoredFormatError(key, str(error)) from None


def with_contacts(ledger: Ledger, others: Iterable[Ledger]) -> Ledger:
    """With what the customer has seen under other identities, since a cap counts people; reservations stay where they are."""
    seen = tuple(entry for other in others for entry in other.entries if entry.state != RESERVED)
    return replace(ledger, entries=(*seen, *ledger.entries)) if seen else ledger


def counts(entry: Entry, now: int) -> bool:
    """Whether an entry holds its place: seen, or reserved and not yet over."""
    return entry.state != RESERVED or entry.expires > now


def live(ledger: Ledger, now: int) -> tuple[Entry, ...]:
    """The reservations that still wait to be viewed."""
    return tuple(entry for entry in ledger.entries if entry.state == RESERVED and entry.expires > now)


def count(ledger: Ledger, cap: CapClaim, now: int) -> int:
    """Views and live reservations that a cap is about, in its window."""
    return sum(1 for one in ledger.entries if cap.meets(one.scopes) and one.at > now - cap.window_ms and counts(one, now))


@lru_cache(maxsize=256)
def channel_scopes(channels: tuple[str, ...]) -> tuple[str, ...]:
    """Scopes of the channels that a contact touches; remembered, since there are few and every decision asks several times."""
    return tuple([CHANNEL + channel for channel in channels if channel])


def reaches(entry: Entry, scopes: Iterable[str]) -> bool:
    """Whether an entry was made on all the channels among these scopes."""
    return all(name in entry.scopes for name in scopes if name.startswith(CHANNEL))


def commit(ledger: Ledger, claims: tuple[Claim, ...], sticky: tuple[Sticky, ...], now: int, keep_ms: int) -> Ledger | Refusal:
    """The ledger with the choices of one decision, or the first choice that it refuses; then nothing changes."""
    entries = list(pruned(ledger.entries, now, keep_ms))
    for claim in claims:
        held = _reservation(entries, claim.entry, now)
        if held is not None:
            entries[held] = _joined(entries[held], claim.entry)
            continue
        if claim.joins:
            return Refusal(claim.entry.offer_id, claim.entry.placement, "stock")
        after = Ledger(entries=tuple(entries))
        full = len(entries) >= MOST_ENTRIES
        if full or any(count(after, cap, now) >= cap.count for cap in claim.caps):
            return Refusal(claim.entry.offer_id, claim.entry.placement, "cap")
        entries.append(claim.entry)
    renewed = {one.placement for one in sticky}
    kept = tuple(one for one in ledger.sticky if one.until > now and one.placement not in renewed)
    return Ledger(entries=tuple(entries), sticky=kept + sticky)


def pruned(entries: tuple[Entry, ...], now: int, keep_ms: int) -> tuple[Entry, ...]:
    """Without what no cap looks back to any more, and without reservations whose view can no longer come."""
    return tuple(
        entry for entry in entries if entry.at > now - keep_ms and (entry.state != RESERVED or entry.expires > now - LATE_VIEW)
    )


def mark(ledger: Ledger, decision_id: str, offer_id: str, placement: str, state: int, at: int) -> tuple[Ledger, str]:
    """The ledger after a view (`VIEWED`) or a redemption, with the decision that made the entry; empty when none fits.

    The entry of the decision is meant; without one (or without a decision id) the newest reservation of that offer,
    in that placement where one is named. A state never goes back, so a repeat changes nothing.
    """
    place = _marked(ledger.entries, decision_id, offer_id, placement)
    if place is None:
        return ledger, ""
    entry = ledger.entries[place]
    if entry.state >= state:
        return ledger, entry.decision_id
    seen = max(entry.at, Millis(at)) if entry.state == RESERVED else entry.at
    after = msgspec.structs.replace(entry, state=state, at=seen)
    entries = (*ledger.entries[:place], after, *ledger.entries[place + 1 :])
    return msgspec.structs.replace(ledger, entries=entries), entry.decision_id


def _reservation(entries: list[Entry], wanted: Entry, now: int) -> int | None:
    for place, entry in enumerate(entries):
        same = entry.offer_id == wanted.offer_id and entry.placement == wanted.placement
        if same and entry.state == RESERVED and entry.expires > now and reaches(entry, wanted.scopes):
            return place
    return None


def _joined(entry: Entry, joining: Entry) -> Entry:
    """The first id stays, it names the unit of stock; of the later ones the newest are kept.

    Where the decision itself is the contact, the reservation has been seen with it.
    """
    first, *later = (*entry.decisions, joining.decision_id)
    ids = (first, *later[-(MOST_DECISIONS - 1) :])
    if joining.state == RESERVED:
        return msgspec.structs.replace(entry, decisions=ids)
    return msgspec.structs.replace(entry, decisions=ids, state=joining.state, at=max(entry.at, joining.at))


def _marked(entries: tuple[Entry, ...], decision_id: str, offer_id: str, placement: str) -> int | None:
    newest = range(len(entries) - 1, -1, -1)
    for place in newest:
        if entries[place].offer_id == offer_id and decision_id in entries[place].decisions:
            return place
    for place in newest:
        entry = entries[place]
        if entry.offer_id == offer_id and entry.state == RESERVED and placement in ("", entry.placement):
            return place
    return None
