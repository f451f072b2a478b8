"""What moves with a part beside the part: counts of the shard, alarms, readings that wait, enrolments.

An offer that somebody was shown before they logged in is open still, and so is what waits for its label. Both go where the part
goes, so that a purchase made as a customer closes the visitor's decision, once. The readings go as they were taken.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable

from engine.events.base import Event
from engine.events.identity import Carried, IdentityClaimed, IdentityReleased, PartHandedOver, PartReleased
from engine.ids import erased_name
from engine.profiles.profile import Profile
from engine.shards import campaigns, leads, trials
from engine.shards.alarms import Alarms
from engine.shards.commit import Commit
from engine.shards.handover import Handover, leaving
from engine.shards.own import OURSELVES
from engine.shards.relations import Relations
from engine.shards.segments import Following
from engine.shards.shard import Shard
from engine.shards.tiers import Tiers
from engine.shards.timers import offers_tag

BRINGS_OFFERS = (IdentityClaimed, PartReleased)
"""Events that send parts away, for which readings that wait have to be at hand."""


class Moving:
    """Parts that come and go while one batch of a shard is folded."""

    def __init__(
        self,
        handover: Handover,
        shard: Shard,
        commit: Commit,
        alarms: Alarms,
        relations: Relations,
        segments: Following,
        tiers: Tiers,
    ) -> None:
        self._handover, self._shard, self._commit, self._alarms = handover, shard, commit, alarms
        self._relations, self._segments, self._tiers = relations, segments, tiers

    def left(self, profile: Profile) -> None:
        """The customer is counted here no more."""
        self._segments.left(profile)
        self._tiers.left(profile)
        leads.left(self._commit, self._shard.histogram, profile)

    def named(self, profile: Profile, event: Event, at: int) -> Profile:
        """An event that names identities beside the customer's own."""
        profile, going = self._handover.named(profile, event, at)
        self._commit.outbox.extend(going)
        return profile

    def asked(self, profile: Profile, event: IdentityClaimed | IdentityReleased, entry: str) -> Profile:
        """Somebody claims or releases this identity, by this entry."""
        if isinstance(event, IdentityReleased):
            claim = event.data
            if claim.forget and claim.part_key == profile.key:
                if profile.moved_to == claim.by:
                    self._relations.forget(profile.key, claim.at)
                return trials.unnamed(profile, claim.by)
            changed, going = self._handover.released(profile, event)
        elif profile.moved_to:
            return profile
        else:
            self.left(profile)
            self._relations.left(profile)
            self._commit.histogram.update(self._shard.histogram.add(campaigns.joined(profile, Profile(profile.key))))
            offers = {key: self._taken_along(profile, key) for key in profile.parts}
            changed, going = self._handover.handed_over(profile, event, offers, entry)
        self._commit.outbox.extend(going)
        return changed

    def joined(self, profile: Profile, event: PartHandedOver) -> Profile:
        """A part comes in, with offers that are open."""
        claim = event.data
        changed = self._handover.received(profile, event)
        self._commit.histogram.update(self._shard.histogram.add(campaigns.joined(profile, changed)))
        self._commit.outbox.extend(self._handover.unwanted(changed, event))
        for one in claim.offers:
            self._alarms.wait(offers_tag(one.closes_at, one.decision_id, profile.key), one.closes_at, b64decode(one.waiting))
        return changed

    def parted(self, profile: Profile, event: PartReleased) -> Profile:
        """A part goes home, with its open offers."""
        claim = event.data
        going_home = [claim.part_key] if claim.forget else leaving(profile, claim.part_key)
        offers = {key: self._taken_along(profile, key) for key in going_home}
        changed, going = self._handover.parted(profile, event, offers)
        self._commit.outbox.extend(going)
        self._commit.histogram.update(self._shard.histogram.add(campaigns.joined(profile, changed)))
        self._relations.parted(profile, changed)
        return changed

    def erased(self, profile: Profile, event: Event, at: int, weeks: Iterable[int]) -> None:
        """The customer is forgotten, also by identities and by who holds their part; `weeks` are those of fingerprints held."""
        key = profile.key
        self.left(profile)
        self._relations.erased(profile, at)
        if profile.moved_to and event.source != OURSELVES:
            self._commit.outbox.extend(self._handover.forgotten(profile, event, at))
        else:
            self._commit.outbox.extend(self._handover.let_go(profile, event, at))
        self._commit.profiles.pop(key, None)
        self._shard.forget(key)
        name = erased_name(key, self._shard.salt)
        self._shard.gone.add(name)
        self._commit.erased[key] = name
        for held in weeks:
            self._commit.seen.pop((key, held), None)
            self._commit.unseen.append((key, held))
        for tag in self._shard.timers.of(key):
            self._alarms.drop(tag)
            self._alarms.take(tag)

    def _taken_along(self, profile: Profile, key: str) -> tuple[Carried, ...]:
        """The open decisions of a part with what waits for their labels, taken out of the alarms."""
        found = []
        for closes_at, decision_id in dict.fromkeys((one.closes_at, one.decision_id) for one in profile.part_of(key).offers.open):
            tag = offers_tag(closes_at, decision_id, profile.key)
            if tag in self._alarms:
                found.append(Carried(closes_at, decision_id, b64encode(self._alarms.take(tag)).decode()))
                self._alarms.drop(tag)
        return tuple(found)
