"""Instants and spans, as integers of milliseconds.

Inside the engine an instant is an `int` of epoch milliseconds in UTC: it cannot be naive, it adds exactly, and it is
what Redis and the stored profiles hold. RFC 3339 exists at the doors only.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NewType
from zoneinfo import ZoneInfo

Millis = NewType("Millis", int)

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def millis(moment: datetime) -> Millis:
    """An aware datetime as epoch milliseconds, rounded down. A naive one is a TypeError."""
    since = moment - _EPOCH
    return Millis(since.days * DAY + since.seconds * SECOND + since.microseconds // 1000)


def moment(at: int) -> datetime:
    """Epoch milliseconds as an aware datetime in UTC."""
    return _EPOCH + timedelta(milliseconds=at)


def rfc3339(at: int) -> str:
    """Epoch milliseconds as `2026-01-31T09:30:00.000Z`."""
    second, beyond = divmod(at, SECOND)
    return f"{_to_the_second(second)}.{beyond:03d}Z"


@lru_cache(maxsize=1024)
def _to_the_second(second: int) -> str:
    """Remembered, since what is told at once is of the same seconds."""
    return (_EPOCH + timedelta(seconds=second)).isoformat()[:19]


def localised(naive: datetime, zone: ZoneInfo) -> datetime:
    """A till's wall-clock time in its store's zone.

    A time that the clocks skip in spring is read forward by the length of the gap; one that happens twice in autumn is
    the first. Both are what a till shows whose clock was changed late.
    """
    first = naive.replace(tzinfo=zone, fold=0)
    round_trip = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
    return first if round_trip == naive else first.astimezone(UTC).astimezone(zone)
