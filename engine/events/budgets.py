"""Money of a campaign's budget was spent for good: derived by the shard, once for each redemption."""

from msgspec import Struct

from engine.events.base import Event


class Spent(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What a redemption cost, in minor units; the envelope names decision, offer and placement."""

    campaign: str = ""
    amount_minor: int = 0


class BudgetSpent(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An offer of a campaign was redeemed, so what was set aside for that does not come back. Only the engine writes this."""

    data: Spent = Spent()


TYPES: dict[str, type[Event]] = {"budget_spent": BudgetSpent}
