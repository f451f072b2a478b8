"""What is known of one supervised process: its life, its back-off, and when its deaths are a crash loop.

Pure: the moment is an argument (seconds of a monotonic clock), so that a minute of crashing is tested in microseconds.
"""

from collections import deque
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

State = Literal["starting", "running", "backoff", "crash_loop", "stopped"]

FIRST_DELAY_S: Final = 0.2
LONGEST_DELAY_S: Final = 10.0
HEALTHY_AFTER_S: Final = 30.0
RUNNING_AFTER_S: Final = 1.0
CRASH_LOOP_RESTARTS: Final = 5
CRASH_LOOP_WINDOW_S: Final = 60.0


class ChildReport(msgspec.Struct, frozen=True):
    """One child as `children.json` and `/readyz` show it."""

    name: str = ""
    pid: int | None = None
    restarts: int = 0
    state: State = "starting"
    since: str = ""


class ChildrenReport(msgspec.Struct, frozen=True):
    """The whole of `children.json`; `redis_url` is the embedded server's and empty for one of your own."""

    supervisor: int = 0
    started_at: str = ""
    redis_url: str = ""
    children: tuple[ChildReport, ...] = ()


class Life:
    """One child's starts and deaths.

    Each death doubles the delay before the next start, from 0.2 s to 10 s. Half a minute of health forgets all that.
    Five restarts within a minute are a crash loop, and stay one until the child has been healthy again.
    """

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.pid: int | None = None
        self.restarts = 0
        self.state: State = "starting"
        self.start_due_at = now
        self._since = now
        self._started_at = now
        self._delay_s = FIRST_DELAY_S
        self._recent: deque[float] = deque(maxlen=CRASH_LOOP_RESTARTS)

    def started(self, pid: int, now: float) -> None:
        """The child runs as `pid`."""
        self.pid = pid
        self._started_at = now
        if self.state != "crash_loop":
            self._become("starting", now)

    def lived(self, now: float) -> None:
        """The child is alive at `now`."""
        age = now - self._started_at
        if age >= HEALTHY_AFTER_S:
            self._delay_s = FIRST_DELAY_S
            self._recent.clear()
        if self.state == "crash_loop" and age < HEALTHY_AFTER_S:
            return
        if age >= RUNNING_AFTER_S:
            self._become("running", now)

    def died(self, now: float) -> None:
        """The child has ended without being asked to; `start_due_at` says when it gets its next chance."""
        self.pid = None
        self.restarts += 1
        self._recent.append(now)
        self.start_due_at = now + self._delay_s
        self._delay_s = min(2 * self._delay_s, LONGEST_DELAY_S)
        looping = len(self._recent) == CRASH_LOOP_RESTARTS and now - self._recent[0] <= CRASH_LOOP_WINDOW_S
        self._become("crash_loop" if looping or self.state == "crash_loop" else "backoff", now)

    def stopped(self, now: float) -> None:
        """The child was asked to end and has."""
        self.pid = None
        self._become("stopped", now)

    def report(self, now: float, wall: datetime) -> ChildReport:
        """As of now, with the moment of the last change told in wall-clock time."""
        since = wall - timedelta(seconds=now - self._since)
        return ChildReport(self.name, self.pid, self.restarts, self.state, since.isoformat(timespec="milliseconds"))

    def _become(self, state: State, now: float) -> None:
        if state != self.state:
            self.state = state
            self._since = now
