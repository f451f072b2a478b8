"""What customers read like at their boundaries, worked out for many at once and not before somebody asks.

One call into numpy costs as much as the readings of a customer. A profile never changes, so what is read later is
exactly what was there to be read; whoever needs one of them before the batch ends gets all that have come up so far.
"""

import msgspec

from engine.features.vector import FINGERPRINT, NO_REQUEST, read_all_packed
from engine.moments import Millis
from engine.profiles.profile import Profile
from engine.shards.commit import Waiting

_encode = msgspec.msgpack.Encoder().encode
Tags = tuple[tuple[str, str], ...]
"""(model, tag) of each label that waits for the same readings."""


class Unread:
    """The readings of one batch that are still to be worked out. `waiting` are the places they belong in, by tag."""

    def __init__(self, *waiting: dict[str, bytes]) -> None:
        self._waiting = waiting
        self._asked: list[tuple[Profile, int, Tags]] = []
        self._tags: set[str] = set()

    def __contains__(self, tag: str) -> bool:
        return tag in self._tags

    def ask(self, profile: Profile, at: int, tags: Tags) -> None:
        """The readings of a customer at an instant, to be had under these tags."""
        self._asked.append((profile, at, tags))
        for _, tag in tags:
            self._tags.add(tag)
            for place in self._waiting:
                place[tag] = b""

    def read(self) -> None:
        """Work out all of them; a place that somebody has left meanwhile stays empty."""
        if not self._asked:
            return
        vectors = read_all_packed([(profile.whole, NO_REQUEST, Millis(at)) for profile, at, _ in self._asked])
        for (_, at, tags), vector in zip(self._asked, vectors, strict=True):
            for model, tag in tags:
                raw = _encode([Waiting(model, at, FINGERPRINT, vector)])
                for place in self._waiting:
                    if tag in place:
                        place[tag] = raw
        self._asked.clear()
        self._tags.clear()
