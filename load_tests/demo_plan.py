"""How much of the year fits into the time there is, and which households take part."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

from msgspec import Struct

from engine.decisioning.experiment import variation_of
from engine.decisioning.policy import Policy

DEFAULT_SECONDS: Final = 150.0
WEEKS_IN_BULK: Final = 26
LONGEST_LOAD_S: Final = 32.0
"""The first offer has to be on the screen within a minute of the start."""
LOAD_SHARE: Final = 0.28
CLOSING_SHARE: Final = 0.06
LEAST_HOUSEHOLDS: Final = 12
SHOPPERS_FOR_HOUSEHOLDS: Final = 0.25
LEAST_SHOPPERS, MOST_SHOPPERS = 16, 160


class Rates(Struct, frozen=True):
    """What this machine manages, measured before the start: receipts a second in bulk; decision and receipt together."""

    receipts: float
    pairs: float


class Plan(Struct, frozen=True):
    """Seconds for loading and for replaying, and for how many households and shoppers that is enough."""

    load_s: float
    replay_s: float
    households: int
    shoppers: int


def plan(seconds: float, rates: Rates, receipts: Sequence[int], early: Sequence[int]) -> Plan:
    """Shares the seconds out. `receipts` and `early` count those of each household in the year and in the bulk part.

    Households come in the order in which they will be chosen, and as many take part as fit both times; where the
    estimate was too hopeful the replay ends before the year does.
    """
    load_s = min(LOAD_SHARE * seconds, LONGEST_LOAD_S)
    replay_s = max(seconds * (1.0 - CLOSING_SHARE) - load_s, 1.0)
    bulk = late = 0
    count = 0
    for whole, first in zip(receipts, early, strict=True):
        bulk, late = bulk + first, late + whole - first
        visits = SHOPPERS_FOR_HOUSEHOLDS * late
        if count >= LEAST_HOUSEHOLDS and (bulk > load_s * rates.receipts or late + visits > replay_s * rates.pairs):
            break
        count += 1
    shoppers = min(max(int(SHOPPERS_FOR_HOUSEHOLDS * count), LEAST_SHOPPERS), MOST_SHOPPERS)
    return Plan(load_s, replay_s, count, shoppers)


def in_turn(households: Sequence[str], policy: Policy, seed: int) -> list[str]:
    """All households in a seeded order that takes from each arm in turn, so that any beginning has arms of one size.

    When an arm has nobody left the order ends: the arms stay equal.
    """
    mixed = sorted(households)
    Random(seed).shuffle(mixed)
    by_arm: dict[str, list[str]] = {name: [] for name in policy.experiment.variations}
    for household in mixed:
        by_arm[arm_of_household(household, policy)].append(household)
    return [household for turn in zip(*by_arm.values(), strict=False) for household in turn]


def arm_of_household(household: str, policy: Policy) -> str:
    """The variation that the engine will find by itself."""
    return variation_of(f"l:{household}", policy)[0]


def median_rate(seconds: Sequence[float]) -> float:
    """How many a second, from the durations of some."""
    middle = sorted(seconds)[len(seconds) // 2] if seconds else 0.0
    return 1.0 / max(middle, 1e-6)


def richest(chosen: Sequence[str], late: Mapping[str, int], arm: str, policy: Policy) -> str:
    """Whom to follow: in that arm, the one whose late receipts are at the upper quartile, busy and not odd."""
    own = sorted(
        (household for household in chosen if arm_of_household(household, policy) == arm), key=lambda name: late.get(name, 0)
    )
    return own[3 * len(own) // 4] if own else (chosen[0] if chosen else "")
