"""Tells the ledger of redemptions, which only the shard can see: buying what was promoted, or using a coupon code.

The ledger lives elsewhere, so it is told by an event of the shard's own: written with the commit that counted the redemption,
and passed on as often as it takes, since noting it twice changes nothing.
"""

from collections.abc import Iterator

from engine.events.budgets import BudgetSpent, Spent
from engine.events.routing import has_customer
from engine.ids import digest_of
from engine.profiles.offer_history import OfferHistory
from engine.profiles.profile import Profile
from engine.shards.commit import Outgoing
from engine.shards.own import own_event


def spent(profile: Profile, old: OfferHistory, new: OfferHistory, shard: int, arrived: int) -> Iterator[Outgoing]:
    """An event for each offer that has just been redeemed and whose redemption costs its campaign something."""
    if not has_customer(profile.key) or new.redeemed == old.redeemed:
        return
    before = {(one.decision_id, one.offer_id, one.placement) for one in old.open if one.redeemed_at}
    for one in new.open:
        place = (one.decision_id, one.offer_id, one.placement)
        if not one.redeemed_at or place in before or not one.campaign or not one.redemption_cost:
            continue
        yield own_event(
            BudgetSpent,
            "budget_spent",
            f"spent-{digest_of(*(part.encode() for part in place)).hex()}",
            profile.key,
            shard,
            one.redeemed_at,
            arrived=arrived,
            decision_id=one.decision_id,
            offer_id=one.offer_id,
            placement=one.placement,
            data=Spent(campaign=one.campaign, amount_minor=one.redemption_cost),
        )
