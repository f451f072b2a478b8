"""What a customer is worth, in the shape that the API promises. What is not known is null, never guessed."""

from typing import Any

from engine.decisioning.policy import Policy
from engine.decisioning.profit import profit_of
from engine.models.lifetime_value import YEAR_DAYS, ValueScorer
from engine.profiles.profile import Part


def value_view(part: Part, scorer: ValueScorer, policy: Policy, leaving: float, now: int) -> dict[str, Any]:
    """Money is in minor units of `currency`, the one in which the customer spends most.

    `alive` and the expectations are those of BG/NBD; null for somebody who has not bought. `profit_minor` is what they brought so
    far (`engine.decisioning.profit`), and what a year may bring is the share that is left of their sales so far, as far as that
    is known. `retention_budget_minor` is what keeping the customer may cost: the year's margin times the probability `leaving`,
    divided by the ratio of what winning and keeping one cost.
    """
    brought, bought = profit_of(part, policy), part.purchases
    expected = spend = margin = None
    if bought.count:
        expected, spend = scorer.expected_purchases(bought, now, YEAR_DAYS), scorer.expected_spend(bought)
        rate = brought.margin_rate if brought.margin_rate is not None else policy.value.margin_rate
        margin = expected * spend * rate if rate is not None else None
    return {
        "expected_purchases_365d": round(expected, 4) if expected is not None else None,
        "expected_margin_minor": round(margin) if margin is not None else None,
        "alive": round(scorer.alive(bought, now), 6) if bought.count else None,
        "expected_spend_minor": round(spend) if spend is not None else None,
        "profit_minor": brought.profit,
        "profit_to_date_minor": brought.profit,
        "margin_to_date_minor": brought.margin,
        "cost_to_serve_minor": brought.served if brought.profit is not None else None,
        "costed_share": round(brought.costed / brought.sales, 4) if brought.sales > 0 and brought.margin is not None else None,
        "retention_budget_minor": round(margin * leaving / policy.value.acquire_retain_ratio) if margin is not None else None,
        "currency": brought.currency or None if brought.profit is not None or bought.count else None,
        "status": scorer.status,
    }
