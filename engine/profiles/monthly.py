"""Sums by calendar month (UTC) of several quantities, packed into bytes: most readers of a profile never look at them.

Whole numbers add exactly in any order. The newest `MOST` entries are kept; what is older is what the sum of all lacks here,
so whoever keeps the total loses nothing but the month.
"""

from functools import lru_cache
from struct import Struct as Layout

from engine.moments import DAY, moment

MOST = 72
_ENTRY = Layout("<H4sq")
_SIZE = _ENTRY.size
Entry = tuple[int, str, int]


def month_of(at: int) -> int:
    """The calendar month of an instant: months since the year 0."""
    return _month_of_day(at // DAY)


@lru_cache(maxsize=8192)
def _month_of_day(day: int) -> int:
    first = moment(day * DAY)
    return first.year * 12 + first.month - 1


@lru_cache(maxsize=256)
def _name(quantity: str) -> bytes:
    return quantity.encode()[:4].ljust(4, b"\0")


@lru_cache(maxsize=256)
def _quantity(name: bytes) -> str:
    return name.rstrip(b"\0").decode(errors="replace")


def first_of(month: int) -> tuple[int, int]:
    """Year and month (1 to 12)."""
    return month // 12, month % 12 + 1


def added(packed: bytes, month: int, quantity: str, amount: int) -> bytes:
    """With an amount more in one month of one quantity, a name of at most four letters."""
    name, at = _name(quantity), len(packed)
    while at:
        held, held_name, sum_ = _ENTRY.unpack_from(packed, at - _SIZE)
        if (held, held_name) == (month, name):
            return packed[: at - _SIZE] + _ENTRY.pack(month, name, sum_ + amount) + packed[at:]
        if (held, held_name) < (month, name):
            break
        at -= _SIZE
    return (packed[:at] + _ENTRY.pack(month, name, amount) + packed[at:])[-MOST * _SIZE :]


def entries(packed: bytes) -> list[Entry]:
    """(month, quantity, sum), oldest first."""
    return [(month, _quantity(name), amount) for month, name, amount in _ENTRY.iter_unpack(packed)]


def since(packed: bytes, month: int) -> list[Entry]:
    """The entries from a month on, without reading those before it."""
    at = len(packed)
    while at and packed[at - _SIZE] | packed[at - _SIZE + 1] << 8 >= month:
        at -= _SIZE
    return entries(packed[at:])


def merged(one: bytes, other: bytes) -> bytes:
    """Both together."""
    if not one or not other:
        return one or other
    for month, quantity, amount in entries(other):
        one = added(one, month, quantity, amount)
    return one
