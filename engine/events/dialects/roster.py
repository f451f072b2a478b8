"""Every dialect, in the order in which a document is asked whether it is one."""

from typing import Final

from engine.events.dialects import cloudevents, poslog, segment
from engine.events.dialects.base import Dialect

DIALECTS: Final[tuple[Dialect, ...]] = (cloudevents.DIALECT, segment.DIALECT, poslog.DIALECT)
NATIVE: Final = "native"
NAMES: Final = (NATIVE, *(dialect.name for dialect in DIALECTS))


_MARKS: Final = frozenset[str]().union(*(dialect.marks for dialect in DIALECTS))


def spoken_in(value: object) -> Dialect | None:
    """The dialect of a JSON value; None is the native one."""
    if not isinstance(value, dict) or _MARKS.isdisjoint(value):
        return None
    for dialect in DIALECTS:
        if not dialect.marks.isdisjoint(value) and dialect.knows(value):
            return dialect
    return None
