"""The engine's speed: Redis Streams in, atomic commits out, with all features on, through the real dataflow.

In the same run, in turns: the plain loop, which decodes each event and updates its customer's profile in a dict and does nothing
else; the same processor over a store in memory, which also deduplicates, scores, keeps alarms and encodes, but has no
runtime and no Redis; and the frozen reference loop. Speed is events a second of the process's CPU time, that is per core; the
CPU time of redis-server, which flushes each write to disk, stands beside it. A ratio is the median of the rounds'. A last
round tells where the time goes. `--at-least 0.25` makes the ratio to the plain loop a condition.
"""

import argparse
import gc
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from bytewax.run import cli_main
from redis import Redis

from config.memory import YOUNG_OF_BATCHES, settle_memory
from engine.errors import Rejected
from engine.events.decode import decode_canonical
from engine.events.routing import Admitted, admit, admitted
from engine.features.vector import NAMES
from engine.ids import shard_of
from engine.moments import DAY, MINUTE, SECOND, Millis, rfc3339
from engine.profiles.profile import Profile
from engine.shards.commit import Entry
from engine.shards.labels import ChurnRule, Labels
from engine.shards.processor import ShardProcessor
from engine.shards.unread import Unread
from engine.shards.weekly import Weekly
from engine.store import redis_writer
from engine.store.embedded import start_embedded
from engine.store.memory import MemoryStore
from engine.store.redis_writer import RedisStore
from flows.owner import Owner
from flows.personalize import dataflow
from flows.runner import run_until_idle
from flows.sinks import Commits, CommitSink
from flows.sources import EventSource, Streams
from load_tests.reference_loop import reference_loop
from load_tests.stopwatch import Stopwatch

SHARDS: Final = 64
CUSTOMERS: Final = 2_000
SPAN_DAYS: Final = 42
CATEGORIES: Final = 60
START: Final = 1_772_452_800_000
BATCH: Final = 500


class Spent(NamedTuple):
    """What one run took: CPU seconds of this process and of redis-server, and seconds on the wall."""

    cpu: float
    server: float
    wall: float


def shop(events: int, customers: int = CUSTOMERS, seed: int = 5) -> Iterator[Admitted]:
    """Six weeks of a shop: views, baskets, decisions with what was seen of them, refunds, consent and complaints."""
    chance = random.Random(seed)
    last: dict[int, str] = {}
    offered: dict[int, str] = {}
    for number in range(events):
        customer = chance.randrange(customers)
        at = START + SPAN_DAYS * DAY * number // events
        draw = chance.random()
        kind, data, extra = "product_viewed", _viewed(chance), {}
        if draw < 0.30:
            last[customer] = f"{number}"
            kind, data = "order_completed", _basket(chance, number)
        elif draw < 0.32 and customer in last:
            kind, data = "order_refunded", {"order_id": last.pop(customer), "currency": "EUR"}
        elif draw < 0.40:
            offered[customer] = f"d-{number}"
            yield _decision(chance, customer, number, at)
            continue
        elif draw < 0.46 and customer in offered:
            kind, data, extra = "offer_viewed", {}, {"decision_id": offered.pop(customer), "offer_id": "offer-1"}
        elif draw < 0.48:
            kind, data = "consent_updated", {"purpose": "marketing", "status": chance.choice(["granted", "revoked"])}
        elif draw < 0.49:
            kind, data = "complaint_filed", {"complaint_id": f"c-{number}", "reason": "late"}
        body = {
            "id": f"e-{number}",
            "type": kind,
            "source": "web://shop.example",
            "user_id": f"u-{customer}",
            "session_id": f"s-{number // 8}",
            "channel": "web",
            "time": rfc3339(at),
            "data": data,
            **extra,
        }
        ready = admit(body, Millis(at + MINUTE))
        assert not isinstance(ready, Rejected), ready
        yield ready


def _viewed(chance: random.Random) -> dict[str, Any]:
    number = chance.randrange(CATEGORIES)
    return {"product_id": f"p-{number}", "name": f"Product {number}", "category": f"category-{number}", "price": 100 + number}


def _basket(chance: random.Random, number: int) -> dict[str, Any]:
    chosen = chance.sample(range(CATEGORIES), 4)
    lines = [{"product_id": f"p-{one}", "category": f"category-{one}", "price": 100 + one, "quantity": 2} for one in chosen]
    return {"order_id": f"{number}", "currency": "EUR", "total": sum(200 + 2 * one for one in chosen), "products": lines}


def _decision(chance: random.Random, customer: int, number: int, at: int) -> Admitted:
    offer = {
        "offer_id": "offer-1",
        "placement": "home_hero",
        "categories": [f"category-{chance.randrange(CATEGORIES)}"],
        "attribution_window_ms": 14 * DAY,
        "propensity": 0.25,
        "vector": "AACAPwAAAEAAAEBA" * 30,
    }
    event = decode_canonical(
        json.dumps(
            {
                "id": f"d-{number}",
                "decision_id": f"d-{number}",
                "type": "offer_decided",
                "user_id": f"u-{customer}",
                "time": rfc3339(at),
                "received_at": rfc3339(at + SECOND),
                "source": "regulars",
                "data": {"offers": [offer], "fingerprint": "bench", "request_id": f"r-{number}"},
            }
        ).encode()
    )
    assert not isinstance(event, Rejected), event
    return admitted(event)


Sent = list[tuple[int, Entry]]


def entries(events: int) -> Sent:
    """The shop's log as stream entries."""
    return [(shard_of(one.key, SHARDS), Entry("", one.entry, one.fingerprint, one.key)) for one in shop(events)]


def rules() -> ShardProcessor:
    """The processor of both runs."""
    return ShardProcessor(Labels(ChurnRule()), DAY, SHARDS)


def reference(sent: Sent) -> Spent:
    """The frozen loop over the same bytes."""
    raws = [entry.event for _, entry in sent]
    began, cpu = time.perf_counter(), time.process_time()
    reference_loop(raws)
    return Spent(time.process_time() - cpu, 0.0, time.perf_counter() - began)


def plain(sent: Sent) -> Spent:
    """The plain loop: decode and update."""
    profiles: dict[str, Profile] = {}
    pairs = [(entry.key, entry.event) for _, entry in sent]
    began, cpu = time.perf_counter(), time.process_time()
    for key, raw in pairs:
        event = decode_canonical(raw)
        if not isinstance(event, Rejected):
            profiles[key] = profiles.get(key, Profile(key)).after(event)
    return Spent(time.process_time() - cpu, 0.0, time.perf_counter() - began)


def in_memory(sent: Sent) -> Spent:
    """The same processor, a store in memory, a loop around them."""
    memory = MemoryStore()
    memory.append(sent)
    owner = Owner(memory, rules(), range(SHARDS))
    began, cpu = time.perf_counter(), time.process_time()
    run_until_idle(owner, memory, BATCH)
    return Spent(time.process_time() - cpu, 0.0, time.perf_counter() - began)


def flow(sent: Sent, url: str) -> Spent:
    """The engine's own dataflow on an empty Redis that holds nothing but the log."""
    store = RedisStore(url)
    store.client.flushall()
    for at in range(0, len(sent), 2_000):
        store.append(sent[at : at + 2_000])
    owner = Owner(store, rules(), range(SHARDS))
    last: dict[int, str] = {}
    for shard in range(SHARDS):
        newest: Any = store.client.xrevrange(f"ev:{{{shard}}}", count=1)
        last[shard] = newest[0][0].decode() if newest else "0-0"

    def done() -> bool:
        reached = all(_place(owner.offsets[shard]) >= _place(newest) for shard, newest in last.items())
        return reached and not any(shard.inflight for shard in owner.shards.values())

    source = EventSource(lambda: Streams(store, owner, BATCH, 8, done, lambda: None))
    graph = dataflow(source, owner, CommitSink(lambda: Commits(store, owner)))
    server, began, cpu = _server_cpu(store.client), time.perf_counter(), time.process_time()
    cli_main(graph)  # type: ignore[no-untyped-call]
    spent = Spent(time.process_time() - cpu, _server_cpu(store.client) - server, time.perf_counter() - began)
    totals = [shard.record.totals for shard in owner.shards.values()]
    assert sum(one.events + one.offers_decided for one in totals) == len(sent)
    store.client.close()
    return spent


def _place(entry_id: str) -> tuple[int, int]:
    """Where an entry lies in its stream; what shards tell themselves lies behind what was sent."""
    at, _, number = entry_id.partition("-")
    return int(at), int(number or 0)


def _server_cpu(client: Redis) -> float:
    told: Any = client.info("cpu")
    return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])


def where_it_goes(sent: Sent, url: str) -> dict[str, float]:
    """Share of the flow's CPU time by stage, from one run with a stopwatch; `runtime` is Bytewax and what is left."""
    watch = Stopwatch()
    watch.over("read from Redis", RedisStore, "read")
    watch.over("decode", ShardProcessor, "prepare")
    watch.over("load from Redis", RedisStore, "load")
    watch.over("shard logic", ShardProcessor, "process")
    watch.over("fold", Profile, "folded")
    watch.over("boundaries and features", Weekly, "passed")
    watch.over("boundaries and features", Unread, "read")
    watch.over("labels", Labels, "closed")
    watch.over("labels", Labels, "offers_waiting")
    watch.over("encode", redis_writer, "_arguments")
    watch.over("write to Redis", RedisStore, "commit")
    watch.over("metrics", Commits, "write_batch")
    try:
        spent = flow(sent, url)
    finally:
        watch.off()
    stages = watch.seconds()
    stages["runtime"] = max(0.0, spent.cpu - sum(stages.values()))
    return {name: seconds / spent.cpu for name, seconds in sorted(stages.items(), key=lambda pair: -pair[1])}


def best(runs: list[Spent]) -> Spent:
    """The run with the least CPU time: what the machine did besides can only add."""
    return min(runs, key=lambda run: run.cpu)


def measured(events: int, rounds: int, url: str) -> dict[str, Any]:
    """All figures of one benchmark."""
    sent = entries(events)
    settle_memory(YOUNG_OF_BATCHES)
    runs: dict[str, list[Spent]] = {"reference": [], "plain": [], "in_memory": [], "flow": []}
    steps: dict[str, Callable[[], Spent]] = {
        "reference": lambda: reference(sent),
        "plain": lambda: plain(sent),
        "in_memory": lambda: in_memory(sent),
        "flow": lambda: flow(sent, url),
    }
    for _ in range(rounds):
        for name, step in steps.items():
            # What one run leaves behind is no work of the next.
            gc.collect()
            runs[name].append(step())
    gc.collect()
    shares = where_it_goes(sent, url)
    least = {name: best(taken) for name, taken in runs.items()}
    ours = least["flow"].cpu
    return {
        "events": events,
        "customers": CUSTOMERS,
        "bytes_per_event": round(sum(len(entry.event) for _, entry in sent) / events),
        "kinds": dict(Counter(json.loads(entry.event)["type"] for _, entry in sent)),
        "features": len(NAMES),
        "events_per_s_per_core": {name: round(events / run.cpu) for name, run in least.items()},
        "events_per_s_on_the_wall": {name: round(events / run.wall) for name, run in least.items()},
        **{f"flow_to_{name}": _ratio(runs[name], runs["flow"]) for name in ("plain", "in_memory", "reference")},
        "flow_with_server_to_plain": _ratio(runs["plain"], [run._replace(cpu=run.cpu + run.server) for run in runs["flow"]]),
        "redis_server_us_per_event": round(least["flow"].server / events * 1e6, 2),
        "flow_us_per_event": round(ours / events * 1e6, 2),
        "where": {name: round(share, 3) for name, share in shares.items()},
    }


def _ratio(beside: list[Spent], ours: list[Spent]) -> float:
    return round(median(one.cpu / other.cpu for one, other in zip(beside, ours, strict=True)), 3)


def told(figures: dict[str, Any]) -> str:
    """The figures as a table."""
    speed, wall = figures["events_per_s_per_core"], figures["events_per_s_on_the_wall"]
    lines = [
        f"{figures['events']:,} events ({figures['bytes_per_event']} bytes) of {figures['customers']:,} customers, "
        f"{figures['features']} features, Redis with appendfsync always",
        "",
        f"{'':34}{'events/s per core':>20}{'on the wall':>14}",
        *(
            f"{words:34}{speed[name]:>20,}{wall[name]:>14,}"
            for name, words in (
                ("reference", "reference loop (frozen)"),
                ("plain", "plain loop: decode and update"),
                ("in_memory", "same processor, store in memory"),
                ("flow", "dataflow, Redis in, commits out"),
            )
        ),
        "",
        f"dataflow ÷ plain loop       {figures['flow_to_plain']:.3f}   "
        f"({figures['flow_with_server_to_plain']:.3f} with the CPU of redis-server)",
        f"dataflow ÷ same, in memory  {figures['flow_to_in_memory']:.3f}",
        f"dataflow ÷ reference loop   {figures['flow_to_reference']:.3f}",
        "",
        f"where {figures['flow_us_per_event']} µs an event go (beside {figures['redis_server_us_per_event']} µs in redis-server)",
        *(f"  {name:26}{100 * share:6.1f} %" for name, share in figures["where"].items()),
    ]
    return "\n".join(lines)


def main() -> int:
    """0, or 1 where the ratio is less than asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--at-least", type=float, default=0.0)
    asked = parser.parse_args()
    # Bytewax reads the command line as well.
    sys.argv = sys.argv[:1]
    with tempfile.TemporaryDirectory(prefix="flow") as folder:
        server = start_embedded(Path(folder), persistence="always")
        try:
            figures = measured(asked.events, asked.rounds, server.url)
        finally:
            server.stop()
    print(told(figures))
    print(json.dumps(figures))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if figures["flow_to_plain"] >= asked.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
