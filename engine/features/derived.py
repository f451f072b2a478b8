"""Readings that a model or the policy works out of the others. Rules may name them; nobody learns from them, or models would
chase each other.

They cost a score each, so they are worked out only where some rule of the catalogue names one.
"""

from engine.features.base import Reading
from engine.features.vector import NAMES

CHURN_PROBABILITY = "churn.probability"
PURCHASE_PROBABILITY = "purchase.probability_7d"

ALIVE = "value.alive"
EXPECTED_PURCHASES = "value.expected_purchases_365d"

PROFIT = "value.profit"

POINTS = "loyalty.points"
TIER_RANK = "loyalty.tier_rank"
POINTS_TO_NEXT_TIER = "loyalty.points_to_next_tier"

DERIVED: tuple[Reading, ...] = (
    Reading(CHURN_PROBABILITY, "share", 0, 1, "how likely the customer stays away until the churn horizon"),
    Reading(PURCHASE_PROBABILITY, "share", 0, 1, "how likely the customer buys within a week"),
    Reading(ALIVE, "share", 0, 1, "how likely the customer has not left for good"),
    Reading(EXPECTED_PURCHASES, "purchases", 0, 10_000, "purchases to expect within a year"),
    Reading(POINTS, "points", -1e9, 1e9, "points of the loyalty programme"),
    Reading(TIER_RANK, "tiers", 0, 20, "the tier held, 1 for the lowest"),
    Reading(POINTS_TO_NEXT_TIER, "points", 0, 1e9, "points missing to the next tier"),
    Reading(PROFIT, "major units", -1e9, 1e9, "margin of purchases so far, less what serving the customer cost"),
)
DERIVED_NAMES: tuple[str, ...] = tuple(reading.name for reading in DERIVED)
RULE_NAMES: tuple[str, ...] = (*NAMES, *DERIVED_NAMES)
"""What a rule may name, in the order of the numbers: the vector, then what is derived from it."""
RULE_INDEX: dict[str, int] = {name: index for index, name in enumerate(RULE_NAMES)}
