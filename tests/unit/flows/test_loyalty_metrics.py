"""How many customers are held in each tier, as the engine tells it."""

from prometheus_client import REGISTRY

from flows import metrics


def test_a_tier_that_everybody_has_left_is_told_as_empty() -> None:
    metrics.tell_members([{"silver": 3, "gold": 1}, {"silver": 2}])
    metrics.tell_members([{"silver": 4}, {}])

    held = {tier: REGISTRY.get_sample_value("regulars_loyalty_customers", {"tier": tier}) for tier in ("silver", "gold")}

    assert held == {"silver": 4.0, "gold": 0.0}
