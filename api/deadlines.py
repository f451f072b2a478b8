"""Waiting for the store no longer than a decision may take."""

import asyncio
import time
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Generic, TypeVar

from engine.errors import StoreUnavailable

Result = TypeVar("Result")
Waiting = TypeVar("Waiting")


async def within(future: "asyncio.Future[Result]", deadline: float) -> Result:
    """The future's result until a moment of the monotonic clock; `StoreUnavailable` after it."""
    timer = future.get_loop().call_later(deadline - time.monotonic(), _too_late, future)
    try:
        return await future
    finally:
        timer.cancel()


class Deadlines(Generic[Waiting]):
    """Tells at once those whose moment of the monotonic clock has come. One timer serves all, so that a moment costs little.

    A moment that somebody is `done` with is forgotten when its turn comes.
    """

    def __init__(self, done: Callable[[Waiting], bool], passed: Callable[[Waiting], None]) -> None:
        self._done = done
        self._passed = passed
        self._moments: list[tuple[float, int, Waiting]] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0.0

    def watch(self, waiting: Waiting, moment: float) -> None:
        """Calls `passed` with it at that moment, unless it is done by then."""
        moments = self._moments
        while moments and self._done(moments[0][2]):
            heappop(moments)
        self._count += 1
        heappush(moments, (moment, self._count, waiting))
        if self._timer is None or moment < self._at:
            self._wake(moment)

    def _wake(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at = moment
        self._timer = asyncio.get_running_loop().call_later(moment - time.monotonic(), self._look)

    def _look(self) -> None:
        self._timer = None
        moments, now = self._moments, time.monotonic()
        while moments and (moments[0][0] <= now or self._done(moments[0][2])):
            waiting = heappop(moments)[2]
            if not self._done(waiting):
                self._passed(waiting)
        if moments:
            self._wake(moments[0][0])


def _too_late(future: "asyncio.Future[Result]") -> None:
    if not future.done():
        future.set_exception(StoreUnavailable("the deadline passed"))
