"""The week of a customer: the boundary at which they are scored, and where they stand then and after each purchase.

Scores come from the profile as it is before anything at or after the boundary. Of who does not want to be profiled nothing
is read, and they stand nowhere.
"""

from msgspec.structs import replace

from engine.events.routing import has_customer
from engine.profiles.profile import Profile
from engine.profiles.purchases import Purchases
from engine.shards.alarms import Alarms
from engine.shards.commit import Commit
from engine.shards.labels import Labels
from engine.shards.segments import Following, value_example
from engine.shards.triggers import Occasions


class Weekly:
    """The boundaries of a shard's customers while one batch is folded. `moves` counts those who came to stand elsewhere; a
    changed policy brings other `labels`."""

    def __init__(self, labels: Labels, alarms: Alarms, commit: Commit, segments: Following, occasions: Occasions) -> None:
        self.labels, self._alarms, self._commit = labels, alarms, commit
        self._segments, self._occasions = segments, occasions
        self.moves = 0

    def stood(self, profile: Profile, at: int, live: bool) -> Profile:
        """Where the customer stands now; a move is counted and told."""
        if not self.labels.may_profile(profile, at):
            return self._segments.unplaced(profile)
        bought = profile.purchases
        return self._placed(profile, bought, bought.last_at, at, live)

    def scheduled(self, profile: Profile, at: int) -> Profile:
        """With a next boundary, if it is a customer who has ever bought and none is set. What arrives late brings none back that
        the customer was scored at."""
        if profile.next_boundary > 0 or not has_customer(profile.key) or not profile.purchases.count:
            return profile
        profile = replace(profile, next_boundary=self.labels.boundary_after(profile.key, max(at, -profile.next_boundary)))
        self._alarms.set(*self.labels.boundary_timer(profile))
        return profile

    def passed(self, profile: Profile, at: int, front: int, live: bool) -> Profile:
        """Scored at every boundary up to `at`; `front` is as far as the log has come."""
        while 0 < profile.next_boundary <= at:
            boundary = profile.next_boundary
            bought = profile.purchases
            bought_at = bought.last_at
            may_profile = self.labels.may_profile(profile, boundary)
            if may_profile:
                self._alarms.wait_for_readings(profile, boundary, self.labels.waits(profile.key, boundary))
                self._commit.examples.append(value_example(profile.key, bought, bought_at, boundary))
            profile = replace(profile, next_boundary=self.labels.next_boundary(bought_at, boundary))
            tag, due = self.labels.boundary_timer(profile)
            if due > 0:
                self._alarms.set(tag, due)
            else:
                self._alarms.drop(tag)
            if may_profile:
                profile = self._placed(profile, bought, bought_at, boundary, live)
                self._occasions.reviewed(profile, boundary, front, live)
            else:
                profile = self._segments.unplaced(profile)
        return profile

    def _placed(self, profile: Profile, bought: Purchases, bought_at: int, at: int, live: bool) -> Profile:
        profile, moves = self._segments.stood(profile, bought, bought_at, at, live)
        self.moves += moves
        return profile
