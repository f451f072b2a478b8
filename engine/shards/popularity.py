"""What everybody buys, per shard: a fading count per category, and one of all purchases under the empty name."""

from collections.abc import Mapping
from math import exp2

from engine.moments import DAY

HALF_LIFE_DAYS = 14.0
MOST_CATEGORIES = 2_000
ALL = ""
_RATE = -1.0 / (HALF_LIFE_DAYS * DAY)


class Popularity:
    """(count, time) per category; a category beyond the bound is not counted."""

    def __init__(self, counts: Mapping[str, tuple[float, int]]) -> None:
        self._counts = dict(counts)

    def bought(self, categories: tuple[str, ...], at: int) -> dict[str, tuple[float, int]]:
        """Count one purchase; returns the counts that changed."""
        changed = {}
        for name in (ALL, *categories):
            count, last = self._counts.get(name, (0.0, at))
            if name not in self._counts and len(self._counts) > MOST_CATEGORIES:
                continue
            if at >= last:
                changed[name] = (count * exp2(_RATE * (at - last)) + 1.0, at)
            else:
                changed[name] = (count + exp2(_RATE * (last - at)), last)
        self._counts.update(changed)
        return changed

    def taken_back(self, categories: tuple[str, ...], at: int) -> dict[str, tuple[float, int]]:
        """Count a purchase no more that was counted at `at`; it counts elsewhere."""
        changed = {}
        for name in (ALL, *categories):
            if name in self._counts:
                count, last = self._counts[name]
                changed[name] = (max(count - exp2(_RATE * (last - at)), 0.0), last)
        self._counts.update(changed)
        return changed


def shares(counts: list[Mapping[str, tuple[float, int]]]) -> dict[str, float]:
    """Every category's share of all purchases lately, over all shards, as of the newest purchase among them."""
    newest = max((at for shard in counts for _, at in shard.values()), default=0)
    summed: dict[str, float] = {}
    for shard in counts:
        for name, (count, at) in shard.items():
            summed[name] = summed.get(name, 0.0) + count * exp2(_RATE * (newest - at))
    everything = summed.pop(ALL, 0.0)
    return {name: count / everything for name, count in sorted(summed.items())} if everything else {}
