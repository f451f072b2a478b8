"""Receipts as tills send them, and shards that pass on what they have for each other."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from engine.events.base import Event
from engine.events.decode import decode_canonical
from engine.events.routing import admitted
from engine.ids import shard_of
from engine.moments import DAY, HOUR, MINUTE, Millis, moment, rfc3339
from engine.profiles.profile import Profile
from engine.shards.commit import Entry
from engine.shards.sequences import Day
from engine.store.codec import decode_day, decode_profile
from engine.store.memory import MemoryStore
from flows.owner import Owner
from flows.runner import run_until_idle
from tests.builders import SHARDS, START, entry_of, processor, taken


def day_of(at: int) -> str:
    return moment(at).date().isoformat()


def receipt(
    number: int,
    at: int,
    total: int = 1990,
    card: str = "",
    kind: str = "pos_transaction_completed",
    store: str = "s-1",
    workstation: str = "1",
    day: str = "",
    **data: Any,
) -> dict[str, Any]:
    """One receipt of goods of two categories; `card` is whose it is, nobody's without."""
    named = {"store": store, "workstation": workstation, "business_day": day or day_of(at), "sequence_number": number}
    if kind != "pos_transaction_voided":
        half = total // 2
        lines = [
            {"product_id": "p-1", "category": "coffee", "price": half, "coupon": "C10", "discount": 0, "private_label": True},
            {"product_id": "p-2", "category": "bread", "price": total - half, "quantity": 1},
        ]
        named |= {"currency": "EUR", "total": total, "lines": lines}
        if kind == "pos_return_completed":
            named["lines"] = [{**line, "kind": "return"} for line in lines]
    who = {"loyalty_id": card} if card else {}
    return {"type": kind, "time": rfc3339(at), "source": f"pos://{store}/{workstation}", **who, "data": {**named, **data}}


def name_of(sale: dict[str, Any]) -> str:
    """The receipt's key."""
    data = sale["data"]
    return "/".join(str(data[name]) for name in ("store", "workstation", "business_day", "sequence_number"))


def void(sale: dict[str, Any], at: int, card: str = "") -> dict[str, Any]:
    """The receipt never happened."""
    return receipt(0, at, card=card, kind="pos_transaction_voided") | {
        "data": {name: sale["data"][name] for name in ("store", "workstation", "business_day", "sequence_number", "currency")}
    }


def goods_back(
    sale: dict[str, Any], number: int, at: int, total: int | None = None, card: str = "", **data: Any
) -> dict[str, Any]:
    """A return, of all of it without a total."""
    back = sale["data"]["total"] if total is None else total
    return receipt(number, at, back, card, "pos_return_completed", original=name_of(sale), **data)


def card_shown(sale: dict[str, Any], card: str, at: int) -> dict[str, Any]:
    """A card for a receipt that was nobody's."""
    named = {name: sale["data"][name] for name in ("store", "workstation", "business_day", "sequence_number")}
    name = f"card-{name_of(sale)}-{card}"
    return {"id": name, "type": "pos_customer_identified", "time": rfc3339(at), "loyalty_id": card, "data": named}


def settled(
    bodies: Iterable[dict[str, Any]],
    most: int = 500,
    ours: Iterable[dict[str, Any]] = (),
    store: MemoryStore | None = None,
    arrivals: Sequence[int] = (),
) -> MemoryStore:
    """A memory store after these bodies, with everything passed on that shards have for each other. `ours` are events of the
    engine's own, which come first; without `arrivals` the bodies come in a minute apart."""
    store = store or MemoryStore()
    times = arrivals or range(START + 400 * DAY, START + 900 * DAY, MINUTE)
    arrived = [taken(body, at) for body, at in zip(bodies, times, strict=False)]
    made = [admitted(event) for body in ours if isinstance(event := decode_canonical(orjson.dumps(body)), Event)]
    store.append([entry_of(one) for one in (*made, *arrived)])
    owner = Owner(store, processor(), range(SHARDS))
    while True:
        run_until_idle(owner, store, most)
        going = [one for outbox in store.outbox.values() for one in outbox]
        if not going:
            return store
        store.outbox.clear()
        store.append([(one.shard, Entry("", one.event, one.fingerprint, one.key)) for one in going])


def totals(store: MemoryStore) -> tuple[int, int]:
    """(purchases, spend) of all shards."""
    held = [record.totals for record in store.records.values()]
    return sum(one.purchases for one in held), sum(one.spend.get("EUR", 0) for one in held)


def profile(store: MemoryStore, key: str) -> Profile:
    """A customer; an empty profile where nobody is known under the key."""
    raw = store.profile(shard_of(key, SHARDS), key)
    return decode_profile(key, raw) if raw is not None else Profile(key)


def days(store: MemoryStore) -> dict[str, Day]:
    """All days of workstations."""
    return {name: decode_day(raw) for held in store.days.values() for name, raw in held.items()}


def missing(store: MemoryStore) -> dict[str, list[int]]:
    """Numbers that are missing, by day."""
    found = {name: [n for first, last in day.missing() for n in range(first, last + 1)] for name, day in days(store).items()}
    return {name: numbers for name, numbers in sorted(found.items()) if numbers}


def close(day: str, at: int, workstation: str = "1", **told: Any) -> dict[str, Any]:
    """What a till says at the end of its day."""
    data = {"store": "s-1", "workstation": workstation, "business_day": day, "currency": "EUR", **told}
    return {"id": f"close-{day}-{workstation}", "type": "pos_day_closed", "time": rfc3339(at), "data": data}


def week_of_shopping(card: str, weeks: Sequence[int]) -> list[dict[str, Any]]:
    """A receipt a week of a customer, on days of their own."""
    return [receipt(900 + week, Millis(START + week * 7 * DAY + 9 * HOUR), 1000 + week, card, workstation="9") for week in weeks]
