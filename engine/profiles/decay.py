"""Sums that fade: (value, time) pairs that add in any order.

A decayed sum of x at half-life h is Σ x·2^(−age/h). Kept at the newest time it has seen, it needs one multiplication an
event, and an event that arrives late is faded by its own age before it is added, so order changes nothing beyond rounding.
A block holds Q quantities at H half-lives as little-endian float64 in one `bytes`, a row for each half-life, because that is
the cheapest form to store and to copy. It is small enough that plain loops beat arrays.
"""

from collections.abc import Iterator
from math import exp2
from operator import itemgetter, mul
from struct import Struct as Layout

from engine.moments import DAY

Rows = list[list[float]]


_ONE = Layout("<d")


class Block:
    """The shape of one block: its quantities and half-lives. The state itself is (bytes, time)."""

    def __init__(self, quantities: tuple[str, ...], half_life_days: tuple[float, ...]) -> None:
        self.quantities = quantities
        self.half_life_days = half_life_days
        self.empty = bytes(8 * len(quantities) * len(half_life_days))
        self._rates = tuple(-1.0 / (days * DAY) for days in half_life_days)
        self._layout = Layout(f"<{len(quantities) * len(half_life_days)}d")

    def add(self, sums: bytes, at: int, when: int, amounts: tuple[float, ...]) -> tuple[bytes, int]:
        """The block after `amounts` (one a quantity) happened at `when`; returns its new state and time."""
        held = iter(self._layout.unpack(sums or self.empty))
        faded: list[float] = []
        put = faded.append
        if when >= at:
            for rate in self._rates:
                fade = exp2(rate * (when - at))
                for amount in amounts:
                    put(next(held) * fade + amount)
            return self._layout.pack(*faded), when
        for rate in self._rates:
            fade = exp2(rate * (at - when))
            for amount in amounts:
                put(next(held) + fade * amount)
        return self._layout.pack(*faded), at

    def merge(self, sums: bytes, at: int, other: bytes, other_at: int) -> tuple[bytes, int]:
        """Two blocks as one, at the later of their times."""
        newest = max(at, other_at)
        both = zip(self.read(sums, at, newest), self.read(other, other_at, newest), strict=True)
        return self._layout.pack(*(x + y for row, more in both for x, y in zip(row, more, strict=True))), newest

    def read_one(self, sums: bytes, at: int, now: int, half_life: int, quantity: int) -> float:
        """One number of `read`, by the places of its half-life and its quantity."""
        (held,) = _ONE.unpack_from(sums or self.empty, 8 * (half_life * len(self.quantities) + quantity))
        return float(exp2(self._rates[half_life] * max(now - at, 0)) * held)

    def picked(self, *names: tuple[str, float]) -> "Picked":
        """Some of its numbers, by (quantity, half-life in days), for who reads no others; in the order of the block."""
        places = [self._place(*name) for name in names]
        if len(places) < 2 or places != sorted(places):
            raise ValueError("two numbers or more are picked, in the order in which they are held; one is read by `read_one`")
        return Picked(places, self._rates, len(self.quantities))

    def _place(self, quantity: str, half_life_days: float) -> int:
        return self.half_life_days.index(half_life_days) * len(self.quantities) + self.quantities.index(quantity)

    def read(self, sums: bytes, at: int, now: int) -> Rows:
        """One row for each half-life as of `now`. Read before its own time, a block stays as it was then."""
        held, width = self._layout.unpack(sums or self.empty), len(self.quantities)
        apart = max(now - at, 0)
        rows = []
        for index, rate in enumerate(self._rates):
            fade = exp2(rate * apart)
            rows.append([fade * value for value in held[index * width : (index + 1) * width]])
        return rows


class Picked:
    """The numbers of a block at some `places`, and what is left of them at an instant."""

    def __init__(self, places: list[int], rates: tuple[float, ...], width: int) -> None:
        after = [0, *(place + 1 for place in places[:-1])]
        gaps = [place - before for place, before in zip(places, after, strict=True)]
        self._layout = Layout("<" + "".join(f"{8 * gap}xd" for gap in gaps))
        self._empty = (0.0,) * len(places)
        rows = [place // width for place in places]
        used = sorted(set(rows))
        self._rates = tuple(rates[row] for row in used)
        self._each = itemgetter(*(used.index(row) for row in rows))

    def held(self, sums: bytes) -> tuple[float, ...]:
        """As they were at the block's own time."""
        return self._layout.unpack_from(sums) if sums else self._empty

    def read(self, sums: bytes, at: int, now: int) -> Iterator[float]:
        """As of `now`; read before its own time, a block stays as it was then."""
        apart = max(now - at, 0)
        return map(mul, self._each([exp2(rate * apart) for rate in self._rates]), self.held(sums))
