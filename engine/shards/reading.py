"""A batch that is decoded, before it is folded."""

from typing import NamedTuple

from engine.errors import Rejected
from engine.events.base import Event
from engine.shards.commit import Batch, Needs


class Read(NamedTuple):
    """An entry that is decoded: when its event happened and came in, whether its time lay too far ahead, and the week of
    arrival that a duplicate is looked up in."""

    event: Event | Rejected | None
    at: int = 0
    arrived: int = 0
    from_the_future: bool = False
    week: int = 0


class Prepared(NamedTuple):
    """A batch that is decoded, with what it needs."""

    batch: Batch
    entries: list[Read]
    needs: Needs
