"""What each campaign did, as exact counts of a shard: offers decided, shown, clicked, redeemed; customers reached; money spent.

They move with the events themselves, inside the commit that folds them, so a replay counts the same and a repeat counts
nothing. A customer is reached once by a campaign, with the first of its offers that they saw under any of their identities.
Spent is what contacts cost once they were seen and redemptions once they happened, as written when the offer was chosen.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from engine.profiles.offer_history import OfferHistory, OpenOffer
from engine.profiles.profile import Profile

COUNTS: Final = ("reached", "decided", "shown", "clicked", "redeemed", "spent")
_PREFIX: Final = "campaign."
_NOT_YET = OpenOffer()


def moved(before: Profile, part_key: str, after: OfferHistory) -> dict[str, int]:
    """By how much the counts rise with a change of one identity's offers."""
    old = before.part_of(part_key).offers
    held = {(one.decision_id, one.offer_id, one.placement): one for one in old.open}
    more: dict[str, int] = {}
    for now in after.open:
        then = held.get((now.decision_id, now.offer_id, now.placement), _NOT_YET)
        if now is not then and now.campaign:
            _responded(more, then, now)
    new = [name for name in after.reached if name not in old.reached]
    others = [part.offers.reached for key, part in before.parts.items() if key != part_key]
    for name in new:
        if not any(name in reached for reached in others):
            _add(more, "reached", name, 1)
    return more


def joined(before: Profile, after: Profile) -> dict[str, int]:
    """When identities turn out to be one customer, whom a campaign had reached twice is one."""
    more: dict[str, int] = {}
    for profile, by in ((before, 1), (after, -1)):
        for name, times in _times_reached(profile).items():
            if times > 1:
                _add(more, "reached", name, by * (times - 1))
    return more


def told(shards: Sequence[Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """The counts of all shards by campaign; every one of `COUNTS` is there."""
    found: dict[str, dict[str, int]] = {}
    for counts in shards:
        for field, count in counts.items():
            what, _, name = field.removeprefix(_PREFIX).partition(":")
            if field.startswith(_PREFIX) and what in COUNTS:
                held = found.setdefault(name, dict.fromkeys(COUNTS, 0))
                held[what] += count
    return found


def _responded(more: dict[str, int], then: OpenOffer, now: OpenOffer) -> None:
    if not then.offer_id:
        _add(more, "decided", now.campaign, 1)
    if now.viewed_at and not then.viewed_at:
        _add(more, "shown", now.campaign, 1)
        _add(more, "spent", now.campaign, now.cost)
    if now.clicked_at and not then.clicked_at:
        _add(more, "clicked", now.campaign, 1)
    if now.redeemed_at and not then.redeemed_at:
        _add(more, "redeemed", now.campaign, 1)
        _add(more, "spent", now.campaign, now.redemption_cost)
    if then.redeemed_at and not now.redeemed_at:
        _add(more, "redeemed", now.campaign, -1)
        _add(more, "spent", now.campaign, -now.redemption_cost)


def _times_reached(profile: Profile) -> dict[str, int]:
    times: dict[str, int] = {}
    for part in profile.parts.values():
        for name in part.offers.reached:
            times[name] = times.get(name, 0) + 1
    return times


def _add(more: dict[str, int], what: str, campaign: str, by: int) -> None:
    name = f"{_PREFIX}{what}:{campaign}"
    more[name] = more.get(name, 0) + by
