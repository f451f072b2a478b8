"""The shards are told their triggers: once, all of them, and only those that have somewhere to go."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.decisioning.triggers import TRIGGERS, Rules
from engine.store import keys
from engine.store.redis_facts import RedisFacts
from engine.store.redis_writer import RedisStore
from flows.trigger_rules import TriggerRules
from tests.integration.api_client import SHARDS, fold, write_catalogue

ONE = "triggers: [{id: a, event: birthday, placement: till}]\n"
TWO = "triggers: [{id: a, event: birthday, placement: till}, {id: b, event: birthday, placement: till, webhook: mail}]\n"
NOW = 1_770_000_000_000


@pytest.fixture
def store(redis_url: str) -> Iterator[RedisStore]:
    store = RedisStore(redis_url)
    yield store
    store.client.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = write_catalogue(tmp_path)
    (folder / "triggers.yaml").write_text(ONE)
    return folder


def told(store: RedisStore, shard: int) -> set[str]:
    held = store.open(shard).references.get(TRIGGERS)
    return {rule.id for rule in msgspec.convert(held.value, Rules).triggers} if held else set()


def entries(store: RedisStore) -> int:
    return sum(int(str(store.client.xlen(keys.events(shard)))) for shard in range(SHARDS))


def test_a_change_of_the_folder_reaches_every_shard_once(redis_url: str, store: RedisStore, folder: Path) -> None:
    rules = TriggerRules(folder, RedisFacts(store.client, SHARDS), {"default", "mail"})
    for _ in range(3):
        rules.look(NOW)
    fold(redis_url)
    before = {shard: told(store, shard) for shard in range(SHARDS)}
    (folder / "triggers.yaml").write_text(TWO)
    rules.look(NOW)
    fold(redis_url)

    assert before == {shard: {"a"} for shard in range(SHARDS)}
    assert {shard: told(store, shard) for shard in range(SHARDS)} == {shard: {"a", "b"} for shard in range(SHARDS)}
    assert entries(store) == 2 * SHARDS


def test_who_starts_again_announces_nothing_that_is_known(redis_url: str, store: RedisStore, folder: Path) -> None:
    TriggerRules(folder, RedisFacts(store.client, SHARDS), {"default"}).look(NOW)
    fold(redis_url)

    TriggerRules(folder, RedisFacts(store.client, SHARDS), {"default"}).look(NOW)

    assert entries(store) == SHARDS


def test_an_announcement_that_broke_off_is_made_whole(redis_url: str, store: RedisStore, folder: Path) -> None:
    TriggerRules(folder, RedisFacts(store.client, SHARDS), {"default"}).look(NOW)
    store.client.delete(keys.events(3))
    fold(redis_url)

    TriggerRules(folder, RedisFacts(store.client, SHARDS), {"default"}).look(NOW)
    fold(redis_url)

    assert {shard: told(store, shard) for shard in range(SHARDS)} == {shard: {"a"} for shard in range(SHARDS)}


def test_a_trigger_whose_webhook_is_not_set_up_is_nobodys_wait(redis_url: str, store: RedisStore, folder: Path) -> None:
    (folder / "triggers.yaml").write_text(TWO)
    TriggerRules(folder, RedisFacts(store.client, SHARDS), {"mail"}).look(NOW)
    fold(redis_url)
    assert told(store, 0) == {"b"}


def test_without_any_webhook_the_log_holds_nothing_of_triggers(store: RedisStore, folder: Path) -> None:
    TriggerRules(folder, RedisFacts(store.client, SHARDS), ()).look(NOW)

    assert entries(store) == 0


def test_a_folder_with_a_mistake_changes_nothing(redis_url: str, store: RedisStore, folder: Path) -> None:
    rules = TriggerRules(folder, RedisFacts(store.client, SHARDS), {"default"})
    rules.look(NOW)
    (folder / "triggers.yaml").write_text("triggers: [{id: a}]\n")
    rules.look(NOW)
    fold(redis_url)

    assert told(store, 0) == {"a"}
    assert set(rules.live) == {"a"}
