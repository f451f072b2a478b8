"""What the store on Redis does beside commits: it knows its shards, and lets go of what is old."""

from collections.abc import Iterator

import pytest

from engine.errors import InvariantBroken
from engine.moments import MINUTE
from engine.shards.commit import Commit, ShardRecord
from engine.store.redis_writer import RedisStore
from tests.builders import START, entries_of, simple


@pytest.fixture
def store(redis_url: str) -> Iterator[RedisStore]:
    opened = RedisStore(redis_url)
    yield opened
    opened.client.close()


def test_a_store_keeps_the_number_of_shards_it_was_started_with(store: RedisStore) -> None:
    store.claim(64)
    store.claim(64)

    with pytest.raises(InvariantBroken, match="64 shards"):
        store.claim(32)


def test_only_committed_entries_are_trimmed_whatever_their_age(store: RedisStore) -> None:
    logged = entries_of([simple("page_viewed", f"p{number}", "ann", START + number * MINUTE) for number in range(300)])
    shard = logged[0][0]
    names = store.append(logged)
    middle = Commit(shard, "0-0", names[150], ShardRecord())
    assert store.commit([middle]) == ["written"]

    store.trim([shard], {"events": 2**60, "dead": 0, "decisions": 0})

    after = {entry.id for batch in store.read({shard: names[150]}, 1_000, 0) for entry in batch.entries}
    assert after == set(names[151:])
