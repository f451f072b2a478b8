"""Who is held out and who gets which variation: a salted hash of one identity of the customer, nothing else.

The same person is on the same side at every decision, in every process and after every restart; nobody outside can
steer on which one. The salts of holdout and experiment differ, so the two assignments are independent.

Which identity (`Profile.unit`): the one that was hashed when the customer was first counted for a campaign, else the one seen
first. A visitor who logs in stays on the side they were on; where both were counted before, on different sides, the earlier one
holds and the observation is marked as mixed. Which of them came first has nothing to do with any hash, so each side is still
drawn as the shares say. Identities that are parted keep the side of their time together, and are two customers from then on.

Who counts for a campaign is settled by the first decision in which it had something in place, for those held out as for
everybody else. Caps and stock have no say in it: those held out use up nothing, and two groups that enter by different
rules cannot be compared.
"""

from collections.abc import Sequence

import numpy as np

from engine.decisioning.catalogue import Columns
from engine.decisioning.conditions import BoolArray
from engine.decisioning.policy import Holdout, Policy, Ranker
from engine.ids import unit_interval
from engine.models.lift import EVERYTHING


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


def campaigns_in_place(columns: Columns, open_to: Sequence[BoolArray]) -> tuple[str, ...]:
    """Campaigns with a personal offer among those that the masks, one a placement, let pass; first `*` for all together."""
    there = columns.nothing
    for mask in open_to:
        there = mask if there is columns.nothing else there | mask
    there = there & columns.personal
    if not columns.campaign_names:
        return (EVERYTHING,) if there.any() else ()
    rows = there.nonzero()[0]
    if not rows.size:
        return ()
    found = np.bincount(columns.campaign[rows], minlength=len(columns.campaign_names) + 1)[:-1].nonzero()[0]
    return (EVERYTHING, *(columns.campaign_names[place] for place in found.tolist()))
