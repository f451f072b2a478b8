"""The events in a body, in whatever dialect, each with the bytes it was sent as."""

from collections.abc import Iterable
from itertools import islice

import msgspec
import orjson
from msgspec import Struct

from api.problems import Problem
from engine.errors import Rejected
from engine.events.dialects.base import Dialect
from engine.events.dialects.roster import NATIVE, spoken_in

NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])


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
    """One event of a body: its value in the native dialect, or why there is none, and where its own bytes are.

    `place` is which element or line of the body it was: one of the sender's may be several of ours.
    """

    value: object = None
    raw: bytes = b""
    pieces: Pieces | None = None
    place: int = 0
    dialect: str = NATIVE

    def kept(self) -> bytes:
        """The bytes for the dead letter."""
        if self.raw:
            return self.raw
        return self.pieces.piece(self.place) if self.pieces is not None else orjson.dumps(self.value)


def items_of(body: bytes, content_type: str, most: int) -> list[Item]:
    """The events in a body: one object, an array, or lines. Raises 400 where it is not readable at all, 413 beyond `most`.

    Lines are told by their content type, else by a first line that is JSON by itself in a body that is not. What each event
    is written in shows in itself, so that one body may hold several dialects.
    """
    if content_type.partition(";")[0].strip().lower() in NDJSON:
        return _lines([line for line in body.split(b"\n") if line.strip()], most)
    try:
        value = orjson.loads(body)
    except ValueError as error:
        lines = [line for line in body.split(b"\n") if line.strip()]
        if len(lines) > 1 and _is_json(lines[0]):
            return _lines(lines, most)
        raise Problem(400, "body.not_json", f"the body is not JSON: {error}") from None
    if isinstance(value, list):
        return _elements(value, body, most)
    dialect = spoken_in(value)
    return [Item(value, body)] if dialect is None else _bounded(_told(dialect, body, most), most)


def told_in(dialect: Dialect, body: bytes, most: int) -> list[Item]:
    """The events of a body that is of one dialect, whatever it looks like. Raises 400 where it is no JSON, 413 beyond `most`."""
    try:
        orjson.loads(body)
    except ValueError as error:
        raise Problem(400, "body.not_json", f"the body is not JSON: {error}") from None
    return _bounded(_told(dialect, body, most), most)


def items_in(documents: Iterable[bytes], most: int) -> list[Item]:
    """The events in JSON documents, each by itself. Raises 413 beyond `most`."""
    return _lines(documents, most)


def _bounded(items: list[Item], most: int) -> list[Item]:
    if len(items) > most:
        raise _too_many(most)
    return items


def _too_many(most: int) -> Problem:
    return Problem(413, "body.too_many_events", f"a request carries at most {most} events")


def _elements(values: list[object], body: bytes, most: int) -> list[Item]:
    items: list[Item] = []
    pieces = Pieces(body)
    for place, value in enumerate(values):
        dialect = spoken_in(value)
        if dialect is None:
            items.append(Item(value, b"", pieces, place))
        else:
            items += _told(dialect, pieces.piece(place), most, place)
            if len(items) > most:
                raise _too_many(most)
    return _bounded(items, most)


def _lines(lines: Iterable[bytes], most: int) -> list[Item]:
    items: list[Item] = []
    for place, line in enumerate(lines):
        try:
            value = orjson.loads(line)
        except ValueError as error:
            items.append(Item(Rejected("json.invalid", f"the line is not JSON: {error}"), line, None, place))
            continue
        dialect = spoken_in(value)
        if dialect is None:
            items.append(Item(value, line, None, place))
        else:
            items += _told(dialect, line, most, place)
            if len(items) > most:
                raise _too_many(most)
    return _bounded(items, most)


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except ValueError:
        return False
    return True


def _told(dialect: Dialect, raw: bytes, most: int, place: int | None = None) -> list[Item]:
    """One more than `most` at most: however much a document would become, no more of it is ever made."""
    return [
        Item(part.native, part.raw, None, part.place if place is None else place, dialect.name)
        for part in islice(dialect.told(raw), most + 1)
    ]
