"""Reference facts: plain values that a shard follows from one entry of its own log on.

Cut points between segments, a promotion calendar, the catalogue that is live: many customers are judged by them, and they
change while events are folded. Read from beside the log they would make a replay come out differently, so a new version is
appended to every shard's own log, and each shard moves to it at that entry. Versions only rise: an entry with a lower or
equal version than the shard stands at changes nothing, so announcing one twice is harmless.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct

from engine.events.base import Event, Identifier


class Announced(Struct, frozen=True, gc=False, kw_only=True):
    """A fact by its name: a version that only rises, and a plain value (numbers, text, lists, mappings)."""

    name: Identifier
    version: Annotated[int, Meta(ge=1)]
    value: Any = None


class ReferenceChanged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A reference fact has a new version. Only the engine writes this."""

    data: Announced


class Reference(Struct, frozen=True, gc=False, array_like=True):
    """A fact as a shard holds it; version 0 is none yet."""

    version: int = 0
    value: Any = None


TYPES: dict[str, type[Event]] = {"reference_changed": ReferenceChanged}
