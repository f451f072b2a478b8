"""Points, tier, subscriptions and leads of one customer, in the shape that the API promises."""

from typing import Any

from engine.decisioning.loyalty import Programme, loyal
from engine.moments import Millis, rfc3339
from engine.profiles.loyalty import Loyalty
from engine.profiles.profile import Part, Profile


def loyalty_view(profile: Profile, part: Part, programme: Programme, now: Millis) -> dict[str, Any]:
    """`points` is null where nothing is known of any; below zero after a return of what was used. `points_to_next_tier` and
    `spend_to_next_tier_minor` are null where the next tier does not go by that, or none is above."""
    told = part.loyalty
    read = loyal(profile.membership, part, programme, now)
    holds, held, above = read.account, read.held, read.above
    tier = held.tier if programme.tiers else told.tier
    return {
        "points": holds.points if programme.earn is not None or _has_points(told) else None,
        "tier": tier or None,
        "tier_since": _moment(held.since if programme.tiers else told.tier_at),
        "tier_until": _moment(held.review_at),
        "next_tier": above.id if above is not None else None,
        "points_to_next_tier": above.points if above is not None else None,
        "spend_to_next_tier_minor": above.spend.minor if above is not None and above.spend is not None else None,
        "expires": {"points": holds.expiring, "at": _moment(holds.expires_at)} if holds.expires_at else None,
        "joined_at": _moment(told.joined_at),
    }


def leads_view(part: Part) -> list[dict[str, Any]]:
    """Leads, newest first."""
    newest = sorted(part.leads.by_id.items(), key=lambda one: (-one[1].told_at, one[0]))
    return [
        {
            "lead_id": name,
            "status": lead.status,
            "origin": lead.origin or None,
            "categories": list(lead.categories),
            "amount_minor": lead.amount or None,
            "currency": lead.currency or None,
            "created_at": _moment(lead.created_at),
        }
        for name, lead in newest
    ]


def subscriptions_view(part: Part) -> list[dict[str, Any]]:
    """Subscriptions, those told of last first."""
    newest = sorted(part.subscriptions.by_id.items(), key=lambda one: (-one[1].told_at, one[0]))
    return [
        {
            "subscription_id": name or None,
            "status": one.status,
            "plan": one.plan or None,
            "amount_minor": one.amount or None,
            "currency": one.currency or None,
            "renewals": one.renewals,
            "started_at": _moment(one.started_at),
            "renews_at": _moment(one.renews_at),
        }
        for name, one in newest
    ]


def _has_points(told: Loyalty) -> bool:
    return bool(told.joined_at or told.months or any(one.told for one in told.named))


def _moment(at: int) -> str | None:
    return rfc3339(at) if at else None
