"""What an event of each type asks of a shard beside its fold, worked out once a type.

Most events are steps of a visit: they change what was browsed, which nobody follows. To ask each follower about each of them
would take longer than to fold them.
"""

from functools import lru_cache
from typing import NamedTuple

from engine.events.base import Activity
from engine.events.budgets import BudgetSpent
from engine.events.consent import ErasureRequested
from engine.events.identity import (
    CustomerIdentified,
    IdentityClaimed,
    IdentityReleased,
    PartHandedOver,
    PartReleased,
)
from engine.events.loyalty import TierChanged
from engine.events.offers import OURS
from engine.events.pos import PosNoted
from engine.events.prices import PriceDropped
from engine.events.reference import ReferenceChanged
from engine.events.roster import TYPES
from engine.events.segments import SegmentChanged
from engine.events.service import PastDue
from engine.profiles import loyalty
from engine.profiles.profile import changed_by
from engine.shards.handover import SETTLED
from engine.shards.tills import OF_TILLS
from engine.shards.timeline import NOT_KEPT
from engine.shards.triggers import DERIVED

_FACTS = (ReferenceChanged, PosNoted)
_NEWS = (BudgetSpent, TierChanged, PriceDropped, SegmentChanged, PastDue)
_MOVES = (ErasureRequested, IdentityClaimed, IdentityReleased)
_PARTS = (PartHandedOver, PartReleased)
_NAMES = (CustomerIdentified, PartHandedOver)


class Kind(NamedTuple):
    """What to look at after an event of a type.

    `facts` are of the shard and of no profile; `settled` may be pending no more once it is folded. `news` may be told by a shard
    of what its profiles hold already; `moves` ends or moves a profile, and `parts` brings or takes a part of one; `tills`
    concerns workstations. `ours` is written by the engine only, `derived` is what it may have noticed. `answers` may answer an
    offer or take the answer back, `tiers` changes what a tier is judged by, `leads` and `relations` what is kept beside.
    """

    facts: bool
    settled: bool
    news: bool
    moves: bool
    parts: bool
    tills: bool
    ours: bool
    derived: bool
    answers: bool
    tiers: bool
    leads: bool
    relations: bool


@lru_cache(maxsize=1024)
def kind_of(name: str) -> Kind:
    """What an event of this type asks for. Types are the senders' to name, so not all are remembered."""
    event = TYPES.get(name, Activity)
    changes, parts = changed_by(name), issubclass(event, _PARTS)
    return Kind(
        facts=issubclass(event, _FACTS),
        settled=name in SETTLED,
        news=issubclass(event, _NEWS),
        moves=issubclass(event, _MOVES),
        parts=parts,
        tills=issubclass(event, OF_TILLS),
        ours=name in OURS,
        derived=name in DERIVED,
        answers=parts or bool(changes & {"offers", "purchases"}),
        tiers=parts or bool(changes & {"purchases", "loyalty"}) or name in loyalty.NAMES_A_PURCHASE,
        leads=parts or "leads" in changes,
        relations=parts or issubclass(event, _NAMES) or "service" in changes or name not in NOT_KEPT,
    )
