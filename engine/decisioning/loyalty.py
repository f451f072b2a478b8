"""The loyalty programme as policy.yaml has it, and what it makes of a customer's points and spend at an instant.

Theory of operation. A profile holds what was told: points by event, and net spend by month. Everything a rule makes of that
is worked out here, on reading, so a changed rule holds at once and a replay needs nothing but the log.

Points by spend are the running net spend times the rate, rounded down once. What a purchase leaves over counts with the next
one, and a return takes back exactly what the purchase brought: rounding each purchase down by itself would need every
purchase kept for ever, and loses the customer the rest each time.

Points come in lots of a calendar month (UTC) and are used oldest first. A lot expires `expires_days` after its month has ended.
Points below zero, after a return of what was used already, are paid off by the next ones.

A tier is reached by what was earned or spent in its window, in whole months: the one in which the window begins counts. Once
reached it holds for `hold_days`. Who has been judged when is recorded with the profile, so that the move is told once.
"""

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated

from msgspec import Meta, Struct

from engine.decisioning.offers import Identifier, Money
from engine.moments import DAY, Millis, millis
from engine.profiles.loyalty import EARNED
from engine.profiles.membership import Membership
from engine.profiles.monthly import entries, first_of, month_of, since
from engine.profiles.profile import Part

LOYALTY = "loyalty"
"""The reference fact that shards judge tiers by."""


class Earn(Struct, frozen=True, kw_only=True):
    """`points` for each `per` of net spend."""

    per: Money
    points: Annotated[int, Meta(ge=1, le=10**6)] = 1


class Tier(Struct, frozen=True, kw_only=True):
    """A tier and what reaches it: points earned, or net spend, within `window_days`. Either is enough where both stand."""

    id: Identifier
    from_points: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    from_spend: Money | None = None
    window_days: Annotated[int, Meta(ge=1, le=3650)] = 365


class Programme(Struct, frozen=True, kw_only=True):
    """The programme. Without `earn` only events bring points; without `expires_days` they stay; tiers go from low to high."""

    earn: Earn | None = None
    expires_days: Annotated[int, Meta(ge=1, le=3650)] | None = None
    hold_days: Annotated[int, Meta(ge=0, le=3650)] = 365
    tiers: Annotated[tuple[Tier, ...], Meta(max_length=20)] = ()

    def rank(self, tier: str) -> int:
        """1 for the lowest tier; 0 for none, and for one that is not of the programme."""
        return next((place for place, one in enumerate(self.tiers, 1) if one.id == tier), 0)


NO_PROGRAMME = Programme()


class Account(Struct, frozen=True):
    """Points of a customer at an instant. `expiring` points are the next to go, at `expires_at` (0: none do)."""

    points: int = 0
    earned: int = 0
    used: int = 0
    expired: int = 0
    expiring: int = 0
    expires_at: int = 0


class NextTier(Struct, frozen=True):
    """The tier above the one held, and what is missing to it; None where it does not go by that."""

    id: str = ""
    points: int | None = None
    spend: Money | None = None


Lots = Sequence[tuple[int, int, int]]


def lots(part: Part, programme: Programme) -> Lots:
    """(month, points earned, points used), oldest first. Month 0 is what is older than the months that are kept."""
    held = part.loyalty
    if not held.months and not held.named:
        return [(month, points, 0) for month, points in _by_spend(part, programme.earn)]
    earned: dict[int, int] = {0: held.earned}
    used: dict[int, int] = {0: held.used}
    for month, kind, points in entries(held.months):
        into = earned if kind == EARNED else used
        into[month] = into.get(month, 0) + points
        into[0] -= points
    for one in held.named:
        month, (got, spent) = month_of(one.at), one.net
        earned[month] = earned.get(month, 0) + got
        used[month] = used.get(month, 0) + spent
    for month, points in _by_spend(part, programme.earn):
        earned[month] = earned.get(month, 0) + points
    months = sorted({*earned, *used})
    return [(month, earned.get(month, 0), used.get(month, 0)) for month in months]


class Loyal(Struct, frozen=True):
    """All that is known of a customer at an instant: points, the tier held, and the one above it (None: none is)."""

    account: Account
    held: Membership
    above: NextTier | None


def loyal(membership: Membership, part: Part, programme: Programme, now: int) -> Loyal:
    """Everything at once."""
    held = judged(membership, part, programme, now)
    return Loyal(account(part, programme, now), held, next_tier(held.tier, part, programme, now))


def account(part: Part, programme: Programme, now: int) -> Account:
    """The balance at an instant: exact in whatever order the events came."""
    booked = lots(part, programme)
    days = programme.expires_days
    if not days:
        earned, used = sum([lot[1] for lot in booked]), sum([lot[2] for lot in booked])
        return Account(earned - used, earned, used)
    held: deque[list[int]] = deque()
    owed = all_earned = all_used = gone = 0
    for month, earned, used in booked:
        gone += _expired(held, month_start(month) if month else 0)
        all_earned, all_used = all_earned + earned, all_used + used
        owed += used
        if earned < 0:
            owed -= earned
        elif earned:
            held.append([month_start(month + 1) + days * DAY, earned])
        while owed and held:
            taken = min(owed, held[0][1])
            owed, held[0][1] = owed - taken, held[0][1] - taken
            if not held[0][1]:
                held.popleft()
    gone += _expired(held, now)
    expires_at, expiring = held[0] if held else (0, 0)
    return Account(sum([lot[1] for lot in held]) - owed, all_earned, all_used, gone, expiring, expires_at)


def judged(held: Membership, part: Part, programme: Programme, now: int) -> Membership:
    """The tier held at an instant: up as soon as one is reached, down when the review comes and it is not reached any more."""
    reached, before = reached_rank(part, programme, now), programme.rank(held.tier)
    if reached > before:
        return Membership(programme.tiers[reached - 1].id, now, now + programme.hold_days * DAY)
    if not held.tier or (before and now < held.review_at):
        return held
    if reached < before or not before:
        return Membership() if not reached else Membership(programme.tiers[reached - 1].id, now, now + programme.hold_days * DAY)
    return Membership(held.tier, held.since, now + max(programme.hold_days, 1) * DAY)


def reached_rank(part: Part, programme: Programme, now: int) -> int:
    """The rank of the highest tier that points or spend reach."""
    points: dict[int, int] = {}
    for rank in range(len(programme.tiers), 0, -1):
        tier = programme.tiers[rank - 1]
        if tier.from_points is not None:
            if tier.window_days not in points:
                points[tier.window_days] = earned_within(part, programme, tier.window_days, now)
            if points[tier.window_days] >= tier.from_points:
                return rank
        spend = tier.from_spend
        if spend is not None and _spent_within(part, spend.currency, tier.window_days, now)[1] >= spend.minor:
            return rank
    return 0


def earned_within(part: Part, programme: Programme, window_days: int, now: int) -> int:
    """Points earned in the months of a window, as the lots of those months have it, without making lots: shards ask at every
    purchase. Of points by spend it is the difference of two running sums."""
    first, last = _window(window_days, now)
    told, earn = part.loyalty, programme.earn
    points = sum([one.net[0] for one in told.named if first <= month_of(one.at) <= last])
    if told.months:
        points += sum([sum_ for month, kind, sum_ in since(told.months, first) if kind == EARNED and month <= last])
    if earn is not None and earn.per.minor:
        before, within = _spent_within(part, earn.per.currency, window_days, now)
        points += (before + within) * earn.points // earn.per.minor - before * earn.points // earn.per.minor
    return points


def next_tier(tier: str, part: Part, programme: Programme, now: int) -> NextTier | None:
    """The tier above, and how far it is; None in the highest."""
    rank = programme.rank(tier)
    if rank >= len(programme.tiers):
        return None
    above = programme.tiers[rank]
    points = spend = None
    if above.from_points is not None:
        points = max(above.from_points - earned_within(part, programme, above.window_days, now), 0)
    if above.from_spend is not None:
        spent = _spent_within(part, above.from_spend.currency, above.window_days, now)[1]
        spend = Money(max(above.from_spend.minor - spent, 0), above.from_spend.currency)
    return NextTier(above.id, points, spend)


def held_and_below(tier: str, programme: Programme) -> tuple[str, ...]:
    """The tier held, then those below it: what rules of offers ask for."""
    rank = programme.rank(tier)
    return tuple(one.id for one in reversed(programme.tiers[:rank])) or ((tier,) if tier else ())


@lru_cache(maxsize=4096)
def month_start(month: int) -> Millis:
    """The first instant of a month in UTC."""
    year, number = first_of(month)
    return millis(datetime(year, number, 1, tzinfo=UTC)) if year else Millis(0)


def _by_spend(part: Part, earn: Earn | None) -> list[tuple[int, int]]:
    if earn is None or not earn.per.minor:
        return []
    found, running, before = [], 0, 0
    for month, net in _spend(part, earn.per.currency):
        running += net
        points = running * earn.points // earn.per.minor
        found.append((month, points - before))
        before = points
    return found


def _spend(part: Part, currency: str) -> list[tuple[int, int]]:
    """Net spend by month of purchase, oldest first; under month 0 what is older or names no purchase."""
    bought = part.purchases
    months = [(month, net) for month, name, net in entries(bought.months) if name == currency]
    rest = bought.spend.get(currency, 0) - sum(net for _, net in months)
    return [(0, rest), *months]


def _spent_within(part: Part, currency: str, window_days: int, now: int) -> tuple[int, int]:
    """Net spend before the months of a window, and in them. What names no month came before."""
    first, last = _window(window_days, now)
    bought = part.purchases
    before, within = bought.spend.get(currency, 0), 0
    for month, name, net in since(bought.months, first):
        if name == currency:
            before -= net
            if month <= last:
                within += net
    return before, within


def _window(window_days: int, now: int) -> tuple[int, int]:
    return month_of(max(now - window_days * DAY, 0)), month_of(now)


def _expired(held: deque[list[int]], until: int) -> int:
    gone = 0
    while held and held[0][0] and held[0][0] <= until:
        gone += held.popleft()[1]
    return gone
