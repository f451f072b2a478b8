"""What every evaluation walks: events of a source through the door, the shard processor and the store, in a plain loop.

The store is the one in memory and the shard is one; everything else is what a running engine does. Time is that of the
events: each is received when it happened, unless it says when it was received, as exported events do.

A file of a user's own is read once beforehand: what is missing in it is said before hours are spent, and the watermark waits
as long as its events are out of order, but never longer than a running engine does. An event that is later still is late here
as it is there: it counts for sums and readings and reopens no label.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
import orjson
from msgspec.structs import replace
from numpy.typing import NDArray
from rich.progress import Progress
from rich.table import Table

from config.settings import EngineSettings
from engine.errors import RegularsError, Rejected
from engine.events.base import Event
from engine.events.decode import decode_canonical, decode_value, payload_hash, time_of
from engine.events.offers import OURS, OfferDecided
from engine.events.orders import OrderCompleted
from engine.events.pos import PosTransactionCompleted
from engine.events.routing import Admitted, admitted
from engine.models.base import Example
from engine.models.evaluation import Figure, Metric, Rows
from engine.models.snapshot import Numbers
from engine.moments import DAY, SECOND, WEEK, rfc3339
from engine.profiles.profile import Profile
from engine.shards.commit import Batch, Entry
from engine.shards.labels import ChurnRule, Labels
from engine.shards.popularity import shares
from engine.shards.processor import ShardProcessor
from engine.store.memory import MemoryStore
from flows.evaluate_terms import Terms, keys_named
from flows.owner import Owner
from flows.replay_source import EventFile, Sendable, Source

FIRST_WEEKS = 13
"""Weeks of data before the first prediction counts, where nobody says otherwise."""

MOST_LATE = 0.01
"""The share of events that may come later than a running engine waits. Beyond it the file is not in the order of its events."""

_BATCH = 500
_SHARD = 0
_EXAMPLE = msgspec.msgpack.Decoder(Example)


class NothingToMeasure(RegularsError):
    """The data is too short or too uniform for any figure."""


class Line(msgspec.Struct, frozen=True):
    """A figure by week: when each week began, in Millis, and the figure of it."""

    at: tuple[int, ...]
    values: tuple[float, ...]


Result = TypeVar("Result", bound=msgspec.Struct, covariant=True)


class Finding(msgspec.Struct, Generic[Result], frozen=True, eq=False):
    """What an evaluation found: its result, a table of it, and what is drawn: probabilities by name, a figure by week by name."""

    result: Result
    table: Table
    probabilities: Mapping[str, Rows]
    figure: str
    weekly: Mapping[str, Line]


class Log(msgspec.Struct, frozen=True, eq=False):
    """A source as it is about to be walked.

    `start` is the day of the first purchase (weeks are counted from there: what is known of customers before they buy, such as
    a campaign they are in, tells no habit) and scores count from `since` on. `chosen` are the keys of those whose scores
    count, None for everybody.
    """

    source: Source
    start: int
    since: int
    until: int | None = None
    lateness_ms: int = 0
    chosen: frozenset[str] | None = None

    def batches(self) -> Iterator[list[Sendable]]:
        """Its events, some hundred at a time, without those at or after `until`."""
        events = (one for one in self.source.events() if self.until is None or one.at < self.until)
        while batch := list(islice(events, _BATCH)):
            yield batch

    def counts(self, customer: str) -> bool:
        """Whether scores of this customer are asked for."""
        return self.chosen is None or customer in self.chosen

    def counted(self, examples: Sequence[Example]) -> NDArray[np.bool_]:
        """Which examples are those whose scores count."""
        return np.array([one.opened_at >= self.since and self.counts(one.customer) for one in examples], dtype=bool)


class Walk:
    """An engine in this process. `events` counts what was folded, `rejected` what the door refused.

    What a shard sends to another comes back to this one at once, so anonymous visitors become known here too.
    """

    def __init__(self, rule: ChurnRule, lateness_ms: int = 0) -> None:
        self._store = MemoryStore()
        self._owner = Owner(self._store, ShardProcessor(Labels(rule), lateness_ms, shards=1), [_SHARD], most_cached=10**9)
        self._moved: set[str] = set()
        self._entries = 0
        self._last = 0
        self._lateness_ms = lateness_ms
        self.events = 0
        self.rejected = 0

    def admit(self, sent: Sequence[Sendable]) -> list[Admitted]:
        """The events as the door takes them, without those that it refuses."""
        taken = [taken_at_the_door(one) for one in sent]
        self.rejected += sum(isinstance(one, Rejected) for one in taken)
        return [one for one in taken if isinstance(one, Admitted)]

    def fold(self, taken: Sequence[Admitted]) -> None:
        """Events in order, cut behind each that concerns a joined identity, so that what follows finds it joined."""
        batch: list[Admitted] = []
        for one in taken:
            batch.append(one)
            if self._moves(one):
                self._fold(batch)
                batch = []
        self._fold(batch)
        self.events += len(taken)

    def finish(self) -> None:
        """The end of the log: what the watermark still waited for is due."""
        if self._lateness_ms and self._last:
            self.reach(self._last)

    def reach(self, at: int) -> None:
        """Time goes on to an instant without an event: what is due by then happens."""
        self._write([Entry(self._numbered(), tick=at + self._lateness_ms)])

    def profile(self, key: str) -> Profile:
        """The customer as of the last batch; an empty profile for a stranger."""
        shard = self._owner.shards[_SHARD]
        return Profile(key) if shard.missing((key,)) else shard.profile(key)

    def popularity(self) -> dict[str, float]:
        """Everybody's share of purchases by category, as of the last batch."""
        return shares([self._store.popularity[_SHARD]])

    def examples(self) -> list[Example]:
        """The examples that closed since this was last asked, in order of closing."""
        return [_EXAMPLE.decode(raw) for raw in self._store.examples.pop(_SHARD, [])]

    def _fold(self, batch: Sequence[Admitted]) -> None:
        if not batch:
            return
        self._last = max(self._last, max(time_of(one.event) for one in batch))
        self._write([Entry(self._numbered(), one.entry, one.fingerprint, one.key) for one in batch])
        while going := self._store.outbox.pop(_SHARD, []):
            self._write([Entry(self._numbered(), one.event, one.fingerprint, one.key) for one in going])

    def _write(self, entries: Sequence[Entry]) -> None:
        self._owner.write(self._owner.process([Batch(_SHARD, tuple(entries))]))

    def _numbered(self) -> str:
        self._entries += 1
        return f"1-{self._entries}"

    def _moves(self, one: Admitted) -> bool:
        """Whether an event makes a part move to its customer, or follows one that has moved."""
        if one.key in self._moved:
            return True
        event = one.event
        if not event.user_id:
            return False
        named = {f"{kind}:{name}" for kind, name in (("l", event.loyalty_id), ("a", event.anonymous_id)) if name}
        new = not named <= self._moved
        self._moved |= named
        return new


class Survey:
    """What is learned of a log by reading it once: identities, time, order, and whether anybody buys anything."""

    def __init__(self) -> None:
        self.first: int | None = None
        self.known: dict[str, str] = {}
        self.events = 0
        self.earliest = self.latest = 0
        self.refused: Counter[str] = Counter()
        self.refusal = ""
        self._disorder: list[int] = []

    def take(self, place: int, sent: Sendable) -> None:
        """One event; `place` counts from 1."""
        taken = taken_at_the_door(sent)
        if taken is None:
            return
        if isinstance(taken, Rejected):
            self.refused[taken.code] += 1
            self.refusal = self.refusal or f"event {place} was refused: {taken.code}, {taken.detail}"
            return
        event, at = taken.event, int(time_of(taken.event))
        self.events += 1
        self.earliest = min(self.earliest or at, at)
        if at < self.latest:
            self._disorder.append(self.latest - at)
        self.latest = max(self.latest, at)
        if buys(event):
            self.first = at if self.first is None else min(self.first, at)
        for prefix, name in (("u:", event.user_id), ("l:", event.loyalty_id), ("a:", event.anonymous_id)):
            if name and (event.user_id or prefix + name not in self.known):
                self.known[prefix + name] = taken.key

    def lateness(self, name: str) -> int:
        """How long the watermark has to wait. Raises `NothingToMeasure` for a log that is not in the order of its events."""
        most = EngineSettings().allowed_lateness_s * SECOND
        late = sum(wait > most for wait in self._disorder)
        if late > MOST_LATE * self.events:
            raise NothingToMeasure(
                f"{name}: {late:,} of {self.events:,} events come more than {most // DAY} days after later ones: sort the"
                " events by time"
            )
        return min(max(self._disorder, default=0), most)

    def first_purchase(self, name: str) -> int:
        """When somebody first bought something. Raises `NothingToMeasure` where nobody does."""
        if self.first is None:
            kinds = "order_completed and pos_transaction_completed are"
            refused = f", and {self.refused.total():,} were refused ({self.refusal})" if self.refusal else ""
            raise NothingToMeasure(
                f"{name}: nobody buys anything in it: {self.events:,} events were understood{refused}; {kinds} purchases,"
                " one JSON object a line"
            )
        return self.first


def opened(source: Source, terms: Terms, progress: Progress) -> Log:
    """A source with what has to be known of it. Raises `WrongUse` and `NothingToMeasure` for what cannot be walked."""
    survey = Survey()
    whole = isinstance(source, EventFile) or terms.customers is not None
    task = progress.add_task("reading", total=source.total, visible=whole)
    for place, sent in enumerate(source.events(), 1):
        survey.take(place, sent)
        if whole:
            progress.advance(task)
        elif survey.first is not None:
            break
    start = survey.first_purchase(source.name) // DAY * DAY
    since = start + FIRST_WEEKS * WEEK if terms.since is None else terms.since
    if whole and since > survey.latest:
        told = f"{rfc3339(survey.earliest)} to {rfc3339(survey.latest)}"
        raise NothingToMeasure(
            f"{source.name} runs from {told} and scores count from {rfc3339(since)} on: give an earlier --from or a longer log"
        )
    return Log(
        source=source,
        start=start,
        since=since,
        until=terms.until,
        lateness_ms=survey.lateness(source.name),
        chosen=None if terms.customers is None else keys_named(terms.customers, survey.known),
    )


def buys(event: Event) -> bool:
    """Whether somebody who can be known again buys something."""
    return isinstance(event, OrderCompleted | PosTransactionCompleted)


def taken_at_the_door(sent: Sendable) -> Admitted | Rejected | None:
    """The event as the door takes it, received when it happened where it does not say when.

    Of the engine's own events in an export, decisions are taken as they are. None for those that move parts of a profile: the
    walk makes them anew.
    """
    try:
        body: Any = orjson.loads(sent.raw)
    except ValueError as error:
        return Rejected("json.invalid", f"the line is not JSON: {error}")
    if isinstance(body, dict) and body.get("type") in OURS:
        ours = decode_canonical(sent.raw)
        if isinstance(ours, OfferDecided):
            return admitted(ours)
        return ours if isinstance(ours, Rejected) else None
    event = decode_value(body)
    if isinstance(event, Rejected):
        return event
    received = event.received_at if event.received_at is not None else event.time
    try:
        payload = payload_hash(body)
    except (TypeError, ValueError, RecursionError):
        return Rejected("schema.depth", "the event is nested too deeply", id=event.id)
    return admitted(replace(event, mode="backfill", received_at=received), payload)


def rows_of(examples: Sequence[Example], scores: Numbers, chosen: NDArray[np.bool_]) -> Rows:
    """The chosen examples with their scores. Raises `NothingToMeasure` where none or only one outcome is among them."""
    places = [int(place) for place in np.flatnonzero(chosen)]
    labels = np.array([examples[place].label for place in places])
    if not len(labels) or labels.min() == labels.max():
        kind = "no labels" if not len(labels) else f"{len(labels):,} labels, all of them {labels[0]:.0f},"
        raise NothingToMeasure(
            f"too little data: {kind} among the scores that count, and both outcomes are needed; a label is known when its"
            " horizon or campaign has ended within the log: give a longer log, an earlier --from (it is week"
            f" {FIRST_WEEKS} where nothing is said), a shorter --horizon, or more --customers"
        )
    numbers = np.unique([examples[place].customer for place in places], return_inverse=True)[1]
    at = np.array([examples[place].opened_at for place in places], dtype=np.int64)
    return Rows(labels, scores[places], numbers.astype(np.intp), at)


def by_week(metric: Metric, rows: Rows) -> Line:
    """A figure of each week by itself, without the weeks whose labels do not allow it."""
    weeks, places = np.unique(rows.at // WEEK, return_inverse=True)
    found = [(int(week) * WEEK, metric(rows.labels[mine], rows.scores[mine], None)) for week, mine in _each(weeks, places)]
    known = [(at, value) for at, value in found if value == value]
    return Line(tuple(at for at, _ in known), tuple(value for _, value in known))


def _each(weeks: NDArray[np.int64], places: NDArray[np.intp]) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    return ((int(week), places == place) for place, week in enumerate(weeks))


def told(figure: Figure) -> str:
    """A figure as tables show it."""
    return f"{figure.value:.4f} [{figure.low:.4f}, {figure.high:.4f}]"
