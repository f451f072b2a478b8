"""Tiers of the loyalty programme as a shard follows them: judged when points or purchases change and when a review is due,
by the programme that the shard's own log announced; each move is one event.

A customer is judged as of where the log has come to, so an event that arrives late moves nobody back in time.
"""

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from engine.decisioning.loyalty import LOYALTY, NO_PROGRAMME, Programme, account, judged
from engine.events.base import Event
from engine.events.loyalty import TierChanged, TierMove
from engine.events.reference import Reference
from engine.events.routing import has_customer
from engine.ids import digest_of
from engine.profiles.membership import Membership
from engine.profiles.profile import NO_PART, Profile
from engine.shards.alarms import Alarms
from engine.shards.commit import Commit, Outgoing
from engine.shards.own import OURSELVES, own_event
from engine.shards.segments import Histogram
from engine.shards.timers import tier_tag

_BIN = "loyalty:"


class Tiers:
    """The tiers of a shard while one batch is folded."""

    def __init__(self, references: Mapping[str, Reference], histogram: Histogram, alarms: Alarms, commit: Commit) -> None:
        self._references, self._histogram, self._alarms, self._commit = references, histogram, alarms, commit
        self._version, self._programme = 0, NO_PROGRAMME

    @property
    def programme(self) -> Programme:
        """The programme that the shard stands at."""
        held = self._references.get(LOYALTY)
        if held is not None and held.version != self._version:
            self._version, self._programme = held.version, programme_in(self._references)
        return self._programme

    def happened(self, before: Profile, after: Profile, front: int, live: bool) -> Profile:
        """The customer after an event, with the tier they are held in."""
        if before.parts is after.parts or not has_customer(after.key) or not self.programme.tiers:
            return after
        if len(after.parts) < len(before.parts):
            return self._judged(after, front, live)
        for name, part in after.parts.items():
            old = before.parts.get(name, NO_PART)
            if part.purchases is not old.purchases or part.loyalty is not old.loyalty:
                return self._judged(after, front, live)
        return after

    def reviewed(self, profile: Profile, at: int, live: bool) -> Profile:
        """The review of a tier is due. One that was moved meanwhile is not."""
        held = profile.membership
        return self._judged(profile, at, live) if held.tier and held.review_at <= at else profile

    def left(self, profile: Profile) -> None:
        """The customer is not of this shard any more."""
        self._commit.histogram.update(self._histogram.move(_bins(profile.membership), ()))
        if profile.membership.tier:
            self._alarms.drop(tier_tag(profile.key))

    def _judged(self, profile: Profile, at: int, live: bool) -> Profile:
        before, part = profile.membership, profile.whole
        after = judged(before, part, self.programme, max(at, before.since))
        if after == before:
            return profile
        if after.tier:
            self._alarms.set(tier_tag(profile.key), after.review_at)
        else:
            self._alarms.drop(tier_tag(profile.key))
        if after.tier != before.tier:
            self._commit.histogram.update(self._histogram.move(_bins(before), _bins(after)))
            move = TierMove(tier=after.tier, tier_before=before.tier, points=account(part, self.programme, at).points)
            self._commit.outbox.append(_tier_changed(profile, move, at, self._commit.shard, live))
        return replace(profile, membership=after)


def programme_in(references: Mapping[str, Reference]) -> Programme:
    """The programme that a shard stands at."""
    held = references.get(LOYALTY)
    return msgspec.convert(held.value, Programme) if held is not None else NO_PROGRAMME


def told_by_us(event: Event) -> bool:
    """Whether a move is the engine's own: the profile stands there already."""
    return isinstance(event, TierChanged) and event.source == OURSELVES


def members(histogram: Mapping[str, int]) -> dict[str, int]:
    """How many customers are held in which tier."""
    return {name.removeprefix(_BIN): count for name, count in histogram.items() if name.startswith(_BIN)}


def _bins(held: Membership) -> tuple[str, ...]:
    return (f"{_BIN}{held.tier}",) if held.tier else ()


def _tier_changed(profile: Profile, move: TierMove, at: int, shard: int, live: bool) -> Outgoing:
    key = profile.key
    name = f"tier-{digest_of(key.encode(), str(at).encode(), msgspec.json.encode(move)).hex()}"
    return own_event(TierChanged, "tier_changed", name, key, shard, at, arrived=profile.arrived_at, live=live, data=move)
