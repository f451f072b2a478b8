"""What a customer brought so far: margin of lines, less discounts, less what serving them cost. A pure function of what is held.

A line's margin is what was paid for it, which is after its discounts, less what its goods cost the shop. Where nobody told what
goods cost, the policy's `margin_rate` stands for it; without that they bring nothing that is known. Serving costs what the policy
says of each type of event, times how often it happened. All of it is whole minor units and follows returns, voids and
cancellations exactly, since the sums that it is made of do.
"""

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct

from engine.decisioning.offers import Money
from engine.decisioning.policy import Policy
from engine.profiles.profile import Part
from engine.profiles.serving import Served


class Profit(Struct, frozen=True):
    """Minor units of `currency`, the one in which the customer spends most. `margin` is None where nothing of it is known.

    `costed` is the part of `sales` of which it is known what the goods cost; `by_event` tells what serving cost, by type.
    """

    currency: str = ""
    sales: int = 0
    costed: int = 0
    known: int = 0
    """The part of `sales` that the margin is of: all of them, or those of known cost."""
    margin: int | None = None
    served: int = 0
    by_event: Mapping[str, int] = {}

    @property
    def profit(self) -> int | None:
        """Margin less the cost to serve. Without sales it is what serving cost; None where the margin is not known."""
        return None if self.margin is None else self.margin - self.served

    @property
    def margin_rate(self) -> float | None:
        """The share of sales that is left, as far as it is known."""
        return max(self.margin, 0) / self.known if self.margin is not None and self.known > 0 else None


def profit_of(part: Part, policy: Policy) -> Profit:
    """The profit of a customer so far. Source of the terms: policy.yaml's `value.margin_rate` and `cost_to_serve`."""
    bought = part.purchases
    named = [name for name in bought.spend if name]
    currency = max(named, key=lambda name: (bought.spend[name], name), default=_only(policy.cost_to_serve))
    sales, costed, goods = (held.get(currency, 0) for held in (bought.spend, bought.costed, bought.cost))
    by_event = cost_to_serve(part.served, policy.cost_to_serve, currency)
    rate, uncosted = policy.value.margin_rate, sales - costed
    margin: int | None = costed - goods
    if rate is not None:
        margin = costed - goods + round(uncosted * Decimal(str(rate)))
    elif uncosted and not (costed or goods):
        margin = None
    if not named and not by_event:
        margin = None
    known = costed if rate is None else sales
    return Profit(currency, sales, costed, known, margin, sum(by_event.values()), by_event)


def cost_to_serve(served: Served, costs: Mapping[str, Money], currency: str) -> dict[str, int]:
    """What serving cost by type of event, in one currency."""
    return {
        name: served.counts[name] * money.minor
        for name, money in costs.items()
        if money.currency == currency and served.counts.get(name, 0) and money.minor
    }


def _only(costs: Mapping[str, Money]) -> str:
    """The currency of the costs: all are of one."""
    return next((money.currency for money in costs.values()), "")
