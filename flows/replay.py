"""`regulars replay`: events of a file, or a year of real baskets, sent through the HTTP door of a running Regulars.

Events go out in rounds. A round is split over several connections by the customer's shard, so that each shard receives
its events in the order of the source, and the next round starts when every answer of this one is in. That makes the
position of a replay one number, and keeps event time from running ahead on one connection.
"""

import logging
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from types import FrameType
from typing import Any, Final

from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from engine.errors import RegularsError
from engine.ids import shard_of
from engine.moments import SECOND
from engine.money import to_major
from flows.door import NDJSON, Door, DoorRefused
from flows.exposition import Samples, read_samples
from flows.replay_position import PositionFile, is_known
from flows.replay_source import Sendable, Source, source_of

log = logging.getLogger(__name__)

LANES: Final = 4
ROUND_EVENTS: Final = 400
MOST_BYTES: Final = 1_000_000
EXAMPLES_SHOWN: Final = 5
SAY_EVERY_S: Final = 5.0
GET_ON_WITHIN_S: Final = 30.0
_FOLDED: Final = ("regulars_spend_minor", "regulars_purchases", "regulars_events_committed_total")
_DUPLICATES: Final = "regulars_events_duplicate_total"
_DEAD: Final = "regulars_dead_letters_total"
BACKFILL: Final = {"regulars-mode": "backfill"}
KEEP_EVERY_S: Final = 1.0
NAP_S: Final = 0.05


class Receipt(Struct, frozen=True):
    """What the door said of one or many requests: how many it took, and what it refused by code, with examples."""

    accepted: int = 0
    rejected: dict[str, int] = {}
    examples: tuple[str, ...] = ()

    def plus(self, other: "Receipt") -> "Receipt":
        """Both together."""
        codes = Counter(self.rejected) + Counter(other.rejected)
        return Receipt(self.accepted + other.accepted, dict(codes), (*self.examples, *other.examples)[:EXAMPLES_SHOWN])


class Sent(Struct, frozen=True):
    """How a replay stands: `events` of the source are through, `receipt` and `spend` are of those sent in this run."""

    events: int = 0
    receipt: Receipt = Receipt()
    spend: dict[str, int] = {}


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
    before = _samples(watch)
    sender = Sender(url, key, backfill=backfill)
    console = Console(stderr=True)
    began = time.monotonic()
    try:
        with interruptible():
            run = _Run(begin, sender, place)
            _replay(events, pace, run, console)
            place.forget()
            seconds = time.monotonic() - began
            after = _caught_up(watch, console)
    finally:
        sender.close()
    _summary(events, begin, run.sent, seconds, before, after)
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
    with _progress(source, begin, console) as tell:
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


@contextmanager
def _progress(source: Source, begin: int, console: Console) -> Iterator[Callable[[Sent], None]]:
    """A bar on a terminal, else a line every few seconds."""
    if not console.is_terminal:
        yield _Lines(source.total)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        yield _Bar(bar, bar.add_task("events", total=source.total, completed=begin, rate=""), begin)


class _Lines:
    def __init__(self, total: int) -> None:
        self._total = total
        self._said_at = time.monotonic()
        self._began = self._said_at

    def __call__(self, sent: Sent) -> None:
        now = time.monotonic()
        if now - self._said_at >= SAY_EVERY_S:
            self._said_at = now
            refused = sum(sent.receipt.rejected.values())
            print(
                f"{now - self._began:6.0f} s  {sent.events:,} of {self._total:,} events, rejected {refused:,}",
                file=sys.stderr,
                flush=True,
            )


class _Bar:
    def __init__(self, bar: Progress, task: TaskID, begin: int) -> None:
        self._bar, self._task, self._begin = bar, task, begin
        self._began = time.monotonic()

    def __call__(self, sent: Sent) -> None:
        rate = (sent.events - self._begin) / max(time.monotonic() - self._began, 1e-3)
        self._bar.update(self._task, completed=sent.events, rate=f"{rate:,.0f}/s")


def _samples(door: Door) -> Samples:
    """The server's metrics, or none where this key may not read them."""
    try:
        return read_samples(door.get("/metrics").body.decode())
    except DoorRefused:
        return Samples()


def _caught_up(door: Door, console: Console) -> Samples:
    """The metrics when the engine has folded everything; as they are where it gets nowhere for some time.

    Two looks have to agree: both ends refresh these figures once a second only.
    """
    samples = _samples(door)
    moved_at = said_at = time.monotonic()
    with console.status("waiting for the engine to fold the rest"):
        while samples and time.monotonic() - moved_at < GET_ON_WITHIN_S:
            time.sleep(1.2)
            last, samples = samples, _samples(door)
            waiting = samples.total("regulars_stream_lag_events")
            moving = any(last.total(name) != samples.total(name) for name in _FOLDED)
            if not moving and waiting == 0:
                break
            moved_at = time.monotonic() if moving else moved_at
            if not console.is_terminal and time.monotonic() - said_at >= SAY_EVERY_S:
                said_at = time.monotonic()
                print(f"all is sent; {waiting:,.0f} events wait for the engine", file=sys.stderr, flush=True)
    return samples


def _summary(source: Source, begin: int, sent: Sent, seconds: float, before: Samples, after: Samples) -> None:
    count, refused = sent.events - begin, sum(sent.receipt.rejected.values())
    print(f"source           {source.name}: {source.total:,} events" + (f", resumed at {begin:,}" if begin else ""))
    print(f"accepted         {sent.receipt.accepted:,}")
    print(f"rejected         {refused:,}")
    for code, times in sorted(sent.receipt.rejected.items()):
        print(f"  {code}: {times:,}")
    for example in sent.receipt.examples:
        print(f"  for example: {example}")
    print(f"seconds          {seconds:.1f}")
    print(f"events/s         {count / max(seconds, 1e-3):,.0f}")
    for currency, amount in sorted(sent.spend.items()):
        print(f"spend sent       {to_major(amount, currency)} {currency}")
    if not after:
        return
    print(f"duplicates       {after.total(_DUPLICATES) - before.total(_DUPLICATES):,.0f}")
    print(f"dead letters     {after.total(_DEAD) - before.total(_DEAD) + refused:,.0f}")
    for currency, amount in sorted(sent.spend.items()):
        held, had = (round(one.total("regulars_spend_minor", currency=currency)) for one in (after, before))
        difference = held - had - amount
        print(f"spend held       {to_major(held, currency)} {currency}, difference {to_major(difference, currency)}")
