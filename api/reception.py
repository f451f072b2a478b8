"""Where requests for decisions come in, go on together, and are told how it went, each once.

Nobody has a task of their own: who asked is told by the group that they went with, or by the clock when their deadline has
passed. A task is made only for the few for whom the group's steps were not all.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from api.coalesce import Coalescer
from api.deadlines import Deadlines
from api.question import Answer, Question, Told, request_hash
from engine.errors import StoreUnavailable

MOST_CALLS = 2
"""Groups of decisions on their way at once: one may be worked on while others wait for the store."""
MOST_TOGETHER = 32


class Reception:
    """`together` takes a group as far as it goes together, `alone` does the rest of the way where there is more to do, and
    `late` answers where the store did not in time."""

    def __init__(
        self,
        together: Callable[[Sequence[Question]], Awaitable[None]],
        alone: Callable[[Question], Coroutine[Any, Any, Answer]],
        late: Callable[[Question], Coroutine[Any, Any, Answer]],
    ) -> None:
        self._go, self._alone, self._late = together, alone, late
        self._together: Coalescer[Question, None] = Coalescer(self._group, MOST_CALLS, MOST_TOGETHER)
        self._deadlines: Deadlines[Question] = Deadlines(_has_gone_on, self._give_up)
        self._under_way: set[asyncio.Task[None]] = set()

    def begin(self, question: Question, told: Told) -> None:
        """Tells the answer, or what went wrong, when it is there: 409 where the request id was used for something else, 503
        where events that came along were not kept."""
        if question.asked.request_id:
            question.request_hash = request_hash(question.asked)
        question.told = told
        self._deadlines.watch(question, question.deadline)
        self._together.put(question)

    async def answer(self, question: Question) -> Answer:
        """The same for who waits."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.begin(question, partial(_settle, future))
        return await future

    async def _group(self, questions: Sequence[Question]) -> Sequence[None]:
        try:
            await self._go(questions)
        except StoreUnavailable:
            for question in questions:
                if not _has_gone_on(question):
                    self._give_up(question)
        except BaseException as error:
            for question in questions:
                if not _has_gone_on(question):
                    _tell(question, error)
            raise
        for question in questions:
            if _has_gone_on(question):
                continue
            if question.failed is not None:
                _tell(question, question.failed)
            elif question.answer is not None:
                _tell(question, question.answer)
            else:
                self._on_its_own(question, self._alone(question))
        return [None] * len(questions)

    def _give_up(self, question: Question) -> None:
        question.given_up = True
        self._on_its_own(question, self._late(question))

    def _on_its_own(self, question: Question, way: Coroutine[Any, Any, Answer]) -> None:
        question.on_its_own = True
        task = asyncio.get_running_loop().create_task(_to_the_end(question, way))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)


def _has_gone_on(question: Question) -> bool:
    """Whether the group has no more to do with it."""
    return question.told is None or question.on_its_own


async def _to_the_end(question: Question, way: Coroutine[Any, Any, Answer]) -> None:
    try:
        answer = await way
    except BaseException as error:
        _tell(question, error)
        if not isinstance(error, Exception):
            raise
    else:
        _tell(question, answer)


def _tell(question: Question, how: Answer | BaseException) -> None:
    told, question.told = question.told, None
    if told is not None:
        told(how)


def _settle(future: asyncio.Future[Answer], how: Answer | BaseException) -> None:
    if future.done():
        return
    if isinstance(how, Answer):
        future.set_result(how)
    else:
        future.set_exception(how)
