"""What a lead is worth following up: points by rules of policy.yaml, and how likely somebody with this history buys.

The likelihood starts at the customer's purchase likelihood and is moved by the points of the rules that hold: every
`points_double_odds` points double the odds, as many below zero halve them. The queue goes by likelihood times value.
"""

from typing import Annotated

from msgspec import Meta, Struct

from engine.decisioning.conditions import Condition
from engine.decisioning.offers import Money
from engine.profiles.leads import Lead


class LeadRule(Struct, frozen=True, kw_only=True):
    """`points` where all that is written holds: `when` of the person, the others of the lead itself, any of each list."""

    points: Annotated[int, Meta(ge=-1000, le=1000)]
    when: Annotated[tuple[Condition, ...], Meta(extra={"written": "conditions"})] = ()
    origin: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    attributes: dict[str, Annotated[tuple[str, ...], Meta(extra={"written": "plains"})]] = {}
    qualified: bool | None = None

    def suits(self, lead: Lead) -> bool:
        """Whether what the rule asks of the lead itself holds."""
        if self.origin and lead.origin not in self.origin:
            return False
        if self.categories and set(self.categories).isdisjoint(lead.categories):
            return False
        if self.qualified is not None and self.qualified is not bool(lead.qualified_at):
            return False
        return all(plain(lead.attributes.get(name)) in wanted for name, wanted in self.attributes.items())


class LeadRules(Struct, frozen=True, kw_only=True):
    """How leads are scored. `default_value` is what winning one brings whose value nobody estimated."""

    rules: Annotated[tuple[LeadRule, ...], Meta(max_length=200)] = ()
    points_double_odds: Annotated[float, Meta(gt=0, le=1000)] = 10.0
    default_value: Money = Money()

    def likelihood(self, purchase_probability: float, score: int) -> float:
        """The probability moved by the points."""
        odds: float = purchase_probability / max(1.0 - purchase_probability, 1e-9)
        odds *= 2.0 ** max(min(score / self.points_double_odds, 60.0), -60.0)
        return float(odds / (1.0 + odds))

    def value(self, lead: Lead) -> Money:
        """What winning the lead is estimated to bring."""
        return Money(lead.amount, lead.currency) if lead.amount else self.default_value


def plain(value: object) -> str:
    """A plain value as it is written: `true`, `4`, `Wien`."""
    return str(value).lower() if isinstance(value, bool) else str(value)
