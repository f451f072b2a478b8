"""Cut points on a real Redis: from the shards' counts to every shard's own log, and back into where customers stand."""

from collections.abc import Iterator
from typing import cast

import msgspec
import pytest

from engine.events.decode import decode_canonical
from engine.events.segments import SegmentChanged
from engine.models.lifetime_value import LIFETIME_VALUE
from engine.models.segments import SEGMENTS, Cuts
from engine.models.snapshot import decode_snapshot
from engine.moments import DAY
from engine.store import keys
from engine.store.codec import decode_profile
from engine.store.redis_learner import RedisLearnerStore
from engine.store.redis_writer import RedisStore
from flows.learn import Learning, product_inputs
from flows.owner import Owner
from flows.runner import run_until_idle
from tests.builders import SHARDS, START, entry_of, order, processor, simple, taken

CUSTOMERS = 60
Entries = list[tuple[bytes, dict[bytes, bytes]]]


@pytest.fixture
def store(redis_url: str) -> Iterator[RedisStore]:
    opened = RedisStore(redis_url)
    yield opened
    opened.client.close()


@pytest.fixture
def learner_store(redis_url: str) -> Iterator[RedisLearnerStore]:
    opened = RedisLearnerStore(redis_url)
    yield opened
    opened.close()


def fold(store: RedisStore) -> Owner:
    owner = Owner(store, processor(), range(SHARDS))
    run_until_idle(owner, store)
    for shard in range(SHARDS):
        while store.relay(shard):
            continue
    run_until_idle(owner, store)
    return owner


def buy(store: RedisStore, week: int) -> None:
    """Everybody buys once; the higher the number, the more."""
    log = [order(f"{week}-{number}", f"c{number}", START + week * 7 * DAY, 100 * (number + 1)) for number in range(CUSTOMERS)]
    store.append([entry_of(taken(body)) for body in log])


def learning(store: RedisLearnerStore) -> Learning:
    return Learning(store, product_inputs(), SHARDS, wall_ms=lambda: START + 500 * DAY)


def tiers(store: RedisStore) -> dict[str, int]:
    found: dict[str, int] = {}
    for shard in range(SHARDS):
        for name in store.client.scan_iter(f"{keys.profile(shard, '')}*".replace("{", "\\{")):
            profile = decode_profile(name.decode(), store.client.get(name))  # type: ignore[arg-type]
            found[profile.standing.tier] = found.get(profile.standing.tier, 0) + 1
    return found


def test_customers_are_split_into_thirds_after_the_learner_has_looked(
    store: RedisStore, learner_store: RedisLearnerStore
) -> None:
    for week in range(3):
        buy(store, week)
    fold(store)
    assert set(tiers(store)) == {""}

    watching = learning(learner_store)
    watching.look_around(0.0)
    watching.take(1)
    watching.commit(0.0)
    later = [simple("page_viewed", f"p{number}", f"c{number}", START + 22 * DAY) for number in range(CUSTOMERS)]
    store.append([entry_of(taken(body)) for body in later])
    owner = fold(store)

    assert tiers(store) == pytest.approx({"heavy": 20, "moderate": 20, "light": 20}, abs=1)
    assert {shard.record.references[SEGMENTS] for shard in owner.shards.values()} == {START + 13 * DAY}
    published = decode_snapshot(learner_store.client.get(keys.snapshot(LIFETIME_VALUE)))  # type: ignore[arg-type]
    assert msgspec.convert(published.carried["cuts"], Cuts).customers == CUSTOMERS
    assert published.version > 0


def test_a_learner_that_starts_again_announces_nothing_twice(store: RedisStore, learner_store: RedisLearnerStore) -> None:
    buy(store, 0)
    buy(store, 1)
    fold(store)
    learning(learner_store).look_around(0.0)
    fold(store)
    before = store.client.xlen(keys.events(0))

    again = learning(learner_store)
    again.look_around(0.0)

    assert store.client.xlen(keys.events(0)) == before


def test_a_move_lies_in_the_customers_own_log_once(store: RedisStore) -> None:
    body = simple("page_viewed", "p", "c1", START + 100 * DAY)
    store.append([entry_of(taken(order("1", "c1", START))), entry_of(taken(body))])
    fold(store)
    fold(store)

    found = [cast("Entries", store.client.xrange(keys.events(shard))) for shard in range(SHARDS)]
    events = [decode_canonical(fields[b"e"]) for entries in found for _, fields in entries if b"e" in fields]

    moves = [event for event in events if isinstance(event, SegmentChanged)]
    assert [(event.user_id, event.data.lifecycle) for event in moves] == [
        ("c1", "new"),
        ("c1", "active"),
        ("c1", "at_risk"),
        ("c1", "lapsed"),
    ]
