"""How much of the year fits into the time there is, and which households take part."""

from collections.abc import Mapping, Sequence
from itertools import count, pairwise
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
CELLS: Final = 7
SHOPPERS_FOR_HOUSEHOLDS: Final = 0.25
LEAST_SHOPPERS, MOST_SHOPPERS = 16, 160


class Habit(Struct, frozen=True):
    """What a household did in the bulk part: receipts, and the share of them with its favourite promoted category."""

    receipts: int = 0
    favourite: float = 0.0


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
    taken = 0
    for whole, first in zip(receipts, early, strict=True):
        bulk, late = bulk + first, late + whole - first
        visits = SHOPPERS_FOR_HOUSEHOLDS * late
        if taken >= LEAST_HOUSEHOLDS and (bulk > load_s * rates.receipts or late + visits > replay_s * rates.pairs):
            break
        taken += 1
    shoppers = min(max(int(SHOPPERS_FOR_HOUSEHOLDS * taken), LEAST_SHOPPERS), MOST_SHOPPERS)
    return Plan(load_s, replay_s, taken, shoppers)


def in_turn(habits: Mapping[str, Habit], policy: Policy, seed: int) -> list[str]:
    """Households in a seeded order of matched groups: one of each arm, alike in how much and how foreseeably they buy.

    Any beginning of the order has arms of one size and of one kind, so that the arms differ by chance as little as they
    can. Who finds no match is left out.
    """
    alike: dict[tuple[int, int], dict[str, list[str]]] = {}
    chance = Random(seed)
    mixed = sorted(habits)
    chance.shuffle(mixed)
    ranks = _ranks(habits, mixed)
    for household in mixed:
        by_arm = alike.setdefault(ranks[household], {name: [] for name in policy.experiment.variations})
        by_arm[arm_of_household(household, policy)].append(household)
    groups = [group for _, by_arm in sorted(alike.items()) for group in zip(*by_arm.values(), strict=False)]
    chance.shuffle(groups)
    return [household for group in groups for household in group]


def _ranks(habits: Mapping[str, Habit], households: Sequence[str]) -> dict[str, tuple[int, int]]:
    """The cell of each household: by how much it buys, and within that by how foreseeably."""
    cells: dict[str, tuple[int, int]] = {}
    for much, some in enumerate(_parts(sorted(households, key=lambda one: habits[one].receipts), CELLS)):
        for sure, few in enumerate(_parts(sorted(some, key=lambda one: habits[one].favourite), CELLS)):
            cells |= dict.fromkeys(few, (much, sure))
    return cells


def _parts(ordered: Sequence[str], count: int) -> list[Sequence[str]]:
    bounds = [round(part * len(ordered) / count) for part in range(count + 1)]
    return [ordered[low:high] for low, high in pairwise(bounds)]


def shopper_names(people: int, policy: Policy) -> list[str]:
    """User ids for so many people, each several times: once in each arm, in the order of the arms."""
    names = []
    for person in range(people):
        for arm in policy.experiment.variations:
            tries = (f"shopper-{person}-{number}" for number in count())
            names.append(next(name for name in tries if variation_of(f"u:{name}", policy)[0] == arm))
    return names


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
