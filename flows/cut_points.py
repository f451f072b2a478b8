"""The learner's eye on segments: sums the shards' counts and announces new cut points to all of them.

Shards move to new cut points by an entry of their own log, so when exactly this looks changes nobody's replay. It announces
the first ones as soon as enough customers are counted, later ones once a day of event time when they have moved, and
once a week in any case.
"""

import msgspec

from engine.events.announcing import announcement
from engine.models.segments import NO_CUTS, SEGMENTS, Cuts, SegmentRule, cuts_of
from engine.moments import DAY
from engine.shards.segments import summed
from engine.store.redis_facts import RedisFacts

FEWEST_CUSTOMERS = 30
LOOK_EVERY_S = 5.0
MOVED = 0.02
"""Cut points that differ by less than this are the same: a fiftieth of a doubling, half an hour."""


class CutPoints:
    """The cut points announced last."""

    def __init__(self, facts: RedisFacts, rule: SegmentRule) -> None:
        self._facts = facts
        self.rule = rule
        self._looked_at = float("-inf")
        held = facts.reference(SEGMENTS)
        self._version = held.version if held else 0
        self.cuts = msgspec.convert(held.value, Cuts) if held else NO_CUTS

    def look(self, now_s: float, wall_ms: int) -> bool:
        """Announce new cut points where it is time; whether any were."""
        if now_s - self._looked_at < LOOK_EVERY_S:
            return False
        self._looked_at = now_s
        at = self._facts.watermark()
        if self.cuts.known and at - self.cuts.at < DAY:
            return False
        fresh = cuts_of(summed(self._facts.histograms()), at, self.rule)
        if fresh.customers < FEWEST_CUSTOMERS or not self._worth_it(fresh):
            return False
        version = max(at, self._version + 1)
        self._facts.announce(announcement(SEGMENTS, version, fresh, wall_ms))
        self._version, self.cuts = version, fresh
        return True

    def _worth_it(self, fresh: Cuts) -> bool:
        if not self.cuts.known or fresh.at - self.cuts.at >= 7 * DAY:
            return True
        pairs = zip(_points(fresh), _points(self.cuts), strict=True)
        return any(abs(new - old) > MOVED for new, old in pairs)


def _points(cuts: Cuts) -> list[float]:
    return [*cuts.tiers, cuts.best, *(point for points in cuts.fifths for point in points)]
