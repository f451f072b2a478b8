"""The events door: any body into items, each item into an entry of its shard or a dead letter, and an answer for each.

202 means that Redis has acknowledged everything in it. What one request sends goes out in one pipeline, in its order,
together with what other requests send at the same time.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from zlib import crc32

import msgspec
import orjson
from msgspec import Struct

from api.access import Caller, refused_to_page
from api.coalesce import Coalescer
from api.marks import Mark, keeps_of, marks_of
from api.problems import Problem
from engine.decisioning.pools import Pool
from engine.errors import Rejected
from engine.events.base import Event
from engine.events.decode import Stores
from engine.events.routing import Admitted, admit
from engine.ids import shard_of
from engine.moments import Millis
from engine.money import exponent, to_major
from engine.store.redis_archive import letter_id
from engine.store.redis_reader import Command, append_command, dead_letter_command, refusal

NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_MONEY = frozenset({"total", "subtotal", "price", "discount", "shipping", "tax", "amount"})


class Pieces:
    """The bytes of an array's elements as they were sent, found when the first of them is asked for."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._found: list[msgspec.Raw] | None = None

    def piece(self, place: int) -> bytes:
        """One element; the whole body where it is nested too deeply to be taken apart."""
        if self._found is None:
            try:
                self._found = _ARRAY.decode(self._body)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                self._found = []
        return bytes(self._found[place]) if place < len(self._found) else self._body


class Item(Struct, frozen=True):
    """One event of a body: its value, or why there is none, and where its own bytes are."""

    value: object = None
    raw: bytes = b""
    unreadable: str = ""
    pieces: Pieces | None = None
    place: int = 0

    def kept(self) -> bytes:
        """The bytes for the dead letter."""
        if self.raw:
            return self.raw
        return self.pieces.piece(self.place) if self.pieces is not None else orjson.dumps(self.value)


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
    refused: list[tuple[int, Item, Rejected]]
    marks: list[Mark]
    commands: list[Command]


def as_it_is(body: object) -> object:
    return body


class Rules(Struct, frozen=True):
    """What the door goes by."""

    shards: int
    most_items: int
    vouches: Callable[[str, object], bool]
    hashed: Callable[[object], object] = as_it_is
    """Takes addresses of people out of an event and puts their hashes in."""


def items_of(body: bytes, content_type: str, most: int) -> list[Item]:
    """The events in a body: one object, an array, or lines. Raises 400 where it is not readable at all, 413 beyond `most`.

    Lines are told by their content type, else by a first line that is JSON by itself in a body that is not.
    """
    if content_type.partition(";")[0].strip().lower() in NDJSON:
        items = [line_of(line) for line in body.split(b"\n") if line.strip()]
    else:
        items = _json_items(body)
    if len(items) > most:
        raise Problem(413, "body.too_many_events", f"a request carries at most {most} events")
    return items


def _json_items(body: bytes) -> list[Item]:
    try:
        value = orjson.loads(body)
    except ValueError as error:
        lines = [line for line in body.split(b"\n") if line.strip()]
        if len(lines) > 1 and not line_of(lines[0]).unreadable:
            return [line_of(line) for line in lines]
        raise Problem(400, "body.not_json", f"the body is not JSON: {error}") from None
    if isinstance(value, list):
        pieces = Pieces(body)
        return [Item(one, pieces=pieces, place=place) for place, one in enumerate(value)]
    return [Item(value, body)]


def line_of(line: bytes) -> Item:
    """One event by itself, as bytes."""
    try:
        return Item(orjson.loads(line), line)
    except ValueError as error:
        return Item(raw=line, unreadable=f"the line is not JSON: {error}")


def admitted_item(
    item: Item, arrival: Millis, stores: Stores, backfill: bool, caller: Caller, rules: Rules
) -> Admitted | Rejected:
    """One item as an entry, or the reason why not."""
    if item.unreadable:
        return Rejected("json.invalid", item.unreadable)
    no = refused_to_page(caller, item.value, rules.vouches)
    if no is not None:
        code, field, detail = no
        return Rejected(code, detail, field, _id_of(item.value))
    return admit(rules.hashed(item.value), arrival, stores, backfill)


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
        sent = Sent([], [], [], [])
        for index, item in enumerate(items):
            taken = admitted_item(item, arrival, stores, backfill, caller, self._rules)
            if isinstance(taken, Rejected):
                sent.refused.append((index, item, taken))
            else:
                sent.admitted.append(taken)
        shards = self._rules.shards
        sent.commands = [append_command(shard_of(one.key, shards), one) for one in sent.admitted]
        for _, item, why in sent.refused:
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
        keeps = keeps_of(sent.marks, answers[taken + dead :], self._pools_of)
        if keeps:
            await self._writes.ask(keeps)
        self._counted.accepted(taken)
        rejected = []
        for (index, item, why), name in zip(sent.refused, answers[taken : taken + dead], strict=True):
            self._counted.rejected(why.code)
            shard = crc32(item.kept()) % self._rules.shards
            rejected.append(
                Refusal(index, why.code, why.detail, why.id, why.field, letter_id(shard, name.decode()))
            )
        return Receipt(taken, rejected)


class Counted(Protocol):
    """Where the door counts."""

    def accepted(self, events: int) -> None: ...

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

