"""From anonymous to known and back: a part moves from the key of an identity to the key of its customer, and home again.

Two keys may live in two shards, so nothing here is one transaction; it is a few entries, each folded once by its own shard
and passed on through the outbox of the commit that folded the one before. What one shard tells another arrives in the order in
which it was told, and a repeat after a crash is known by its fingerprint.

Joining takes three. The first event that names an identity beside a customer makes the customer's shard *claim* it; the
identity's shard hands its part over and from then on forwards what arrives, under the event's own fingerprint; the customer's
shard puts the part in. A user claims cards and browsers, a card claims browsers, and a card that is claimed brings its
browsers along; so there are chains and no loops. The first claim stands until its customer lets go: what a browser did and does
while nobody is logged in belongs to one customer at a time.

Parting takes four. `identity_unlinked` makes the customer's shard *release* the identity; the identity's shard forwards no more
and answers so, behind the last event that it did forward; the customer's shard takes the part out, which by then is complete, and
sends it home, where it is joined with what has arrived since. A part that comes home when its identity was claimed again goes on
to where that is.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from engine.events.base import Event
from engine.events.identity import (
    Carried,
    Claim,
    IdentityClaimed,
    IdentityLinked,
    IdentityReleased,
    IdentityUnlinked,
    PartHandedOver,
    PartReleased,
)
from engine.events.roster import OBEYED_AT_ONCE
from engine.events.routing import admitted, route
from engine.ids import digest_of, shard_of
from engine.moments import WEEK
from engine.profiles.identity import MOST_IDENTITIES
from engine.profiles.links import Awaited, Change, Link
from engine.profiles.profile import Part, Profile
from engine.shards.commit import Commit, Entry, Outgoing
from engine.shards.own import OURSELVES

_ENCODER = msgspec.msgpack.Encoder()
_PART = msgspec.msgpack.Decoder(Part)
_AWAITED = msgspec.msgpack.Decoder(tuple[Awaited, ...])
_CLAIMS = ("u:", "l:")
_OUTRIGHT = frozenset({"identity_linked", "identity_unlinked"})
_BINDING = OBEYED_AT_ONCE | {"part_handed_over"}
"""Types that stand beside their customer until they are folded."""
SETTLED = _BINDING | {"identity_claimed"}
"""Types after which something may be pending no more, or has to stay so."""
_NAMES: dict[type[Event], str] = {
    IdentityClaimed: "identity_claimed",
    PartHandedOver: "part_handed_over",
    IdentityReleased: "identity_released",
    PartReleased: "part_released",
}


class Handover:
    """The rules of moving parts; `shards` is the number of shards there are."""

    def __init__(self, shards: int) -> None:
        self.shards = shards

    def named(self, profile: Profile, event: Event, at: int) -> tuple[Profile, list[Outgoing]]:
        """A customer's event names other identities: the customer with what it says of them, and what is claimed or released."""
        holder, known = profile.key, profile.links.by_key
        browser, card = event.anonymous_id, event.loyalty_id
        if (
            (not browser or f"a:{browser}" in known or holder[0] == "a")
            and (not card or f"l:{card}" in known or holder[0] == "l")
            and event.type not in _OUTRIGHT
        ):
            return profile, []
        if not holder.startswith(_CLAIMS):
            return profile, []
        going: list[Outgoing] = []
        # An event that a card's shard has forwarded speaks for the card, and comes to the same before and after the card moved.
        card_of = own if (own := route(event)) != holder and own[0] == "l" else ""
        for key in _others(event, profile.key):
            links, outright = profile.links, isinstance(event, IdentityLinked | IdentityUnlinked)
            if key in links.by_key and not outright:
                continue
            said = Link(at, not isinstance(event, IdentityUnlinked), outright, event.id, event.source, card_of)
            if said.linked and key not in links.by_key and _is_full(profile, key[0]):
                continue
            heard = links.heard(key, said)
            if heard is links:
                continue
            before, now = links.linked(key), heard.linked(key)
            claim = _claim(key, card_of or holder, heard.by_key[key])
            if now and (not before or outright):
                going.append(self._sent(IdentityClaimed, event, key, claim))
            elif not now and (before or key in profile.parts):
                going.append(self._sent(IdentityReleased, event, heard.by_key[key].via or key, claim))
            profile = replace(profile, links=heard)
        return profile, going

    def handed_over(
        self, profile: Profile, event: IdentityClaimed, offers: dict[str, tuple[Carried, ...]], entry: str
    ) -> tuple[Profile, list[Outgoing]]:
        """The identity's side: its part and those it holds go to who claims it first, with `offers` that are still open by part.

        What is left is empty and remembers where everything went. On their way the parts stand beside it, under the claim's
        `entry`: what they refuse binds their customer already.
        """
        if profile.moved_to:
            return profile, []
        claim, going = event.data, []
        for key in (profile.key, *sorted(name for name in profile.parts if name != profile.key)):
            told = claim if key == profile.key else _claim(key, profile.key, profile.links.by_key.get(key, Link()))
            awaited = profile.links.awaited if key == profile.key else ()
            part = self._carried(event, claim.by, key, told, profile.part_of(key), offers.get(key, ()), profile.key, awaited)
            going.append(replace(part, source=profile.key, entry=entry, noted=True))
        left = Profile(
            profile.key,
            next_boundary=min(profile.next_boundary, WEEK - profile.next_boundary),
            arrived_at=profile.arrived_at,
            events=max(profile.events, 1),
            moved_to=claim.by,
            links=replace(profile.links, awaited=()),
        )
        return left, going

    def received(self, profile: Profile, event: PartHandedOver) -> Profile:
        """A part is put in, joined with what was forwarded before it came."""
        claim = event.data
        key = claim.part_key
        part = _PART.decode(b64decode(claim.part)).merge(profile.part_of(key))
        links = profile.links
        if key == profile.key:
            links = replace(links, returning=False)
        else:
            if key not in links.by_key:
                links = links.heard(key, Link(claim.at, True, claim.outright, claim.event_id, claim.event_source))
            via = claim.via if claim.via != profile.key else ""
            links = links.through(key, via or (claim.by if claim.by != profile.key else key))
            if key not in profile.parts:
                links = links.noted(Change(claim.at, "joined", key, claim.event_id, claim.event_source))
        for one in _AWAITED.decode(b64decode(claim.awaited)) if claim.awaited else ():
            links = links.awaiting(one)
        changed = profile.with_part(key, part)
        return replace(changed, events=changed.events + 1, links=links)

    def released(self, profile: Profile, event: IdentityReleased) -> tuple[Profile, list[Outgoing]]:
        """The identity's side: it forwards no more. One that came through a card is let go by the card."""
        claim = event.data
        if profile.moved_to != claim.by:
            return profile, []
        if claim.part_key != profile.key:
            return profile, [self._sent(IdentityReleased, event, claim.part_key, replace(claim, by=profile.key))]
        released = replace(profile, moved_to="", links=replace(profile.links, returning=True))
        return released, [self._sent(PartReleased, event, claim.by, claim)]

    def unwanted(self, profile: Profile, event: PartHandedOver) -> list[Outgoing]:
        """A part that came, through a card or late, although it was said that it is not the customer's: it goes back."""
        key = event.data.part_key
        held = profile.links.by_key.get(key)
        if held is None or held.linked:
            return []
        return [self._sent(IdentityReleased, event, held.via or key, _claim(key, profile.key, held))]

    def forgotten(self, profile: Profile, event: Event, at: int) -> list[Outgoing]:
        """The identity is erased: who holds its part throws it away."""
        claim = Claim(part_key=profile.key, by=profile.moved_to, at=at, forget=True)
        return [self._sent(PartReleased, event, profile.moved_to, claim)]

    def let_go(self, profile: Profile, event: Event, at: int) -> list[Outgoing]:
        """The customer is erased, and with them identities whose part is on its way; those let go of forget the name."""
        return [
            self._sent(IdentityReleased, event, one.via or key, Claim(part_key=key, by=profile.key, at=at, forget=True))
            for key, one in sorted(profile.links.by_key.items())
            if key not in profile.parts
        ]

    def parted(
        self, profile: Profile, event: PartReleased, offers: dict[str, tuple[Carried, ...]]
    ) -> tuple[Profile, list[Outgoing]]:
        """The customer's side: the part is taken out with those that came through it, and sent home, each to its own identity:
        that one knows where it belongs by now.

        A refusal of consent stays with both: each may have meant it. One to be forgotten is thrown away, and what came through
        it is claimed by the customer's own name.
        """
        claim, going = event.data, []
        for key in leaving(profile, claim.part_key):
            if claim.forget and key == claim.part_key:
                profile = _without(profile, key)
                continue
            if claim.forget:
                back = replace(claim, part_key=key, by=claim.part_key, forget=False)
                going.append(self._sent(IdentityReleased, event, key, back))
                said = profile.links.by_key.get(key, Link(claim.at))
                going.append(self._sent(IdentityClaimed, event, key, _claim(key, profile.key, said)))
                profile = replace(profile, links=profile.links.through(key, ""))
                continue
            part = profile.part_of(key)
            profile = profile.without_part(key)
            told = Change(claim.at, "parted", key, claim.event_id, claim.event_source)
            links, awaited = profile.links.through(key, "").noted(told).without_awaited(key)
            profile, part = _refusing(replace(profile, links=links), part)
            going.append(self._carried(event, key, key, claim, part, offers.get(key, ()), key, awaited))
        return replace(profile, events=profile.events + 1), going

    def forwarded(self, profile: Profile, entry: Entry, event: Event) -> Outgoing:
        """An event of an identity that has moved, on its way to its customer."""
        going = Outgoing(shard_of(profile.moved_to, self.shards), profile.moved_to, entry.event, entry.fingerprint)
        if isinstance(event, PartHandedOver) and event.data.part_key != profile.key:
            told = replace(event.data, by=profile.moved_to, via=profile.key)
            going = self._sent(PartHandedOver, event, profile.moved_to, told)
        return replace(going, source=entry.key, entry=entry.id) if event.type in _BINDING else going

    def settle(self, commit: Commit, profile: Profile, entry: Entry, event: Event) -> None:
        """What is folded is not pending any more, nor what the shard tells itself: the commit that passes it on puts it there.
        What goes to another shard is, until it has arrived, and so is all that came before it. For events of `SETTLED`."""
        to = shard_of(profile.moved_to, self.shards) if profile.moved_to else commit.shard
        if to == commit.shard:
            commit.settled.append(entry.key)
            return
        claimed = isinstance(event, IdentityClaimed)
        if not claimed and (not commit.outbox or commit.outbox[-1].entry != entry.id):
            commit.outbox.append(Outgoing(to, profile.moved_to, b"", b"", entry.key, entry.id))
        commit.settled = [key for key in commit.settled if key != entry.key]

    def _carried(
        self,
        cause: Event,
        target: str,
        key: str,
        told: Claim,
        part: Part,
        offers: Sequence[Carried],
        via: str,
        awaited: Sequence[Awaited] = (),
    ) -> Outgoing:
        """A part on its way to `target`."""
        carried = Claim(
            part_key=key,
            by=target,
            part=b64encode(_ENCODER.encode(part)).decode(),
            offers=tuple(offers),
            at=told.at,
            event_id=told.event_id,
            event_source=told.event_source,
            outright=told.outright,
            via=via if via != key else "",
            awaited=b64encode(_ENCODER.encode(awaited)).decode() if awaited else "",
        )
        return self._sent(PartHandedOver, cause, target, carried)

    def _sent(self, kind: type[Event], cause: Event, target: str, claim: Claim) -> Outgoing:
        parts = (claim.part_key, claim.by, target, cause.source, cause.id)
        event = kind(
            id=f"{_NAMES[kind]}-{digest_of(*(part.encode() for part in parts)).hex()}",
            type=_NAMES[kind],
            time=cause.time,
            source=OURSELVES,
            received_at=cause.received_at,
            mode=cause.mode,
            data=claim,  # type: ignore[call-arg]
        )
        ready = admitted(event)
        return Outgoing(shard_of(target, self.shards), target, ready.entry, ready.fingerprint)


def carried(profile: Profile, event: PartHandedOver) -> Profile:
    """As if a part that is on its way had come."""
    key = event.data.part_key
    return profile.with_part(key, _PART.decode(b64decode(event.data.part)).merge(profile.part_of(key)))


def leaving(profile: Profile, key: str) -> list[str]:
    """The parts that go where this identity goes: its own, those that came through it, and with a card what was done in browsers
    whose part is still on its way. Such can only have come through a card, and home is never wrong: from there it follows.
    """
    ways = {name: one.via if (one := profile.links.by_key.get(name)) else "" for name in sorted(profile.parts)}
    through = [name for name, way in ways.items() if way == key or (not way and (key[0], name[0]) == ("l", "a"))]
    return [name for name in dict.fromkeys((key, *through)) if name in profile.parts and name != profile.key]


def _others(event: Event, holder: str) -> list[str]:
    """Identities that the event names beside its own."""
    named = [
        f"{kind}:{name}"
        for kind, name in (("l", event.loyalty_id), ("a", event.anonymous_id))
        if name and (kind != "l" or holder[0] == "u")
    ]
    own = route(event)
    return [key for key in named if key not in (own, holder)]


def _is_full(profile: Profile, kind: str) -> bool:
    return sum(one.linked and key[0] == kind for key, one in profile.links.by_key.items()) >= MOST_IDENTITIES


def _claim(key: str, by: str, said: Link) -> Claim:
    return Claim(part_key=key, by=by, at=said.at, event_id=said.event_id, event_source=said.source, outright=said.outright)


def _refusing(profile: Profile, part: Part) -> tuple[Profile, Part]:
    """What either has refused, both have."""
    own = profile.part_of(profile.key)
    rest = profile.whole
    kept = replace(
        own,
        consent=own.consent.merge(part.consent.refusals),
        preferences=own.preferences.merge(part.preferences.refusals),
    )
    gone = replace(
        part,
        consent=part.consent.merge(rest.consent.refusals),
        preferences=part.preferences.merge(rest.preferences.refusals),
    )
    return (profile.with_part(profile.key, kept) if kept != own else profile), gone


def _without(profile: Profile, key: str) -> Profile:
    """As if the identity had never been there."""
    profile = replace(profile.without_part(key), links=profile.links.without(key))
    parts = {name: replace(part, identity=part.identity.without(key)) for name, part in profile.parts.items()}
    return replace(profile, parts=parts)
