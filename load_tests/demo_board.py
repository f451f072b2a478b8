"""What the demo knows at this moment, written by the players and read by the screen.

Every method takes the one lock for a moment; nothing under it waits for anything.
"""

import threading
import time
from collections import Counter, deque
from typing import Final

import numpy as np
from msgspec import Struct

from flows.exposition import Samples
from load_tests.demo_arms import Arm, Fate, Showing, Showings, arms_of
from load_tests.shoppers.driver import Played

RECENT_S: Final = 3.0
MOST_LINES: Final = 400


class Watched(Struct, frozen=True):
    """What the system says of itself; NaN or None where it has nothing to say yet."""

    freshness_p50_ms: float = float("nan")
    freshness_p99_ms: float = float("nan")
    churn_auc: float | None = None
    churn_labels: int = 0
    dead_letters: int = 0
    lag_events: int = 0
    learned_offers: int = 0


class Answered(Struct, frozen=True):
    """One decision: when it was answered (monotonic seconds), how long the caller waited, and whether in full."""

    at_s: float
    ms: float
    degraded: bool = False


class Counts(Struct):
    """Everything that is only ever added to."""

    accepted: int = 0
    rejected: int = 0
    baskets: int = 0
    spend_minor: int = 0
    shopper_spend_minor: int = 0
    shop_spend_minor: int = 0
    shop_orders: int = 0
    decided: int = 0
    shown: int = 0
    clicked: int = 0


class Board:
    """The facts. `began_s` of a phase is monotonic; `sim_at` is the simulated time in epoch milliseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.phase = "starting"
        self.progress = ""
        self.sim_at = 0
        self.counts = Counts()
        self.empty: Counter[str] = Counter()
        self.degraded: Counter[str] = Counter()
        self.watched = Watched()
        self.arms: list[Arm] = []
        self.first_offer_s: float | None = None
        self._began_s = time.monotonic()
        self._showings = Showings()
        self._web = Showings()
        self._played: list[Played] = []
        self._answered: list[Answered] = []
        self._sent: deque[tuple[float, int]] = deque()
        self._story: deque[str] = deque(maxlen=MOST_LINES)
        self._notes: deque[str] = deque(maxlen=MOST_LINES)

    @property
    def seconds(self) -> float:
        """Since the demo was started."""
        return time.monotonic() - self._began_s

    def took(self, events: int, refused: int = 0) -> None:
        """The door has answered for so many events."""
        with self._lock:
            self.counts.accepted += events
            self.counts.rejected += refused
            self._sent.append((time.monotonic(), events))

    def sold(self, customer: str, at: int, paid_minor: int, categories: set[str]) -> list[Fate]:
        """A receipt was accepted; what it decides of the customer's open showings."""
        with self._lock:
            self.counts.baskets += 1
            self.counts.spend_minor += paid_minor
            return self._showings.bought(customer, at, categories)

    def sold_in_shop(self, paid_minor: int, orders: int = 0) -> None:
        """Somebody with a browser bought something, or the history of an account was filled in."""
        with self._lock:
            self.counts.shop_spend_minor += paid_minor
            self.counts.shop_orders += orders

    def answered(self, ms: float, degraded: tuple[str, ...], reason: str) -> None:
        """A decision was answered after `ms` at the caller."""
        with self._lock:
            self._answered.append(Answered(time.monotonic(), ms, bool(degraded)))
            self.degraded.update(degraded)
            if reason != "ok":
                self.empty[reason] += 1

    def offered(self, decision_id: str, showing: Showing) -> None:
        """A till showed an offer."""
        with self._lock:
            self.first_offer_s = self.first_offer_s or time.monotonic() - self._began_s
            if self._showings.shown(decision_id, showing):
                self.counts.decided += 1
                self.counts.shown += 1

    def visited(self, customer: str, played: Played, showing: Showing | None) -> None:
        """A simulated shopper has been here."""
        with self._lock:
            self._played.append(played)
            self.counts.shopper_spend_minor += played.outcome.spend_minor
            if showing is not None:
                self.counts.decided += 1
                self.counts.shown += 1
                self.counts.clicked += played.outcome.clicked
                self._web.shown(f"{played.arrival.shopper}/{played.arrival.number}", showing)
            if played.outcome.basket:
                self._web.bought(customer, played.outcome.paid_at, played.outcome.basket)

    def tell(self, line: str) -> None:
        """A line of the followed household's story."""
        with self._lock:
            self._story.append(line)

    def note(self, line: str) -> None:
        """Something that happened to the system."""
        with self._lock:
            self._notes.append(f"{time.monotonic() - self._began_s:5.0f} s  {line}")

    def count_arms(self) -> None:
        """Brings the table of arms up to date."""
        with self._lock:
            counts = self._showings
            self.arms = arms_of(counts)

    @property
    def redeemed(self) -> int:
        """Hits of households, and of shoppers by the same rule."""
        with self._lock:
            return self._showings.redeemed + self._web.redeemed

    def lines(self) -> tuple[list[str], list[str]]:
        """The story and the notes so far."""
        with self._lock:
            return list(self._story), list(self._notes)

    def played(self) -> list[Played]:
        """All visits so far."""
        with self._lock:
            return list(self._played)

    def answers(self, since_s: float = 0.0) -> list[Answered]:
        """Decisions answered since a moment."""
        with self._lock:
            return [one for one in self._answered if one.at_s >= since_s]

    def rates(self) -> tuple[float, float]:
        """Events and decisions a second, over the last seconds."""
        now = time.monotonic()
        with self._lock:
            while self._sent and self._sent[0][0] < now - RECENT_S:
                self._sent.popleft()
            events = sum(count for _, count in self._sent)
            decisions = 0
            for one in reversed(self._answered):
                if one.at_s < now - RECENT_S:
                    break
                decisions += 1
        return events / RECENT_S, decisions / RECENT_S

    def latency(self, recent: int = 0) -> tuple[float, float]:
        """p50 and p99 of decisions at the caller, in milliseconds: of all, or of the last so many."""
        with self._lock:
            waits = [one.ms for one in self._answered[-recent:]]
        if not waits:
            return 0.0, 0.0
        middle, high = np.quantile(waits, [0.5, 0.99])
        return float(middle), float(high)


def watched_of(samples: Samples, before: Samples) -> Watched:
    """What a scrape says; freshness is of what came after the scrape `before`."""
    auc = samples.of("regulars_model_auc", model="churn")
    middle, high = (1000.0 * samples.quantile("regulars_freshness_seconds", share, before) for share in (0.5, 0.99))
    return Watched(
        middle,
        high,
        auc[0].value if auc else None,
        round(samples.total("regulars_model_version", model="churn")),
        round(samples.total("regulars_dead_letters_total")),
        round(samples.total("regulars_stream_lag_events")),
        round(samples.total("regulars_model_version", model="next_best_offer")),
    )
