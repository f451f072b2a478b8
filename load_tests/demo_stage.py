"""The replay itself: households at their tills and shoppers in the web shop, day after day through the HTTP doors.

Players share the day by customer and meet at midnight, so that a customer's events keep their order and no shard sees
time run ahead by more than a day.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from heapq import merge
from itertools import groupby
from typing import Any, Final
from zlib import crc32

import orjson
from msgspec import Struct

from engine.moments import DAY, rfc3339
from engine.money import to_minor
from flows.complete_journey import CURRENCY, CompleteJourney
from flows.door import Door
from load_tests.demo_arms import Showing
from load_tests.demo_board import Board
from load_tests.demo_story import Story
from load_tests.shoppers.driver import Answered, answer_of, play
from load_tests.shoppers.world import Arrival, World

TILL: Final = "till"
ASIDE: Final = "aside"
"""The arm of what no arm has chosen: offers to the household aside, and what fills a place that stays empty otherwise."""
UNLOGGED: Final = frozenset({"profile", "ledger"})
"""Without them a place is filled by something that is nobody's in particular: no arm has chosen it."""
PLAYERS: Final = 6
DEADLINE_MS: Final = 500
"""A busy laptop is slower than a shop's server; arms are compared on full decisions."""

Windows = Mapping[str, tuple[frozenset[str], int]]
Item = tuple[int, dict[str, Any] | Arrival]


class Cast(Struct, frozen=True):
    """Who takes part. `followed` is told of on the screen; `aside` shops too but is in no arm: the keys act on it."""

    households: frozenset[str]
    followed: str
    aside: str


class Stage:
    """Plays from `since` on until the data ends or `over` says so."""

    def __init__(
        self, url: str, key: str, journey: CompleteJourney, world: World, windows: Windows, cast: Cast, board: Board, story: Story
    ) -> None:
        self._journey, self._world, self._windows, self._cast, self._board = journey, world, windows, cast, board
        self._stopping = threading.Event()
        self._doors = [Door(url, key, patience_s=30.0, stopping=self._stopping) for _ in range(PLAYERS)]
        self._pool = ThreadPoolExecutor(PLAYERS, thread_name_prefix="player")
        self._story = story
        self._ends_s = float("inf")

    def play(self, since: int, until: int, ends_s: float) -> None:
        """Day after day until the data ends, the monotonic clock passes `ends_s`, or `stop` is called."""
        self._ends_s = ends_s
        everybody = self._cast.households | {self._cast.aside}
        items: Iterator[Item] = merge(
            self._journey.timed_events(everybody, since, until),
            ((arrival.at, arrival) for arrival in self._world.arrivals(since, until)),
            key=lambda item: item[0],
        )
        for _, day in groupby(items, key=lambda item: item[0] // DAY):
            if self.over:
                return
            self._day(day)

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self._stopping.is_set() or time.monotonic() > self._ends_s

    def stop(self) -> None:
        """Lets the players finish the request they are at."""
        self._stopping.set()

    def close(self) -> None:
        """Ends the players and their connections."""
        self._stopping.set()
        self._pool.shutdown(cancel_futures=True)
        for door in self._doors:
            door.close()

    def _day(self, day: Iterator[Item]) -> None:
        shares: list[list[Item]] = [[] for _ in self._doors]
        for at, what in day:
            name = self._world.shoppers[what.shopper].user_id if isinstance(what, Arrival) else what["loyalty_id"]
            shares[crc32(name.encode()) % len(shares)].append((at, what))
        players = [self._pool.submit(self._share, door, share) for door, share in zip(self._doors, shares, strict=True) if share]
        for player in players:
            player.result()

    def _share(self, door: Door, share: list[Item]) -> None:
        for at, what in share:
            if self.over:
                return
            self._board.sim_at = max(self._board.sim_at, at)
            if isinstance(what, Arrival):
                self._visit(door, what)
            elif what["type"] == "pos_transaction_completed":
                self._receipt(door, at, what)
            else:
                self._send(door, what)

    def ask(self, door: Door, household: str, at: int, name: str) -> Answered:
        """A till's question for one household at one simulated moment; `name` makes a repeat the same question."""
        request = {
            "request_id": name,
            "loyalty_id": household,
            "channel": "pos",
            "placements": [{"name": TILL, "count": 1}],
            "at": rfc3339(at),
            "deadline_ms": DEADLINE_MS,
        }
        answer = door.post("/v1/decisions", orjson.dumps(request))
        answered = answer_of(answer.json(), TILL)
        self._board.answered(1000.0 * answer.seconds, answered.degraded, answered.reason)
        if answered.shown is not None and not UNLOGGED.intersection(answered.degraded):
            arm = ASIDE if household == self._cast.aside or answered.reason != "ok" else answered.variation
            self._board.offered(answered.shown.decision_id, self._showing(household, arm, answered.shown.offer_id, at))
        return answered

    def _receipt(self, door: Door, at: int, event: dict[str, Any]) -> None:
        """The till asks for an offer before it takes the money, and then sends the receipt."""
        household, data = event["loyalty_id"], event["data"]
        answered = self.ask(door, household, at, f"till-{data['store']}-{data['business_day']}-{data['sequence_number']}")
        followed = household == self._cast.followed
        if followed:
            self._story.at_the_till(door, household, at, event, answered)
        if self._send(door, event):
            categories = {line["category"] for line in data["lines"]}
            fates = self._board.sold(household, at, to_minor(data["total"], CURRENCY), categories)
            if followed:
                self._story.after(household, at, fates)

    def _showing(self, customer: str, arm: str, offer_id: str, at: int) -> Showing:
        """A showing at a decision's time; an offer that promotes nothing has no window to be hit in."""
        categories, window_ms = self._windows.get(offer_id, (frozenset(), 0))
        return Showing(customer, arm, offer_id, categories, at, at + window_ms)

    def _visit(self, door: Door, arrival: Arrival) -> None:
        played = play(self._world, arrival, door)
        outcome = played.outcome
        self._board.took(played.events - played.rejected, played.rejected)
        self._board.answered(played.waited_ms, played.degraded, played.reason)
        showing = None
        if outcome.offer_id and not UNLOGGED.intersection(played.degraded):
            name = self._world.shoppers[arrival.shopper].user_id
            showing = self._showing(name, played.variation if played.reason == "ok" else ASIDE, outcome.offer_id, played.asked_at)
        self._board.visited(self._world.shoppers[arrival.shopper].user_id, played, showing)

    def _send(self, door: Door, event: dict[str, Any]) -> bool:
        body = door.post("/v1/events", orjson.dumps(event)).json()
        refused = len(body["rejected"])
        self._board.took(int(body["accepted"]), refused)
        return not refused
