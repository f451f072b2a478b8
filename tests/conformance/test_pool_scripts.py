"""Budgets and coupon pools on a real Redis: to the minor unit, each code once, and what is not used comes back."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from engine.decisioning.decision import Take
from engine.decisioning.ledger import REDEEMED, VIEWED
from engine.decisioning.pools import Pool
from engine.moments import DAY, HOUR, MINUTE, Millis
from engine.store import keys, redis_ledger
from engine.store.redis_ledger import granted, queue_codes, queue_release, queue_seen, queue_take, queue_used

START = 1_772_452_800_000
HOLD = 30 * MINUTE
COSTS = {"a": (30, 250), "b": (7, 0), "c": (0, 1)}
WEEKS = {name: Pool("campaign:weeks", "budget", 1_000, cost, later, DAY) for name, (cost, later) in COSTS.items()}
CODES = Pool("ten", "codes", 3)
T = TypeVar("T")

offers = st.sampled_from(sorted(COSTS))
waits = st.sampled_from([0, 1, MINUTE, HOLD - 1, HOLD, HOUR, DAY, 2 * DAY])
spending = st.lists(
    st.tuples(st.sampled_from(["take", "decided", "view", "redeem", "release"]), st.integers(0, 5), offers, waits), max_size=40
)
giving = st.lists(st.tuples(st.sampled_from(["take", "view", "release"]), st.integers(0, 6), waits), max_size=40)


def on_redis(url: str, work: Callable[[Redis], Coroutine[Any, Any, T]]) -> T:
    async def connected() -> T:
        async with Redis.from_url(url) as client:
            return await work(client)

    return asyncio.run(connected())


async def asked(client: Redis, call: Callable[[Any], None]) -> Any:
    return (await redis_ledger.run(client, [call]))[0]


def take(pool: Pool, offer: str, now: int, keep: bool = False) -> Take:
    return Take(offer, pool.name, pool.capacity, Millis(now + HOLD), keep, pool.kind, pool.amount, pool.later, pool.window_ms)


class Budget:
    """What a budget should hold: amounts with when they come back."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[int, float]] = {}

    def live(self, now: int) -> int:
        self.held = {name: one for name, one in self.held.items() if one[1] > now}
        return sum(amount for amount, _ in self.held.values())

    def take(self, name: str, cost: int, later: int, now: int, keep: bool) -> bool:
        parts = {name: (cost, float("inf") if keep else now + HOLD), name + "!": (later, now + DAY if keep else now + HOLD)}
        parts = {part: one for part, one in parts.items() if one[0]}
        missing = sum(amount for part, (amount, _) in parts.items() if part not in self.held)
        if self.live(now) + missing > 1_000:
            return False
        for part, (amount, until) in parts.items():
            self.held[part] = (amount, max(until, self.held.get(part, (0, 0.0))[1]))
        return True

    def until(self, name: str, until: float) -> None:
        if name in self.held:
            self.held[name] = (self.held[name][0], max(until, self.held[name][1]) if until else 0.0)

    def seen(self, name: str, amount: int, until: float, now: int) -> None:
        """What came back is taken again where it is left."""
        if name not in self.held and amount and self.live(now) + amount <= 1_000:
            self.held[name] = (amount, until)
        self.until(name, until)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=spending)
def test_a_budget_is_exact_to_the_minor_unit_and_never_exceeded(redis_url: str, steps: list[tuple[str, int, str, int]]) -> None:
    async def spend(client: Redis) -> None:
        await client.flushall()
        now, budget = START, Budget()
        for what, number, offer, wait in steps:
            now += wait
            budget.live(now)
            await asked(client, partial(queue_used, pool=WEEKS[offer], now=now))
            pool, decision = WEEKS[offer], f"d-{number}"
            name = f"{decision}|{offer}"
            if what in ("take", "decided"):
                wanted = take(pool, offer, now, keep=what == "decided")
                got = await asked(client, partial(queue_take, take=wanted, decision_id=decision, now=now))
                assert granted(wanted, got) == budget.take(name, pool.amount, pool.later, now, what == "decided")
            elif what == "release":
                await redis_ledger.run(client, [partial(queue_release, take=take(pool, offer, now), decision_id=decision)])
                budget.until(name, 0.0)
                budget.until(name + "!", 0.0)
            else:
                state = VIEWED if what == "view" else REDEEMED
                seen = partial(queue_seen, pool=pool, decision_id=decision, offer_id=offer, state=state, at=now, now=now)
                await redis_ledger.run(client, [seen, seen])
                budget.seen(name, pool.amount, float("inf"), now)
                budget.seen(name + "!", pool.later, float("inf") if what == "redeem" else now + DAY, now)
            assert await asked(client, partial(queue_used, pool=pool, now=now)) == budget.live(now) <= 1_000

    on_redis(redis_url, spend)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=giving)
def test_a_code_is_one_decisions_at_a_time_and_for_good_once_it_was_seen(
    redis_url: str, steps: list[tuple[str, int, int]]
) -> None:
    async def give(client: Redis) -> None:
        await client.flushall()
        await asked(client, partial(queue_codes, offer_id="ten", codes=("A", "B", "C")))
        now, until, code_of = START, dict[str, float](), dict[str, str]()
        for what, number, wait in steps:
            now += wait
            decision = f"d-{number}"
            if what == "take":
                wanted = take(CODES, "ten", now)
                got = await asked(client, partial(queue_take, take=wanted, decision_id=decision, now=now))
                live = {name for name, end in until.items() if end > now}
                assert granted(wanted, got) == (decision in until or len(live) < 3)
                if granted(wanted, got):
                    code = got.decode()
                    assert code_of.get(decision, code) == code
                    former = {name for name, held in code_of.items() if held == code and name != decision}
                    assert not former & live
                    for name in former:
                        del code_of[name], until[name]
                    code_of[decision], until[decision] = code, max(until.get(decision, 0.0), float(now + HOLD))
            else:
                ends = await client.zscore(keys.codes("ten", "ends"), decision)
                if what == "release":
                    await asked(client, partial(queue_release, take=take(CODES, "ten", now), decision_id=decision))
                else:
                    seen = partial(queue_seen, pool=CODES, decision_id=decision, offer_id="ten", state=VIEWED, at=now, now=now)
                    await asked(client, seen)
                assert (ends is not None) == (decision in until)
                if decision in until:
                    until[decision] = 0.0 if what == "release" else float("inf")
            assert await asked(client, partial(queue_used, pool=CODES, now=now)) == sum(end > now for end in until.values())

    on_redis(redis_url, give)


def test_codes_that_were_given_are_not_given_again_when_the_list_changes(redis_url: str) -> None:
    async def change(client: Redis) -> tuple[bytes, int, int, list[bytes]]:
        await asked(client, partial(queue_codes, offer_id="ten", codes=("A", "B", "C")))
        first = await asked(client, partial(queue_take, take=take(CODES, "ten", START, keep=True), decision_id="d-1", now=START))
        waiting = [
            await asked(client, partial(queue_codes, offer_id="ten", codes=codes)) for codes in (("D", "A", "C"), ("D", "A", "C"))
        ]
        rest = [
            await asked(client, partial(queue_take, take=take(CODES, "ten", START, keep=True), decision_id=f"e-{n}", now=START))
            for n in range(3)
        ]
        return first, waiting[0], waiting[1], rest

    assert on_redis(redis_url, change) == (b"A", 2, 2, [b"D", b"C", b""])


def test_a_budget_that_is_asked_for_at_once_is_not_exceeded_by_one(redis_url: str) -> None:
    async def race(client: Redis) -> tuple[int, int]:
        async def some(worker: int) -> int:
            promised = 0
            for number in range(worker, 240, 20):
                offer = "abc"[number % 3]
                wanted = take(WEEKS[offer], offer, START)
                got = await asked(client, partial(queue_take, take=wanted, decision_id=f"d-{number}", now=START))
                promised += (WEEKS[offer].amount + WEEKS[offer].later) * granted(wanted, got)
            return promised

        promised = sum(await asyncio.gather(*(some(worker) for worker in range(20))))
        return promised, await asked(client, partial(queue_used, pool=WEEKS["a"], now=START))

    promised, held = on_redis(redis_url, race)

    assert promised == held
    assert 900 < held <= 1_000
