"""What a shard does for relationships beside the fold: dates that pass, counts that move, the timeline, who is reached how.

One alarm a customer stands at the next date that matters: a complaint or case that will be past due, a service that has to be
told in time. When it goes off, what is due is marked in the profile and told as an event of the shard's own, both in one commit,
so it is told once. Such dates cannot wait for stragglers, so the alarm is set earlier by the lateness that the watermark allows.
"""

from typing import Any

from msgspec.structs import replace

from engine.decisioning.service import ServiceRule
from engine.events.base import Event
from engine.events.consent import ErasureRequested
from engine.events.identity import CustomerIdentified, PartHandedOver
from engine.events.routing import has_customer
from engine.events.service import PastDue, ServiceDue, Upkeep
from engine.ids import digest_of, shard_of
from engine.moments import DAY, moment
from engine.profiles.profile import Profile
from engine.profiles.service import Complaint, Service
from engine.shards.alarms import Alarms
from engine.shards.commit import Commit
from engine.shards.complaints import ComplaintCounts, counted
from engine.shards.own import IDENTITIES, own_event
from engine.shards.timeline import touch_point
from engine.shards.timers import relation_tag


class Relations:
    """The relationships of a shard's customers while one batch is folded."""

    def __init__(
        self, rule: ServiceRule, counts: ComplaintCounts, alarms: Alarms, commit: Commit, lateness_ms: int, shards: int
    ) -> None:
        self.rule = rule
        self._counts, self._alarms, self._commit = counts, alarms, commit
        self._lateness_ms, self._shards = lateness_ms, shards
        self.past_due = 0
        """By how much the number of cases past due has changed."""

    def happened(self, before: Profile, after: Profile, event: Event, at: int) -> None:
        """An event of a customer was folded."""
        if not has_customer(after.key):
            return
        told = touch_point(event, at)
        if told is not None:
            self._commit.timeline.setdefault(after.key, []).append(told)
        came = isinstance(event, PartHandedOver)
        if came or isinstance(event, CustomerIdentified):
            self._reached(before, after)
        if came or _serves_otherwise(before, after):
            self._changed(before.whole.service, after.whole.service, after.key)

    def left(self, profile: Profile) -> None:
        """The customer is not of this shard any more, or of another of its keys."""
        service = profile.whole.service
        self._reached(profile, Profile(profile.key))
        self._commit.complaints.update(self._counts.left(counted(service)))
        self.past_due -= service.past_due
        self._drop(profile.key)

    def parted(self, before: Profile, after: Profile) -> None:
        """An identity with its cases is counted elsewhere from now on."""
        gone, rest = before.whole.service, after.whole.service
        self._reached(before, after)
        self._commit.complaints.update(self._counts.left(counted(gone)))
        self._commit.complaints.update(self._counts.move({}, counted(rest)))
        self.past_due += rest.past_due - gone.past_due
        self._alarm(rest, after.key)

    def erased(self, profile: Profile, at: int) -> None:
        """The customer is forgotten, and with them what lies under the keys of their other identities."""
        service = profile.whole.service
        self._reached(profile, Profile(profile.key))
        self._commit.complaints.update(self._counts.forgotten(counted(service)))
        self.past_due -= service.past_due
        self._commit.timeline.pop(profile.key, None)
        for key in profile.parts:
            if key != profile.key and key[0] in IDENTITIES:
                self.forget(key, at, profile.key)

    def forget(self, key: str, at: int, of: str = "") -> None:
        """An identity is to be forgotten with its customer."""
        self._send(ErasureRequested, f"erasure-{_name(of, key, at)}", key, at, at, True)

    def gone_off(self, profile: Profile, front: int, live: bool) -> Profile:
        """The alarm went off: mark and tell what is due by `front`."""
        if profile.moved_to or not profile.events:
            return profile
        service = profile.whole.service
        for kind, cases in (("complaint", service.open), ("case", service.open_cases)):
            for name, case in cases.items():
                due = self.rule.due_at(case, kind == "complaint")
                if not case.is_past_due and due <= front:
                    profile = _marked(profile, kind, name, due)
                    self._past_due(profile, kind, name, case, due, live)
        for name, one in service.upkeep.items():
            told_at = one.due_at - int(self.rule.service_due_days * DAY)
            if one.due_at and one.raised_for != one.due_at and told_at <= front:
                profile = _raised(profile, name, one.due_at)
                body = Upkeep(service_id=name[:100] or None, due_at=moment(one.due_at), about=one.about or None)
                unique = f"service-{_name(profile.key, name, one.due_at)}"
                self._send(ServiceDue, unique, profile.key, max(told_at, 0), profile.arrived_at, live, data=body)
        self._changed(service, profile.whole.service, profile.key)
        return profile

    def _past_due(self, profile: Profile, kind: str, name: str, case: Complaint, due: int, live: bool) -> None:
        body = {"kind": kind, "reason": case.reason, "product_id": case.product, "store": case.store, "severity": case.severity}
        named = {"complaint_id" if kind == "complaint" else "case_id": name, "due_at": moment(due).isoformat()}
        data = {key: value for key, value in (named | body).items() if value}
        self._send(
            PastDue, f"past-due-{_name(profile.key, kind + name, due)}", profile.key, due, profile.arrived_at, live, data=data
        )

    def _changed(self, before: Service, after: Service, key: str) -> None:
        self._commit.complaints.update(self._counts.move(counted(before), counted(after)))
        self.past_due += after.past_due - before.past_due
        self._alarm(after, key)

    def _alarm(self, after: Service, key: str) -> None:
        due = self._next(after)
        if due:
            self._alarms.set(relation_tag(key), due - self._lateness_ms)
        else:
            self._drop(key)

    def _next(self, service: Service) -> int:
        """The next date that matters; 0 without any."""
        dates = [self.rule.due_at(case, True) for case in service.open.values() if not case.is_past_due]
        dates += [self.rule.due_at(case, False) for case in service.open_cases.values() if not case.is_past_due]
        ahead = int(self.rule.service_due_days * DAY)
        dates += [one.due_at - ahead for one in service.upkeep.values() if one.due_at and one.raised_for != one.due_at]
        return min(dates, default=0)

    def _drop(self, key: str) -> None:
        tag = relation_tag(key)
        if tag in self._alarms:
            self._alarms.drop(tag)

    def _reached(self, before: Profile, after: Profile) -> None:
        """Keep the index of hashed addresses as the profile has them."""
        old, new = before.whole.identity.reached, after.whole.identity.reached
        self._commit.reached += [(digest, after.key, True) for digest in sorted(new - old)]
        self._commit.reached += [(digest, after.key, False) for digest in sorted(old - new)]

    def _send(self, kind: type[Event], name: str, key: str, at: int, arrived: int, live: bool, **body: Any) -> None:
        event_type = {PastDue: "case_past_due", ServiceDue: "service_due"}.get(kind, "erasure_requested")
        shard = shard_of(key, self._shards) if kind is ErasureRequested else self._commit.shard
        self._commit.outbox.append(own_event(kind, event_type, name, key, shard, at, arrived=arrived, live=live, **body))


def _name(key: str, what: str, at: int) -> str:
    return digest_of(key.encode(), what.encode(), str(at).encode()).hex()


def _serves_otherwise(before: Profile, after: Profile) -> bool:
    """Whether cases, orders or upkeep of any identity have changed."""
    if before.parts is after.parts:
        return False
    return bool([key for key, part in after.parts.items() if part.service is not before.part_of(key).service])


def _marked(profile: Profile, kind: str, name: str, due: int) -> Profile:
    """With the case told to be past due, in every part that knows of it."""
    field = "complaints" if kind == "complaint" else "cases"
    for key, part in profile.parts.items():
        held: dict[str, Complaint] = getattr(part.service, field)
        if name in held and held[name].since:
            changed = {**held, name: replace(held[name], past_due_at=max(held[name].past_due_at, due))}
            profile = profile.with_part(key, replace(part, service=replace(part.service, **{field: changed})))
    return profile


def _raised(profile: Profile, name: str, due_at: int) -> Profile:
    for key, part in profile.parts.items():
        held = part.service.upkeep
        if name in held:
            changed = {**held, name: replace(held[name], raised_for=max(held[name].raised_for, due_at))}
            profile = profile.with_part(key, replace(part, service=replace(part.service, upkeep=changed)))
    return profile
