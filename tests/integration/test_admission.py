"""Many processes decide for the same customers at once, on what each of them read a while ago."""

import asyncio
from functools import partial
from itertools import count
from typing import Any

from msgspec.structs import replace
from redis.asyncio import Redis

from engine.decisioning.decide import decide
from engine.decisioning.ledger import MOST_ENTRIES, VIEWED, CapClaim, Entry, Ledger, Refusal, commit
from engine.decisioning.ledger import count as counted
from engine.decisioning.offers import Cap, Offer
from engine.decisioning.policy import Caps, Placement
from engine.decisioning.situation import PlacementRequest
from engine.moments import Millis
from engine.store.redis_ledger import (
    Commitment,
    Committed,
    outcome,
    queue_commit,
    queue_left,
    queue_mark,
    queue_take,
    read_ledger,
    run,
)
from tests import shop

POLICY = shop.policy(
    placements={f"place-{n}": Placement(max=2, shown_when="decided" if n % 2 else "viewed") for n in range(4)},
    caps=Caps(all_offers=(Cap(count=9, window_days=1),)),
)
OFFERS = [
    shop.offer(
        f"o-{n}", placements=tuple(POLICY.placements), caps=(Cap(count=1 + n % 3, window_days=7),), stock=4 if n < 2 else None
    )
    for n in range(8)
]
CATALOGUE = shop.catalogue(OFFERS, POLICY)
SCORERS = shop.scorers(CATALOGUE)
ANNA = shop.customer()
CUSTOMERS = ("u:anna", "u:ben", "u:cleo")


async def one_decision(client: "Redis", customer: str, number: int, stale: Ledger) -> bool:
    """Decides on a ledger read earlier and carries it out as the API does; whether it was admitted."""
    placement = PlacementRequest(f"place-{number % 4}", 1 + number % 2)
    situation = shop.situation(ANNA, placements=(placement,), decision_id=f"d-{number}", ledger=stale)
    for attempt in range(3):
        decision = decide(replace(situation, attempt=attempt), CATALOGUE, SCORERS, POLICY)
        units = [partial(queue_take, take=take, decision_id=decision.decision_id, now=decision.at) for take in decision.takes]
        missing = [take.offer_id for take, got in zip(decision.takes, await run(client, units), strict=True) if got != 1]
        if missing:
            situation = replace(situation, refused={**situation.refused, missing[0]: "stock"})
            continue
        wanted = Commitment(
            shard=7, customer=customer, now=decision.at, keep_ms=CATALOGUE.longest_window_ms, claims=decision.claims
        )
        told = outcome((await run(client, [partial(queue_commit, wanted=wanted)]))[0])
        if not isinstance(told, Refusal):
            for offer in decision.offers if number % 3 == 0 else ():
                view = partial(
                    queue_mark,
                    shard=7,
                    customer=customer,
                    decision_id=decision.decision_id,
                    offer_id=offer.offer_id,
                    placement=offer.placement,
                    state=VIEWED,
                    at=decision.at,
                )
                await run(client, [view, view])
            return isinstance(told, Committed)
        situation = replace(situation, refused={**situation.refused, told.offer_id: told.stage})
    return False


def test_neither_caps_nor_stock_are_exceeded_by_concurrent_decisions(redis_url: str) -> None:
    number = count()

    async def worker(client: "Redis", place: int) -> int:
        admitted = 0
        for _ in range(12):
            customer = CUSTOMERS[place % len(CUSTOMERS)]
            stale = await read_ledger(client, 7, customer)
            await asyncio.sleep(0)
            admitted += await one_decision(client, customer, next(number), stale)
        return admitted

    async def everybody() -> tuple[int, list[Ledger], list[Any]]:
        async with Redis.from_url(redis_url) as client:
            admitted = sum(await asyncio.gather(*(worker(client, place) for place in range(9))))
            ledgers = [await read_ledger(client, 7, customer) for customer in CUSTOMERS]
            return admitted, ledgers, await run(client, [partial(queue_left, pool=f"o-{n}", now=shop.NOON) for n in range(2)])

    admitted, ledgers, taken = asyncio.run(everybody())

    assert admitted > 0
    assert all(units <= 4 for units in taken)
    for ledger in ledgers:
        assert 0 < counted(ledger, CapClaim("sell", 9, 24 * 3_600_000), shop.NOON) <= 9
        for claims in CATALOGUE.columns.caps:
            assert all(counted(ledger, cap, shop.NOON) <= cap.count for cap in claims)


def test_a_full_ledger_admits_nothing_and_forgets_nothing() -> None:
    entries = tuple(
        Entry((f"d-{n}",), "other", "hero", VIEWED, Millis(shop.NOON), Millis(0), ("o:other",)) for n in range(MOST_ENTRIES)
    )
    full = Ledger(entries=entries)
    offers: list[Offer] = [shop.offer("a"), shop.offer("house", "fallback")]
    policy = shop.policy()
    catalogue = shop.catalogue(offers, policy)

    decision = decide(shop.situation(ANNA, ledger=full), catalogue, shop.scorers(catalogue), policy)
    unaware = decide(shop.situation(ANNA), catalogue, shop.scorers(catalogue), policy)

    assert [offer.offer_id for offer in decision.offers] == ["house"]
    assert decision.placements[0].reason == "capped"
    assert commit(full, unaware.claims, (), shop.NOON, catalogue.longest_window_ms) == Refusal("a", "hero", "cap")
