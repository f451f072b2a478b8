"""Open leads of a shard's customers, kept beside their profiles, so that a queue need not read every profile."""

import msgspec
from msgspec import Struct

from engine.profiles.profile import NO_PART, Profile
from engine.shards.commit import Commit
from engine.shards.segments import Histogram

OPEN = "leads:open"
"""Under this name a shard's counts hold how many leads are open."""
_ENCODER = msgspec.msgpack.Encoder()


class Queued(Struct, frozen=True, array_like=True):
    """An open lead as far as it decides who is looked at first. Money is in minor units, 0 where nobody estimated any."""

    lead_id: str = ""
    amount: int = 0
    currency: str = ""
    qualified: bool = False
    told_at: int = 0


_QUEUED = msgspec.msgpack.Decoder(tuple[Queued, ...])


def decode_queued(raw: bytes) -> tuple[Queued, ...]:
    """The open leads of one customer."""
    return _QUEUED.decode(raw)


def followed(commit: Commit, histogram: Histogram, before: Profile, after: Profile) -> None:
    """Keep the open leads of a customer beside an event that changed them; without any the customer leaves the queue."""
    one_less = len(after.parts) < len(before.parts) and before.whole.leads != after.whole.leads
    for name, part in after.parts.items():
        if one_less or part.leads is not before.parts.get(name, NO_PART).leads:
            found = [
                Queued(lead_id, lead.amount, lead.currency, lead.qualified_at > 0, lead.told_at)
                for lead_id, lead in sorted(after.whole.leads.open.items())
            ]
            commit.leads[after.key] = _ENCODER.encode(found) if found else b""
            commit.histogram.update(histogram.add({OPEN: len(found) - len(before.whole.leads.open)}))
            return


def left(commit: Commit, histogram: Histogram, profile: Profile) -> None:
    """The customer is not of this shard any more."""
    if any(part.leads.by_id for part in profile.parts.values()):
        commit.leads[profile.key] = b""
        commit.histogram.update(histogram.add({OPEN: -len(profile.whole.leads.open)}))
