"""What every dialect is."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

from engine.errors import Rejected


class Part(Struct, frozen=True, gc=False):
    """One native event out of a document, or the reason why there is none.

    `raw` is the sender's own bytes of it, for the dead letter. Events that were one thing to the sender share a `place`, and
    the first of them has the bytes of it all.
    """

    raw: bytes
    native: dict[str, Any] | Rejected
    place: int = 0


class Dialect(Struct, frozen=True, gc=False):
    """How one kind of document is told from others and read.

    A document of it has at least one of `marks` among its names, and then `knows` decides by looking at the object alone.
    `told` takes any bytes that are JSON and raises nothing; who takes only some of its parts pays only for those.
    """

    name: str
    marks: frozenset[str]
    knows: Callable[[Mapping[str, Any]], bool]
    told: Callable[[bytes], Iterable[Part]]
