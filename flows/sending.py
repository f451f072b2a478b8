"""Events sent in rounds over several connections, in an order that each shard can rely on."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from msgspec import Struct

from engine.ids import shard_of
from flows.door import NDJSON, Door, DoorRefused
from flows.replay_source import Sendable

LANES: Final = 4
ROUND_EVENTS: Final = 400
MOST_BYTES: Final = 1_000_000
EXAMPLES_SHOWN: Final = 5
BACKFILL: Final = {"regulars-mode": "backfill"}


class Receipt(Struct, frozen=True):
    """What the door said of one or many requests: how many it took, and what it refused by code, with examples."""

    accepted: int = 0
    rejected: dict[str, int] = {}
    examples: tuple[str, ...] = ()

    def plus(self, other: "Receipt") -> "Receipt":
        """Both together."""
        codes = Counter(self.rejected) + Counter(other.rejected)
        return Receipt(self.accepted + other.accepted, dict(codes), (*self.examples, *other.examples)[:EXAMPLES_SHOWN])


class Sender:
    """Sends rounds of events over `lanes` connections."""

    def __init__(self, url: str, key: str = "", *, lanes: int = LANES, backfill: bool = False) -> None:
        self._stopping = threading.Event()
        self._doors = [Door(url, key, stopping=self._stopping) for _ in range(lanes)]
        self._pool = ThreadPoolExecutor(lanes, thread_name_prefix="replay")
        self._headers = BACKFILL if backfill else {}

    def send(self, events: Sequence[Sendable]) -> list[Future[Receipt]]:
        """Starts a round; the answers have to be awaited before the next one."""
        lanes: list[list[Sendable]] = [[] for _ in self._doors]
        for event in events:
            lanes[shard_of(event.customer) % len(lanes)].append(event)
        return [self._pool.submit(self._lane, door, lane) for door, lane in zip(self._doors, lanes, strict=True) if lane]

    def close(self) -> None:
        """Gives up what is under way."""
        self._stopping.set()
        self._pool.shutdown(cancel_futures=True)
        for door in self._doors:
            door.close()

    def _lane(self, door: Door, events: list[Sendable]) -> Receipt:
        receipt = Receipt()
        for part in _parts(events):
            receipt = receipt.plus(self._post(door, part))
        return receipt

    def _post(self, door: Door, events: list[Sendable]) -> Receipt:
        """Sends events as lines; a body that the server finds too large goes in halves."""
        try:
            answer = door.post("/v1/events", b"\n".join(event.raw for event in events), NDJSON, self._headers)
        except DoorRefused as error:
            if error.status != 413:
                raise
            if len(events) == 1:
                return Receipt(rejected={"body.too_large": 1}, examples=(str(error),))
            half = len(events) // 2
            return self._post(door, events[:half]).plus(self._post(door, events[half:]))
        return receipt_of(answer.json())


def _parts(events: list[Sendable]) -> Iterator[list[Sendable]]:
    """Pieces of at most `MOST_BYTES`, but never less than one event."""
    part: list[Sendable] = []
    size = 0
    for event in events:
        if part and size + len(event.raw) > MOST_BYTES:
            yield part
            part, size = [], 0
        part.append(event)
        size += len(event.raw) + 1
    yield part


def receipt_of(body: dict[str, Any]) -> Receipt:
    """The door's answer, counted."""
    refused = body.get("rejected", [])
    codes = Counter(str(item.get("code", "")) for item in refused)
    examples = tuple(f"{item.get('code')} {item.get('field', '')} {item.get('detail', '')}" for item in refused)
    return Receipt(int(body.get("accepted", 0)), dict(codes), examples[:EXAMPLES_SHOWN])
