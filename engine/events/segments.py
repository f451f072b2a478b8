"""A customer has moved between segments: derived by the shard, once for each move."""

from msgspec import Struct

from engine.events.base import Event


class Move(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Where a customer stood and where they stand now. `tier` is heavy, moderate, light, or empty while nothing is known."""

    tier_before: str = ""
    tier: str = ""
    lifecycle_before: str = ""
    lifecycle: str = ""
    best_before: bool = False
    best: bool = False


class SegmentChanged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The tier, the lifecycle stage or the place among the best has changed. Only the engine writes this."""

    data: Move = Move()


TYPES: dict[str, type[Event]] = {"segment_changed": SegmentChanged}
