"""A batch that is decoded, before it is folded."""

from msgspec import Struct

from engine.errors import Rejected
from engine.events.base import Event
from engine.shards.commit import Batch, Needs


class Read(Struct, frozen=True, gc=False):
    """An entry that is decoded: when its event happened and came in, whether its time lay too far ahead, and the week of
    arrival that a duplicate is looked up in."""

    event: Event | Rejected | None
    at: int = 0
    arrived: int = 0
    from_the_future: bool = False
    week: int = 0


class Prepared(Struct, frozen=True):
    """A batch that is decoded, with what it needs."""

    batch: Batch
    entries: list[Read]
    needs: Needs
