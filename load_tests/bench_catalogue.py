"""What a decision over 10,000 offers costs beside one over 100: the same customers, the same requests, the same Redis.

Each catalogue is served by an API process of its own and asked in turns through HTTP, first by one client alone, then by eight at
once. Offers have conditions, caps, tags, campaigns and targets as those of a shop do. A decision reads, decides, is admitted,
logged and acknowledged by a Redis that flushes to disk before it answers. `--at-most 3` makes the ratio of the medians, for both,
a condition.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final

from engine.store.embedded import start_embedded
from load_tests.bench_api import POLICY, bodies, cpu_seconds, fetched, seed, server
from load_tests.http_load import Load, post, run_load

FEW, MANY = 100, 10_000
CATEGORIES: Final = 25
CLIENTS: Final = (1, 8)
READY_WITHIN_S: Final = 180.0


def write_catalogue(folder: Path, offers: int) -> Path:
    """So many offers of one placement. One in five asks for a reading of the customer, one in ten stands in a campaign."""
    (folder / "offers").mkdir(parents=True)
    (folder / "campaigns").mkdir()
    (folder / "policy.yaml").write_text(POLICY)
    campaigns = [
        {"id": f"campaign-{number}", "target": [{"feature": "rfm.recency", "below": 100 + 10 * number}]} for number in range(10)
    ]
    written = [
        {
            "id": f"offer-{number}",
            "kind": "sell",
            "placements": ["home_hero"],
            "promotes": {"categories": [f"category-{number % CATEGORIES}"]},
            "margin": f"{1 + number % 7}.{number % 10}0 EUR",
            "tags": [f"tag-{number % 40}"],
            "content": {"default": {"title": f"Offer number {number}", "url": f"/p/{number}"}},
            **({"eligible_when": [{"feature": "rfm.recency", "below": 200 + number % 100}]} if number % 5 == 0 else {}),
            **({"campaign": f"campaign-{number // 10 % 10}"} if number % 10 == 1 else {}),
        }
        for number in range(offers)
    ]
    (folder / "offers" / "all.yaml").write_text(json.dumps({"offers": written}))
    (folder / "campaigns" / "all.yaml").write_text(json.dumps({"campaigns": campaigns}))
    return folder


class Served:
    """One catalogue behind its API process, and the rounds it was asked for."""

    def __init__(self, offers: int, port: int, process: int, requests: list[bytes]) -> None:
        self.offers, self._port, self._process, self._requests = offers, port, process, requests
        self.medians: dict[int, list[float]] = {clients: [] for clients in CLIENTS}

    def wait(self) -> float:
        """Until it serves; how long that took, in seconds."""
        began = time.monotonic()
        while time.monotonic() < began + READY_WITHIN_S:
            with contextlib.suppress(OSError, http.client.HTTPException):
                fetched(self._port, "/livez")
                return time.monotonic() - began
            time.sleep(0.1)
        raise SystemExit(f"a catalogue of {self.offers} offers did not serve within {READY_WITHIN_S:g} s")

    def round(self, clients: int, seconds: float, counted: bool) -> str:
        """Asks for so long, and says how it went."""
        before = cpu_seconds(self._process)
        load: Load = asyncio.run(run_load(self._port, self._requests, seconds, clients))
        work = (cpu_seconds(self._process) - before) / max(len(load.latencies), 1) * 1e6
        if counted:
            self.medians[clients].append(load.quantile(0.5))
        return (
            f"{self.offers:6} offers, {clients} at once: {load.per_second:6.0f}/s   p50 {load.quantile(0.5):6.2f} ms"
            f"   p99 {load.quantile(0.99):6.2f} ms   {work:5.0f} µs of CPU   failed {load.failed}"
        )


def main() -> int:
    """Prints each round and the ratios."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=2.0, help="length of a round")
    options.add_argument("--rounds", type=int, default=3, help="rounds of each")
    options.add_argument("--at-most", type=float, help="fail above this ratio")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        redis = start_embedded(folder / "redis")
        try:
            seed(redis.url)
            return _compare(redis.url, folder, chosen)
        finally:
            redis.stop()


def _compare(redis_url: str, folder: Path, chosen: argparse.Namespace) -> int:
    base = 20_000 + os.getpid() % 20_000
    requests = [post("/v1/decisions", body) for body in bodies()]
    catalogues = [write_catalogue(folder / str(offers), offers) for offers in (FEW, MANY)]
    with contextlib.ExitStack() as stack:
        served = [
            Served(offers, base + at, stack.enter_context(server("decisions", redis_url, str(where), str(base + at))), requests)
            for at, (offers, where) in enumerate(zip((FEW, MANY), catalogues, strict=True))
        ]
        for one in served:
            one.wait()
            one.round(CLIENTS[-1], 1.0, counted=False)
        for clients in CLIENTS:
            for one in served * chosen.rounds:
                print(one.round(clients, chosen.seconds, counted=True))
    few, many = served
    ratios = [median(many.medians[clients]) / median(few.medians[clients]) for clients in CLIENTS]
    for clients, ratio in zip(CLIENTS, ratios, strict=True):
        print(f"{MANY:,} offers ÷ {FEW}, {clients} at once: {ratio:.2f} in latency")
    return int(chosen.at_most is not None and max(ratios) > chosen.at_most)


if __name__ == "__main__":
    sys.exit(main())
