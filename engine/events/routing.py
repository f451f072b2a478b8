"""Which customer an event belongs to: a pure function of its payload, or a retry would land elsewhere."""

from collections.abc import Mapping

import msgspec

from engine.errors import Rejected
from engine.events.base import Event
from engine.events.costing import NO_COSTS, with_costs
from engine.events.decode import NO_STORES, Stores, decode_value, encode_canonical, payload_hash
from engine.events.pos import (
    PosCustomerIdentified,
    PosDayClosed,
    PosNote,
    PosReturnCompleted,
    PosTransactionCompleted,
    PosTransactionVoided,
    till_key,
)
from engine.ids import CustomerKey, digest_of
from engine.moments import Millis


def route(event: Event) -> CustomerKey:
    """The user, else the loyalty card, else the anonymous browser, else the workstation."""
    if event.user_id:
        return CustomerKey(f"u:{event.user_id}")
    if event.loyalty_id:
        return CustomerKey(f"l:{event.loyalty_id}")
    if event.anonymous_id:
        return CustomerKey(f"a:{event.anonymous_id}")
    match event:
        case PosTransactionCompleted() | PosTransactionVoided() | PosReturnCompleted() | PosDayClosed():
            return CustomerKey(till_key(event.data.store, event.data.workstation))
        case PosCustomerIdentified():
            return CustomerKey(till_key(event.data.store or "", event.data.workstation or ""))
        case PosNote():
            return CustomerKey(till_key(str(event.data.get("store", "")), str(event.data.get("workstation", ""))))
        case _:
            return CustomerKey(f"w:{event.source}"[:200])


def has_customer(key: str) -> bool:
    """Whether the key names somebody, and not just a workstation."""
    return not key.startswith("w:")


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """An event ready for its shard's stream: `entry` is its canonical JSON, `fingerprint` the twelve bytes that find
    duplicates (eight of source and id, four of the payload)."""

    event: Event
    key: CustomerKey
    entry: bytes
    fingerprint: bytes


def admit(
    body: object,
    arrival: Millis,
    stores: Stores = NO_STORES,
    backfill: bool = False,
    costs: Mapping[str, tuple[int, str]] = NO_COSTS,
) -> Admitted | Rejected:
    """Decode at the door, and make everything the stream entry holds. What lines cost is no part of the fingerprint: it may
    have changed when the same event is sent again."""
    event = decode_value(body, arrival, stores)
    if isinstance(event, Rejected):
        return event
    if costs:
        event = with_costs(event, costs)
    if backfill:
        event = msgspec.structs.replace(event, mode="backfill")
    try:
        payload = payload_hash(body) if isinstance(body, dict) else b""
    except (TypeError, ValueError, RecursionError):
        return Rejected("schema.depth", "the event is nested too deeply", id=event.id)
    return admitted(event, payload)


def admitted(event: Event, payload: bytes | None = None) -> Admitted:
    """An event of our own making, or one decoded before."""
    entry = encode_canonical(event)
    marked = digest_of(event.source.encode(), event.id.encode()) + (payload if payload is not None else digest_of(entry))[:4]
    return Admitted(event, route(event), entry, marked)
