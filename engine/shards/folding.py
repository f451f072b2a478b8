"""A batch being folded, entry by entry: who is asked what before and after each event, and what happens as time moves on.

The order is the contract. Before an event its customer is scored at every boundary that has passed; then the event is folded,
and those follow who keep something beside profiles; after it the watermark moves and whatever is due by then happens.
"""

import msgspec

from engine.decisioning.triggers import TRIGGERS
from engine.errors import Rejected
from engine.events.base import Event
from engine.events.budgets import BudgetSpent
from engine.events.consent import ConsentUpdated
from engine.events.identity import IdentityClaimed, IdentityReleased, PartHandedOver, PartReleased
from engine.events.offers import OfferDecided
from engine.events.orders import OrderCompleted
from engine.events.pos import PosNoted, PosTransactionCompleted
from engine.events.prices import PriceDropped
from engine.events.reference import ReferenceChanged
from engine.events.routing import has_customer, route
from engine.events.segments import SegmentChanged
from engine.events.service import PastDue
from engine.ids import erased_name
from engine.models.lift import ArmSums
from engine.moments import DAY, HOUR
from engine.profiles.consent import PROFILING
from engine.profiles.profile import Part, Profile
from engine.profiles.purchases import Purchase
from engine.shards import baskets, budgets, campaigns, leads, responses, trials
from engine.shards.alarms import Alarms
from engine.shards.commit import Commit, DeadLetter, Entry, Loaded, ShardRecord, Totals
from engine.shards.handover import Handover
from engine.shards.judging import JUDGING, Judging, judging_in
from engine.shards.kinds import Kind, kind_of
from engine.shards.labels import READINGS, Labels
from engine.shards.moving import Moving
from engine.shards.own import OURSELVES
from engine.shards.reading import Read
from engine.shards.relations import Relations
from engine.shards.segments import Following
from engine.shards.shard import Shard
from engine.shards.tiers import Tiers, told_by_us
from engine.shards.tills import Tills
from engine.shards.timers import OF_TRIGGERS, RELATION, TIER, TRIAL, parsed, trial_tag
from engine.shards.triggers import Occasions, triggers_in
from engine.shards.weekly import Weekly
from engine.shards.withdrawals import counted_apart, withdrawn

_ID = 8
_SALES = (OrderCompleted, PosTransactionCompleted)
SEEN_WEEKS = 3
"""Weeks before this one whose fingerprints may still be held."""
LIVE_MS, STAYS_MS = HOUR, DAY
"""An event that arrives within `LIVE_MS` of happening shows that the shard follows the present; what a feed brings late does not
take it out of a present that it has reached within `STAYS_MS`."""


class Folding:
    """One batch of a shard while it is folded; what changes goes into `commit`."""

    def __init__(
        self,
        labels: Labels,
        start: Judging,
        handover: Handover,
        lateness_ms: int,
        shard: Shard,
        commit: Commit,
        loaded: Loaded,
    ) -> None:
        self._handover, self._lateness_ms, self._shard, self._commit = handover, lateness_ms, shard, commit
        rules = judging_in(shard.references, start)
        self._labels = labels.judging(rules.profiling)
        self._segments = Following(rules.segments, shard.histogram, shard.references, commit)
        self._alarms = Alarms(shard.timers, commit, loaded.waiting, shard.inflight)
        self._relations = Relations(rules.service, shard.complaints, self._alarms, commit, lateness_ms, handover.shards)
        self._tills = Tills(handover.shards, shard.numbers, shard.popularity, commit, loaded.receipts, shard.inflight)
        self._occasions = Occasions(shard.triggers, shard.timers, self._alarms, commit, lateness_ms, shard.salt)
        self._weekly = Weekly(self._labels, self._alarms, commit, self._segments, self._occasions)
        self._tiers = Tiers(shard.references, shard.histogram, self._alarms, commit)
        self._moving = Moving(handover, shard, commit, self._alarms, self._relations, self._segments, self._tiers)
        self._known: dict[str, tuple[int, dict[bytes, bytes], dict[bytes, bytes]]] = {}
        self.watermark = shard.record.watermark
        self.live = self.present = shard.record.live
        self._counts = msgspec.structs.asdict(shard.record.totals)
        self._counts["spend"] = dict(self._counts["spend"])

    def entry(self, entry: Entry, read: Read) -> None:
        event = read.event
        if event is None:
            self._advance(entry.tick - self._lateness_ms)
        elif isinstance(event, Rejected):
            self._reject(entry, event)
        else:
            kind = kind_of(event.type)
            self._taken(entry, event, read, kind)
            if kind.settled:
                self._handover.settle(self._commit, self._shard.profile(entry.key), entry, event)

    def end(self) -> None:
        """What waits for the end of the batch, and where the shard stands then."""
        self._tills.flush()
        self._alarms.read()
        commit = self._commit
        # What was set again after it had gone off stays.
        commit.waiting_done = [tag for tag in commit.waiting_done if tag not in commit.waiting]
        commit.record = ShardRecord(self.watermark, self._totals(), self.present, self._segments.versions)

    def _totals(self) -> Totals:
        past_due = self._counts["cases_past_due"] + self._relations.past_due
        purchases, spend = self._counts["purchases"] + self._tills.purchases, self._tills.with_spend(self._counts["spend"])
        moves = self._counts["segment_changes"] + self._weekly.moves
        changed = {"cases_past_due": past_due, "purchases": purchases, "spend": spend, "segment_changes": moves}
        return Totals(**{**self._counts, **changed})

    def _learned(self, event: Event) -> None:
        """A fact of the shard, of no customer."""
        if isinstance(event, ReferenceChanged):
            self._segments.refer(event)
            if event.data.name == TRIGGERS:
                self._occasions.triggers = self._shard.triggers = triggers_in(self._shard.references)
            elif event.data.name == JUDGING:
                rules = judging_in(self._shard.references, Judging())
                self._relations.rule, self._segments.rule = rules.service, rules.segments
                self._labels = self._weekly.labels = self._labels.judging(rules.profiling)
        elif isinstance(event, PosNoted):
            self._tills.noted(event)

    def _taken(self, entry: Entry, event: Event, read: Read, kind: Kind) -> None:
        if kind.facts:
            self._learned(event)
            return
        if self._shard.gone and erased_name(entry.key, self._shard.salt) in self._shard.gone:
            self._reject(entry, Rejected("customer.erased", "this customer asked to be forgotten", "user_id", event.id))
            return
        key, week, name, payload = entry.key, read.week, entry.fingerprint[:_ID], entry.fingerprint[_ID:]
        held = self._known.get(key)
        if held is None or held[0] != week:
            held = self._known[key] = week, self._shard.seen((key, week)), self._shard.seen((key, week - 1))
        known = held[1].get(name) or held[2].get(name)
        if known is None:
            held[1][name] = payload
            pair, seen = (key, week), self._commit.seen
            seen[pair] = seen[pair] + entry.fingerprint if pair in seen else entry.fingerprint
            self._fold(entry, event, read, kind)
        elif known == payload:
            self._count("duplicates")
        else:
            detail = "an event with this id and another content was accepted before"
            self._reject(entry, Rejected("id.conflict", detail, "id", event.id))

    def _reject(self, entry: Entry, reason: Rejected) -> None:
        raw, key = (b"", "") if reason.code == "customer.erased" else (entry.event, entry.key)
        self._commit.dead.append(DeadLetter(entry.id, raw, reason, key, entry.fingerprint))
        self._count("rejected")
        rejected = self._commit.facts.rejected
        rejected[reason.code] = rejected.get(reason.code, 0) + 1

    def _fold(self, entry: Entry, event: Event, read: Read, kind: Kind) -> None:
        at, profile = read.at, self._shard.profile(entry.key)
        front = self._front(at)
        if kind.news and self._told(profile, event, at, front):
            return
        self.live = event.mode == "live" and read.arrived - at <= LIVE_MS
        self.present = self.live or (self.present and front >= read.arrived - STAYS_MS)
        if kind.tills and entry.key[0] == "w":
            if not self._tills.nobodys(event, entry, at, read.arrived):
                return
        elif kind.moves:
            self._moved(profile, entry, event, read)
        elif profile.moved_to:
            self._commit.outbox.append(self._handover.forwarded(profile, entry, event))
            return
        else:
            if type(event) is OfferDecided:
                self._commit.decisions.append(entry.event)
            before = self._weekly.passed(profile, at, front, self.live) if 0 < profile.next_boundary <= at else profile
            after = self._folded(before, event, read, kind)
            if kind.tiers:
                after = self._tiers.happened(before, after, front, self.live)
            if kind.leads:
                leads.followed(self._commit, self._shard.histogram, before, after)
            self._store(after)
            if kind.relations:
                self._relations.happened(before, after, event, at)
            self._occasions.happened(before, after, event, at, front, self.live)
            if kind.tills:
                self._tills.happened(event, route(event), at, read.arrived)
        if not kind.ours and not (kind.derived and event.source == OURSELVES):
            self._count("events")
            self._commit.facts.arrivals.append(read.arrived)
        if read.from_the_future:
            self._count("from_the_future")
            return
        if at < self.watermark:
            self._count("late")
        self._advance(at - self._lateness_ms)

    def _told(self, profile: Profile, event: Event, at: int, front: int) -> bool:
        """Whether a shard of ours told this, of what profiles hold already: then it is for triggers and people to read."""
        live = event.mode == "live"
        if isinstance(event, PriceDropped):
            self._occasions.price_dropped(event, at, front, live)
            return True
        if isinstance(event, SegmentChanged | PastDue):
            self._relations.happened(profile, profile, event, at)
        elif not (isinstance(event, BudgetSpent) or told_by_us(event)):
            return False
        self._occasions.happened(profile, profile, event, at, front, live)
        return True

    def _moved(self, profile: Profile, entry: Entry, event: Event, read: Read) -> None:
        if isinstance(event, IdentityClaimed | IdentityReleased):
            self._store(self._moving.asked(profile, event, entry.id))
        else:
            self._moving.erased(profile, event, read.at, range(read.week - SEEN_WEEKS, read.week + 1))

    def _folded(self, before: Profile, event: Event, read: Read, kind: Kind) -> Profile:
        if kind.parts:
            if isinstance(event, PartHandedOver):
                came = self._moving.joined(before, event)
                came = self._responded(came, responses.caught_up(came, event.data.part_key), read.at)
            else:
                assert isinstance(event, PartReleased)
                came = self._moving.parted(before, event)
            return self._settled(came, read.at)
        if event.anonymous_id or event.loyalty_id:
            before = self._moving.named(before, event, read.at)
        part_key = route(event)
        after = self._follow(before, before.folded(event, part_key, read.at, read.arrived), part_key, event, read.at)
        return self._responded(before, responses.answered(after, part_key, event, read.at), read.at) if kind.answers else after

    def _settled(self, profile: Profile, at: int) -> Profile:
        """After a part came or went."""
        profile = trials.recounted(profile)
        self._closes(profile, trials.closing(profile))
        return self._judged(self._weekly.stood(self._weekly.scheduled(profile, at), at, self.live), at)

    def _follow(self, before: Profile, after: Profile, part_key: str, event: Event, at: int) -> Profile:
        """What an event sets off beside its fold: exact totals, popularity, the next boundary, offers that wait."""
        if before.events == 0 and has_customer(after.key):
            self._count("customers")
        old, new = before.part_of(part_key), after.part_of(part_key)
        if new.purchases is not old.purchases:
            apart = counted_apart(before) or counted_apart(after)
            after = self._bought(*((before.whole, after.whole) if apart else (old, new)), after, event, at)
        if type(event) is OfferDecided:
            after = trials.enrolled(after, part_key, event, at)
            self._closes(after, trials.closing(after) - trials.closing(before))
            for tag, due, waiting in self._labels.offers_waiting(after, event):
                self._alarms.wait(tag, due, waiting)
        elif type(event) is ConsentUpdated and event.data.purpose == PROFILING:
            after = self._judged(self._weekly.stood(after, at, self.live), at)
        return after

    def _responded(self, before: Profile, after: Profile, at: int) -> Profile:
        """What was done with offers, under whichever identity they were made: totals, budgets, enrolments."""
        after = withdrawn(after)
        for key, part in after.parts.items():
            old, new = before.part_of(key).offers, part.offers
            if new is not old:
                for name in ("decided", "shown", "clicked", "redeemed"):
                    self._count(f"offers_{name}", getattr(new, name) - getattr(old, name))
                self._commit.histogram.update(self._shard.histogram.add(campaigns.moved(before, key, new)))
                self._commit.outbox.extend(budgets.spent(after, old, new, self._commit.shard, after.arrived_at))
                after = trials.responded(after, old, new, at)
        return after

    def _judged(self, profile: Profile, at: int) -> Profile:
        """The customer; where they do not want to be profiled, what was read of them and waits for its label is forgotten.

        The alarms stay: they also end the time in which an offer can be taken.
        """
        if not self._labels.may_profile(profile, at):
            for tag in self._shard.timers.of(profile.key):
                if parsed(tag)[0] in READINGS:
                    self._alarms.take(tag)
        return profile

    def _closes(self, profile: Profile, closing: set[int]) -> None:
        for at in sorted(closing):
            self._alarms.set(trial_tag(at, profile.key), at)

    def _bought(self, held: Part, holds: Part, after: Profile, event: Event, at: int) -> Profile:
        old, new, spend = held.purchases, holds.purchases, self._counts["spend"]
        changes = {name: by for name, amount in new.spend.items() if (by := amount - old.spend.get(name, 0))}
        for currency, change in changes.items():
            spend[currency] = spend.get(currency, 0) + change
        self._count("purchases", new.count - old.count)
        after = trials.spent(after, changes, new.count - old.count, at)
        if new.count <= old.count:
            return self._weekly.stood(after, at, self.live)
        if isinstance(event, _SALES):
            bought = next((one for one in reversed(new.last) if one.at == at and one not in old.last), Purchase())
            self._commit.popularity.update(self._shard.popularity.bought(bought.categories, at))
            if self._labels.may_profile(after, at):
                baskets.noted(self._commit, held.goods, bought)
        return self._weekly.stood(self._weekly.scheduled(after, at), at, self.live)

    def _advance(self, watermark: int) -> None:
        if watermark <= self.watermark:
            return
        self.watermark = watermark
        if not self._shard.timers.any_due(watermark):
            return
        self.live = self.present
        for tag, at in self._shard.timers.due(watermark):
            self._alarms.gone_off(tag)
            kind, middle, customer = parsed(tag)
            profile = self._shard.profile(customer)
            if kind in OF_TRIGGERS:
                self._occasions.gone_off(tag, at, profile, self._front(0), self.live)
                continue
            if kind == "b":
                if profile.next_boundary == at:
                    self._store(self._weekly.passed(profile, at, self._front(at), self.live))
                continue
            if kind == TIER:
                self._store(self._tiers.reviewed(profile, at, self.live))
                continue
            if kind == TRIAL:
                self._over(profile, at)
                continue
            if kind == RELATION:
                self._store(self._relations.gone_off(profile, self._front(0), self.live))
                continue
            waiting = self._alarms.take(tag)
            examples, closed = self._labels.closed(kind, middle, profile, at, waiting)
            self._commit.examples.extend(examples)
            self._count("labels", len(examples))
            if closed is not profile:
                self._store(closed)

    def _over(self, profile: Profile, at: int) -> None:
        """Count what is over for its arm, once and for all."""
        observed, changed = trials.over(profile, at)
        for arm, one in observed:
            sums = self._shard.lift.get(arm, ArmSums()).with_customer(one)
            self._shard.lift[arm] = self._commit.lift[arm] = sums
        if changed is not profile:
            self._store(changed)

    def _store(self, profile: Profile) -> None:
        if profile.key in self._commit.erased or not profile.events:
            return
        self._shard.keep(profile)
        self._commit.profiles[profile.key] = profile

    def _front(self, at: int) -> int:
        """As far as the log has come, with an event of `at`."""
        return max(self.watermark + self._lateness_ms if self.watermark else 0, at)

    def _count(self, name: str, times: int = 1) -> None:
        self._counts[name] += times
