"""`regulars replay`: events of a file, or a year of real baskets, sent through the HTTP door of a running Regulars.

Events go out in rounds. A round is split over several connections by the customer's shard, so that each shard receives
its events in the order of the source, and the next round starts when every answer of this one is in. That makes the
position of a replay one number, and keeps event time from running ahead on one connection.
"""

import logging
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import islice
from types import FrameType
from typing import Final

from rich.console import Console

from engine.errors import RegularsError
from engine.moments import SECOND
from flows.door import Door
from flows.replay_position import PositionFile, is_known
from flows.replay_report import Sent, caught_up, print_summary, progress, samples_of
from flows.replay_source import Sendable, Source, source_of
from flows.sending import ROUND_EVENTS, Receipt, Sender

log = logging.getLogger(__name__)

KEEP_EVERY_S: Final = 1.0
NAP_S: Final = 0.05


def rounds(events: Iterator[Sendable], speed: float | None, clock: Callable[[], float]) -> Iterator[list[Sendable]]:
    """Cuts events into rounds: full ones at any speed, or those that are due at `speed` times the pace of life.

    `clock` is in seconds. Nothing is due yet: an empty round, and the caller rests.
    """
    if speed is None:
        while batch := list(islice(events, ROUND_EVENTS)):
            yield batch
        return
    first_at, began = 0, clock()
    batch = []
    for event in events:
        first_at = first_at or event.at
        while len(batch) >= ROUND_EVENTS or (event.at and event.at > first_at + (clock() - began) * speed * SECOND):
            yield batch
            batch = []
        batch.append(event)
    yield batch


def main(*, source: str, url: str, key: str, speed: str, backfill: bool = False) -> int:
    """Replays until the source ends. Ctrl-C and SIGTERM keep the position; the same command goes on from there."""
    pace = _pace(speed)
    events = source_of(source)
    place = PositionFile(source, events.name, url)
    watch = Door(url, key)
    begin = _begin(place, watch)
    before = samples_of(watch)
    sender = Sender(url, key, backfill=backfill)
    console = Console(stderr=True)
    began = time.monotonic()
    try:
        with interruptible():
            run = _Run(begin, sender, place)
            _replay(events, pace, run, console)
            place.forget()
            seconds = time.monotonic() - began
            after = caught_up(watch, console)
    finally:
        sender.close()
    print_summary(events, begin, run.sent, seconds, before, after)
    watch.close()
    return 1 if run.sent.receipt.rejected else 0


class _Run:
    """A replay under way: what is through, and the round that is on its way."""

    def __init__(self, begin: int, sender: Sender, place: PositionFile) -> None:
        self.sent = Sent(events=begin)
        self._begin, self._sender, self._place = begin, sender, place
        self._batch: list[Sendable] = []
        self._answers: list[Future[Receipt]] = []
        self._customer = ""
        self._kept_at = time.monotonic()

    def send(self, batch: list[Sendable]) -> None:
        """Starts a round when the one before it is answered."""
        self.settle()
        self._batch, self._answers = batch, self._sender.send(batch)
        if time.monotonic() - self._kept_at > KEEP_EVERY_S:
            self.keep()

    def settle(self) -> None:
        """Waits for the answers of the round on its way, and counts them."""
        receipt = self.sent.receipt
        for answer in self._answers:
            receipt = receipt.plus(answer.result())
        spend = Counter(self.sent.spend)
        for event in self._batch:
            if event.currency:
                spend[event.currency] += event.paid_minor
            self._customer = event.customer or self._customer
        self.sent = Sent(self.sent.events + len(self._batch), receipt, dict(spend))
        self._batch, self._answers = [], []

    def keep(self) -> None:
        """Writes the position down."""
        self._kept_at = time.monotonic()
        if self.sent.events > self._begin:
            self._place.write(self.sent.events, self._customer)


def _replay(source: Source, pace: float | None, run: _Run, console: Console) -> None:
    """All rounds from the run's position on; the next round is made ready while the last one is on its way."""
    begin = run.sent.events
    with progress(source, begin, console) as tell:
        try:
            for batch in rounds(islice(source.events(), begin, None), pace, time.monotonic):
                run.send(batch)
                tell(run.sent)
                if not batch:
                    time.sleep(NAP_S)
            run.settle()
        finally:
            run.keep()
        tell(run.sent)


def _begin(place: PositionFile, door: Door) -> int:
    """Where to start: the kept position, if this is the server that acknowledged it."""
    kept = place.read()
    if not kept.events:
        return 0
    if not is_known(door, kept.customer):
        log.warning("the server does not know what was sent before: starting over")
        return 0
    return kept.events


def _pace(speed: str) -> float | None:
    if speed == "max":
        return None
    try:
        pace = float(speed)
    except ValueError:
        pace = 0.0
    if not 0.0 < pace < 1e9:
        raise RegularsError(f'speed {speed!r} is neither "max" nor a number of times faster than life, such as 3600')
    return pace


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does: a KeyboardInterrupt in the main thread."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
