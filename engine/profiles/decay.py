"""Sums that fade: (value, time) pairs that add in any order.

A decayed sum of x at half-life h is Σ x·2^(−age/h). Kept at the newest time it has seen, it needs one multiplication an
event, and an event that arrives late is faded by its own age before it is added, so order changes nothing beyond rounding.
A block holds Q quantities at H half-lives as little-endian float64 in one `bytes`, because that is the cheapest
form to store, to copy and to read as a matrix.
"""

import numpy as np
from numpy.typing import NDArray

from engine.moments import DAY

Matrix = NDArray[np.float64]


class Block:
    """The shape of one block: its quantities and half-lives. The state itself is (bytes, time)."""

    def __init__(self, quantities: tuple[str, ...], half_life_days: tuple[float, ...]) -> None:
        self.quantities = quantities
        self.half_life_days = half_life_days
        self._rates = np.array([[-1.0 / (days * DAY)] for days in half_life_days])
        self.empty = bytes(8 * len(quantities) * len(half_life_days))

    def _matrix(self, sums: bytes) -> Matrix:
        return np.frombuffer(sums or self.empty, "<f8").reshape(len(self.half_life_days), len(self.quantities))

    def add(self, sums: bytes, at: int, when: int, amounts: tuple[float, ...]) -> tuple[bytes, int]:
        """The block after `amounts` (one a quantity) happened at `when`; returns its new state and time."""
        matrix = self._matrix(sums)
        if when >= at:
            return (matrix * np.exp2(self._rates * (when - at)) + amounts).tobytes(), when
        return (matrix + np.exp2(self._rates * (at - when)) * amounts).tobytes(), at

    def merge(self, sums: bytes, at: int, other: bytes, other_at: int) -> tuple[bytes, int]:
        """Two blocks as one, at the later of their times."""
        newest = max(at, other_at)
        return (self.read(sums, at, newest) + self.read(other, other_at, newest)).tobytes(), newest

    def read(self, sums: bytes, at: int, now: int) -> Matrix:
        """Shape (half-lives, quantities) as of `now`. Read before its own time, a block stays as it was then."""
        matrix = self._matrix(sums)
        return matrix * np.exp2(self._rates * (now - at)) if now > at else matrix
