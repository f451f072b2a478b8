"""What customers read like at their boundaries, worked out for many at once and not before somebody asks.

One call into numpy costs as much as the readings of a customer. A profile never changes, so what is read later is
exactly what was there to be read; whoever needs one of them before the batch ends gets all that have come up so far.
"""

from collections.abc import Sequence

import msgspec

from engine.features.vector import FINGERPRINT, NO_REQUEST, read_all_packed
from engine.moments import Millis
from engine.profiles.profile import Profile
from engine.shards.commit import Waiting

_encode = msgspec.msgpack.Encoder().encode
Awaiting = Sequence[tuple[str, str, int]]
"""(model, tag, due) of each label that waits for the same readings."""
UNREAD = b""
"""What stands in the place of readings that are still to be worked out."""


class Unread:
    """The readings of one batch that are still to be worked out, and `waiting`, the place by tag in which they belong."""

    def __init__(self, waiting: dict[str, bytes]) -> None:
        self._waiting = waiting
        self._asked: list[tuple[Profile, int, Awaiting]] = []

    def ask(self, profile: Profile, at: int, labels: Awaiting) -> None:
        """The readings of a customer at an instant, to be had under the tags of these labels."""
        self._asked.append((profile, at, labels))
        for _, tag, _ in labels:
            self._waiting[tag] = UNREAD

    def read(self) -> None:
        """Work out all of them."""
        if not self._asked:
            return
        vectors = read_all_packed([(profile.whole, NO_REQUEST, Millis(at)) for profile, at, _ in self._asked])
        for (_, at, labels), vector in zip(self._asked, vectors, strict=True):
            for model, tag, _ in labels:
                self._waiting[tag] = _encode([Waiting(model, at, FINGERPRINT, vector)])
        self._asked.clear()
