"""What a shard judges its customers by, as far as a marketer may change it any day: rules of service, of segments and stages, and
whether those are read who have not said whether they may be.

They start as the engine was started. From the entry of the shard's own log on that announces others, those hold, so when they
were announced changes nobody's replay. A case that is open keeps the date by which it was to be resolved, until it changes.
"""

from collections.abc import Mapping

import msgspec

from engine.decisioning.service import DEFAULT_RULE, ServiceRule
from engine.events.reference import Reference
from engine.models.segments import SegmentRule

JUDGING = "judging"
"""The name of the reference fact."""


class Judging(msgspec.Struct, frozen=True):
    """The rules of policy.yaml that shards need. `profiling` is whether customers are scored who have said nothing about it."""

    service: ServiceRule = DEFAULT_RULE
    segments: SegmentRule = SegmentRule()
    profiling: bool = True


def judging_in(references: Mapping[str, Reference], start: Judging) -> Judging:
    """The rules that a shard stands at."""
    held = references.get(JUDGING)
    return msgspec.convert(held.value, Judging) if held is not None else start
