"""What a ledger commit costs beside a plain SET of the same bytes, under the same persistence and the same number of clients.

Both go to one Redis that flushes to disk before it answers (`appendonly yes, appendfsync always`), from 32 connections that
have one call out each, in turns of one second so that the machine is the same for both. A commit checks the caps of a customer
with a history, reads and writes their ledger; the SET writes as many bytes as that ledger has. `--at-most 2` makes the ratio of
the 99th percentiles a condition.
"""

import argparse
import asyncio
import contextlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final

from engine.decisioning.ledger import RESERVED, VIEWED, CapClaim, Claim, Entry, Ledger
from engine.decisioning.ledger import commit as committed
from engine.moments import DAY, HOUR, MINUTE, Millis
from engine.store import keys
from engine.store.embedded import EmbeddedRedis, start_embedded
from engine.store.redis_ledger import Commitment, commit_words, encode_ledger
from engine.store.redis_reader import Command, RedisReader, ledger_scripts

CONNECTIONS: Final = 32
CUSTOMERS: Final = 2_000
HISTORY: Final = 12
ROUNDS: Final = 6
KEEP: Final = 7 * DAY
START: Final = 1_772_452_800_000


def claim_of(number: int, now: int, state: int) -> Claim:
    """One contact with the caps that a shop of some size sets: its own, its campaign's, a tag's, the channel's, all together."""
    offer, campaign, tag = f"offer-{number % 50}", f"c:campaign-{number % 7}", f"t:tag-{number % 5}"
    scopes = (f"o:{offer}", campaign, tag, "sell", "x:web")
    caps = (
        CapClaim(scopes[0], 6, 7 * DAY),
        CapClaim(campaign, 40, 7 * DAY),
        CapClaim(tag, 40, 7 * DAY),
        CapClaim("sell", 400, 7 * DAY),
        CapClaim("sell", 400, DAY, ("x:web",)),
    )
    name = f"d-{now:012x}{number:020x}"
    return Claim(Entry((name,), offer, f"place-{number}", state, Millis(now), Millis(now + 30 * MINUTE), scopes), caps)


def history() -> Ledger:
    """What a customer has seen in a week."""
    ledger = Ledger()
    for number in range(HISTORY):
        now = START - (HISTORY - number) * 11 * HOUR
        after = committed(ledger, (claim_of(number * 9, now, VIEWED),), (), now, KEEP)
        assert isinstance(after, Ledger)
        ledger = after
    return ledger


class Bench:
    """Both kinds of call, each for a customer at random."""

    def __init__(self, reader: RedisReader, size: int) -> None:
        self._reader, self._number, self._chance = reader, count(), random.Random(5)
        self._body = self._chance.randbytes(size)

    def commit(self) -> Command:
        number, customer = next(self._number), f"u:{self._chance.randrange(CUSTOMERS)}"
        # The place is the customer's next one, so the contact is a new one; the one before it in the ring is over by then.
        now = START + number * 40
        wanted = Commitment(shard=7, customer=customer, now=now, keep_ms=KEEP, claims=(claim_of(number, now, RESERVED),))
        return ("EVALSHA", *commit_words(wanted))

    def plain(self) -> Command:
        return ("SET", f"plain:{self._chance.randrange(CUSTOMERS)}", self._body, "PX", KEEP)

    async def times(self, call: Callable[[], Command], seconds: float) -> list[float]:
        """How long each call took, from all connections."""
        taken: list[float] = []
        until = time.perf_counter() + seconds

        async def one() -> None:
            while (began := time.perf_counter()) < until:
                (answer,) = await self._reader.ask([call()])
                assert answer in (b"OK", b"committed"), answer
                taken.append(time.perf_counter() - began)

        await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
        return taken


def at(taken: list[float], share: float) -> float:
    """A latency in milliseconds."""
    return sorted(taken)[int(share * (len(taken) - 1))] * 1000


async def measure(url: str, seconds: float) -> tuple[int, list[list[float]], list[list[float]]]:
    """Bytes of a ledger, and the latencies of commits and SETs by round."""
    reader = RedisReader(url, 30.0, ledger_scripts())
    blob = encode_ledger(history())
    await reader.ask([("SET", keys.ledger(7, f"u:{n}"), blob) for n in range(CUSTOMERS)])
    bench = Bench(reader, len(blob))
    for call in (bench.commit, bench.plain):
        await bench.times(call, 0.5)
    commits, plains = [], []
    for _ in range(ROUNDS):
        commits.append(await bench.times(bench.commit, seconds))
        plains.append(await bench.times(bench.plain, seconds))
    await reader.close()
    return len(blob), commits, plains


@contextlib.contextmanager
def running(folder: Path) -> Iterator[EmbeddedRedis]:
    """The bundled server, with the persistence of the product."""
    server = start_embedded(folder)
    try:
        yield server
    finally:
        server.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn")
    parser.add_argument("--at-most", type=float, help="ratio of the 99th percentiles that is still good")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
        size, commits, plains = asyncio.run(measure(server.url, options.seconds))
    ratios: dict[float, float] = {}
    print(f"ledger of {HISTORY} contacts, {size} bytes, {CONNECTIONS} connections, flushed to disk before the answer")
    for share in (0.5, 0.99):
        mine, plain = (statistics.median(at(one, share) for one in taken) for taken in (commits, plains))
        ratios[share] = mine / plain
        print(f"p{share * 100:g}: commit {mine:.2f} ms, SET {plain:.2f} ms, ratio {ratios[share]:.2f}")
    calls: dict[str, Any] = {"commits": commits, "SETs": plains}
    print(", ".join(f"{sum(map(len, taken)) / ROUNDS / options.seconds:,.0f} {name}/s" for name, taken in calls.items()))
    return int(options.at_most is not None and ratios[0.99] > options.at_most)


if __name__ == "__main__":
    sys.exit(main())
