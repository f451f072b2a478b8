"""Households of the data that take no part in the replay and have an account in the demo's shop instead."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from engine.decisioning.policy import Policy
from flows.complete_journey import CompleteJourney
from load_tests.demo_plan import Habit
from load_tests.shop_counter import Member, in_arm
from load_tests.shop_shelf import Shelf

MEMBERS: Final = 3
FONDNESSES: Final = 2
_LEAST, _MOST = 40, 140
_LOOKED_AT: Final = 40


def members_of(
    journey: CompleteJourney, shelf: Shelf, habits: Mapping[str, Habit], taken: frozenset[str], until: int, policy: Policy
) -> dict[Member, Sequence[dict[str, Any]]]:
    """Three of them with their events before a moment; each is fond of something else."""
    titles = {aisle.category: aisle.title for aisle in shelf.aisles}
    able = [one for one in sorted(habits, key=int) if one not in taken and _LEAST <= habits[one].receipts <= _MOST]
    able = sorted(able, key=lambda one: (-habits[one].favourite, int(one)))[:_LOOKED_AT]
    bought = {one: Counter[str]() for one in able}
    for receipt in journey.receipts:
        if receipt.at < until and receipt.household in bought:
            bought[receipt.household].update(journey.categories(receipt) & titles.keys())
    found: dict[Member, Sequence[dict[str, Any]]] = {}
    favourites: set[str] = set()
    for household in able:
        fond = [category for category, _ in bought[household].most_common(FONDNESSES)]
        if not fond or favourites.intersection(fond) or len(found) == MEMBERS:
            continue
        favourites.update(fond)
        words = " and ".join(titles[category].lower() for category in fond)
        member = Member(in_arm(f"household-{household}", "u", policy), household, words, habits[household].receipts)
        found[member] = list(journey.events({household}, None, until))
    return found
