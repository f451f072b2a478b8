"""Events as a shop would send them, and random logs of them."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from engine.errors import Rejected
from engine.events.routing import Admitted, admit
from engine.ids import shard_of
from engine.moments import DAY, HOUR, MINUTE, Millis, rfc3339
from engine.shards.commit import Entry
from engine.shards.labels import ChurnRule, Labels
from engine.shards.processor import ShardProcessor
from engine.store.memory import MemoryStore
from flows.owner import Owner
from flows.runner import run_until_idle

START = Millis(1_483_228_800_000)
"""The first instant of 2017, UTC."""
SHARDS = 2
CATEGORIES = ("coffee", "bread", "wine", "fruit")


def taken(body: dict[str, Any], arrival: int | None = None, backfill: bool = False) -> Admitted:
    """An event that the door accepts, arriving when it happened unless told otherwise."""
    admitted = admit(body, Millis(START + 400 * DAY if arrival is None else arrival), backfill=backfill)
    assert not isinstance(admitted, Rejected), admitted
    return admitted


def order(name: str, user: str, at: int, total: int = 1000, categories: Sequence[str] = ("coffee",)) -> dict[str, Any]:
    """An order of one product for each category."""
    lines = [{"product_id": f"p-{category}", "category": category, "price": total // len(categories)} for category in categories]
    data: dict[str, Any] = {"order_id": name, "currency": "EUR", "total": total, "products": lines}
    return {
        "id": f"e-{name}",
        "type": "order_completed",
        "user_id": user,
        "time": rfc3339(at),
        "source": "web://shop",
        "data": data,
    }


def refund(name: str, order_name: str, user: str, at: int, total: int | None) -> dict[str, Any]:
    """Money back for an order, all of it without a total."""
    data = {"order_id": order_name, "currency": "EUR"} | ({} if total is None else {"total": total})
    return {"id": name, "type": "order_refunded", "user_id": user, "time": rfc3339(at), "source": "web://shop", "data": data}


def simple(kind: str, name: str, user: str, at: int, **data: Any) -> dict[str, Any]:
    """Any other event."""
    return {"id": name, "type": kind, "user_id": user, "time": rfc3339(at), "source": "web://shop", "data": data}


def decided(decision_id: str, user: str, at: int, offer_id: str = "o-1", window: int = 14 * DAY) -> dict[str, Any]:
    """An `offer_decided` body in canonical form, as the API writes it (the door refuses it)."""
    offer = {
        "offer_id": offer_id,
        "placement": "home_hero",
        "categories": ["coffee"],
        "attribution_window_ms": window,
        "propensity": 0.5,
        "vector": "AACAPwAAAEA=",
    }
    return {
        "id": decision_id,
        "decision_id": decision_id,
        "type": "offer_decided",
        "user_id": user,
        "time": rfc3339(at),
        "received_at": rfc3339(at),
        "source": "regulars",
        "data": {"offers": [offer], "fingerprint": "f"},
    }


def entry_of(admitted: Admitted, shards: int = SHARDS) -> tuple[int, Entry]:
    """Shard and stream entry."""
    return shard_of(admitted.key, shards), Entry("", admitted.entry, admitted.fingerprint, admitted.key)


def processor(lateness_ms: int = DAY, churn: ChurnRule | None = None) -> ShardProcessor:
    """The rules of a shop with a horizon of four weeks."""
    return ShardProcessor(Labels(churn or ChurnRule()), lateness_ms, SHARDS)


def folded(
    entries: Sequence[tuple[int, Entry]], most: int = 500, store: MemoryStore | None = None, lateness_ms: int = DAY
) -> MemoryStore:
    """A memory store after all entries, in batches of at most `most`."""
    held = store or MemoryStore()
    held.append(entries)
    run_until_idle(Owner(held, processor(lateness_ms), range(SHARDS)), held, most)
    return held


@st.composite
def bodies(draw: st.DrawFn, most: int = 40) -> list[dict[str, Any]]:
    """A log of a few customers over half a year, in time order, with repeats, refunds and complaints."""
    log: list[dict[str, Any]] = []
    at: int = START
    orders: list[tuple[str, str]] = []
    for index in range(draw(st.integers(1, most))):
        at += draw(st.integers(0, 12 * DAY)) if draw(st.booleans()) else draw(st.integers(0, 2 * HOUR))
        user = draw(st.sampled_from(["ann", "bob", "cem"]))
        what = draw(st.integers(0, 9))
        if what <= 4:
            name = f"{index}"
            chosen = draw(st.lists(st.sampled_from(CATEGORIES), min_size=1, max_size=3, unique=True))
            log.append(order(name, user, at, draw(st.integers(0, 9_000)), chosen))
            orders.append((name, user))
        elif what == 5 and orders:
            name, user = draw(st.sampled_from(orders))
            log.append(refund(f"r{index}", name, user, at, draw(st.none() | st.integers(1, 500))))
        elif what == 6:
            log.append(simple("complaint_filed", f"c{index}", user, at, complaint_id="k"))
        elif what == 7:
            log.append(
                simple("product_viewed", f"v{index}", user, at, product_id="p", category=draw(st.sampled_from(CATEGORIES)))
            )
        elif what == 8:
            status = draw(st.sampled_from(["granted", "revoked"]))
            log.append(simple("consent_updated", f"s{index}", user, at, purpose="marketing", status=status))
        elif log:
            log.append(draw(st.sampled_from(log)))
    return log or [order("0", "ann", START)]


def entries_of(log: Sequence[dict[str, Any]]) -> list[tuple[int, Entry]]:
    """Stream entries of a log, arriving a minute apart."""
    return [entry_of(taken(body, START + 400 * DAY + index * MINUTE)) for index, body in enumerate(log)]
