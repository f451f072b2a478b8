"""What goes into a shard and what comes out: formats that live as long as the data does."""

from typing import Literal

from msgspec import Struct, field

from engine.errors import Rejected
from engine.events.reference import Reference
from engine.models.lift import ArmSums
from engine.moments import WEEK
from engine.profiles.profile import Profile
from engine.shards.complaints import ComplaintSums
from engine.shards.receipts import Receipt
from engine.shards.sequences import Day

Outcome = Literal["written", "already", "fenced"]


class Entry(Struct, frozen=True):
    """One entry of a shard's stream: an event, or a tick that moves time while nothing happens.

    `fingerprint` is eight bytes of (source, id) and four of the payload; `key` is the customer the entry belongs to.
    """

    id: str
    event: bytes = b""
    fingerprint: bytes = b""
    key: str = ""
    tick: int = 0


class Batch(Struct, frozen=True):
    """Entries of one shard in stream order, at most 500."""

    shard: int
    entries: tuple[Entry, ...]


class Waiting(Struct, frozen=True, array_like=True):
    """Readings that wait for their label, under the tag of the timer that will close them."""

    model: str = ""
    opened_at: int = 0
    fingerprint: str = ""
    vector: bytes = b""
    offer_id: str = ""
    placement: str = ""
    propensity: float = 1.0
    variation: str = ""


class Totals(Struct, frozen=True, array_like=True):
    """Exact counts of a shard since its first entry. `spend` is net, in minor units by currency; `cases_past_due` is of now."""

    events: int = 0
    duplicates: int = 0
    rejected: int = 0
    late: int = 0
    from_the_future: int = 0
    customers: int = 0
    purchases: int = 0
    spend: dict[str, int] = {}
    offers_decided: int = 0
    offers_shown: int = 0
    offers_clicked: int = 0
    offers_redeemed: int = 0
    labels: int = 0
    segment_changes: int = 0
    cases_past_due: int = 0


class ShardRecord(Struct, frozen=True, array_like=True):
    """What a shard knows beside its customers. `watermark`: no earlier event is expected; 0 before the first. `live`: the
    shard follows the present, so the clock may move time on while it is idle. `references`: the version of each
    reference fact that the shard stands at."""

    watermark: int = 0
    totals: Totals = Totals()
    live: bool = False
    references: dict[str, int] = {}


class DeadLetter(Struct, frozen=True):
    """An event that could not be used: its bytes, and why not."""

    entry_id: str
    raw: bytes
    reason: Rejected
    key: str = ""
    fingerprint: bytes = b""


class Outgoing(Struct, frozen=True):
    """An event for another shard, relayed after the commit; the receiver knows a repeat by its fingerprint.

    One that is obeyed at once goes on standing beside the identity that it came to, `source`, until it stands beside the
    receiver: then what is pending there up to `entry` is settled. Without an event nothing is passed on, and that is all. In
    one shard both happen in the commit.
    """

    shard: int
    key: str
    event: bytes
    fingerprint: bytes
    source: str = ""
    entry: str = ""
    noted: bool = False
    """It is not pending at its source yet: the commit puts it there."""


class Opened(Struct, frozen=True):
    """A shard as its new owner finds it."""

    shard: int
    offset: str = "0-0"
    record: ShardRecord = ShardRecord()
    timers: dict[str, int] = {}
    gone: frozenset[bytes] = frozenset()
    popularity: dict[str, tuple[float, int]] = {}
    salt: bytes = b""
    histogram: dict[str, int] = {}
    references: dict[str, Reference] = {}
    lift: dict[tuple[str, str], ArmSums] = {}
    complaints: dict[str, ComplaintSums] = {}
    days: dict[str, Day] = {}


class Needs(Struct, frozen=True):
    """What a batch must be given before it can be processed."""

    shard: int
    profiles: tuple[str, ...] = ()
    seen: tuple[tuple[str, int], ...] = ()
    waiting: tuple[str, ...] = ()
    receipts: tuple[str, ...] = ()


class Loaded(Struct, frozen=True):
    """The answer to `Needs`; what the store does not hold is absent."""

    profiles: dict[str, Profile] = {}
    seen: dict[tuple[str, int], bytes] = {}
    waiting: dict[str, bytes] = {}
    receipts: dict[str, Receipt] = {}


class Facts(Struct):
    """What the edge may want to count of one commit; nothing here is stored. `before` are the totals it starts from."""

    before: Totals = Totals()
    arrivals: list[int] = field(default_factory=list)
    rejected: dict[str, int] = field(default_factory=dict)
    moved_to: dict[str, int] = field(default_factory=dict)
    triggers: dict[str, int] = field(default_factory=dict)


class Commit(Struct):
    """Everything one atomic write holds: all of it lands, or nothing does.

    `owner` tells a commit that is sent again from one of another owner who got to the same offset. `seen` is appended, not
    replaced; `unseen` are records of fingerprints to delete. `settled` names customers whose pending entries up to the offset
    are folded now. `histogram` holds the counts that changed, 0 where nobody is left; `references` facts with a new version;
    `lift` the sums by campaign and arm that changed. `actions` are triggers whose wait is over.
    `leads` are the open leads of customers whose leads changed, empty where none is left.
    `timeline` are new touch points by customer, `reached` hashes of addresses that name a customer from now on, or no more
    (False), and `complaints` the counts that changed. `baskets` are what was bought together, of nobody in particular.
    `receipts` are those of workstations by name, and `days` their days, None where one is let go of.
    """

    shard: int
    expected: str
    offset: str
    record: ShardRecord
    profiles: dict[str, Profile] = field(default_factory=dict)
    erased: dict[str, bytes] = field(default_factory=dict)
    seen: dict[tuple[str, int], bytes] = field(default_factory=dict)
    unseen: list[tuple[str, int]] = field(default_factory=list)
    waiting: dict[str, bytes] = field(default_factory=dict)
    waiting_done: list[str] = field(default_factory=list)
    timers: dict[str, int] = field(default_factory=dict)
    timers_done: list[str] = field(default_factory=list)
    examples: list[bytes] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    outbox: list[Outgoing] = field(default_factory=list)
    decisions: list[bytes] = field(default_factory=list)
    popularity: dict[str, tuple[float, int]] = field(default_factory=dict)
    histogram: dict[str, int] = field(default_factory=dict)
    references: dict[str, Reference] = field(default_factory=dict)
    lift: dict[tuple[str, str], ArmSums] = field(default_factory=dict)
    settled: list[str] = field(default_factory=list)
    actions: list[bytes] = field(default_factory=list)
    leads: dict[str, bytes] = field(default_factory=dict)
    timeline: dict[str, list[bytes]] = field(default_factory=dict)
    reached: list[tuple[str, str, bool]] = field(default_factory=list)
    complaints: dict[str, ComplaintSums] = field(default_factory=dict)
    baskets: list[bytes] = field(default_factory=list)
    receipts: dict[str, Receipt] = field(default_factory=dict)
    days: dict[str, Day | None] = field(default_factory=dict)
    owner: str = ""
    facts: Facts = field(default_factory=Facts)


def seen_week(arrived_at: int) -> int:
    """The bucket of arrival times that a duplicate is looked up in: this one and the one before cover seven days."""
    return arrived_at // WEEK
