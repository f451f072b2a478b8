"""After an acknowledged refusal nothing is offered: through HTTP, on a real Redis, with the engine behind or not."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx import Client

from engine.moments import DAY
from engine.shards.labels import ChurnRule, Labels
from engine.shards.processor import ShardProcessor
from engine.store.redis_writer import RedisStore
from flows.owner import Owner
from flows.runner import run_until_idle
from tests.consent_world import PLACEMENTS, World
from tests.integration.api_client import SHARDS, api_client, write_catalogue

SMALL, FULL = 400, 5_000
POLICY = "timezone: UTC\nplacements:\n" + "".join(
    f"  {name}: {{channel: {channel}, max: 2, shown_when: viewed}}\n" for name, channel in PLACEMENTS.items()
)
_EVERYWHERE = f"placements: [{', '.join(PLACEMENTS)}]"
OFFERS = f"""\
offers:
  - {{id: coffee, kind: sell, {_EVERYWHERE}, margin: 1.80 EUR, content: {{default: {{title: Coffee}}}}}}
  - {{id: wine, kind: sell, {_EVERYWHERE}, margin: 2.40 EUR, content: {{default: {{title: Wine}}}}}}
  - {{id: thanks, kind: thank_you, {_EVERYWHERE}, content: {{default: {{title: Thanks}}}}}}
  - {{id: house, kind: fallback, {_EVERYWHERE}, content: {{default: {{title: Welcome}}}}}}
"""


class HttpShop:
    """The product behind its doors, with an engine that runs when it is told to."""

    def __init__(self, client: Client, redis_url: str) -> None:
        self._client, self._store = client, RedisStore(redis_url)
        rules = ShardProcessor(Labels(ChurnRule()), DAY, SHARDS)
        self._owner = Owner(self._store, rules, range(SHARDS))

    def accept(self, body: dict[str, Any], now: int) -> None:  # noqa: ARG002
        answer = self._client.post("/v1/events", json=body)
        assert (answer.status_code, answer.json()["rejected"]) == (202, [])

    def offers(self, who: dict[str, str], placement: str, now: int) -> list[str]:  # noqa: ARG002
        answer = self._client.post("/v1/decisions", json={**who, "placements": [{"name": placement, "count": 2}]})
        assert answer.status_code == 200, answer.text
        return [offer["kind"] for offer in answer.json()["placements"][0]["offers"]]

    def fold(self, passed_on: bool = True) -> None:
        while run_until_idle(self._owner, self._store) or (
            passed_on and any(self._store.relay(shard) for shard in range(SHARDS))
        ):
            continue


@pytest.fixture
def client(redis_url: str, tmp_path: Path) -> Iterator[Client]:
    with api_client(redis_url, catalogue=write_catalogue(tmp_path, POLICY, OFFERS), decision_deadline_ms=5000) as client:
        yield client


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.mark.parametrize("operations", [pytest.param(SMALL, id="small"), pytest.param(FULL, id="full", marks=pytest.mark.chaos)])
def test_nothing_is_offered_after_a_202_to_a_refusal(client: Client, redis_url: str, operations: int) -> None:
    world = World(HttpShop(client, redis_url), operations, wall_ms(), wall_ms)

    world.run(operations)

    print(f"{operations} operations: {world.told()}")
    assert world.unlawful == []
    assert world.offers > operations / 40
    assert world.refusals > operations / 40
