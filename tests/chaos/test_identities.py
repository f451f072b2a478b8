"""Identities are joined and parted between engines that are killed again and again: nobody is lost, and nobody counts twice."""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
from redis import Redis

from engine.events.routing import Admitted
from engine.ids import shard_of
from engine.profiles.profile import Profile
from engine.shards.commit import Entry
from engine.store.codec import decode_profile
from engine.store.embedded import EmbeddedRedis, start_embedded
from engine.store.redis_writer import RedisStore
from tests.chaos.processes import Progress, Victim, wait_until
from tests.identities import arrivals, folded_alone, life, readings

SHARDS = 8
PATIENCE_S = 300.0


class Size(NamedTuple):
    families: int
    events: int
    kills: int


sizes = pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(families=24, events=30, kills=3), id="small", marks=pytest.mark.slow),
        pytest.param(Size(families=300, events=40, kills=40), id="full", marks=pytest.mark.chaos),
    ],
)


@pytest.fixture
def durable(short_path: Path) -> Iterator[EmbeddedRedis]:
    server = start_embedded(short_path, persistence="always")
    yield server
    server.stop()


def family(number: int, events: int) -> list[dict[str, Any]]:
    """The life of one household: every second one has no partings, and answers offers under any name."""

    def own(value: Any) -> Any:
        return f"{value}-{number}" if isinstance(value, str) else value

    log = life(number, events, unlinks=number % 2 == 0, crossing=number % 2 == 1)
    return [
        body
        | {name: own(body.get(name)) for name in ("id", "decision_id", "user_id", "anonymous_id", "loyalty_id") if body.get(name)}
        | {"data": {name: own(value) if name == "order_id" else value for name, value in body["data"].items()}}
        for body in log
    ]


def engines(url: str, folder: Path) -> list[Victim]:
    """Two processes with half of the shards each, in batches so small that a kill finds them in the middle of a handover."""
    common = {
        "REGULARS_SHARDS": str(SHARDS),
        "REGULARS_BATCH_EVENTS": "3",
        "REGULARS_CACHE_CUSTOMERS": "100",
        "REGULARS_ENGINES": "2",
    }
    return [
        Victim("engine", url, {**common, "REGULARS_ENGINE_INDEX": str(index)}, folder / f"engine-{index}.log")
        for index in range(2)
    ]


def profiles_in(url: str) -> dict[str, Profile]:
    found: dict[str, Profile] = {}
    with Redis.from_url(url) as client:
        for name in client.scan_iter("prof:*", count=1_000):
            key = cast("bytes", name).decode().split("}:", 1)[1]
            assert key not in found, "a customer lies in one shard"
            found[key] = decode_profile(key, cast("bytes", client.get(name)))
    return found


@sizes
def test_engines_killed_in_the_middle_of_handovers_end_where_a_single_name_would(
    durable: EmbeddedRedis, short_path: Path, size: Size, capsys: pytest.CaptureFixture[str]
) -> None:
    started, chance = time.monotonic(), random.Random(5)
    logs = [family(number, size.events) for number in range(size.families)]
    sent: list[Admitted] = [one for turn in zip(*map(arrivals, logs), strict=False) for one in turn]
    for log in logs:
        sent += arrivals(log)[min(map(len, logs)) :]
    store = RedisStore(durable.url)
    progress = Progress(store.client, SHARDS)
    running = engines(durable.url, short_path)
    try:
        for engine in running:
            engine.start()
        pieces = np.array_split(np.arange(len(sent)), size.kills + 1)
        for number, piece in enumerate(pieces):
            some = [sent[at] for at in piece.tolist()]
            again = chance.sample(some, len(some) // 10)
            store.append([(shard_of(one.key, SHARDS), Entry("", one.entry, one.fingerprint, one.key)) for one in (*some, *again)])
            before = progress.offsets()
            if number < size.kills:
                wait_until(lambda before=before: progress.offsets() != before, PATIENCE_S)  # type: ignore[misc]
                time.sleep(chance.random() * 0.1)
                engine = running[number % 2]
                engine.kill()
                engine.start()
        wait_until(progress.folded, PATIENCE_S)
        assert [engine.stop() for engine in running] == [0, 0]
    finally:
        for engine in running:
            engine.abandon()
        store.client.close()

    found = profiles_in(durable.url)
    held = {key: holder for holder, profile in found.items() for key in profile.parts}
    for log in logs:
        own = {one.key for one in arrivals(log)}
        holders = {held[key] for key in own if key in held}
        assert own <= held.keys() | {key for key in own if found[key].moved_to}
        for holder in holders:
            alone = folded_alone(log, {key for key in held if held[key] == holder}, holder)
            np.testing.assert_allclose(readings(found[holder].whole), readings(alone.whole), rtol=1e-9, atol=1e-9)
            assert found[holder].purchases.spend == alone.purchases.spend
    moved = sum(bool(profile.moved_to) for profile in found.values())
    parted = sum(change.what == "parted" for profile in found.values() for change in profile.links.trail)
    assert moved > 0 < parted
    with capsys.disabled():
        print(
            f"\n{len(sent)} events of {size.families} families, engines killed {sum(one.kills for one in running)} times; "
            f"{moved} identities joined, {parted} parted; all read as under a single name; {time.monotonic() - started:.0f} s"
        )
