"""From anonymous to known: a part moves from the key of an identity to the key of its customer.

Two keys may live in two shards, so nothing here is one transaction; it is three entries, each folded once by its own shard
and passed on through the outbox of the commit that folded the one before. The first event that names a user and
another identity makes the user's shard claim the identity; the identity's shard hands its part over and from then on
forwards what arrives, under the event's own fingerprint; the user's shard puts the part in. A crash repeats an entry, and a
repeat is known by its fingerprint.
"""

from base64 import b64decode, b64encode

import msgspec
from msgspec.structs import replace

from engine.events.base import Event
from engine.events.identity import Claim, IdentityClaimed, PartHandedOver
from engine.events.routing import admitted
from engine.ids import digest_of, shard_of
from engine.profiles.identity import MOST_IDENTITIES
from engine.profiles.profile import Part, Profile
from engine.shards.commit import Entry, Outgoing

_ENCODER = msgspec.msgpack.Encoder()
_PART = msgspec.msgpack.Decoder(Part)


class Handover:
    """The rules of moving parts; `shards` is the number of shards there are."""

    def __init__(self, shards: int) -> None:
        self._shards = shards

    def claims(self, before: Profile, event: Event) -> list[Outgoing]:
        """What a known customer's event claims: the identities named beside the user for the first time."""
        if not before.key.startswith("u:") or not (event.anonymous_id or event.loyalty_id):
            return []
        known = before.part_of(before.key).identity
        named = [
            f"{kind}:{name}"
            for kind, name, names in (("a", event.anonymous_id, known.anonymous), ("l", event.loyalty_id, known.loyalty))
            if name and name not in names and len(names) < MOST_IDENTITIES
        ]
        return [self._sent(IdentityClaimed, event, part_key, Claim(part_key=part_key, by=before.key)) for part_key in named]

    def handed_over(self, profile: Profile, event: IdentityClaimed) -> tuple[Profile, list[Outgoing]]:
        """The identity's side: an empty profile that remembers where its part went. The first claim stands."""
        if profile.moved_to:
            return profile, []
        claim = event.data
        part = profile.part_of(profile.key)
        part = replace(part, offers=replace(part.offers, open=()))
        carried = Claim(part_key=claim.part_key, by=claim.by, part=b64encode(_ENCODER.encode(part)).decode())
        left = Profile(profile.key, arrived_at=profile.arrived_at, events=max(profile.events, 1), moved_to=claim.by)
        return left, [self._sent(PartHandedOver, event, claim.by, carried)]

    def received(self, profile: Profile, event: PartHandedOver) -> Profile:
        """The customer's side: the part is put in, joined with what was forwarded before it came."""
        claim = event.data
        part = _PART.decode(b64decode(claim.part)).merge(profile.part_of(claim.part_key))
        changed = profile.with_part(claim.part_key, part)
        return replace(changed, events=changed.events + 1)

    def forwarded(self, profile: Profile, entry: Entry) -> Outgoing:
        """An event of an identity that has moved, on its way to its customer."""
        return Outgoing(shard_of(profile.moved_to, self._shards), profile.moved_to, entry.event, entry.fingerprint)

    def _sent(self, kind: type[Event], cause: Event, target: str, claim: Claim) -> Outgoing:
        name = "claim" if kind is IdentityClaimed else "part"
        event = kind(
            id=f"{name}-{digest_of(claim.part_key.encode(), claim.by.encode(), cause.id.encode()).hex()}",
            type="identity_claimed" if kind is IdentityClaimed else "part_handed_over",
            time=cause.time,
            source="regulars",
            received_at=cause.received_at,
            mode=cause.mode,
            data=claim,  # type: ignore[call-arg]
        )
        ready = admitted(event)
        return Outgoing(shard_of(target, self._shards), target, ready.entry, ready.fingerprint)
