"""Basket to offer at a till, beside a bare FastAPI round trip: p99 of both, in one run and through the same client.

Some tills ask at the pace of tills, in turns: an offer for the basket on the belt, one with the item scanned this moment riding
along as an event, and a constant of the same size from a FastAPI endpoint that checks the same body. An offer is complete: it
sees the basket, the customer has a history, fifty offers are weighed, and the decision is logged by a Redis that flushes to
disk; so is the event that rides along. `--at-most 3` makes the first ratio a condition.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from msgspec import Struct

from engine.moments import rfc3339
from engine.store.embedded import start_embedded
from flows.till import PLACEMENT, Till
from flows.till_line import Line
from load_tests.bench_api import CATEGORIES, CUSTOMERS, fetched, seed, server, write_catalogue

TILLS: Final = 8
DEADLINE_MS: Final = 2_000
WARM: Final = 20
"""Rounds of each till that are not counted."""


class Waits(Struct):
    """Seconds that each kind of round trip took, and questions that got no offer."""

    bare: list[float] = []
    offers: list[float] = []
    with_scan: list[float] = []
    without: int = 0
    split: dict[str, float] = {}


def basket(number: int, round_: int, chance: random.Random) -> dict[str, Any]:
    """What is on the belt: a few items, the last of them scanned this moment."""
    lines = [{"product_id": f"p-{one}", "category": f"category-{one}"} for one in chance.sample(range(CATEGORIES), 6)]
    now = rfc3339(int(time.time() * 1000))
    scanned = {
        "id": f"scan-{number}-{round_}-{chance.random()}",
        "type": "pos_item_scanned",
        "time": now,
        "user_id": f"u-{number}",
        "source": "pos://store-1/1",
        "data": {"store": "store-1", "workstation": "1", **lines[-1]},
    }
    return {"user_id": f"u-{number}", "cart": lines, "events": [scanned]}


def one_till(place: int, url: str, bare: Line, asked: argparse.Namespace, folder: Path, waits: Waits) -> None:
    """Customers one after another."""
    chance = random.Random(place)
    till = Till(url, "", folder / f"till-{place}.db")
    for round_ in range(WARM + asked.rounds):
        belt = basket(chance.randrange(CUSTOMERS), round_, chance)
        alone = {**belt, "user_id": f"u-{chance.randrange(CUSTOMERS)}", "events": []}
        body = orjson.dumps({**alone, "channel": "pos", "placements": [{"name": PLACEMENT, "count": 1}]})
        for kept, ask in (
            (waits.bare, lambda body=body: bare.post(f"till-{place}", "/v1/decisions", body)),
            (waits.offers, lambda alone=alone: till.offer(alone, DEADLINE_MS)),
            (waits.with_scan, lambda belt=belt: till.offer(belt, DEADLINE_MS)),
        ):
            time.sleep(asked.pause_ms / 1000.0 * chance.uniform(0.5, 1.5))
            began = time.perf_counter()
            answer = ask()
            took = time.perf_counter() - began
            if round_ >= WARM:
                kept.append(took)
                waits.without += answer is None
    till.close()


def quantile(seconds: Sequence[float], share: float) -> float:
    """In milliseconds."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


def measured(redis_url: str, folder: Path, asked: argparse.Namespace) -> Waits:
    """All tills at once."""
    catalogue = write_catalogue(folder / "catalogue")
    for file in (catalogue / "policy.yaml", catalogue / "offers" / "all.yaml"):
        text = file.read_text().replace("home_hero", PLACEMENT)
        file.write_text(text.replace("channel: web", "channel: pos").replace("shown_when: viewed", "shown_when: decided"))
    base = 20_000 + os.getpid() % 20_000
    waits = Waits()
    with server("decisions", redis_url, str(catalogue), str(base)):
        question = {"user_id": "u-1", "channel": "pos", "placements": [{"name": PLACEMENT, "count": 1}]}
        answer = fetched(base, "/v1/decisions", orjson.dumps(question))
        with server("constant", str(len(answer)), str(base + 1)):
            bare = Line(f"http://127.0.0.1:{base + 1}", "", 10.0)
            url = f"http://127.0.0.1:{base}"
            tills = [
                threading.Thread(target=one_till, args=(place, url, bare, asked, folder, waits)) for place in range(asked.tills)
            ]
            for till in tills:
                till.start()
            for till in tills:
                till.join()
            bare.close()
        waits.split = orjson.loads(fetched(base, "/bench/timing"))
    return waits


def main() -> int:
    """Prints both, and the ratio of their p99."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tills", type=int, default=TILLS)
    options.add_argument("--rounds", type=int, default=300, help="baskets of each till")
    options.add_argument("--pause-ms", type=float, default=60.0, help="between two questions of a till, on average")
    options.add_argument("--persistence", choices=["always", "none"], default="always", help="how Redis keeps its data")
    options.add_argument("--at-most", type=float, default=0.0, help="fail above this ratio")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        redis = start_embedded(Path(name) / "redis", persistence=asked.persistence)
        try:
            seed(redis.url)
            waits = measured(redis.url, Path(name), asked)
        finally:
            redis.stop()
    kinds = (("bare FastAPI", waits.bare), ("basket to offer", waits.offers), ("with a scan", waits.with_scan))
    for words, seconds in kinds:
        figures = "   ".join(f"{label} {quantile(seconds, share):6.2f} ms" for label, share in (("p50", 0.5), ("p99", 0.99)))
        print(f"{words:16} {figures}   mean {statistics.mean(seconds) * 1000:6.2f} ms")
    print("in the server, ms: " + "  ".join(f"{name} {value:.2f}" for name, value in waits.split.items()))
    ratio, beside = (quantile(each, 0.99) / quantile(waits.bare, 0.99) for each in (waits.offers, waits.with_scan))
    print(f"{len(waits.offers):,} baskets of each at {asked.tills} tills, {waits.without} questions without an offer")
    print(f"p99 ratio {ratio:.2f}, with a scan that rides along {beside:.2f}")
    return 1 if asked.at_most and ratio > asked.at_most else 0


if __name__ == "__main__":
    sys.exit(main())
