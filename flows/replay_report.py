"""How a replay stands while it runs, and what it comes to: on a terminal, and without one."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from engine.money import to_major
from flows.door import Door, DoorRefused
from flows.exposition import Samples, read_samples
from flows.replay_source import Source
from flows.sending import Receipt

SAY_EVERY_S: Final = 5.0
GET_ON_WITHIN_S: Final = 30.0
_FOLDED: Final = ("regulars_spend_minor", "regulars_purchases", "regulars_events_committed_total")
_DUPLICATES: Final = "regulars_events_duplicate_total"
_DEAD: Final = "regulars_dead_letters_total"


class Sent(Struct, frozen=True):
    """How a replay stands: `events` of the source are through, `receipt` and `spend` are of those sent in this run."""

    events: int = 0
    receipt: Receipt = Receipt()
    spend: dict[str, int] = {}


@contextmanager
def progress(source: Source, begin: int, console: Console) -> Iterator[Callable[[Sent], None]]:
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


def samples_of(door: Door) -> Samples:
    """The server's metrics, or none where this key may not read them."""
    try:
        return read_samples(door.get("/metrics").body.decode())
    except DoorRefused:
        return Samples()


def caught_up(door: Door, console: Console) -> Samples:
    """The metrics when the engine has folded everything; as they are where it gets nowhere for some time.

    Two looks have to agree: both ends refresh these figures once a second only.
    """
    samples = samples_of(door)
    moved_at = said_at = time.monotonic()
    with console.status("waiting for the engine to fold the rest"):
        while samples and time.monotonic() - moved_at < GET_ON_WITHIN_S:
            time.sleep(1.2)
            last, samples = samples, samples_of(door)
            waiting = samples.total("regulars_stream_lag_events")
            moving = any(last.total(name) != samples.total(name) for name in _FOLDED)
            if not moving and waiting == 0:
                break
            moved_at = time.monotonic() if moving else moved_at
            if not console.is_terminal and time.monotonic() - said_at >= SAY_EVERY_S:
                said_at = time.monotonic()
                print(f"all is sent; {waiting:,.0f} events wait for the engine", file=sys.stderr, flush=True)
    return samples


def print_summary(source: Source, begin: int, sent: Sent, seconds: float, before: Samples, after: Samples) -> None:
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
