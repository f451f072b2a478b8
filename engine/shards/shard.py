"""A shard in the hands of its owner: where it stands, and the customers it has at hand."""

from collections import OrderedDict, deque
from collections.abc import Iterable

from engine.profiles.profile import Profile
from engine.shards.commit import Commit, Loaded, Needs, Opened
from engine.shards.complaints import ComplaintCounts
from engine.shards.popularity import Popularity
from engine.shards.segments import Histogram
from engine.shards.sequences import Numbers
from engine.shards.timers import Timers
from engine.shards.triggers import triggers_in

_ID, _RECORD = 8, 12


class Shard:
    """A shard in the hands of its owner."""

    def __init__(self, opened: Opened, most_cached: int = 20_000, owner: str = "") -> None:
        self.number = opened.shard
        self.owner = owner
        self.offset = opened.offset
        self.record = opened.record
        self.timers = Timers(opened.timers)
        self.gone = set(opened.gone)
        self.salt = opened.salt
        self.popularity = Popularity(opened.popularity)
        self.histogram = Histogram(opened.histogram)
        self.references = dict(opened.references)
        self.triggers = triggers_in(self.references)
        self.lift = dict(opened.lift)
        self.complaints = ComplaintCounts(opened.complaints)
        self.numbers = Numbers(opened.days)
        self.inflight: deque[Commit] = deque()
        self._profiles: OrderedDict[str, Profile] = OrderedDict()
        self._seen: OrderedDict[tuple[str, int], dict[bytes, bytes]] = OrderedDict()
        self._most_cached = most_cached

    def missing(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Those of a batch's customers who are not at hand. The others stay at hand longest: they are used now."""
        held, missing = self._profiles, []
        for key in keys:
            if key in held:
                held.move_to_end(key)
            else:
                missing.append(key)
        return tuple(missing)

    def missing_seen(self, pairs: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
        held = self._seen
        return tuple([pair for pair in pairs if pair not in held])

    def take(self, loaded: Loaded, needs: Needs) -> None:
        """Put what was loaded into the cache; a commit still on its way is newer than what the store answered."""
        ahead: dict[str, Profile] = {}
        for commit in self.inflight:
            ahead.update(commit.profiles)
        for key in needs.profiles:
            self._profiles[key] = ahead.get(key) or loaded.profiles.get(key) or Profile(key)
        for pair in needs.seen:
            raw = loaded.seen.get(pair, b"") + b"".join(commit.seen.get(pair, b"") for commit in self.inflight)
            self._seen[pair] = {raw[at : at + _ID]: raw[at + _ID : at + _RECORD] for at in range(0, len(raw), _RECORD)}

    def profile(self, key: str) -> Profile:
        return self._profiles[key]

    def keep(self, profile: Profile) -> None:
        self._profiles[profile.key] = profile

    def forget(self, key: str) -> None:
        self._profiles[key] = Profile(key)

    def seen(self, pair: tuple[str, int]) -> dict[bytes, bytes]:
        return self._seen[pair]

    def trim(self) -> None:
        """Let go of what was used longest ago; called between batches only."""
        while len(self._profiles) > self._most_cached:
            self._profiles.popitem(last=False)
        while len(self._seen) > 2 * self._most_cached:
            self._seen.popitem(last=False)

    def acknowledged(self, commit: Commit) -> None:
        """The store holds this commit now."""
        self.inflight.remove(commit)
