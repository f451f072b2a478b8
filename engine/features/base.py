"""How a reading is declared, and the roster of all of them."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from engine.moments import Millis
from engine.profiles.profile import Part


class Request(Struct, frozen=True):
    """What is known of the moment apart from the customer."""

    channel: str = ""


class Reading(Struct, frozen=True):
    """One number: its name, its unit, the bounds it is clipped to, and where the definition comes from."""

    name: str
    unit: str
    low: float
    high: float
    words: str
    source: str = ""


Reader = Callable[[Part, Request, Millis], Sequence[float]]
"""Reads a group of numbers at once, since several share their work. Never NaN: each has a value for "unknown"."""


class Group(Struct, frozen=True):
    """Readings that are read together, in order."""

    readings: tuple[Reading, ...]
    read: Reader


def group(*readings: Reading) -> Callable[[Reader], Group]:
    """Declare what a reader returns."""

    def declared(read: Reader) -> Group:
        return Group(readings, read)

    return declared
