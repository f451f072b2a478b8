"""How often somebody comes back to each of many things: categories bought, categories looked at.

Each name has three numbers: a decayed count, the last time, a plain count. They are packed side by side, since a
customer has dozens of names and a decision reads them all.
"""

from array import array
from collections.abc import Mapping
from math import exp2

from msgspec import Struct

from engine.moments import DAY

MOST_NAMES = 200
"""Beyond it the faintest habit is forgotten."""


class Habits(Struct, frozen=True, gc=False, array_like=True):
    """`names` gives each name's row, in the order of the rows; `numbers` holds (decayed count, last time, count) as float64."""

    names: dict[str, int] = {}
    numbers: bytes = b""

    def seen(self, things: tuple[str, ...], when: int, half_life_days: float) -> "Habits":
        """These habits after each of the things happened once at `when`."""
        if not things:
            return self
        names, numbers = self.names, array("d", self.numbers)
        rate = -1.0 / (half_life_days * DAY)
        for thing in things:
            row = names.get(thing)
            if row is None:
                names = {**names, thing: len(names)}
                numbers.extend((1.0, float(when), 1.0))
                continue
            at = 3 * row
            last = numbers[at + 1]
            if when >= last:
                numbers[at] = numbers[at] * exp2(rate * (when - last)) + 1.0
                numbers[at + 1] = float(when)
            else:
                numbers[at] += exp2(rate * (last - when))
            numbers[at + 2] += 1.0
        return Habits(names, numbers.tobytes())._bounded(half_life_days)

    def taken_back(self, things: tuple[str, ...], when: int, half_life_days: float, latest: Mapping[str, int]) -> "Habits":
        """These habits as if what happened to the things at `when` had not. `latest` is when each of them happened last besides,
        as far as that is known; what never did is forgotten."""
        known = [thing for thing in things if thing in self.names]
        if not known:
            return self
        readings = {name: self.reading(name) for name in self.names}
        rate = -1.0 / (half_life_days * DAY)
        for thing in known:
            value, last, count = readings.pop(thing)
            value -= exp2(rate * abs(last - when))
            if count > 1.5:
                before = float(latest.get(thing, last)) if last == when else last
                readings[thing] = value * exp2(rate * (before - last)), before, count - 1.0
        return _packed(readings)

    def reading(self, name: str) -> tuple[float, float, float]:
        """(decayed count at the last time, last time, count); zeros for a thing never seen."""
        row = self.names.get(name)
        if row is None:
            return 0.0, 0.0, 0.0
        numbers = memoryview(self.numbers).cast("d")
        return numbers[3 * row], numbers[3 * row + 1], numbers[3 * row + 2]

    def merge(self, other: "Habits", half_life_days: float) -> "Habits":
        """Both habits as one."""
        if not other.names or not self.names:
            return self if self.names else other
        merged: dict[str, tuple[float, float, float]] = {}
        rate = -1.0 / (half_life_days * DAY)
        for name in sorted({*self.names, *other.names}):
            (value, at, count), (more, more_at, more_count) = self.reading(name), other.reading(name)
            last = max(at, more_at)
            total = value * exp2(rate * (last - at)) + more * exp2(rate * (last - more_at))
            merged[name] = (total, last, count + more_count)
        return _packed(merged)._bounded(half_life_days)

    def _bounded(self, half_life_days: float) -> "Habits":
        if len(self.names) <= MOST_NAMES:
            return self
        rate = -1.0 / (half_life_days * DAY)
        readings = {name: self.reading(name) for name in self.names}
        newest = max(at for _, at, _ in readings.values())
        kept = sorted(readings, key=lambda name: (-readings[name][0] * exp2(rate * (newest - readings[name][1])), name))
        return _packed({name: readings[name] for name in sorted(kept[:MOST_NAMES])})


def _packed(readings: dict[str, tuple[float, float, float]]) -> Habits:
    numbers = array("d")
    for reading in readings.values():
        numbers.extend(reading)
    return Habits({name: row for row, name in enumerate(readings)}, numbers.tobytes())
