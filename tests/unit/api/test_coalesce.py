"""Concurrent questions become few calls, and every one gets its own answer."""

import asyncio
from collections.abc import Sequence

import pytest

from api.coalesce import Coalescer
from engine.errors import StoreUnavailable


class Store:
    """Answers with twice the number, and remembers what was asked together."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def call(self, asked: Sequence[int]) -> list[int]:
        self.calls.append(list(asked))
        await self.gate.wait()
        return [2 * one for one in asked]


def test_questions_of_one_turn_share_one_call() -> None:
    async def scene() -> tuple[list[int], list[list[int]]]:
        store = Store()
        coalescer: Coalescer[int, int] = Coalescer(store.call)
        answers = await asyncio.gather(*(coalescer.ask(number) for number in range(5)))
        return answers, store.calls

    assert asyncio.run(scene()) == ([0, 2, 4, 6, 8], [[0, 1, 2, 3, 4]])


def test_while_calls_are_out_the_rest_waits_and_goes_together() -> None:
    async def scene() -> list[list[int]]:
        store = Store()
        store.gate.clear()
        coalescer: Coalescer[int, int] = Coalescer(store.call, most_calls=1, most_together=3)
        waiting = []
        for number in range(6):
            waiting.append(coalescer.ask(number))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        store.gate.set()
        assert await asyncio.gather(*waiting) == [0, 2, 4, 6, 8, 10]
        return store.calls

    assert asyncio.run(scene()) == [[0], [1, 2, 3], [4, 5]]


def test_a_store_that_is_away_fails_each_of_them_and_none_after() -> None:
    async def scene() -> int:
        broken = True

        async def call(asked: Sequence[int]) -> list[int]:
            if broken:
                raise StoreUnavailable("away")
            return list(asked)

        coalescer: Coalescer[int, int] = Coalescer(call)
        for future in [coalescer.ask(1), coalescer.ask(2)]:
            with pytest.raises(StoreUnavailable):
                await future
        broken = False
        return await coalescer.ask(3)

    assert asyncio.run(scene()) == 3


def test_an_answer_that_is_an_exception_is_raised_where_it_was_asked_for() -> None:
    async def scene() -> int:
        async def call(asked: Sequence[int]) -> list[int | Exception]:
            return [ValueError("odd") if one % 2 else one for one in asked]

        coalescer: Coalescer[int, int] = Coalescer(call)
        odd, even = coalescer.ask(1), coalescer.ask(2)
        with pytest.raises(ValueError, match="odd"):
            await odd
        return await even

    assert asyncio.run(scene()) == 2


def test_whoever_stops_waiting_takes_no_answer_from_others() -> None:
    async def scene() -> int:
        store = Store()
        store.gate.clear()
        coalescer: Coalescer[int, int] = Coalescer(store.call)
        gone, staying = coalescer.ask(1), coalescer.ask(2)
        await asyncio.sleep(0)
        gone.cancel()
        store.gate.set()
        return await staying

    assert asyncio.run(scene()) == 4


def test_a_second_call_goes_out_once_as_many_wait_as_went_with_the_first() -> None:
    async def scene() -> tuple[list[list[int]], list[list[int]]]:
        store = Store()
        store.gate.clear()
        coalescer: Coalescer[int, int] = Coalescer(store.call, most_calls=2)
        waiting = [coalescer.ask(number) for number in range(3)]
        await asyncio.sleep(0.01)
        waiting += [coalescer.ask(number) for number in range(3, 5)]
        await asyncio.sleep(0.01)
        early = list(store.calls)
        waiting.append(coalescer.ask(5))
        await asyncio.sleep(0.01)
        late = list(store.calls)
        store.gate.set()
        await asyncio.gather(*waiting)
        return early, late

    assert asyncio.run(scene()) == ([[0, 1, 2]], [[0, 1, 2], [3, 4, 5]])
