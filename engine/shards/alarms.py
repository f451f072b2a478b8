"""Alarms and what waits under them, as one batch sets, moves and drops them: in memory and in the commit alike."""

from collections.abc import Iterable, Mapping

from engine.profiles.profile import Profile
from engine.shards.commit import Commit
from engine.shards.timers import Timers
from engine.shards.unread import UNREAD, Awaiting, Unread


class Alarms:
    """The alarms of a shard while one batch is folded. What is set and over within the batch was never in the store, and nobody
    has to delete it there. `loaded` is what the store holds under tags that may be due; commits
    that are still on their way know better."""

    def __init__(self, timers: Timers, commit: Commit, loaded: Mapping[str, bytes], inflight: Iterable[Commit]) -> None:
        self._timers, self._commit = timers, commit
        self._held = dict(loaded)
        for earlier in inflight:
            self._held.update(earlier.waiting)
        self._fresh: set[str] = set()
        self._unread = Unread(commit.waiting)

    def __contains__(self, tag: str) -> bool:
        return tag in self._timers

    def set(self, tag: str, due: int) -> None:
        """Set or move an alarm."""
        if self._timers.set(tag, due):
            self._fresh.add(tag)
        self._commit.timers[tag] = due

    def wait(self, tag: str, due: int, waiting: bytes) -> None:
        """An alarm with something that waits for it."""
        self._commit.waiting[tag] = waiting
        self.set(tag, due)

    def wait_for_readings(self, profile: Profile, at: int, labels: Awaiting) -> None:
        """Alarms (model, tag, due) that wait with what the customer reads like at an instant."""
        self._unread.ask(profile, at, labels)
        for _, tag, due in labels:
            self.set(tag, due)

    def read(self) -> None:
        """Work out the readings that are still missing; a batch ends with it."""
        self._unread.read()

    def drop(self, tag: str) -> None:
        """Forget an alarm; what waits under it has to be taken as well."""
        self._timers.drop(tag)
        self.gone_off(tag)

    def gone_off(self, tag: str) -> None:
        """The alarm is over: it is not in the timers any more."""
        self._commit.timers.pop(tag, None)
        if tag not in self._fresh:
            self._commit.timers_done.append(tag)

    def take(self, tag: str) -> bytes:
        """What waited under a tag, which waits no longer; empty where nothing did."""
        waiting = self._commit.waiting
        if waiting.get(tag) == UNREAD:
            self._unread.read()
        if tag not in self._fresh:
            self._commit.waiting_done.append(tag)
        held = self._held.pop(tag, b"")
        return waiting.pop(tag, held)
