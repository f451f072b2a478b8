"""After an acknowledged refusal nothing is offered, whatever else happens: the engine's own parts over a store in memory."""

from collections import defaultdict
from typing import Any

import pytest

from api.customer_state import known, underway
from engine.decisioning.decide import decide
from engine.decisioning.policy import Placement
from engine.decisioning.situation import PlacementRequest, Situation
from engine.events.roster import OBEYED_AT_ONCE
from engine.features.base import Request
from engine.features.vector import read_features
from engine.ids import CustomerKey, shard_of
from engine.moments import Millis
from engine.shards.commit import Entry
from engine.store.memory import MemoryStore
from flows.owner import Owner
from flows.runner import run_until_idle
from tests import shop
from tests.builders import SHARDS, START, entry_of, processor, taken
from tests.consent_world import PLACEMENTS, World

SMALL, FULL = 3_000, 100_000
POLICY = shop.policy(placements={name: Placement(channel=channel, max=2) for name, channel in PLACEMENTS.items()})  # type: ignore[arg-type]
CATALOGUE = shop.catalogue(
    [
        *[shop.offer(f"sell-{number}", placements=tuple(PLACEMENTS)) for number in range(3)],
        shop.offer("thanks", "thank_you", placements=tuple(PLACEMENTS)),
        shop.offer("house", "fallback", placements=tuple(PLACEMENTS)),
    ],
    POLICY,
)


class MemoryShop:
    """Events, pending entries and profiles in memory; read, folded and decided by what the product runs."""

    def __init__(self) -> None:
        self._store = MemoryStore()
        self._owner = Owner(self._store, processor(), range(SHARDS))
        self._pending: dict[str, list[bytes]] = defaultdict(list)
        self._scorers = shop.scorers(CATALOGUE)
        self._decisions = 0

    def accept(self, body: dict[str, Any], now: int) -> None:
        admitted = taken(body, now)
        self._store.append([entry_of(admitted)])
        if admitted.event.type in OBEYED_AT_ONCE:
            self._pending[admitted.key].append(b"1-1 " + admitted.entry + b"\n")

    def fold(self, passed_on: bool = True) -> None:  # noqa: ARG002
        while run_until_idle(self._owner, self._store):
            for waiting in self._store.outbox.values():
                self._store.append([(one.shard, Entry("", one.event, one.fingerprint, one.key)) for one in waiting])
                waiting.clear()
        self._pending.clear()

    def offers(self, who: dict[str, str], placement: str, now: int) -> list[str]:
        self._decisions += 1
        key = CustomerKey(f"u:{who['user_id']}" if "user_id" in who else f"a:{who['anonymous_id']}")
        found = self._read(key)
        if found.moved_to is not None:
            found = self._read(found.moved_to, found.underway)
        elif found.elsewhere:
            waiting = [event for other in found.elsewhere for event in underway(b"".join(self._pending[other]))]
            found = self._read(key, tuple(waiting))
        situation = Situation(
            decision_id=f"d-{self._decisions}",
            now=Millis(now),
            unit=key,
            placements=(PlacementRequest(placement, 2),),
            part=found.profile.whole,
            vector=read_features(found.profile, Request(), Millis(now)),
            ledger=found.ledger,
        )
        return [offer.kind for offer in decide(situation, CATALOGUE, self._scorers, POLICY).offers]

    def _read(self, key: CustomerKey, riding: Any = ()) -> Any:
        stored = self._store.profile(shard_of(key, SHARDS), key)
        return known(key, stored, b"".join(self._pending[key]), None, riding)


@pytest.mark.parametrize("operations", [pytest.param(SMALL, id="small"), pytest.param(FULL, id="full", marks=pytest.mark.chaos)])
def test_nothing_is_offered_after_an_acknowledged_refusal(operations: int) -> None:
    world = World(MemoryShop(), seed=operations, now=START)

    world.run(operations)

    print(f"{operations} operations: {world.told()}")
    assert world.unlawful == []
    assert world.offers > operations / 40
    assert world.refusals > operations / 40
