"""The decision before the login and the purchase after it, on Redis, by owners who die after every step."""

from typing import Any, cast

import msgspec
import pytest

from engine.ids import shard_of
from engine.models.base import Example
from engine.moments import DAY
from engine.shards.commit import Entry
from engine.shards.labels import ChurnRule, Labels
from engine.shards.processor import ShardProcessor
from engine.store import keys
from engine.store.redis_writer import RedisStore
from flows.owner import Owner
from tests.identities import TABLET, USER, arrivals, said
from tests.integration.api_client import SHARDS
from tests.property.test_handover import DAYS, bought, looked, made, seen


def opened(store: RedisStore) -> Owner:
    return Owner(store, ShardProcessor(Labels(ChurnRule()), DAY, SHARDS), range(SHARDS))


def died_and_went_on(store: RedisStore) -> None:
    """Each batch is folded by an owner who dies before writing and by the next, who writes; what is passed on goes twice."""
    while True:
        owner = opened(store)
        batches = store.read(owner.offsets, 2, 0)
        owner.process(batches)
        owner = opened(store)
        owner.write(owner.process(store.read(owner.offsets, 2, 0)))
        passed_on = sum([_twice(store, shard) for shard in range(SHARDS)])
        if not batches and not passed_on:
            return


def _twice(store: RedisStore, shard: int) -> int:
    waiting = cast("list[tuple[bytes, dict[bytes, bytes]]]", store.client.xrange(keys.outbox(shard)))
    going = [Entry("", fields[b"e"], fields[b"h"], fields[b"k"].decode()) for _, fields in waiting if fields[b"e"]]
    store.append([(shard_of(one.key, SHARDS), one) for one in going])
    return store.relay(shard)


def learned(store: RedisStore) -> list[Example]:
    found = []
    for shard in range(SHARDS):
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", store.client.xrange(keys.examples(shard)))
        found += [msgspec.msgpack.decode(fields[b"x"], type=Example) for _, fields in entries]
    return [one for one in found if one.model == "next_best_offer"]


@pytest.mark.parametrize(("parted", "who"), [(False, "u:ann"), (True, "a:tablet")])
def test_a_purchase_after_the_login_closes_the_decision_of_before_once(redis_url: str, parted: bool, who: str) -> None:
    store = RedisStore(redis_url)
    log: list[dict[str, Any]] = [made(1, **TABLET), seen(1, **TABLET), looked("login", 2, **TABLET, **USER)]
    log += [said("identity_unlinked", 3, DAYS[3], USER, TABLET), bought("1", 4, **TABLET)] if parted else [bought("1", 4, **USER)]
    for one in arrivals(log):
        store.append([(shard_of(one.key, SHARDS), Entry("", one.entry, one.fingerprint, one.key))])
        died_and_went_on(store)
    store.append([(shard, Entry("", tick=DAYS[60])) for shard in range(SHARDS)])
    died_and_went_on(store)

    (only,) = learned(store)

    assert (only.label, only.customer, only.id) == (1.0, who, "d-1|o-1|home_hero")
    assert [name for name in store.client.scan_iter("wait:*") if b"|d-1|" in name] == []
    store.client.close()
