"""The entry that moves a shard to a new version of a reference fact. The same entry goes into every shard's log."""

import msgspec

from engine.events.reference import Announced, ReferenceChanged
from engine.events.routing import Admitted, admitted
from engine.ids import digest_of
from engine.moments import moment

OURSELVES = "w:regulars"
"""The key under which announcements lie: that of nobody."""


def announcement(name: str, version: int, value: object, at: int) -> Admitted:
    """`value` is plain, and `at` the server's clock. It moves no watermark, counts as no event and belongs to no customer."""
    plain = msgspec.to_builtins(value)
    told = digest_of(msgspec.json.encode(plain)).hex()
    event = ReferenceChanged(
        id=f"reference-{name}-{version}-{told}"[:100],
        type="reference_changed",
        time=moment(at),
        source="regulars",
        received_at=moment(at),
        data=Announced(name=name, version=version, value=plain),
    )
    return admitted(event)
