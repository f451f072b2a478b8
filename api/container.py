"""The composition root: everything one API process works with, made once from its settings."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from api.access import Access
from api.coalesce import Coalescer
from api.door import Door, Rules
from api.metrics import Metrics
from config.settings import ApiSettings, RedisSettings
from engine.events.decode import Stores
from engine.moments import Millis
from engine.store.redis_reader import Command, RedisReader, ledger_scripts

MOST_WRITES_OUT = 4
MOST_READS_OUT = 2


class Container:
    """The parts of a process, wired."""

    def __init__(
        self,
        settings: ApiSettings,
        redis: RedisSettings,
        shards: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.redis_settings = redis
        self._clock = clock
        self.access = Access(settings.web_keys, settings.write_keys, settings.secret_keys, settings.rate_limit_per_s)
        self.metrics = Metrics()
        self.rules = Rules(shards, settings.max_events_per_request, self.access.vouches)
        self.redis = RedisReader(redis.redis_url, redis.redis_timeout_ms / 1000, ledger_scripts())
        self.reads: Coalescer[Sequence[str], list[bytes | None]] = Coalescer(self._read, MOST_READS_OUT)
        self.writes: Coalescer[Sequence[Command], list[Any]] = Coalescer(self._write, MOST_WRITES_OUT)
        self.door = Door(self.writes, self.rules, self.pools_of, self.metrics)

    def now(self) -> Millis:
        """The server's clock."""
        return Millis(int(self._clock() * 1000))

    @property
    def stores(self) -> Stores:
        """Zone and currency of each store."""
        return {}

    def pools_of(self, offer_id: str) -> Sequence[str]:  # noqa: ARG002
        """The stocks and budgets that an offer takes units of."""
        return ()

    async def _read(self, wanted: Sequence[Sequence[str]]) -> list[list[bytes | None]]:
        values = await self.redis.read([name for names in wanted for name in names])
        return _cut(values, [len(names) for names in wanted])

    async def _write(self, wanted: Sequence[Sequence[Command]]) -> list[list[Any]]:
        answers = await self.redis.ask([command for commands in wanted for command in commands])
        return _cut(answers, [len(commands) for commands in wanted])

    async def start(self) -> None:
        """Begins what runs beside the requests."""

    async def stop(self) -> None:
        """Ends it, and lets go of Redis."""
        await self.redis.close()


def _cut(answers: list[Any], sizes: Sequence[int]) -> list[list[Any]]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(answers[at : at + size])
        at += size
    return pieces
