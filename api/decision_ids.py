"""Names of decisions: they sort by time, and nobody guesses the next."""

import os

_SIZE = 10
_AT_ONCE = 256
"""Asking the kernel costs as much for one as for many."""


class _Chance:
    """Random bytes, fetched for many ids at once."""

    def __init__(self) -> None:
        self._held = b""
        self._at = 0

    def forget(self) -> None:
        """Drops what is held: a forked process must not hand out what its parent does."""
        self._held = b""
        self._at = 0

    def take(self) -> str:
        """Twenty hexadecimal digits that were never given before."""
        if self._at >= len(self._held):
            self._held, self._at = os.urandom(_SIZE * _AT_ONCE), 0
        taken = self._held[self._at : self._at + _SIZE]
        self._at += _SIZE
        return taken.hex()


_chance = _Chance()
os.register_at_fork(after_in_child=_chance.forget)


def decision_id(now_ms: int) -> str:
    """`d-`, twelve hexadecimal digits of milliseconds and twenty of chance: the layout of a ULID in another alphabet."""
    return f"d-{now_ms:012x}{_chance.take()}"
