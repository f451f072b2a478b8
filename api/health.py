"""How the system is doing: what `/readyz` says, and the gauges that are read when they are asked for.

Facts are looked up once a second beside the requests, so that neither a scrape nor a probe ever waits for Redis.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from engine.errors import StoreUnavailable
from engine.ids import stream_order
from engine.store import keys

log = logging.getLogger(__name__)

MOST_COUNTED = 20
"""Waiting entries of one shard that are counted one by one; beyond them their number is estimated, since a system that is
behind must not be held up by being looked at."""

Ask = Callable[[Sequence[Any]], Awaitable[list[Any]]]


class Child(Struct, frozen=True):
    """A process under the supervisor, as its report names it."""

    name: str
    state: str = ""
    restarts: int = 0


class Children(Struct, frozen=True):
    """The supervisor's report."""

    children: tuple[Child, ...] = ()


_CHILDREN = msgspec.json.Decoder(Children)


class Facts(Struct, frozen=True):
    """What the last look found. `looked_at_s` is 0 before the first that succeeded (monotonic clock)."""

    looked_at_s: float = 0.0
    waiting_events: int = 0
    waiting_ms: int = 0
    memory_bytes: int = 0
    memory_limit_bytes: int = 0
    alive: Mapping[str, bool] = {}
    problem: str = ""

    @property
    def memory_ratio(self) -> float:
        """Share of what Redis may hold; 0 where it has no limit."""
        return self.memory_bytes / self.memory_limit_bytes if self.memory_limit_bytes else 0.0


class Health:
    """Looks, and says. `ask` sends commands to the store and gives their answers."""

    def __init__(
        self, ask: Ask, shards: int, engines: int, children_file: Path | None, warn_ratio: float, clock: Callable[[], float]
    ) -> None:
        self._ask = ask
        self._shards = range(shards)
        self._beats = ["engine" if engines == 1 else f"engine-{number}" for number in range(engines)]
        self._children_file = children_file
        self._warn_ratio = warn_ratio
        self._clock = clock
        self.facts = Facts()

    async def look(self) -> None:
        """Refreshes the facts; an unreachable store is a fact as well."""
        try:
            self.facts = await self._looked()
        except StoreUnavailable as error:
            self.facts = msgspec.structs.replace(self.facts, problem=str(error))

    async def _looked(self) -> Facts:
        names = self._beat_names()
        memory, offsets, beats, *ends = await self._ask(
            [
                ("INFO", "memory"),
                ("MGET", *(keys.offset(shard) for shard in self._shards)),
                ("MGET", *(keys.beat(name) for name in names)),
                *(("XREVRANGE", keys.events(shard), "+", "-", "COUNT", 1) for shard in self._shards),
            ]
        )
        told = dict(line.split(":", 1) for line in memory.decode().split("\r\n") if ":" in line)
        behind = {
            shard: ((offset or b"0-0").decode(), end[0][0].decode())
            for shard, offset, end in zip(self._shards, offsets, ends, strict=True)
            if end and end[0][0] != (offset or b"0-0")
        }
        waiting, oldest = await self._waiting(behind)
        return Facts(
            looked_at_s=time.monotonic(),
            waiting_events=waiting,
            waiting_ms=max(0, int(self._clock() * 1000) - oldest) if oldest else 0,
            memory_bytes=int(told.get("used_memory", 0)),
            memory_limit_bytes=int(told.get("maxmemory", 0)),
            alive={name: beat is not None for name, beat in zip(names, beats, strict=True)},
        )

    async def _waiting(self, behind: Mapping[int, tuple[str, str]]) -> tuple[int, int]:
        """How many entries wait behind the offsets, and the time of the oldest of them (ms, 0 where none waits)."""
        if not behind:
            return 0, 0
        commands: list[tuple[Any, ...]] = []
        for shard, (offset, _) in behind.items():
            name = keys.events(shard)
            waiting = ("XRANGE", name, f"({offset}", "+", "COUNT", MOST_COUNTED)
            commands += [("XLEN", name), ("XRANGE", name, "-", "+", "COUNT", 1), waiting]
        answers = await self._ask(commands)
        total, oldest = 0, 0
        for place, (_, end) in enumerate(behind.values()):
            length, first, waiting = answers[3 * place : 3 * place + 3]
            if waiting:
                since = stream_order(waiting[0][0].decode())[0]
                oldest = min(oldest, since) if oldest else since
                total += _counted(length, first[0][0], waiting, end)
        return total, oldest

    def _beat_names(self) -> list[str]:
        under_one = [child.name for child in self.children() if child.name.startswith(("engine", "learn"))]
        return under_one or [*self._beats, "learn"]

    def children(self) -> tuple[Child, ...]:
        """The processes of the supervisor; none where there is no supervisor, or no report yet."""
        if self._children_file is None:
            return ()
        try:
            return _CHILDREN.decode(self._children_file.read_bytes()).children
        except (OSError, msgspec.MsgspecError):
            return ()

    def readiness(self, models: Mapping[str, int], catalogue: str, mistakes: Sequence[str]) -> tuple[bool, dict[str, Any]]:
        """Whether requests can be served, and what is missing or wants looking at."""
        facts = self.facts
        missing: list[str] = []
        warnings: list[str] = []
        if facts.problem or not facts.looked_at_s:
            missing.append(f"redis: {facts.problem or 'not reached yet'}")
        children = self.children()
        looping = [f"{one.name}: crash_loop, {one.restarts} restarts" for one in children if one.state == "crash_loop"]
        silent = [name for name, alive in facts.alive.items() if not alive]
        # Under a supervisor an engine is expected; an API alone serves and takes events without one.
        (missing if children else warnings).extend(f"{name}: no sign of life" for name in silent if name != "learn")
        warnings += [f"{name}: no sign of life" for name in silent if name == "learn"]
        if facts.memory_ratio >= self._warn_ratio:
            warnings.append(f"redis: memory at {facts.memory_ratio:.0%} of its limit")
        if mistakes:
            warnings.append(f"catalogue: {len(mistakes)} mistakes in the folder; {catalogue} goes on serving")
        body = {
            "ready": not missing and not looping,
            "missing": missing,
            "children": looping,
            "warnings": warnings,
            "catalogue": catalogue,
            "models": dict(models),
            "lag": {"events": facts.waiting_events, "seconds": round(facts.waiting_ms / 1000, 3)},
            "redis": {"memory_bytes": facts.memory_bytes, "memory_limit_bytes": facts.memory_limit_bytes},
        }
        return bool(body["ready"]), body


def _counted(length: int, first: bytes, waiting: list[Any], end: str) -> int:
    """How many of a stream's entries wait, of which `waiting` are the first; if there are more, as if they came evenly."""
    if len(waiting) < MOST_COUNTED:
        return len(waiting)
    if waiting[0][0] == first:
        return length
    begin, since, until = (stream_order(name)[0] for name in (first.decode(), waiting[0][0].decode(), end))
    share = (until - since + 1) / (until - begin + 1)
    return max(len(waiting), round(length * min(1.0, share)))


class LiveGauges(Collector):
    """Gauges as they are at the moment of the scrape."""

    def __init__(self, health: Health, ready: Callable[[], bool], *beside: Collector) -> None:
        self._health = health
        self._ready = ready
        self._beside = beside

    def collect(self) -> Iterator[Metric]:
        facts = self._health.facts
        for name, words, value in (
            ("regulars_ready", "1 when /readyz answers 200", float(self._ready())),
            ("regulars_stream_lag_events", "Accepted events that wait to be folded", float(facts.waiting_events)),
            ("regulars_stream_lag_seconds", "How long the oldest of them has waited", facts.waiting_ms / 1000),
            ("regulars_redis_memory_bytes", "Memory that Redis uses", float(facts.memory_bytes)),
            ("regulars_redis_memory_limit_bytes", "Memory that Redis may use; 0 is no limit", float(facts.memory_limit_bytes)),
            ("regulars_redis_memory_ratio", "Share of it that is used", facts.memory_ratio),
        ):
            yield GaugeMetricFamily(name, words, value=value)
        restarts = GaugeMetricFamily("regulars_child_restarts", "Restarts of a process under the supervisor", labels=["child"])
        for child in self._health.children():
            restarts.add_metric([child.name], float(child.restarts))
        yield restarts
        for collector in self._beside:
            yield from collector.collect()
