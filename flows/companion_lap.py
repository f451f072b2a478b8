"""The learner's rounds through the profiles: each shows now and then what was bought along with which habits.

A lap takes a few hundred profiles at a time and counts each newest purchase once: only what is newer than everything that
the lap before had seen. So nothing is written for it and no event is kept twice; after a restart one lap learns anew
from everybody's newest purchase, and until then what was published last stays.
"""

import time
from collections.abc import Mapping

from engine.features.companions import Companions
from engine.models.companions import CompanionSums
from engine.store.redis_learner import RedisLearnerStore

AT_ONCE = 1000
"""How many keys a look passes over: some milliseconds of work."""

FIT_EVERY_S = 60.0


class CompanionLap:
    """Where the lap is, what it has learned, and the weights as of the last fit."""

    def __init__(self, store: RedisLearnerStore, published: Companions, profiling: bool = True) -> None:
        self.companions = published
        self.profiling = profiling
        """Whether customers show theirs who have not said whether they want to be profiled."""
        self._store = store
        self._sums = CompanionSums()
        self._cursor = 0
        self._laps = 0
        self._after = self._newest = 0
        self._fitted = 0
        self._fitted_at = float("-inf")

    def look(self, now_s: float, popularity: Mapping[str, float]) -> bool:
        """Go on with the lap; whether there are new weights."""
        if not popularity:
            return False
        self._cursor, profiles = self._store.some_profiles(self._cursor, AT_ONCE)
        wall_ms = time.time_ns() // 1_000_000
        parts = [profile.whole for profile in profiles if profile.may_profile(wall_ms, self.profiling)]
        fresh = [part for part in parts if part.purchases.last and part.purchases.last[-1].at > self._after]
        self._newest = max([self._newest, *(part.purchases.last[-1].at for part in fresh)])
        self._sums.learn(fresh, popularity)
        if self._cursor == 0:
            self._laps += 1
            self._after = self._newest
        if not self._laps or self._sums.learned == self._fitted or now_s - self._fitted_at < FIT_EVERY_S:
            return False
        fitted = self._sums.fit()
        self._fitted, self._fitted_at = self._sums.learned, now_s
        if not fitted.names:
            return False
        self.companions = fitted
        return True
