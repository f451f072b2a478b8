"""Decisions a second, beside a FastAPI endpoint that parses the same body and returns a constant of the same size.

Both are served by uvicorn, each in a process of its own, and asked in turns by the same generator with 64 connections.
A decision is complete: it reads a customer with a history, decides over 50 offers, and is admitted, logged and
acknowledged by a Redis that flushes to disk before it answers. `--at-least 0.5` makes the ratio a condition.

Two more tell what is possible: the constant for whom nobody checks the body, and, in the product's own server, an endpoint
that reads the customer and commits an entry of the same size but decides nothing. What Redis and the generator spend on
a request is told too, since all of them share the cores.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import uvicorn
import uvloop
from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.responses import Response

from api.app import SERVED, create_app
from api.asking import DecisionRequest, asked_of
from api.coalesce import Coalescer
from api.container import Container
from api.customer_state import names_of
from api.lean_route import JsonAnswer, LeanApp, Reply
from api.reception import MOST_CALLS, MOST_TOGETHER
from config.memory import settle_memory
from config.settings import ApiSettings, RedisSettings
from engine.events.routing import Admitted, admit
from engine.ids import shard_of
from engine.moments import DAY, Millis, rfc3339
from engine.shards.commit import Entry
from engine.shards.labels import ChurnRule, Labels
from engine.shards.processor import ShardProcessor
from engine.store.embedded import EmbeddedRedis, bound_to_parent, start_embedded
from engine.store.redis_ledger import Commitment, commit_words
from engine.store.redis_writer import RedisStore
from flows.owner import Owner
from flows.runner import run_until_idle
from load_tests.http_load import Load, post, run_load

SHARDS: Final = 64
CUSTOMERS: Final = 6_000
OFFERS: Final = 50
CATEGORIES: Final = 25
PLACEMENTS: Final = ({"name": "home_hero", "count": 1},)
POLICY: Final = """\
timezone: UTC
placements:
  home_hero: {channel: web, max: 3, shown_when: viewed}
holdout: {share: 0.0, salt: bench}
caps: {each_offer: [{count: 6, window_days: 7}]}
reservation_seconds: 1800
"""


def write_catalogue(folder: Path) -> Path:
    """Fifty offers of one placement, with conditions, caps and two languages."""
    (folder / "offers").mkdir(parents=True)
    (folder / "policy.yaml").write_text(POLICY)
    offers = [
        {
            "id": f"offer-{number}",
            "kind": "sell",
            "placements": ["home_hero"],
            "promotes": {"categories": [f"category-{number % CATEGORIES}"]},
            "margin": f"{1 + number % 7}.{number % 10}0 EUR",
            "price": {"discount_percent": 5 + number % 20, "currency": "EUR"},
            "content": {
                "default": {"title": f"Offer number {number}", "url": f"/p/{number}"},
                "de": {"title": f"Angebot {number}"},
            },
            **({"eligible_when": [{"feature": "rfm.recency", "below": 300}]} if number % 5 == 0 else {}),
        }
        for number in range(OFFERS)
    ]
    (folder / "offers" / "all.yaml").write_text(json.dumps({"offers": offers}))
    return folder


def history(now: int) -> Iterator[Admitted]:
    """What the customers did so far: consent, and a dozen baskets each."""
    chance = random.Random(7)
    for number in range(CUSTOMERS):
        who = {"user_id": f"u-{number}", "source": "bench"}
        said = {"purpose": "marketing", "status": "granted"}
        bodies = [{"id": f"c-{number}", "type": "consent_updated", "time": rfc3339(now - 200 * DAY), "data": said}]
        for order in range(12):
            chosen = chance.sample(range(CATEGORIES), 5)
            lines = [{"product_id": f"p-{one}", "category": f"category-{one}", "price": 150 + one} for one in chosen]
            bodies.append(
                {
                    "id": f"o-{number}-{order}",
                    "type": "order_completed",
                    "time": rfc3339(now - (12 - order) * 10 * DAY - chance.randrange(DAY)),
                    "data": {"order_id": f"{number}-{order}", "currency": "EUR", "products": lines},
                }
            )
        for body in bodies:
            admitted = admit({**body, **who}, Millis(now))
            assert isinstance(admitted, Admitted), admitted
            yield admitted


def seed(redis_url: str) -> None:
    """Folds the history through the product's own engine."""
    store = RedisStore(redis_url)
    entries = [
        (shard_of(one.key, SHARDS), Entry("", one.entry, one.fingerprint, one.key)) for one in history(int(time.time() * 1000))
    ]
    for at in range(0, len(entries), 2000):
        store.append(entries[at : at + 2000])
    run_until_idle(Owner(store, ShardProcessor(Labels(ChurnRule()), DAY, SHARDS), range(SHARDS)), store)


def serve_decisions(redis_url: str, catalogue: str, port: int) -> None:
    """The product's application, and a route that tells and forgets where the time went."""
    settings = ApiSettings(catalogue=Path(catalogue), decision_deadline_ms=2000)
    app = create_app(settings, RedisSettings(redis_url=redis_url), SHARDS)
    assert isinstance(app, LeanApp)
    container: Container = app.state.container
    timing = container.timing
    app.direct = {**app.direct, b"/bench/undecided": Undecided(container).begin}

    async def told(_: Request) -> Response:
        body = orjson.dumps(timing.taken())
        return Response(body)

    app.add_api_route("/bench/timing", told)
    settle_memory()
    uvicorn.run(app, port=port, **SERVED)


class Undecided:
    """Everything around a decision: the request is parsed, its customer read, an entry committed, and an answer sent."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._together: Coalescer[tuple[DecisionRequest, Reply], None] = Coalescer(self._group, MOST_CALLS, MOST_TOGETHER)

    def begin(self, body: bytes, authorization: str, reply: Reply) -> None:
        """Of a direct route."""
        self._container.access.caller(authorization)
        self._together.put((asked_of(body), reply))

    async def _group(self, asked: Sequence[tuple[DecisionRequest, Reply]]) -> Sequence[None]:
        found = [(one.key, shard_of(one.key, SHARDS), reply) for one, reply in asked]
        await self._container.redis.read([name for key, shard, _ in found for name in names_of(shard, key)])
        commands = [("EVALSHA", *commit_words(self._commitment(key, shard))) for key, shard, _ in found]
        await self._container.writes.ask(commands)
        for _, _, reply in found:
            reply(JsonAnswer(_ANSWER, no_store=True))
        return [None] * len(asked)

    def _commitment(self, key: str, shard: int) -> Commitment:
        return Commitment(
            shard=shard,
            customer=key,
            now=self._container.now(),
            keep_ms=7 * DAY,
            log={"e": _ENTRY, "h": b"h" * 12, "k": key.encode()},
        )


_ANSWER: Final = b'{"constant": "' + b"x" * 640 + b'"}'
_ENTRY: Final = b'{"constant": "' + b"x" * 1660 + b'"}'
"""As large as the answer and the log entry of a decision."""


class Placement(BaseModel):
    """A place to fill."""

    name: str
    count: int = 1


class Context(BaseModel):
    """Where the customer is."""

    page: dict[str, Any] | None = None
    locale: str | None = None
    timezone: str | None = None


class Body(BaseModel):
    """The same request, declared as FastAPI's own documentation does it."""

    user_id: str | None = None
    session_id: str | None = None
    channel: str | None = None
    placements: list[Placement]
    context: Context | None = None


def serve_constant(size: int, port: int) -> None:
    """The endpoint it is compared with, and the same without any checking of the body."""
    app = FastAPI()
    constant = b'{"constant": "' + b"x" * (size - 16) + b'"}'

    @app.post("/v1/decisions")
    async def decide(body: Body) -> Response:  # noqa: ARG001
        return Response(constant, media_type="application/json")

    @app.post("/bare")
    async def bare(request: Request) -> Response:
        orjson.loads(await request.body())
        return Response(constant, media_type="application/json")

    settle_memory()
    uvicorn.run(app, port=port, log_config=None, access_log=False, server_header=False, date_header=False, proxy_headers=False)


@contextlib.contextmanager
def server(*arguments: str) -> Iterator[int]:
    """One of the two, in a process of its own, whose id it is."""
    process = subprocess.Popen(bound_to_parent([sys.executable, "-m", "load_tests.bench_api", *arguments]))
    port = int(arguments[-1])
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                fetched(port, "/openapi.json")
                break
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(20)


def cpu_seconds(process: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def fetched(port: int, path: str, body: bytes | None = None) -> bytes:
    """The body of one answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST" if body else "GET", path, body, {"content-type": "application/json"} if body else {})
        return connection.getresponse().read()
    finally:
        connection.close()


def bodies() -> list[bytes]:
    """Requests of all customers in a random order, as a page would send them."""
    chance = random.Random(11)
    numbers = list(range(CUSTOMERS))
    chance.shuffle(numbers)
    return [
        orjson.dumps(
            {
                "user_id": f"u-{number}",
                "session_id": f"s-{number}",
                "channel": "web",
                "placements": PLACEMENTS,
                "context": {"page": {"path": "/"}, "locale": "de-AT", "timezone": "Europe/Vienna"},
            }
        )
        for number in numbers
    ]


def main() -> int:
    """Prints each round, the ratio, and the split of a decision's time."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=4.0, help="length of a round")
    options.add_argument("--rounds", type=int, default=4, help="rounds of each")
    options.add_argument("--connections", type=int, default=64, help="enough that nobody waits for the disk alone")
    options.add_argument("--persistence", choices=["always", "none"], default="always", help="how Redis keeps its data")
    options.add_argument("--at-least", type=float, default=0.0, help="fail below this ratio")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        redis = start_embedded(folder / "redis", persistence=chosen.persistence)
        try:
            seed(redis.url)
            return _compare(redis, write_catalogue(folder / "catalogue"), chosen)
        finally:
            redis.stop()


def _compare(redis: EmbeddedRedis, catalogue: Path, chosen: argparse.Namespace) -> int:
    base = 20_000 + os.getpid() % 20_000
    sent = bodies()
    requests = {path: [post(path, body) for body in sent] for path in ("/v1/decisions", "/bare", "/bench/undecided")}
    with server("decisions", redis.url, str(catalogue), str(base)) as deciding:
        answer = fetched(base, "/v1/decisions", sent[0])
        offers = [len(one["offers"]) for one in json.loads(answer)["placements"]]
        print(f"a request of {len(sent[0])} bytes, an answer of {len(answer)} bytes with {offers} offers of {OFFERS}")
        with server("constant", str(len(answer)), str(base + 1)) as constant:
            store = redis.process.pid
            rivals = (
                Rival("constant", base + 1, (constant, store), requests["/v1/decisions"]),
                Rival("decision", base, (deciding, store), requests["/v1/decisions"]),
                Rival("unchecked", base + 1, (constant, store), requests["/bare"]),
                Rival("undecided", base, (deciding, store), requests["/bench/undecided"]),
            )
            for rival in rivals:
                rival.round(0.5, chosen.connections)
            fetched(base, "/bench/timing")
            for rival in rivals * chosen.rounds:
                print(rival.round(chosen.seconds, chosen.connections, counted=True))
            timing = json.loads(fetched(base, "/bench/timing"))
    split = "  ".join(f"{name} {value:.3f}" for name, value in timing.items())
    print(f"a decision, ms: {split}  (read and commit: waiting)")
    for rival in rivals:
        server_us, store_us, generator_us = rival.microseconds()
        print(
            f"{rival.name:9} median {rival.per_second():6.0f}/s   CPU of a request: server {server_us:4.0f} µs,"
            f" Redis {store_us:3.0f} µs, generator {generator_us:3.0f} µs"
        )
    checked, decision, unchecked, undecided = (rival.per_second() for rival in rivals)
    work = rivals[0].microseconds()[0] / rivals[1].microseconds()[0]
    print(f"ratio {decision / checked:.2f} in requests/s, {work:.2f} in CPU", end="")
    print(f" (beside an endpoint that does not check its body {decision / unchecked:.2f} in requests/s;", end="")
    print(f" one that decides nothing has {undecided / checked:.2f})")
    return 0 if decision / checked >= chosen.at_least else 1


class Rival:
    """One of the endpoints, and what its rounds came to."""

    def __init__(self, name: str, port: int, processes: tuple[int, int], requests: list[bytes]) -> None:
        self.name = name
        self._port = port
        self._processes = processes
        """The server, and Redis."""
        self._requests = requests
        self._loads: list[Load] = []
        self._work: list[tuple[float, float, float]] = []

    def round(self, seconds: float, connections: int, counted: bool = False) -> str:
        """Asks for so long, and says how it went."""
        before = self._spent()
        load = asyncio.run(run_load(self._port, self._requests, seconds, connections))
        each = 1e6 / max(len(load.latencies), 1)
        server, store, generator = ((after - then) * each for after, then in zip(self._spent(), before, strict=True))
        if counted:
            self._loads.append(load)
            self._work.append((server, store, generator))
        return (
            f"{self.name:9} {load.per_second:8.0f}/s   p50 {load.quantile(0.5):6.2f} ms"
            f"   p99 {load.quantile(0.99):6.2f} ms   {server:5.0f} µs of CPU   failed {load.failed}"
        )

    def _spent(self) -> tuple[float, float, float]:
        return cpu_seconds(self._processes[0]), cpu_seconds(self._processes[1]), time.process_time()

    def per_second(self) -> float:
        """The median of the rounds."""
        return sorted(load.per_second for load in self._loads)[len(self._loads) // 2]

    def microseconds(self) -> tuple[float, float, float]:
        """CPU time of server, Redis and generator for a request, each the median of the rounds."""
        server, store, generator = (sorted(spent)[len(spent) // 2] for spent in zip(*self._work, strict=True))
        return server, store, generator


if __name__ == "__main__":
    uvloop.install()
    match sys.argv[1:]:
        case ["decisions", redis_url, catalogue, port]:
            serve_decisions(redis_url, catalogue, int(port))
        case ["constant", size, port]:
            serve_constant(int(size), int(port))
        case _:
            sys.exit(main())
