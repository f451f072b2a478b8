"""Commands that are written at once are answered one by one."""

import asyncio
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import pytest
from redis import Redis

from engine.store.embedded import EmbeddedRedis
from engine.store.redis_reader import MOST_AT_ONCE, Command, RedisReader, Refused, Script

APPENDED = Script(files("engine.store").joinpath("lua/append_pending.lua").read_text())


def written(url: str, *calls: Sequence[Command]) -> list[list[Any]]:
    async def scene() -> list[list[Any]]:
        reader = RedisReader(url, 5.0)
        try:
            return [await reader.write(commands) for commands in calls]
        finally:
            await reader.close()

    return asyncio.run(scene())


@pytest.mark.parametrize("count", [1, 2, MOST_AT_ONCE, MOST_AT_ONCE + 1, 2 * MOST_AT_ONCE + 7])
def test_every_command_gets_its_own_answer_however_many_there_are(redis_url: str, count: int) -> None:
    (answers,) = written(redis_url, [("INCRBY", "n", one) for one in range(count)])

    assert answers == [one * (one + 1) // 2 for one in range(count)]


def test_one_that_is_refused_does_not_stop_the_others(redis_url: str) -> None:
    (answers,) = written(redis_url, [("SET", "a", "1"), ("LPUSH", "a", "2"), ("GET", "a")])

    assert answers[0] == b"OK"
    assert isinstance(answers[1], Refused)
    assert answers[2] == b"1"


def test_a_script_that_was_forgotten_is_told_again_and_its_call_counts_once(redis_url: str) -> None:
    calls: list[Command] = [APPENDED.call(("ev:{1}", "pend:{1}:a"), (b"{}", b"h", "a")), ("INCR", "n")]

    async def scene() -> list[Any]:
        reader = RedisReader(redis_url, 5.0)
        try:
            await reader.write(calls)
            await reader.ask([("SCRIPT", "FLUSH")])
            return await reader.write(calls)
        finally:
            await reader.close()

    answers = asyncio.run(scene())

    with Redis.from_url(redis_url) as redis:
        assert [isinstance(answers[0], bytes), answers[1], redis.xlen("ev:{1}")] == [True, 2, 2]


def test_where_one_finds_no_room_nothing_of_its_block_is_written_and_everybody_is_told(
    redis_url: str, redis_server: EmbeddedRedis
) -> None:
    with Redis.from_url(redis_server.url) as redis:
        before = redis.config_get("maxmemory")["maxmemory"]
        redis.config_set("maxmemory", 1)
        try:
            (answers,) = written(redis_url, [("GET", "a"), ("SET", "a", "1"), ("DEL", "b")])
        finally:
            redis.config_set("maxmemory", before)

        assert [isinstance(answer, Refused) for answer in answers] == [True, True, True]
        assert str(answers[1]).startswith("OOM") or "command not allowed" in str(answers[1])
        assert redis.get("a") is None
