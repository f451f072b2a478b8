"""A customer in the shape that the API promises. Fields whose models are not there yet are null, never guessed."""

from typing import Any

from api.basis import Basis
from api.customer_state import Known
from api.departures import changed
from api.loyalty import leads_view, loyalty_view, subscriptions_view
from api.value import value_view
from engine.decisioning.conditions import clock
from engine.decisioning.service import STOPS, ActionDue, ServiceRule, actions_due, stopped_by
from engine.features.base import Request
from engine.features.vector import INDEX, NAMES, Vector, read_features
from engine.features.words import told
from engine.models.lift import EVERYTHING
from engine.models.scoring import HorizonScorer
from engine.moments import DAY, Millis, rfc3339
from engine.profiles.consent import EVERY_CHANNEL, Consents, Statement
from engine.profiles.experiment import Experiment
from engine.profiles.feedback import Feedback
from engine.profiles.preferences import EVERY, Preferences
from engine.profiles.profile import Part, Profile
from engine.profiles.purchases import Purchases
from engine.profiles.service import Complaint

MOST_DRIVERS = 5


def customer_view(known: Known, basis: Basis, now: Millis) -> dict[str, Any]:
    """The body of `GET /v1/customers/{id}`."""
    profile, churn, purchase = known.profile, basis.churn, basis.purchase
    policy, currency = basis.loaded.policy, basis.loaded.catalogue.currency
    part = profile.whole
    vector = read_features(profile, Request(), now)
    leaving, standing = churn.probability(vector), basis.standing(profile)
    view = {
        "user_id": _user_id(profile),
        "identities": _identities(profile, part),
        "purchases": _purchases(part.purchases, currency),
        **_by_currency(part.purchases),
        "segments": list(standing.segments),
        "lifecycle": standing.lifecycle,
        "value": value_view(part, basis.value, policy, leaving, now),
        "churn": {
            "probability": round(leaving, 6),
            "status": churn.status,
            "horizon_days": int(churn.horizon_days),
            "changed": changed(vector.tolist()),
            "version": churn.version,
            "drivers": _drivers(churn, vector),
        },
        "traits": part.identity.told,
        "consent": _consents(part.consent, now),
        "preferences": _preferences(part.preferences),
        "purchase": {
            "probability_7d": round(purchase.probability(vector), 6),
            "status": purchase.status,
            "version": purchase.version,
            "drivers": _drivers(purchase, vector),
        },
        "service": _service(part, policy.service, now),
        "offers": {name: getattr(part.offers, name) for name in ("decided", "shown", "clicked", "redeemed")},
        "experiment": _experiment(part.experiment),
        "actions_due": [_action(one) for one in actions_due(part, policy.service, now)],
        "feedback": _feedback(part.feedback),
        "loyalty": loyalty_view(profile, part, policy.loyalty, now),
        "leads": leads_view(part),
        "subscriptions": subscriptions_view(part),
        "features": dict(zip(NAMES, vector.tolist(), strict=True)),
        "events": profile.events,
        "first_seen_at": _moment(part.identity.first_at),
        "last_seen_at": _moment(part.identity.last_at),
        "updated_at": _moment(profile.arrived_at),
        "age_ms": max(0, now - profile.arrived_at) if profile.arrived_at else None,
    }
    return view if profile.may_profile(now, policy.consent.profiling_by_default) else _without_scores(view)


def _identities(profile: Profile, part: Part) -> dict[str, list[str]]:
    """Names that were seen beside the customer's own, but for those of which it was said that they are not theirs."""
    named = {"anonymous": part.identity.anonymous, "loyalty": part.identity.loyalty}
    return {kind: [name for name in names if not profile.links.parted(f"{kind[0]}:{name}")] for kind, names in named.items()}


def _without_scores(view: dict[str, Any]) -> dict[str, Any]:
    """Of a customer who does not want to be profiled: what they are owed, and no judgement of them."""
    silent = {
        name: {**dict.fromkeys(view[name]), **kept}
        for name, kept in {
            "value": {"status": "denied"},
            "churn": {"status": "denied", "horizon_days": view["churn"]["horizon_days"], "changed": [], "drivers": []},
            "purchase": {"status": "denied", "drivers": []},
        }.items()
    }
    return {**view, **silent, "segments": [], "lifecycle": None, "features": {}}


def _preferences(wished: Preferences) -> dict[str, Any]:
    """What the customer chose; null where the shop decides."""
    limit, quiet = wished.limit, wished.quiet.span
    return {
        "topics": {name: said for name in sorted(wished.topics) if name != EVERY and (said := wished.topic(name)) is not None},
        "channels": {name: not wished.refuses(name) for name in sorted(wished.channels) if name != EVERY},
        "frequency": {"count": limit.count, "window_days": limit.window_ms / DAY} if limit.count is not None else None,
        "quiet_hours": {"start": clock(quiet[0]), "end": clock(quiet[1])} if quiet is not None else None,
    }


def _drivers(scorer: HorizonScorer, vector: Vector) -> list[dict[str, Any]]:
    """The readings that move a score most, each against an average customer: above 0 towards it, below 0 away from it."""
    terms = sorted(scorer.contributions(vector).items(), key=lambda one: -abs(one[1]))[:MOST_DRIVERS]
    return [
        {"feature": name, "contribution": round(term, 6), "words": told(name, float(vector[INDEX[name]]))}
        for name, term in terms
        if term
    ]


def _user_id(profile: Profile) -> str | None:
    """From the profile's own key, or from a part that was joined to it."""
    return next((key[2:] for key in (profile.key, *sorted(profile.parts)) if key.startswith("u:")), None)


def _purchases(purchases: Purchases, currency: str) -> dict[str, Any]:
    spend = purchases.spend
    main = currency if currency in spend or not spend else max(spend, key=lambda name: spend[name])
    return {
        "count": purchases.count,
        "spend_minor": purchases.spend.get(main, 0),
        "currency": main or None,
        "first_at": _moment(purchases.first_at),
        "last_at": _moment(purchases.last_at),
    }


def _by_currency(purchases: Purchases) -> dict[str, Any]:
    if len(purchases.spend) < 2:
        return {}
    listed = [{"currency": name, "spend_minor": spend} for name, spend in sorted(purchases.spend.items())]
    return {"purchases_by_currency": listed}


def _consents(consents: Consents, now: Millis) -> dict[str, Any]:
    """By purpose the newest statement, the channels it is granted on, and what was said of each channel."""
    view: dict[str, Any] = {}
    for purpose, said in consents.statements.items():
        newest = consents.statement(purpose, None, now)
        channels = [name for name in sorted(said) if name != EVERY_CHANNEL]
        view[purpose] = {
            "status": newest.status,
            "at": _moment(newest.at),
            "channels": [name for name in channels if consents.status(purpose, name, now) == "granted"],
            **{name: value for name, value in _details(newest).items() if value},
            "by_channel": {name: consents.status(purpose, name, now) for name in channels},
        }
    return view


def _details(statement: Statement) -> dict[str, Any]:
    return {
        "expires_at": rfc3339(statement.expires_at) if statement.expires_at else None,
        "text_version": statement.text_version or None,
    }


def _service(part: Part, rule: ServiceRule, now: Millis) -> dict[str, Any]:
    """`selling` says whether anything is sold, and if not why; `cases` are complaints and support cases alike."""
    service, why = part.service, stopped_by(part, rule, now)
    still_open, open_cases = service.open, service.open_cases
    return {
        "open_complaints": len(still_open),
        "open_cases": len(open_cases),
        "selling": not why,
        "stopped_by": why or None,
        "words": STOPS.get(why),
        "cases": [
            *(_case(key, one, "complaint", key in still_open, rule) for key, one in service.complaints.items()),
            *(_case(key, one, "case", key in open_cases, rule) for key, one in service.cases.items()),
        ],
        "orders": [
            {"order_id": name, **{step: _moment(getattr(order, step)) for step in order.__struct_fields__}}
            for name, order in service.orders.items()
        ],
        "upkeep": [
            {"service_id": name, "about": one.about or "service", "due_at": _moment(one.due_at)}
            for name, one in service.upkeep.items()
            if one.due_at
        ],
    }


def _case(key: str, case: Complaint, kind: str, is_open: bool, rule: ServiceRule) -> dict[str, Any]:
    due = rule.due_at(case, kind == "complaint")
    return {
        "case_id": key,
        "kind": kind,
        "open": is_open,
        "reason": case.reason,
        "severity": case.severity or None,
        "filed_at": _moment(case.since),
        "acknowledged_at": _moment(case.acknowledged_at),
        "escalated_at": _moment(case.escalated_at),
        "resolved_at": _moment(case.resolved_at),
        "due_at": _moment(due) if is_open else None,
        "past_due": is_open and case.is_past_due,
    }


def _action(one: ActionDue) -> dict[str, Any]:
    return {
        "action": one.action,
        "reason": one.reason,
        "since": _moment(one.since),
        "due_at": _moment(one.due_at),
        "case_id": one.case_id or None,
    }


def _feedback(feedback: Feedback) -> dict[str, Any]:
    said = {name: getattr(feedback, name) for name in ("nps", "satisfaction", "sentiment")}
    return {
        **{name: {"value": value, "at": _moment(at)} if at else None for name, (at, value) in said.items()},
        "special_requests": [{"at": _moment(at), "request": words} for at, words in feedback.wishes],
    }


def _experiment(experiment: Experiment) -> list[dict[str, Any]]:
    """For what the customer counts in which arm, from the first decision on; without a campaign it is for all together."""
    return [
        {
            "campaign_id": None if one.campaign == EVERYTHING else one.campaign,
            "arm": one.arm,
            "since": _moment(one.at),
            "until": _moment(one.closes_at),
            "exposed": one.exposed,
            "mixed": one.mixed,
        }
        for one in experiment.enrolments
    ]


def _moment(at: int) -> str | None:
    return rfc3339(at) if at else None
