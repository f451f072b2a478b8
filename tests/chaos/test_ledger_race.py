"""64 clients at once never exceed a cap, a stock, a coupon pool or a budget by one, and what nobody looks at comes back."""

import asyncio
import time
from pathlib import Path

import pytest

from config.catalogue_files import load_catalogue
from tests.chaos.ledger_race import Judge, Tally, race, race_catalogue
from tests.e2e.running import up
from tests.integration.api_client import SHARDS, api_client

CLIENTS = 64


def judged(judge: Judge, tally: Tally, decisions: int) -> None:
    """What must hold when everything that was reserved has been seen or come back."""
    assert (tally.decisions, tally.failed) == (decisions, [])
    assert judge.looks > 1
    assert tally.empty["capped"] > 0
    end = time.monotonic() + 30
    while judge.waiting() or any(
        judge.held(name) != judge.gone(name) for name, pool in judge.pools.items() if pool.kind != "budget"
    ):
        assert time.monotonic() < end, "reservations that nobody viewed have to come back"
        time.sleep(0.1)
    time.sleep(0.2)
    judge.look()
    seen, in_time = judge.seen(), judge.seen(in_time=True)
    assert tally.late > 0
    assert len(in_time) > 0.7 * len(seen)
    for name, pool in judge.pools.items():
        assert 0 < judge.spent_by(in_time, name) <= judge.gone(name) <= min(pool.capacity, judge.spent_by(seen, name))
        if pool.kind != "budget":
            assert judge.held(name) == judge.gone(name)
        else:
            assert judge.later(name, 15) == judge.gone(name)
    codes = [entry.coupon for entry in in_time if entry.coupon]
    assert len(codes) == len(set(codes)) > 0


def test_sixty_four_clients_exceed_nothing(redis_url: str, tmp_path: Path) -> None:
    loaded = load_catalogue(folder := race_catalogue(tmp_path, scale=6, reserved_s=4))
    judge = Judge(redis_url, loaded, 12, SHARDS, 4)

    with api_client(redis_url, catalogue=folder) as one, api_client(redis_url, catalogue=folder) as other:
        ports = [client.base_url.port or 0 for client in (one, other)]
        tally = asyncio.run(race(ports, CLIENTS, 1_200, 12, judge, 4))

    judged(judge, tally, 1_200)


@pytest.mark.chaos
def test_sixty_four_clients_exceed_nothing_in_twenty_thousand_decisions(short_path: Path) -> None:
    loaded = load_catalogue(folder := race_catalogue(short_path / "catalogue", scale=100, reserved_s=12))
    with up(short_path / "data", "--api-workers", "2", "--catalogue", str(folder)) as system:
        judge = Judge(f"unix://{short_path}/data/redis/redis.sock", loaded, 400, 64, 12)
        port = int(system.url.rstrip("/").rpartition(":")[2])

        tally = asyncio.run(race([port], CLIENTS, 20_000, 400, judge, 12))

        judged(judge, tally, 20_000)
        print(
            f"{tally.decisions} decisions, {tally.offers} offers, {tally.views} views and {tally.late} late ones, "
            f"{judge.looks} looks; {dict(tally.empty)};",
            end=" ",
        )
        print({name: f"{judge.gone(name)} of {pool.capacity}" for name, pool in judge.pools.items()})
