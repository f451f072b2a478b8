"""Names of decisions: they sort by time, tell where the decision is logged, and nobody guesses the next."""

import os
import re

_NAME = re.compile(r"d-([0-9a-f]{12})([0-9a-f]{4})[0-9a-f]{16}")
_SIZE = 8
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
        """Sixteen hexadecimal digits that were never given before."""
        if self._at >= len(self._held):
            self._held, self._at = os.urandom(_SIZE * _AT_ONCE), 0
        taken = self._held[self._at : self._at + _SIZE]
        self._at += _SIZE
        return taken.hex()


_chance = _Chance()
os.register_at_fork(after_in_child=_chance.forget)


def decision_id(now_ms: int, shard: int) -> str:
    """`d-` and in hexadecimal digits twelve of milliseconds, four of the shard and sixteen of chance."""
    return f"d-{now_ms:012x}{shard:04x}{_chance.take()}"


def origin_of(name: str) -> tuple[int, int] | None:
    """When (epoch milliseconds) and in which shard a decision of this name was made; None for what is no such name."""
    found = _NAME.fullmatch(name)
    return (int(found[1], 16), int(found[2], 16)) if found else None
