"""The queue of leads: who is worth calling first. Scored when asked, so that it follows what the person did a moment ago.

The open leads lie beside the profiles, a hash a shard. All of them are read; of more than `MOST_SCORED` those of the greatest
value are scored, and the answer says how many there were.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from api.basis import Basis
from api.customer_state import Known
from engine.decisioning.clauses import clauses
from engine.decisioning.conditions import KINDS, Condition
from engine.decisioning.leads import LeadRule
from engine.decisioning.profiling import may_profile
from engine.decisioning.service import states_of
from engine.decisioning.situation import Situation
from engine.errors import StoreUnavailable
from engine.features.base import Request
from engine.features.derived import RULE_NAMES
from engine.features.vector import read_features
from engine.moments import Millis, rfc3339
from engine.profiles.leads import Lead
from engine.profiles.profile import Profile
from engine.shards.leads import Queued, decode_queued
from engine.store import keys
from engine.store.codec import decode_profile
from engine.store.redis_reader import Refused

MOST_SCORED = 2_000
MOST_ANSWERED = 500
TOGETHER = 100
"""Profiles read and scored before others have their turn."""
STATUSES = ("open", "created", "qualified")

Ask = Callable[[Sequence[Any]], Awaitable[list[Any]]]
_IDENTITIES = {"u": "user_id", "l": "loyalty_id", "a": "anonymous_id"}


class LeadLine(Struct, frozen=True):
    """One lead. `likelihood` is null where the person does not want to be profiled; such leads come last, by value.
    `score` are the points of the rules that hold; `expected_minor` is likelihood times value."""

    lead_id: str
    status: str
    customer: dict[str, str]
    value_minor: int
    currency: str | None
    score: int | None
    likelihood: float | None
    expected_minor: int | None
    origin: str | None = None
    categories: list[str] = []
    created_at: str | None = None


class LeadsAnswer(Struct, frozen=True):
    """`open` leads there are, `scored` of them, and the first of those by what they are expected to bring."""

    at: str
    open: int
    scored: int
    leads: list[LeadLine]


LEADS_EXAMPLE = {
    "at": "2026-03-01T12:00:00.000Z",
    "open": 2,
    "scored": 2,
    "leads": [
        {
            "lead_id": "L-204",
            "status": "qualified",
            "customer": {"anonymous_id": "lead:L-204"},
            "value_minor": 48_000,
            "currency": "EUR",
            "score": 18,
            "likelihood": 0.31,
            "expected_minor": 14_880,
            "origin": "referral",
            "categories": ["coffee machines"],
            "created_at": "2026-02-27T09:14:00.000Z",
        },
        {
            "lead_id": "L-198",
            "status": "created",
            "customer": {"user_id": "u-42"},
            "value_minor": 6_000,
            "currency": "EUR",
            "score": 0,
            "likelihood": 0.12,
            "expected_minor": 720,
            "origin": "web form",
            "categories": [],
            "created_at": "2026-02-25T16:40:00.000Z",
        },
    ],
}


async def leads_answer(ask: Ask, shards: int, basis: Basis, now: Millis, limit: int, status: str) -> LeadsAnswer:
    """The answer to `GET /v1/leads`. Raises `StoreUnavailable`."""
    queued = [one for one in await _queued(ask, shards) if _wanted(one[2], status)]
    rules = basis.loaded.policy.leads
    queued.sort(key=lambda one: (-(one[2].amount or rules.default_value.minor), one[2].told_at, one[1]))
    scored: list[LeadLine] = []
    for start in range(0, min(len(queued), MOST_SCORED), TOGETHER):
        some = queued[start : start + TOGETHER]
        (raws,) = await ask([("MGET", *(keys.profile(shard, key) for shard, key, _ in some))])
        if isinstance(raws, Refused):
            raise StoreUnavailable(str(raws))
        found = [(decode_profile(key, raw), one) for (_, key, one), raw in zip(some, raws, strict=True) if raw]
        scored += _scored(found, basis, now)
        await asyncio.sleep(0)
    scored.sort(
        key=lambda line: (-(line.expected_minor if line.expected_minor is not None else -1), -line.value_minor, line.lead_id)
    )
    return LeadsAnswer(rfc3339(now), len(queued), len(scored), scored[:limit])


async def _queued(ask: Ask, shards: int) -> list[tuple[int, str, Queued]]:
    answers = await ask([("HGETALL", keys.leads(shard)) for shard in range(shards)])
    found: list[tuple[int, str, Queued]] = []
    for shard, answer in enumerate(answers):
        if isinstance(answer, Refused):
            raise StoreUnavailable(str(answer))
        for key, raw in zip(answer[::2], answer[1::2], strict=True):
            found += [(shard, key.decode(), one) for one in decode_queued(raw)]
    return found


def _wanted(one: Queued, status: str) -> bool:
    return status == "open" or one.qualified is (status == "qualified")


def _scored(found: Sequence[tuple[Profile, Queued]], basis: Basis, now: Millis) -> list[LeadLine]:
    policy = basis.loaded.policy
    leads = [(profile, one, profile.whole.leads.open.get(one.lead_id)) for profile, one in found]
    held = [(profile, one, lead) for profile, one, lead in leads if lead is not None]
    situations = [_situation(profile, basis, now) for profile, _, _ in held]
    by_rule = [(rule, _hold(rule, situations)) for rule in policy.leads.rules]
    lines = []
    for place, (profile, one, lead) in enumerate(held):
        vector = situations[place].vector
        value = policy.leads.value(lead)
        score = likelihood = expected = None
        if vector is not None:
            score = sum(rule.points for rule, holds in by_rule if holds[place] and rule.suits(lead))
            likelihood = policy.leads.likelihood(basis.purchase.probability(vector), score)
            expected = round(likelihood * value.minor)
        lines.append(_line(profile, one.lead_id, lead, value.minor, value.currency, score, likelihood, expected))
    return lines


def _situation(profile: Profile, basis: Basis, now: Millis) -> Situation:
    part, policy = profile.whole, basis.loaded.policy
    vector = read_features(profile, Request(), now) if may_profile(part, now, policy) else None
    return Situation(
        decision_id="",
        now=now,
        unit=profile.unit,
        placements=(),
        part=part,
        vector=vector,
        derived=basis.said(Known(profile), part, vector, now) if vector is not None else None,
        standing=basis.standing(profile),
        tiers=basis.held_tiers(Known(profile), part, now),
        states=states_of(part, policy.service, now),
    )


def _hold(rule: LeadRule, situations: Sequence[Situation]) -> list[bool]:
    """Whether what the rule asks of the person holds, for each of them."""
    if not situations:
        return []
    held = np.ones(len(situations), dtype=np.bool_)
    for clause in clauses(rule.when):
        either = np.zeros(len(situations), dtype=np.bool_)
        for use, negated in clause:
            either |= _answers(use, situations) != negated
        held &= either
    return held.tolist()


def _answers(use: Condition, situations: Sequence[Situation]) -> Any:
    table = next(table for kind, table in KINDS.values() if isinstance(use, kind))
    return table([use], RULE_NAMES).holds(situations)[:, 0]


def _line(
    profile: Profile,
    lead_id: str,
    lead: Lead,
    value: int,
    currency: str,
    score: int | None,
    likelihood: float | None,
    expected: int | None,
) -> LeadLine:
    kind, _, name = profile.key.partition(":")
    return LeadLine(
        lead_id,
        lead.status,
        {_IDENTITIES[kind]: name},
        value,
        currency or None,
        score,
        round(likelihood, 6) if likelihood is not None else None,
        expected,
        lead.origin or None,
        list(lead.categories),
        rfc3339(lead.created_at) if lead.created_at else None,
    )
