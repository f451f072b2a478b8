"""The events door: any body into items, each item into an entry of its shard or a dead letter, and an answer for each.

202 means that Redis has acknowledged everything in it. What one request sends goes out in one pipeline, in its order,
together with what other requests send at the same time.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from zlib import crc32

import orjson
from msgspec import Struct

from api.access import Caller, as_signed, refused_to_page
from api.coalesce import Coalescer
from api.items import Item
from api.marks import Mark, elsewhere, keeps_of, marks_of, missed, where_kept
from engine.decisioning.pools import Pool
from engine.errors import Rejected
from engine.events.base import Event
from engine.events.costing import NO_COSTS
from engine.events.decode import Stores
from engine.events.products import OF_NOBODY
from engine.events.routing import Admitted, admit
from engine.ids import shard_of
from engine.moments import Millis
from engine.money import exponent, to_major
from engine.store.redis_archive import letter_id
from engine.store.redis_reader import Command, append_command, dead_letter_command, refusal

_MONEY = frozenset({"total", "subtotal", "price", "discount", "shipping", "tax", "amount"})


class Refusal(Struct, frozen=True, omit_defaults=True):
    """An event that was not accepted, and that sending again will not help."""

    index: int
    code: str
    detail: str
    id: str = ""
    field: str = ""
    dead_letter_id: str = ""


class Receipt(Struct, frozen=True):
    """The answer to a request with events."""

    accepted: int
    rejected: list[Refusal]


class Sent(Struct):
    """A body after admission: what goes to the store, still to be acknowledged."""

    admitted: list[Admitted]
    refused: list[tuple[Item, Rejected]]
    marks: list[Mark]
    commands: list[Command]
    spoken: dict[str, int]
    """How many of the admitted came in which dialect."""


def as_it_is(body: object) -> object:
    return body


class Rules(Struct, frozen=True):
    """What the door goes by."""

    shards: int
    most_items: int
    vouches: Callable[[str, object], bool]
    hashed: Callable[[object], object] = as_it_is
    """Takes addresses of people out of an event and puts their hashes in."""
    costs: Mapping[str, tuple[int, str]] = NO_COSTS
    """What a unit of each product costs the shop: lines of sales and returns carry it from here on."""


def admitted_item(
    item: Item, arrival: Millis, stores: Stores, backfill: bool, caller: Caller, rules: Rules
) -> Admitted | Rejected:
    """One item as an entry, or the reason why not."""
    if isinstance(item.value, Rejected):
        return item.value
    no = refused_to_page(caller, item.value, rules.vouches)
    if no is not None:
        code, field, detail = no
        return Rejected(code, detail, field, _id_of(item.value))
    value = as_signed(caller, item.value, rules.vouches)
    return admit(rules.hashed(value), arrival, stores, backfill, rules.costs)


def _id_of(value: object) -> str:
    given = value.get("id") if isinstance(value, dict) else None
    return given[:100] if isinstance(given, str) else ""


class Door:
    """Takes events in for one process."""

    def __init__(
        self,
        writes: Coalescer[Sequence[Command], list[Any]],
        rules: Rules,
        pools_of: Callable[[str], Sequence[Pool]],
        counted: "Counted",
    ) -> None:
        self._writes = writes
        self._rules = rules
        self._pools_of = pools_of
        self._counted = counted

    def sorted(self, items: Sequence[Item], arrival: Millis, stores: Stores, backfill: bool, caller: Caller) -> Sent:
        """Items as what will be sent: first the events in order, then the dead letters, then marks on the ledger."""
        sent = Sent([], [], [], [], {})
        for item in items:
            taken = admitted_item(item, arrival, stores, backfill, caller, self._rules)
            if isinstance(taken, Rejected):
                sent.refused.append((item, taken))
            else:
                sent.admitted.append(taken)
                sent.spoken[item.dialect] = sent.spoken.get(item.dialect, 0) + 1
        shards = self._rules.shards
        sent.commands = [append_command(shard_of(one.key, shards), one) for one in sent.admitted]
        for item, why in sent.refused:
            raw = item.kept()
            sent.commands.append(
                dead_letter_command(crc32(raw) % shards, raw, why.code, why.field, why.detail, why.id)
            )
        sent.marks = marks_of(sent.admitted, shards)
        sent.commands.extend(mark.command for mark in sent.marks)
        return sent

    async def take(self, sent: Sent) -> Receipt:
        """Sends it and waits for the acknowledgement. Raises `StoreUnavailable`; then nothing is known."""
        answers = await self._writes.ask(sent.commands) if sent.commands else []
        taken, dead = len(sent.admitted), len(sent.refused)
        unsaved = refusal(answers[: taken + dead])
        if unsaved is not None:
            raise unsaved
        marked = answers[taken + dead :]
        keeps = keeps_of(sent.marks, marked, self._pools_of)
        again = missed(sent.marks, marked)
        if again:
            kept = await self._writes.ask(where_kept(again, self._rules.shards))
            again = elsewhere(again, kept, self._rules.shards)
        if again:
            keeps += keeps_of(again, await self._writes.ask([mark.command for mark in again]), self._pools_of)
        if keeps:
            await self._writes.ask(keeps)
        self._counted.accepted(sum([one.event.type not in OF_NOBODY for one in sent.admitted]))
        for dialect, events in sent.spoken.items():
            self._counted.spoken(dialect, events)
        rejected = []
        for (item, why), name in zip(sent.refused, answers[taken : taken + dead], strict=True):
            self._counted.rejected(why.code)
            shard = crc32(item.kept()) % self._rules.shards
            rejected.append(
                Refusal(item.place, why.code, why.detail, why.id, why.field, letter_id(shard, name.decode()))
            )
        return Receipt(taken, rejected)


class Counted(Protocol):
    """Where the door counts."""

    def accepted(self, events: int) -> None: ...

    def spoken(self, dialect: str, events: int) -> None: ...

    def rejected(self, code: str) -> None: ...


def checked(item: Item, arrival: Millis, stores: Stores, backfill: bool, caller: Caller, rules: Rules) -> dict[str, Any]:
    """How one item would be understood; nothing is written."""
    taken = admitted_item(item, arrival, stores, backfill, caller, rules)
    if isinstance(taken, Rejected):
        problem = {"code": taken.code, "field": taken.field, "detail": taken.detail}
        return {"ok": False, "id": taken.id, "problems": [problem]}
    canonical = orjson.loads(taken.entry)
    return {
        "ok": True,
        "id": taken.event.id,
        "canonical": canonical,
        "customer": taken.key,
        "shard": shard_of(taken.key, rules.shards),
        "money": dict(_money("data", canonical.get("data"), _currency_of(taken.event))),
        "problems": [],
    }


def _currency_of(event: Event) -> str:
    data = getattr(event, "data", None)
    named = data.get("currency") if isinstance(data, dict) else getattr(data, "currency", None)
    return named if isinstance(named, str) else ""


def _money(path: str, value: object, currency: str) -> list[tuple[str, str]]:
    """Amounts in words, by their path: 1999 in EUR reads "19.99 EUR"."""
    found: list[tuple[str, str]] = []
    if isinstance(value, Mapping):
        for name, inner in value.items():
            is_amount = name in _MONEY and isinstance(inner, int) and not isinstance(inner, bool)
            if is_amount and _is_currency(currency):
                found.append((f"{path}.{name}", f"{to_major(inner, currency)} {currency}"))
            else:
                found += _money(f"{path}.{name}", inner, currency)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            found += _money(f"{path}[{place}]", inner, currency)
    return found


def _is_currency(name: str) -> bool:
    try:
        exponent(name)
    except ValueError:
        return False
    return True

