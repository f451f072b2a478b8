"""Joins what concurrent requests ask of the store into one round trip.

Requests of one turn of the event loop share a call; while calls are out, those that come in wait and share the next
one. Under load the calls grow and their number does not, which is what a store with a price per call, or per flush to
its disk, wants. Nothing waits when nothing is out; a further call goes out beside others once as many wait for it as went
with the last one, so that calls are of one size and each is as cheap as it can be.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Coalescer(Generic[Asked, Answer]):
    """`call` answers for a list at once: as many answers, in the same order; what it raises is raised for all of them.

    An answer that is an exception is raised where it was asked for.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer | Exception]]],
        most_calls: int = 2,
        most_together: int = 256,
    ) -> None:
        self._call = call
        self._most_calls = most_calls
        self._most_together = most_together
        self._waiting: list[tuple[Asked, asyncio.Future[Answer] | None]] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._size = 0
        """How many went with the last call."""
        self._loop: asyncio.AbstractEventLoop | None = None

    def ask(self, asked: Asked) -> asyncio.Future[Answer]:
        """The answer, later. Whoever stops waiting for it does not take back what was asked."""
        future: asyncio.Future[Answer] = (self._loop or self._in_loop()).create_future()
        self._put(asked, future)
        return future

    def put(self, asked: Asked) -> None:
        """Asks without waiting: `call` itself tells whoever asked, also of its failure."""
        self._put(asked, None)

    def _put(self, asked: Asked, future: asyncio.Future[Answer] | None) -> None:
        self._waiting.append((asked, future))
        if not self._scheduled and self._may_start():
            self._scheduled = True
            (self._loop or self._in_loop()).call_soon(self._start)

    def _may_start(self) -> bool:
        out = len(self._calls)
        return not out or (out < self._most_calls and len(self._waiting) >= self._size)

    def _in_loop(self) -> asyncio.AbstractEventLoop:
        """The loop it works in, asked for once: the question costs a call to the kernel."""
        self._loop = asyncio.get_running_loop()
        return self._loop

    def _start(self) -> None:
        self._scheduled = False
        while self._waiting and self._may_start():
            together, self._waiting = self._waiting[: self._most_together], self._waiting[self._most_together :]
            self._size = len(together)
            task = (self._loop or self._in_loop()).create_task(self._run(together))
            self._calls.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        if self._waiting:
            self._start()

    async def _run(self, together: list[tuple[Asked, asyncio.Future[Answer] | None]]) -> None:
        try:
            answers = await self._call([asked for asked, _ in together])
        except asyncio.CancelledError:
            for _, future in together:
                if future is not None:
                    future.cancel()
            raise
        except Exception as error:  # noqa: BLE001
            # Whatever it is, those who asked must hear of it; nobody else would.
            for _, future in together:
                if future is not None and not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(together, answers, strict=True):
            if future is None or future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
