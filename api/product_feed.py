"""A body full of products, as JSON, NDJSON or CSV: each line by itself, so that a bad one never loses the others.

In CSV every cell is text, so amounts are in major units: `3` and `3.00` are three euros. In JSON they are what they are in
events: whole numbers are minor units, text is major ones. A column or field that is nobody's, but nearly one of ours, is a
mistake and is named; others are left alone.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import orjson
from msgspec import Struct

from api.problems import Problem
from engine.errors import Rejected
from engine.events.products import ALIASES, FIELDS

CSV = ("text/csv", "application/csv", "text/tab-separated-values")
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
SOURCE = "regulars://products"
_DELIMITERS = (",", ";", "\t", "|")
_TIMES = ("updated_at", "time")
_KNOWN = frozenset({*FIELDS, *ALIASES, *_TIMES})
_NEAR = 0.75
_LONGEST_NAME = 60
_LONGEST_ROW = 20
"""Lines that one row may span, where a cell holds line breaks."""


class Told(Struct, frozen=True):
    """One product of a body as an event, or why there is none, with the bytes it was sent as."""

    body: dict[str, Any] | Rejected
    raw: bytes


class Feed(Struct, frozen=True):
    """The products of a body, and the columns or fields that say nothing to us."""

    products: list[Told]
    ignored: tuple[str, ...] = ()


def feed_of(body: bytes, content_type: str, most: int, arrival: str) -> Feed:
    """The products in a body. Raises 400 where it is not readable at all, 413 beyond `most`. `arrival` dates what has no time."""
    kind = content_type.partition(";")[0].strip().lower()
    start = body.lstrip()[:1]
    if not start:
        raise Problem(400, "body.empty", "the body holds no products")
    if kind in CSV or (kind not in NDJSON and start not in (b"{", b"[")):
        feed = _rows(body, arrival)
    elif kind in NDJSON:
        feed = _objects([(line, line) for line in body.split(b"\n") if line.strip()], arrival)
    else:
        feed = _json(body, arrival)
    if len(feed.products) > most:
        raise Problem(413, "body.too_many_events", f"a request carries at most {most} products")
    return feed


def _json(body: bytes, arrival: str) -> Feed:
    try:
        value = orjson.loads(body)
    except ValueError as error:
        lines = [line for line in body.split(b"\n") if line.strip()]
        if len(lines) > 1 and lines[0].lstrip().startswith(b"{") and lines[0].rstrip().endswith(b"}"):
            return _objects([(line, line) for line in lines], arrival)
        raise Problem(400, "body.not_json", f"the body is not JSON: {error}") from None
    if isinstance(value, dict) and isinstance(value.get("products"), list):
        value = value["products"]
    items = value if isinstance(value, list) else [value]
    return _objects([(one, b"") for one in items], arrival)


def _objects(items: Sequence[tuple[Any, bytes]], arrival: str) -> Feed:
    told: list[Told] = []
    ignored: dict[str, None] = {}
    for item, raw in items:
        value = item
        if raw:
            try:
                value = orjson.loads(raw)
            except ValueError as error:
                told.append(Told(Rejected("json.invalid", f"the line is not JSON: {error}"), raw))
                continue
        kept = raw or orjson.dumps(value)
        if not isinstance(value, dict):
            told.append(Told(Rejected("schema.type", "a product is a JSON object"), kept))
            continue
        if "type" in value and isinstance(value.get("data"), dict):
            told.append(Told({**value, "type": "product_upserted", "time": value.get("time") or arrival}, kept))
            continue
        strange = _strange(value)
        wrong = next((why for why in strange.values() if why), "")
        ignored |= dict.fromkeys(name for name, why in strange.items() if not why)
        told.append(Told(_misspelt(strange) if wrong else _event(value, arrival), kept))
    return Feed(told, tuple(ignored))


def _rows(body: bytes, arrival: str) -> Feed:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem(400, "body.not_text", f"the body is not UTF-8: {error}") from None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    while lines and not lines[0].strip():
        lines.pop(0)
    delimiter = max(_DELIMITERS, key=lambda each: (lines[0].count(each), -_DELIMITERS.index(each)))
    header = [name.strip().lower().replace(" ", "_") for name in _cells(lines[0], delimiter)]
    if not any(name in _KNOWN or _near(name, header) for name in header):
        named = ", ".join(FIELDS[:5])
        raise Problem(400, "body.no_header", f"the first line of a CSV names the columns, such as {named}")
    strange = _strange(header)
    ignored = tuple(name for name, why in strange.items() if not why)
    misspelt = _misspelt(strange) if any(strange.values()) else None
    told = []
    for row, raw in _split(lines[1:], len(header), delimiter):
        if isinstance(row, Rejected):
            told.append(Told(row, raw))
        elif misspelt is not None:
            told.append(Told(misspelt, raw))
        else:
            filled = {name: cell.strip() for name, cell in zip(header, row, strict=True) if cell.strip() and name in _KNOWN}
            told.append(Told(_event(filled, arrival), raw))
    return Feed(told, ignored)


def _split(lines: Sequence[str], width: int, delimiter: str) -> Iterator[tuple[list[str] | Rejected, bytes]]:
    """Rows with the text they were written as. A quote that is never closed spoils its own line alone."""
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        text, end = lines[at], at
        while text.count('"') % 2 and end + 1 < len(lines) and end - at < _LONGEST_ROW:
            end += 1
            text = f"{text}\n{lines[end]}"
        row = _cells(text, delimiter)
        if end > at and (text.count('"') % 2 or len(row) != width):
            text, end = lines[at], at
            row = _cells(text, delimiter)
        if text.count('"') % 2:
            yield Rejected("csv.invalid", "a quote is opened and never closed"), text.encode()
        elif len(row) != width:
            yield Rejected("csv.invalid", f"has {len(row)} cells where the header has {width}"), text.encode()
        else:
            yield row, text.encode()
        at = end + 1


def _cells(text: str, delimiter: str) -> list[str]:
    try:
        return [cell for row in csv.reader([text], delimiter=delimiter) for cell in row]
    except csv.Error:
        return text.split(delimiter)


def _event(product: Mapping[str, Any], arrival: str) -> dict[str, Any]:
    told = next((product[name] for name in _TIMES if product.get(name)), arrival)
    data = {name: value for name, value in product.items() if name not in _TIMES}
    return {"type": "product_upserted", "source": SOURCE, "time": told, "data": data}


def _strange(names: Sequence[str] | Mapping[str, Any]) -> dict[str, str]:
    """Names that are not ours, each with the one of ours that was meant, or nothing."""
    return {name: _near(name, names) for name in names if name and name not in _KNOWN}


def _near(name: str, there: Sequence[str] | Mapping[str, Any]) -> str:
    """Which of our names was meant: one that is near and that nobody else gives."""
    return _nearest(name[:_LONGEST_NAME], frozenset(ALIASES.get(one, one) for one in there if one in _KNOWN))


@lru_cache(maxsize=4096)
def _nearest(name: str, given: frozenset[str]) -> str:
    found = get_close_matches(name.lower(), [one for one in _KNOWN if ALIASES.get(one, one) not in given], n=1, cutoff=_NEAR)
    return found[0] if found else ""


def _misspelt(strange: Mapping[str, str]) -> Rejected:
    name, meant = next((name, why) for name, why in strange.items() if why)
    return Rejected("schema.unknown", f"a product has no {name[:60]!r} (did you mean {meant!r}?)", name[:100])
