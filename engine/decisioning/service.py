"""When nothing is sold for the sake of the relationship, and what the shop owes the customer meanwhile.

All of it is read from the profile at the moment of asking, so an event that is folded, or only on its way, counts at once.
What stops selling ends by itself where nobody ends it: an order is late for so many days, a low score holds for so many days
or until somebody has followed up.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from engine.moments import DAY, HOUR
from engine.profiles.profile import Part
from engine.profiles.service import Complaint, Service

Days = Annotated[float, Meta(ge=0, le=3650)]
Hours = Annotated[float, Meta(gt=0, le=24 * 365)]

COMPLAINT_OPEN, ESCALATED, SEVERE = "complaint_open", "case_escalated", "case_severe"
ORDER_LATE, LOW_NPS = "order_late", "low_nps"
STOPS: dict[str, str] = {
    COMPLAINT_OPEN: "a complaint is open",
    ESCALATED: "a support case was escalated",
    SEVERE: "a support case of high severity is open",
    ORDER_LATE: "an order is late",
    LOW_NPS: "the customer would not recommend us",
}
"""Why nothing is sold, in words, gravest first."""
ENDS: dict[str, str] = {
    COMPLAINT_OPEN: "send complaint_resolved",
    ESCALATED: "send support_case_resolved",
    SEVERE: "send support_case_resolved",
    ORDER_LATE: "send order_delivered",
    LOW_NPS: "send interaction_logged with the action follow_up",
}
RECOVERY, FOLLOW_UP, THANK_YOU, SERVICE, PAST_DUE = "recovery", "follow_up", "thank_you", "service", "case_past_due"
STATES: dict[str, str] = {
    **STOPS,
    RECOVERY: "a recovery action is due",
    FOLLOW_UP: "a follow-up is due",
    THANK_YOU: "a thank-you is due",
    SERVICE: "service is due",
    PAST_DUE: "a complaint or case is past due",
    "order_underway": "an order is on its way",
    "order_delivered": "an order was delivered lately",
    "order_returned": "a return was handled lately",
}
"""What a rule may ask for, in words."""


ServiceState = Literal[
    "complaint_open",
    "case_escalated",
    "case_severe",
    "order_late",
    "low_nps",
    "recovery",
    "follow_up",
    "thank_you",
    "service",
    "case_past_due",
    "order_underway",
    "order_delivered",
    "order_returned",
]
"""The same names, for rules."""


class SlaHours(Struct, frozen=True, kw_only=True):
    """Within how many hours a complaint and a support case are to be resolved."""

    complaint: Hours = 48.0
    case: Hours = 72.0


class ServiceRule(Struct, frozen=True, kw_only=True):
    """What stops selling and for how long, and what is owed by when.

    An order stops selling until it is delivered, but `late_order_days` at most; an NPS of `low_nps` or less for `low_nps_days` or
    until the follow-up; a support case when it is escalated or its severity is one of `severities`. A follow-up and a thank-you
    are due for `follow_up_days` after a resolution. Service is told `service_due_days` before its date. What the customer
    dismissed is not offered for `dismissed_days`; a delivery or return counts as recent for `delivered_days`.
    """

    late_order_days: Days = 14.0
    low_nps: Annotated[int, Meta(ge=-1, le=10)] = 6
    low_nps_days: Days = 30.0
    severities: tuple[str, ...] = ("high", "urgent", "critical")
    sla_hours: SlaHours = SlaHours()
    follow_up_days: Days = 14.0
    service_due_days: Days = 14.0
    dismissed_days: Days = 30.0
    delivered_days: Days = 7.0

    def due_at(self, case: Complaint, complaint: bool) -> int:
        """When the case has to be resolved."""
        return case.since + int((self.sla_hours.complaint if complaint else self.sla_hours.case) * HOUR)


DEFAULT_RULE = ServiceRule()


class ActionDue(Struct, frozen=True, kw_only=True):
    """Something that the shop owes a customer: `action` because of `reason` since `since`, to be done by `due_at`."""

    action: str
    reason: str
    since: int
    due_at: int
    case_id: str = ""


def stopped_by(part: Part, rule: ServiceRule, now: int) -> str:
    """Why nothing is sold to this customer, one of `STOPS`; empty where nothing stops it."""
    service, nps = part.service, part.feedback.nps
    if service.complaints and service.open:
        return COMPLAINT_OPEN
    if service.cases:
        for case in service.open_cases.values():
            if case.is_escalated:
                return ESCALATED
            if case.severity in rule.severities:
                return SEVERE
    if service.orders and _late(service, rule, now):
        return ORDER_LATE
    return LOW_NPS if nps[0] and _dissatisfied(part, rule, now) else ""


def _late(service: Service, rule: ServiceRule, now: int) -> list[tuple[str, int]]:
    span = int(rule.late_order_days * DAY)
    return [(name, order.late_at) for name, order in service.orders.items() if order.is_late and now - order.late_at < span]


def _dissatisfied(part: Part, rule: ServiceRule, now: int) -> bool:
    at, score = part.feedback.nps
    if score > rule.low_nps or now - at >= rule.low_nps_days * DAY:
        return False
    return max(part.feedback.done_at(FOLLOW_UP), part.feedback.done_at(RECOVERY)) <= at


def is_quiet(part: Part) -> bool:
    """Whether there is nothing at all that could be due: true for most customers, and quick to tell."""
    service = part.service
    return not (service.complaints or service.cases or service.orders or service.upkeep or part.feedback.nps[0])


def actions_due(part: Part, rule: ServiceRule, now: int) -> list[ActionDue]:
    """What the shop owes the customer, soonest first."""
    if is_quiet(part):
        return []
    found = [*_recoveries(part, rule, now), *_afterwards(part, rule, now), *_upkeep(part.service, rule, now)]
    return sorted(found, key=lambda one: (one.due_at, one.action, one.case_id))


def _recoveries(part: Part, rule: ServiceRule, now: int) -> list[ActionDue]:
    found = []
    for kind, cases in (("complaint", part.service.open), ("case", part.service.open_cases)):
        for name, case in cases.items():
            due = rule.due_at(case, kind == "complaint")
            reason = "case_escalated" if case.is_escalated else f"{kind}_open"
            if part.feedback.done_at(RECOVERY, name) < case.since:
                found.append(ActionDue(action=RECOVERY, reason=reason, since=case.since, due_at=due, case_id=name))
            if now >= due:
                found.append(ActionDue(action=PAST_DUE, reason=reason, since=case.since, due_at=due, case_id=name))
    hours = int(rule.sla_hours.complaint * HOUR)
    for name, at in _late(part.service, rule, now):
        if part.feedback.done_at(RECOVERY, name) < at:
            found.append(ActionDue(action=RECOVERY, reason=ORDER_LATE, since=at, due_at=at + hours, case_id=name))
    if part.feedback.nps[0] and _dissatisfied(part, rule, now):
        at = part.feedback.nps[0]
        found.append(ActionDue(action=RECOVERY, reason=LOW_NPS, since=at, due_at=at + hours))
    return found


def _afterwards(part: Part, rule: ServiceRule, now: int) -> list[ActionDue]:
    """Once it is put right: ask whether it is, and say thank you. Not while anything else is open."""
    service, span = part.service, int(rule.follow_up_days * DAY)
    if service.open or service.open_cases:
        return []
    found = []
    for reason, at in (("resolved", service.last_resolved_at), ("delivered", _delivered_late(service))):
        if at and 0 <= now - at < span:
            found += [
                ActionDue(action=action, reason=reason, since=at, due_at=at + span)
                for action in (FOLLOW_UP, THANK_YOU)
                if part.feedback.done_at(action) < at
            ]
    return found[:2]


def _delivered_late(service: Service) -> int:
    return max((one.delivered_at for one in service.orders.values() if 0 < one.late_at <= one.delivered_at), default=0)


def _upkeep(service: Service, rule: ServiceRule, now: int) -> list[ActionDue]:
    ahead = int(rule.service_due_days * DAY)
    return [
        ActionDue(action=SERVICE, reason=one.about or "service", since=one.due_at - ahead, due_at=one.due_at, case_id=name)
        for name, one in service.upkeep.items()
        if one.due_at and now >= one.due_at - ahead
    ]


def states_of(part: Part, rule: ServiceRule, now: int) -> frozenset[str]:
    """Which of `STATES` a customer is in."""
    if is_quiet(part):
        return NO_STATES
    service = part.service
    found = {one.action for one in actions_due(part, rule, now)}
    if service.open:
        found.add(COMPLAINT_OPEN)
    for case in service.open_cases.values():
        found |= {ESCALATED} if case.is_escalated else {SEVERE} if case.severity in rule.severities else set()
    if _late(service, rule, now):
        found.add(ORDER_LATE)
    if part.feedback.nps[0] and _dissatisfied(part, rule, now):
        found.add(LOW_NPS)
    lately = now - int(rule.delivered_days * DAY)
    for order in service.orders.values():
        if order.is_underway and not order.is_late:
            found.add("order_underway")
        if order.delivered_at > lately:
            found.add("order_delivered")
        if order.returned_at > lately:
            found.add("order_returned")
    return frozenset(found)


NO_STATES: frozenset[str] = frozenset()
