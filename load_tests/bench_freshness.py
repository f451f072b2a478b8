"""How soon what was accepted is seen: from the 202 of an event to the first answer that knows it.

The system is the one of `regulars up`: API, engine, learner and the bundled Redis that flushes each write. Events are offered
at a fixed rate whether or not answers come (open loop). Some of them are of customers nobody has seen before; each of those is
asked for, again and again from the moment of the 202, until `GET /v1/customers/{id}` knows it. The time of that last request is
included, so the figures are upper bounds. The engine's own measure, acceptance to commit, stands beside them.
`--at-most-ms 100` makes p99 a condition.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from config.settings import DEFAULT_CATALOGUE
from engine.moments import rfc3339
from load_tests.demo_system import System

EVENTS_A_REQUEST: Final = 5
PROBE_EVERY: Final = 8
POLL_EVERY_S: Final = 0.001
GIVE_UP_S: Final = 10.0
WARM_UP_S: Final = 2.0
CUSTOMERS: Final = 5_000
CATEGORIES: Final = 60


class Line:
    """One kept-alive connection, one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """(status, body)."""
        kind = "content-type: application/json\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\nhost: bench\r\n{kind}content-length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in answer.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        return int(answer[9:12]), await self._reader.readexactly(length)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


class Lines:
    """As many connections as are needed at once."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[Line] = []

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """A request on a connection of its own, idle or new. The server hangs up on those that are idle for long."""
        while self._idle:
            line = self._idle.pop()
            try:
                answer = await line.ask(method, path, body)
            except (asyncio.IncompleteReadError, ConnectionError):
                line.close()
                continue
            self._idle.append(line)
            return answer
        line = Line(*await asyncio.open_connection("127.0.0.1", self._port))
        answer = await line.ask(method, path, body)
        self._idle.append(line)
        return answer

    def close(self) -> None:
        """Hang up everywhere."""
        for line in self._idle:
            line.close()


class Run:
    """One run and what it found; times in seconds."""

    def __init__(self, port: int, rate: int, seconds: float) -> None:
        self._lines = Lines(port)
        self._rate, self._seconds = rate, seconds
        self._chance = random.Random(3)
        self._sent = 0
        self.seen_after: list[float] = []
        self.accepted_after: list[float] = []
        self.accepted = 0
        self.failed = 0
        self.never_seen = 0

    async def run(self) -> None:
        """Offer events at the rate until the time is over, and wait for the last answers."""
        began = time.perf_counter()
        step = EVENTS_A_REQUEST / self._rate
        tasks: set[asyncio.Task[None]] = set()
        for number in range(int((self._seconds + WARM_UP_S) / step)):
            wait = began + number * step - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            warm = number * step >= WARM_UP_S
            task = asyncio.create_task(self._post(number, f"probe-{number}" if warm and number % PROBE_EVERY == 0 else ""))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        self._lines.close()

    async def _post(self, number: int, probe: str) -> None:
        events = [self._event(number, place) for place in range(EVENTS_A_REQUEST)]
        if probe:
            events[-1]["user_id"] = probe
        began = time.perf_counter()
        status, _ = await self._lines.ask("POST", "/v1/events", orjson.dumps(events))
        if status != 202:
            self.failed += 1
            return
        taken_at = time.perf_counter()
        self.accepted += EVENTS_A_REQUEST
        self.accepted_after.append(taken_at - began)
        if probe:
            await self._look(probe, taken_at)

    async def _look(self, probe: str, taken_at: float) -> None:
        while time.perf_counter() - taken_at < GIVE_UP_S:
            status, _ = await self._lines.ask("GET", f"/v1/customers/{probe}")
            if status == 200:
                self.seen_after.append(time.perf_counter() - taken_at)
                return
            await asyncio.sleep(POLL_EVERY_S)
        self.never_seen += 1

    def _event(self, number: int, place: int) -> dict[str, Any]:
        chance, name = self._chance, f"{number}-{place}"
        body: dict[str, Any] = {
            "id": name,
            "user_id": f"u-{chance.randrange(CUSTOMERS)}",
            "source": "web://shop.example",
            "channel": "web",
            "time": rfc3339(int(time.time() * 1000)),
        }
        if chance.random() < 0.2:
            chosen = chance.sample(range(CATEGORIES), 3)
            lines = [{"product_id": f"p-{one}", "category": f"category-{one}", "price": 100 + one} for one in chosen]
            return body | {"type": "order_completed", "data": {"order_id": name, "currency": "EUR", "products": lines}}
        one = chance.randrange(CATEGORIES)
        return body | {"type": "product_viewed", "data": {"product_id": f"p-{one}", "category": f"category-{one}"}}


def quantile(values: list[float], share: float) -> float:
    """In milliseconds; not a number where there are none."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 2) if ordered else float("nan")


def committed_within(metrics: str) -> dict[str, float]:
    """Upper bounds in milliseconds of p50 and p99 of the engine's own measure, from its histogram."""
    buckets: dict[float, float] = {}
    for line in metrics.splitlines():
        if line.startswith("regulars_freshness_seconds_bucket"):
            bound = line.split('le="')[1].split('"')[0]
            buckets[float(bound)] = buckets.get(float(bound), 0.0) + float(line.rsplit(" ", 1)[1])
    whole = max(buckets.values(), default=0.0)
    return {
        name: min((bound * 1000 for bound, count in buckets.items() if count >= share * whole), default=float("nan"))
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }


@contextmanager
def system(folder: Path) -> Iterator[int]:
    """The port of a fresh `regulars up`."""
    started = System(folder)
    try:
        address = started.start("127.0.0.1", 0, DEFAULT_CATALOGUE)
        yield int(address.rsplit(":", 1)[1].rstrip("/"))
    finally:
        started.stop()


async def measured(port: int, rate: int, seconds: float) -> dict[str, Any]:
    """All figures of one run."""
    run = Run(port, rate, seconds)
    began = time.perf_counter()
    await run.run()
    took = time.perf_counter() - began
    lines = Lines(port)
    _, metrics = await lines.ask("GET", "/metrics")
    lines.close()
    return {
        "offered_per_s": rate,
        "accepted_per_s": round(run.accepted / took),
        "refused_requests": run.failed,
        "probes": len(run.seen_after),
        "never_seen": run.never_seen,
        "accepted_to_visible_ms": {name: quantile(run.seen_after, share) for name, share in _SHARES.items()},
        "accepted_to_committed_at_most_ms": committed_within(metrics.decode()),
        "request_ms": {name: quantile(run.accepted_after, share) for name, share in _SHARES.items()},
    }


_SHARES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "most": 1.0}


def told(figures: dict[str, Any]) -> str:
    """The figures as lines."""
    seen, own, asked = (figures[name] for name in ("accepted_to_visible_ms", "accepted_to_committed_at_most_ms", "request_ms"))
    return "\n".join(
        (
            f"{figures['offered_per_s']:,} events/s offered, {figures['accepted_per_s']:,} accepted, "
            f"{figures['refused_requests']} requests refused",
            f"202 → visible in the profile   p50 {seen['p50']} ms   p90 {seen['p90']} ms   p99 {seen['p99']} ms   "
            f"most {seen['most']} ms   ({figures['probes']} probes, {figures['never_seen']} never seen)",
            f"accepted → committed (engine)  p50 ≤ {own['p50']:g} ms   p99 ≤ {own['p99']:g} ms",
            f"request with {EVENTS_A_REQUEST} events → 202     p50 {asked['p50']} ms   p99 {asked['p99']} ms",
        )
    )


def main() -> int:
    """0, or 1 where p99 is beyond what was asked for or something was never seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--at-most-ms", type=float, default=float("inf"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fresh") as folder, system(Path(folder) / "data") as port:
        figures = asyncio.run(measured(port, asked.rate, asked.seconds))
    print(told(figures))
    print(json.dumps(figures))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if figures["accepted_to_visible_ms"]["p99"] <= asked.at_most_ms and not figures["never_seen"] else 1


if __name__ == "__main__":
    sys.exit(main())
