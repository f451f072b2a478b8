"""What can be replayed: files of events in any dialect, one JSON document a line, and the Complete Journey data."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import orjson
from msgspec import Struct

from engine.errors import RegularsError
from engine.events.dialects.base import Part
from engine.events.dialects.roster import spoken_in
from engine.ids import digest_of
from engine.moments import Millis, millis
from engine.money import AmountError, to_minor
from flows.complete_journey import CompleteJourney

COMPLETE_JOURNEY: Final = "complete-journey"
_SENT: Final = frozenset({"sent_at", "sentAt"})
_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_HEAD_BYTES: Final = 65_536
_SALES: Final = frozenset({"pos_transaction_completed", "order_completed"})


class SourceMissing(RegularsError):
    """There is no such file."""


class Sendable(Struct, frozen=True):
    """One event ready to go: its bytes, whom it belongs to, when it happened, and what was paid in it.

    `at` is 0 where the line says no time; `currency` is empty where nothing was bought.
    """

    raw: bytes
    customer: str = ""
    at: int = 0
    paid_minor: int = 0
    currency: str = ""


class Source(Protocol):
    """Events in a fixed order. `name` identifies the content: an equal name promises equal events."""

    @property
    def name(self) -> str: ...

    @property
    def total(self) -> int: ...

    def events(self) -> Iterator[Sendable]: ...


class EventFile:
    """A file of events, one JSON document a line. Lines that are no JSON are sent too: the door keeps them as dead letters."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise SourceMissing(f"{path} is no file; give a file of events, one JSON object a line, or {COMPLETE_JOURNEY}")
        self._path = path
        with path.open("rb") as file:
            self.name = f"{path.name}-{digest_of(file.read(_HEAD_BYTES), str(path.stat().st_size).encode()).hex()}"
        with path.open("rb") as file:
            self.total = sum(_count(line.strip()) for line in file)

    def events(self) -> Iterator[Sendable]:
        """Each event of each line that is not blank."""
        with self._path.open("rb") as file:
            for line in file:
                if line.strip():
                    yield from _read(line.strip())


class Baskets:
    """The Complete Journey data, as `flows.complete_journey` tells it."""

    name = COMPLETE_JOURNEY

    def __init__(self) -> None:
        self._journey = CompleteJourney()
        self.total = len(self._journey)

    def events(self) -> Iterator[Sendable]:
        """Every event of the year."""
        for at, event in self._journey.timed_events():
            yield sendable(event, at)


def source_of(name: str) -> Source:
    """The source behind a command-line argument. Raises `SourceMissing` and `DataMissing`."""
    return Baskets() if name == COMPLETE_JOURNEY else EventFile(Path(name))


def sendable(event: dict[str, Any], at: int) -> Sendable:
    """An event of our own making."""
    currency, paid = _paid(event)
    return Sendable(orjson.dumps(event), customer_of(event), at, paid, currency)


def customer_of(event: dict[str, Any]) -> str:
    """Who an event as sent belongs to, in the order of `engine.events.routing.route`; "" where nobody is named."""
    body = event.get("data")
    data = body if isinstance(body, dict) else {}
    for prefix, name in (("u", "user_id"), ("l", "loyalty_id"), ("a", "anonymous_id")):
        value = event.get(name) or data.get(name)
        if value:
            return f"{prefix}:{value}"
    till = data.get("store"), data.get("workstation")
    return f"w:{till[0]}/{till[1]}" if all(till) else ""


def undated(raw: bytes) -> bytes:
    """An event without when it was sent: what was recorded keeps its times, whenever it is sent again. Anything else as it is."""
    if b'"sent' not in raw:
        return raw
    try:
        fields = _FIELDS.decode(raw)
    except ValueError:
        return raw
    kept = {name: value for name, value in fields.items() if name not in _SENT}
    return raw if len(kept) == len(fields) else msgspec.json.encode(kept)


def _read(line: bytes) -> list[Sendable]:
    try:
        event = orjson.loads(line)
    except ValueError:
        return [Sendable(line)]
    dialect = spoken_in(event)
    if dialect is None:
        return [_sendable(undated(line), event)]
    firsts: dict[int, Part] = {}
    for part in dialect.told(line):
        firsts.setdefault(part.place, part)
    return [_sendable(undated(part.raw), part.native) for part in firsts.values()]


def _sendable(raw: bytes, event: object) -> Sendable:
    if not isinstance(event, dict):
        return Sendable(raw)
    currency, paid = _paid(event)
    return Sendable(raw, customer_of(event), _time_of(event), paid, currency)


def _count(line: bytes) -> int:
    return len(_read(line)) if b'"batch"' in line or b'"POSLog"' in line else int(bool(line))


def _time_of(event: dict[str, Any]) -> Millis:
    body = event.get("data")
    data = body if isinstance(body, dict) else {}
    told = event.get("time") or event.get("timestamp") or data.get("end") or data.get("begin")
    try:
        read = datetime.fromisoformat(str(told))
    except ValueError:
        return Millis(0)
    return millis(read if read.tzinfo else read.replace(tzinfo=UTC))


def _paid(event: dict[str, Any]) -> tuple[str, int]:
    """Currency and total of a sale; a sale without a total, or with one that cannot be read, counts as nothing."""
    data = event.get("data")
    if event.get("type") not in _SALES or not isinstance(data, dict) or data.get("status", "completed") != "completed":
        return "", 0
    try:
        return str(data["currency"]), to_minor(data["total"], str(data["currency"]))
    except (KeyError, AmountError):
        return "", 0
