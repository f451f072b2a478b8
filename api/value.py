"""What a customer is worth, in the shape that the API promises. What is not known is null, never guessed."""

from typing import Any

from engine.decisioning.policy import Value
from engine.models.lifetime_value import YEAR_DAYS, ValueScorer, mean_spend
from engine.profiles.purchases import Purchases


def value_view(purchases: Purchases, scorer: ValueScorer, rule: Value, leaving: float, now: int) -> dict[str, Any]:
    """Money is in minor units of `currency`, the one in which the customer spends most.

    `alive` and the expectations are those of BG/NBD; null for somebody who has not bought. Margins are the share of sales
    that the policy's `margin_rate` names, and null without it. `retention_budget_minor` is what keeping the customer may
    cost: the year's margin times the probability `leaving`, divided by the ratio of what winning and keeping one cost.
    """
    currency = mean_spend(purchases)[1]
    if not purchases.count:
        return _shown(None, None, None, None, None, None, scorer.status, None)
    expected = scorer.expected_purchases(purchases, now, YEAR_DAYS)
    spend = scorer.expected_spend(purchases)
    margin = expected * spend * rule.margin_rate if rule.margin_rate is not None else None
    return _shown(
        round(expected, 4),
        round(margin) if margin is not None else None,
        round(scorer.alive(purchases, now), 6),
        round(spend),
        round(purchases.spend.get(currency, 0) * rule.margin_rate) if rule.margin_rate is not None else None,
        round(margin * leaving / rule.acquire_retain_ratio) if margin is not None else None,
        scorer.status,
        currency or None,
    )


def _shown(
    expected: float | None,
    margin: int | None,
    alive: float | None,
    spend: int | None,
    profit: int | None,
    budget: int | None,
    status: str,
    currency: str | None,
) -> dict[str, Any]:
    return {
        "expected_purchases_365d": expected,
        "expected_margin_minor": margin,
        "alive": alive,
        "expected_spend_minor": spend,
        "profit_to_date_minor": profit,
        "retention_budget_minor": budget,
        "currency": currency,
        "status": status,
    }
