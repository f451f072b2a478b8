"""Who is held out and who gets which variation: a salted hash of the customer's first identity, nothing else.

The same person is on the same side at every decision, in every process and after every restart; nobody outside can
steer on which one. The salts of holdout and experiment differ, so the two assignments are independent.
"""

from engine.decisioning.policy import Holdout, Policy, Ranker
from engine.ids import unit_interval


def in_holdout(unit: str, holdout: Holdout) -> bool:
    """Whether this identity is kept without personal offers."""
    return holdout.share > 0.0 and unit_interval("holdout", holdout.salt, unit) < holdout.share


def variation_of(unit: str, policy: Policy) -> tuple[str, Ranker]:
    """Name and ranker of the identity's variation. Shares are taken as they are written; rest falls to the last one."""
    variations = policy.experiment.variations
    if len(variations) == 1:
        name, only = next(iter(variations.items()))
        return name, only.ranker
    point = unit_interval("variation", policy.experiment.salt, unit)
    reached = 0.0
    for name, variation in variations.items():
        reached += variation.share
        if point < reached:
            return name, variation.ranker
    return name, variation.ranker
