"""The segments of a shard's customers: counts that move with them, and an event for each move.

A customer is counted in one bin of each reading. When a reading changes they leave the old bin and enter the new one, so
the counts are those of the present at any time, and summing them over the shards gives the cut points for everybody.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from engine.events.reference import Reference, ReferenceChanged
from engine.events.routing import has_customer
from engine.events.segments import Move, SegmentChanged
from engine.ids import digest_of
from engine.models.base import Example
from engine.models.lifetime_value import FINGERPRINT, LIFETIME_VALUE, statistics_of
from engine.models.segments import MEASURES, NO_CUTS, SEGMENTS, Cuts, SegmentRule, standing_of
from engine.profiles.profile import Profile
from engine.profiles.purchases import Purchases
from engine.profiles.standing import BEST, STAGES, TIERS, Standing
from engine.shards.commit import Commit, Outgoing
from engine.shards.own import own_event

_ENCODER = msgspec.msgpack.Encoder()
_TIER, _STAGE = "tier", "stage"
_GROUPS = {name: f"{_TIER}:{name}" for name in (*TIERS, BEST)} | {
    name: f"{_STAGE}:{name}" for name in STAGES if name != "prospect"
}


class Histogram:
    """How many customers of a shard are in which bin of which reading, and in which group: `money:640`, `tier:heavy`.

    Other exact counts that move with single events stand beside them under names of their own (`engine.shards.campaigns`).
    """

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts = dict(counts)

    def move(self, before: Sequence[str], after: Sequence[str]) -> dict[str, int]:
        """A customer leaves the old bins and enters the new ones; returns the counts that changed, 0 where nobody is left."""
        return self.add({**dict.fromkeys(after, 1), **{name: -(name not in after) for name in before}})

    def add(self, more: Mapping[str, int]) -> dict[str, int]:
        """Counts that rise or fall by so much; returns those that changed, 0 where nothing is left."""
        held, changed = self._counts, {}
        for name, by in more.items():
            if by:
                count = changed[name] = held.get(name, 0) + by
                if count:
                    held[name] = count
                else:
                    held.pop(name, None)
        return changed

    def counts(self) -> Mapping[str, int]:
        """All counts by name."""
        return self._counts

    def groups(self) -> dict[str, int]:
        """The counts of groups alone, by the names of tiers, `best` and stages."""
        return grouped([self._counts])


def bins_of(standing: Standing) -> list[str]:
    """Where a customer is counted. A prospect is counted nowhere, one who is lost only as such."""
    return [f"{measure}:{place}" for measure, place in zip(MEASURES, standing.places, strict=False)] + _groups_of(standing)


def _moved_bins(before: Standing, after: Standing) -> tuple[list[str], list[str]]:
    """The bins that a customer leaves and those that they enter; they may stay in some of them."""
    if len(before.places) != len(after.places):
        return bins_of(before), bins_of(after)
    left, entered = [], []
    for measure, old, new in zip(MEASURES, before.places, after.places, strict=False):
        if old != new:
            left.append(f"{measure}:{old}")
            entered.append(f"{measure}:{new}")
    if (before.lifecycle, before.tier, before.best) != (after.lifecycle, after.tier, after.best):
        left += _groups_of(before)
        entered += _groups_of(after)
    return left, entered


def _groups_of(standing: Standing) -> list[str]:
    names = [] if standing.lifecycle == "prospect" else [_GROUPS[standing.lifecycle]]
    if standing.tier:
        names.append(_GROUPS[standing.tier])
    if standing.best:
        names.append(_GROUPS[BEST])
    return names


def summed(shards: Sequence[Mapping[str, int]]) -> list[dict[int, int]]:
    """The counts of all shards as one histogram for each reading."""
    whole: dict[str, dict[int, int]] = {measure: {} for measure in MEASURES}
    for counts in shards:
        for name, count in counts.items():
            measure, _, place = name.partition(":")
            if measure in whole:
                bins = whole[measure]
                bins[int(place)] = bins.get(int(place), 0) + count
    return list(whole.values())


def grouped(shards: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """How many customers of all shards are in each tier, among the best and at each stage; every name is there."""
    return {group: sum(counts.get(name, 0) for counts in shards) for group, name in _GROUPS.items()}


def cuts_in(references: Mapping[str, Reference]) -> Cuts:
    """The cut points that a shard stands at."""
    held = references.get(SEGMENTS)
    return msgspec.convert(held.value, Cuts) if held is not None else NO_CUTS


def has_moved(before: Standing, after: Standing) -> bool:
    """Whether a change is worth an event. That the first tier becomes known is no move, and a cell alone is none."""
    if before.lifecycle != after.lifecycle:
        return True
    return bool(before.tier and after.tier) and (before.tier, before.best) != (after.tier, after.best)


def segment_changed(profile: Profile, after: Standing, at: int, shard: int, live: bool) -> Outgoing:
    """The move as an event of the customer, for the shard's own log. Its id tells the same move made again."""
    before = profile.standing
    move = Move(
        tier_before=before.tier,
        tier=after.tier,
        lifecycle_before=before.lifecycle,
        lifecycle=after.lifecycle,
        best_before=before.best,
        best=after.best,
    )
    key = profile.key
    name = f"segment-{digest_of(key.encode(), str(at).encode(), msgspec.json.encode(move)).hex()}"
    return own_event(SegmentChanged, "segment_changed", name, key, shard, at, arrived=profile.arrived_at, live=live, data=move)


def value_example(customer: str, bought: Purchases, bought_at: int, boundary: int) -> bytes:
    """What the customer bought so far, last at `bought_at`, for the model of value; it leaves at once, nothing has to mature."""
    statistics, name = statistics_of(bought, boundary, bought_at), f"{customer}|{boundary}|value"
    return _ENCODER.encode(Example(LIFETIME_VALUE, name, customer, boundary, boundary, 0.0, FINGERPRINT, statistics))


_NOWHERE = Standing()


class Following:
    """The segments of a shard while one batch is folded: who moves, who leaves, and by which cut points."""

    def __init__(self, rule: SegmentRule, histogram: Histogram, references: dict[str, Reference], commit: Commit) -> None:
        self.rule = rule
        self._histogram, self._references, self._commit = histogram, references, commit
        self._cuts = cuts_in(references)

    @property
    def versions(self) -> dict[str, int]:
        """The version of each reference fact that the shard stands at."""
        return {name: held.version for name, held in self._references.items()}

    def refer(self, event: ReferenceChanged) -> None:
        """Stand at the fact's new version. One that is no newer changes nothing."""
        fact = event.data
        held = self._references.get(fact.name)
        if held is not None and fact.version <= held.version:
            return
        self._references[fact.name] = self._commit.references[fact.name] = Reference(fact.version, fact.value)
        if fact.name == SEGMENTS:
            self._cuts = cuts_in(self._references)

    def stood(self, profile: Profile, bought: Purchases, bought_at: int, at: int, live: bool) -> tuple[Profile, int]:
        """The customer, who bought all this and last at `bought_at`, with where they stand at `at`, and how many moves that was:
        none or one."""
        if not has_customer(profile.key):
            return profile, 0
        before, now = profile.standing, max(at, bought_at)
        after = standing_of(bought, now, self._cuts, self.rule, profile.next_boundary > 0, bought_at)
        if after == before:
            return profile, 0
        self._commit.histogram.update(self._histogram.move(*_moved_bins(before, after)))
        moved = has_moved(before, after)
        if moved:
            self._commit.outbox.append(segment_changed(profile, after, at, self._commit.shard, live))
            to = self._commit.facts.moved_to
            for name, is_new in (
                (after.lifecycle, after.lifecycle != before.lifecycle),
                (after.tier, after.tier and after.tier != before.tier),
                (BEST, after.best and not before.best),
            ):
                if is_new:
                    to[name] = to.get(name, 0) + 1
        return replace(profile, standing=after), int(moved)

    def unplaced(self, profile: Profile) -> Profile:
        """The customer without a place among the others: they do not want to be compared."""
        if profile.standing == _NOWHERE:
            return profile
        self.left(profile)
        return replace(profile, standing=_NOWHERE)

    def left(self, profile: Profile) -> None:
        """The customer is not of this shard any more."""
        self._commit.histogram.update(self._histogram.move(bins_of(profile.standing), ()))
