"""The first half of the year, sent as history in order of time, and the wait until the engine has folded it."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from engine.moments import DAY
from flows.complete_journey import CompleteJourney
from flows.exposition import Samples
from flows.replay_source import Sendable, sendable
from flows.sending import ROUND_EVENTS, Receipt, Sender
from load_tests.demo_board import Board

CATCH_UP_S: Final = 20.0


class Bulk:
    """Loads the households' events before a moment. `baskets` counts the receipts among them."""

    def __init__(self, url: str, key: str, journey: CompleteJourney, households: frozenset[str], board: Board) -> None:
        self._url, self._key, self._journey, self._households, self._board = url, key, journey, households, board
        self.baskets = 0

    def load(self, until: int, ends_s: float, stopping: threading.Event) -> int:
        """Sends everything before `until`, or up to a midnight after the monotonic `ends_s`; answers where it stopped."""
        sender = Sender(self._url, self._key, backfill=True)
        batch: list[Sendable] = []
        waiting: list[Future[Receipt]] = []
        day, stopped_at = -1, until
        try:
            for at, event in self._journey.timed_events(self._households, None, until):
                if at // DAY != day:
                    day = at // DAY
                    if stopping.is_set() or time.monotonic() > ends_s:
                        stopped_at = day * DAY
                        break
                batch.append(sendable(event, at))
                if len(batch) >= ROUND_EVENTS:
                    waiting, batch = self._round(sender, batch, waiting), []
            waiting = self._round(sender, batch, waiting)
            self._round(sender, [], waiting)
        finally:
            sender.close()
        return stopped_at

    def _round(self, sender: Sender, batch: list[Sendable], waiting: list[Future[Receipt]]) -> list[Future[Receipt]]:
        for answer in waiting:
            receipt = answer.result()
            self._board.took(receipt.accepted, sum(receipt.rejected.values()))
        for event in batch:
            if event.currency:
                self._board.sold(event.customer, event.at, event.paid_minor, set())
                self.baskets += 1
            self._board.sim_at = max(self._board.sim_at, event.at)
        return sender.send(batch) if batch else []


def wait_until_folded(samples: Callable[[], Samples], accepted: int) -> None:
    """Waits, not for ever, until the engine has committed so many events, or has nothing left to do."""
    end = time.monotonic() + CATCH_UP_S
    quiet, last = 0, -1.0
    while time.monotonic() < end and quiet < 2:
        now = samples()
        committed = now.total("regulars_events_committed_total")
        if committed >= accepted:
            return
        still = now.total("regulars_stream_lag_events") == 0 and committed == last
        quiet, last = (quiet + 1 if still else 0), committed
        # The lag is looked up once a second.
        time.sleep(1.1 if still else 0.1)
