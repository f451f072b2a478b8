"""Waiting for the store no longer than a decision may take."""

import asyncio
import time
from typing import TypeVar

from engine.errors import StoreUnavailable

Result = TypeVar("Result")


async def within(future: "asyncio.Future[Result]", deadline: float) -> Result:
    """The future's result until a moment of the monotonic clock; `StoreUnavailable` after it."""
    timer = future.get_loop().call_later(deadline - time.monotonic(), _too_late, future)
    try:
        return await future
    finally:
        timer.cancel()


def _too_late(future: "asyncio.Future[Result]") -> None:
    if not future.done():
        future.set_exception(StoreUnavailable("the deadline passed"))
