"""The ledger's scripts on a real Redis say and do what the pure ledger does, whatever the order of calls."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from itertools import count
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from engine.decisioning.decision import Take
from engine.decisioning.frequency import binds
from engine.decisioning.ledger import (
    EMPTY,
    REDEEMED,
    RESERVED,
    VIEWED,
    CapClaim,
    Claim,
    Entry,
    Ledger,
    Refusal,
    Sticky,
    StickyOffer,
    commit,
    mark,
)
from engine.decisioning.ledger import count as counted
from engine.decisioning.pools import Pool
from engine.moments import DAY, HOUR, MINUTE, Millis
from engine.store import keys, redis_ledger
from engine.store.redis_ledger import Commitment, Committed, Conflict, Stored, outcome, queue_commit, queue_mark

START = 1_772_452_800_000
KEEP = 7 * DAY
MAIL = CapClaim("t:drinks", 1, 2 * HOUR, ("x:email",))
CAPS = {
    "a": (CapClaim("o:a", 2, DAY), CapClaim("c:weeks", 3, 2 * DAY)),
    "b": (CapClaim("o:b", 1, HOUR), CapClaim("c:weeks", 3, 2 * DAY), CapClaim("t:drinks", 2, 3 * HOUR), MAIL),
    "c": (CapClaim("t:drinks", 2, 3 * HOUR), MAIL),
}
ON = {"hero": ("x:web",), "till": ("x:pos", "x:email")}
SCOPES = {"a": ("o:a", "c:weeks"), "b": ("o:b", "c:weeks", "t:drinks"), "c": ("o:c", "t:drinks")}
T = TypeVar("T")

offers = st.sampled_from(sorted(CAPS))
placements = st.sampled_from(["hero", "till"])
waits = st.sampled_from([0, 1, MINUTE, 20 * MINUTE, 31 * MINUTE, HOUR, 5 * HOUR, DAY, 3 * DAY])
decided = st.tuples(st.just("decide"), waits, placements, st.lists(offers, min_size=1, max_size=3, unique=True))
marked = st.tuples(st.just("mark"), waits, st.sampled_from([VIEWED, REDEEMED]), st.integers(0, 5), offers, placements)
histories = st.lists(st.one_of(decided, marked), max_size=25)


def claims_of(decision: str, chosen: list[str], placement: str, now: int, shown: bool = False) -> tuple[Claim, ...]:
    return tuple(
        Claim(
            Entry(
                (decision,),
                offer,
                placement,
                VIEWED if shown else RESERVED,
                Millis(now),
                Millis(now + 30 * MINUTE),
                SCOPES[offer] + ON.get(placement, ()),
            ),
            tuple(cap for cap in CAPS[offer] if binds(cap, ON.get(placement, ()))),
        )
        for offer in chosen
    )


def on_redis(url: str, work: Callable[[Redis], Coroutine[Any, Any, T]]) -> T:
    """Runs a coroutine function with a client of its own."""

    async def connected() -> T:
        async with Redis.from_url(url) as client:
            return await work(client)

    return asyncio.run(connected())


async def asked(client: Redis, call: Callable[[Any], None]) -> Any:
    return (await redis_ledger.run(client, [call]))[0]


async def committed(client: Redis, wanted: Commitment) -> redis_ledger.Outcome:
    return outcome(await asked(client, lambda pipe: queue_commit(pipe, wanted)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories)
def test_script_and_pure_ledger_agree_after_every_call(redis_url: str, history: list[tuple[Any, ...]]) -> None:
    async def replay(client: Redis) -> None:
        await client.flushall()
        ledger, now = EMPTY, START
        for step, (what, wait, *rest) in enumerate(history):
            now += wait
            if what == "decide":
                placement, chosen = rest
                claims = claims_of(f"d-{step}", chosen, placement, now, shown=placement == "till")
                sticky = (Sticky(placement, f"d-{step}", Millis(now + HOUR), 1, (StickyOffer(chosen[0], 0.5, 0.25, 3.0),)),)
                expected = commit(ledger, claims, sticky, now, KEEP)
                wanted = Commitment(shard=7, customer="u:anna", now=now, keep_ms=KEEP, claims=claims, sticky=sticky)
                answer = await committed(client, wanted)
                assert answer == (expected if isinstance(expected, Refusal) else Committed())
                ledger = ledger if isinstance(expected, Refusal) else expected
            else:
                state, back, offer, placement = rest
                ledger, made_by = mark(ledger, f"d-{step - back}", offer, placement, state, now)
                view = partial(
                    queue_mark,
                    shard=7,
                    customer="u:anna",
                    decision_id=f"d-{step - back}",
                    offer_id=offer,
                    placement=placement,
                    state=state,
                    at=now,
                )
                answer = await asked(client, view)
                assert answer.decode() == made_by
            assert await redis_ledger.read_ledger(client, 7, "u:anna") == ledger

    on_redis(redis_url, replay)


@settings(max_examples=40, deadline=None)
@given(
    decisions=st.lists(st.tuples(st.lists(offers, min_size=1, max_size=3, unique=True), st.booleans()), max_size=30),
    views=st.lists(st.tuples(st.integers(0, 30), offers), max_size=15),
)
def test_admitted_decisions_never_exceed_a_cap(decisions: list[tuple[list[str], bool]], views: list[tuple[int, str]]) -> None:
    ledger, now = EMPTY, START
    for step, (chosen, shown) in enumerate(decisions):
        now += 7 * MINUTE
        after = commit(ledger, claims_of(f"d-{step}", chosen, f"p-{step}", now, shown), (), now, KEEP)
        if isinstance(after, Ledger):
            ledger = after
            for offer in chosen:
                for cap in CAPS[offer]:
                    assert counted(ledger, cap, now) <= cap.count
        for back, offer in views[:3]:
            live = [one for one in ledger.entries if one.offer_id == offer and one.expires > now]
            if live:
                ledger, _ = mark(ledger, f"d-{step - back}", offer, "", VIEWED, now)


def test_concurrent_decisions_of_many_processes_never_exceed_a_cap(redis_url: str) -> None:
    number = count()

    async def process(client: Redis) -> list[redis_ledger.Outcome]:
        answers = []
        for _ in range(10):
            step = next(number)
            claims = claims_of(f"d-{step}", ["a"], f"placement-{step}", START)
            wanted = Commitment(shard=7, customer="u:anna", now=START, keep_ms=KEEP, claims=claims)
            answers.append(await committed(client, wanted))
        return answers

    async def race(client: Redis) -> list[redis_ledger.Outcome]:
        return [one for answers in await asyncio.gather(*(process(client) for _ in range(20))) for one in answers]

    answers = on_redis(redis_url, race)

    assert sum(isinstance(answer, Committed) for answer in answers) == 2
    assert {answer.stage for answer in answers if isinstance(answer, Refusal)} == {"cap"}


def test_repeated_request_gets_the_first_answer_and_takes_nothing(redis_url: str) -> None:
    async def twice(client: Redis) -> tuple[redis_ledger.Outcome, redis_ledger.Outcome, Ledger, int]:
        answers = [
            await committed(
                client,
                Commitment(
                    shard=7,
                    customer="u:anna",
                    now=START,
                    keep_ms=KEEP,
                    claims=claims_of(decision, ["a"], "till", START, shown=True),
                    log={"e": b"{}", "h": b"\xff\x00", "k": b"u:anna"},
                    request_id="r-1",
                    request_hash="same",
                    body=body,
                ),
            )
            for decision, body in (("d-1", b'{"first": true}\n'), ("d-2", b'{"second": true}'))
        ]
        ledger = await redis_ledger.read_ledger(client, 7, "u:anna")
        return answers[0], answers[1], ledger, await client.xlen(keys.events(7))

    first, second, ledger, logged = on_redis(redis_url, twice)

    assert (first, second) == (Committed(), Stored(b'{"first": true}\n'))
    assert [entry.decision_id for entry in ledger.entries] == ["d-1"]
    assert logged == 1


def test_request_id_of_another_request_is_a_conflict(redis_url: str) -> None:
    async def twice(client: Redis) -> redis_ledger.Outcome:
        for request_hash in ("one", "other"):
            wanted = Commitment(
                shard=7, customer="u:anna", now=START, keep_ms=KEEP, request_id="r-1", request_hash=request_hash, body=b"x"
            )
            answer = await committed(client, wanted)
        return answer

    assert on_redis(redis_url, twice) == Conflict()


def test_refused_decision_writes_nothing_at_all(redis_url: str) -> None:
    async def refused(client: Redis) -> tuple[redis_ledger.Outcome, Ledger, Ledger, list[str | bytes]]:
        for step in range(2):
            claims = claims_of(f"d-{step}", ["b"], f"p-{step}", START)
            before = await redis_ledger.read_ledger(client, 7, "u:anna")
            answer = await committed(
                client,
                Commitment(
                    shard=7,
                    customer="u:anna",
                    now=START,
                    keep_ms=KEEP,
                    claims=claims,
                    log={"e": b"{}"} if step else {},
                    request_id="r-2" if step else "",
                ),
            )
        return answer, before, await redis_ledger.read_ledger(client, 7, "u:anna"), await client.keys("*")

    answer, before, after, names = on_redis(redis_url, refused)

    assert answer == Refusal("b", "p-1", "cap")
    assert before == after
    assert names == [keys.ledger(7, "u:anna").encode()]


def test_scripts_are_taught_again_after_the_server_forgot_them(redis_url: str) -> None:
    async def forgotten(client: Redis) -> redis_ledger.Outcome:
        wanted = Commitment(shard=7, customer="u:anna", now=START, keep_ms=KEEP)
        await committed(client, wanted)
        await client.script_flush()
        return await committed(client, wanted)

    assert on_redis(redis_url, forgotten) == Committed()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    capacity=st.integers(0, 4),
    steps=st.lists(
        st.tuples(st.sampled_from(["take", "keep", "release"]), st.integers(0, 6), st.sampled_from([0, MINUTE, HOUR])),
        max_size=40,
    ),
)
def test_stock_is_never_exceeded_and_comes_back_when_not_used(
    redis_url: str, capacity: int, steps: list[tuple[str, int, int]]
) -> None:
    async def shop(client: Redis) -> None:
        await client.flushall()
        now, until = START, dict[str, float]()
        for what, number, wait in steps:
            now += wait
            held = {name for name, end in until.items() if end > now}
            decision = f"d-{number}"
            if what == "take":
                take = Take("a", "a", capacity, Millis(now + 30 * MINUTE))
                got = await asked(client, partial(redis_ledger.queue_take, take=take, decision_id=decision, now=now))
                assert bool(got) == (decision in held or len(held) < capacity)
                if got:
                    until[decision] = max(until.get(decision, 0.0), float(now + 30 * MINUTE))
            elif what == "keep":
                seen = partial(redis_ledger.queue_seen, pool=Pool("a", "units", capacity), decision_id=decision, offer_id="a")
                await asked(client, partial(seen, state=VIEWED, at=now, now=now))
                if decision in held or len(held) < capacity:
                    until[decision] = float("inf")
            else:
                await asked(
                    client, partial(redis_ledger.queue_release, take=Take("a", "a", capacity, Millis(now)), decision_id=decision)
                )
                until.pop(decision, None)
            taken = await asked(client, partial(redis_ledger.queue_left, pool="a", now=now))
            assert taken == sum(end > now for end in until.values())

    on_redis(redis_url, shop)


@pytest.mark.parametrize("state", [VIEWED, REDEEMED])
def test_view_of_an_unknown_customer_is_no_error(redis_url: str, state: int) -> None:
    async def mark_nothing(client: Redis) -> Any:
        return await asked(
            client,
            lambda pipe: queue_mark(pipe, 7, "u:nobody", decision_id="d-1", offer_id="a", placement="", state=state, at=START),
        )

    assert on_redis(redis_url, mark_nothing) == b""
