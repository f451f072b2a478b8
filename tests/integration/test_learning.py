"""The learner on a real Redis: nothing lost, nothing learned twice, one owner, and the journal relearns to the bit."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.decisioning.offer_features import OFFER_NAMES
from engine.errors import Fenced
from engine.features.affinity import CROSS_NAMES
from engine.features.vector import NAMES
from engine.models.base import Example, recorded
from engine.models.journal import encode_example, relearn
from engine.models.roster import learners
from engine.models.scoring import ChurnScorer, OfferScorer
from engine.models.snapshot import decode_snapshot, encode_state
from engine.moments import WEEK
from engine.profiles.profile import Part, Profile
from engine.profiles.purchases import Purchase, Purchases
from engine.store import keys
from engine.store.codec import encode_pair, encode_profile
from engine.store.embedded import start_embedded
from engine.store.redis_learner import HEAD, RedisLearnerStore, state_key
from flows.learn import EXIT_FENCED, Learning, product_inputs

SHARDS = 4
NOON = 1_489_147_200_000
INPUTS = product_inputs()
SIZES = {
    "churn": (len(NAMES), INPUTS.customer_fingerprint),
    "next_best_offer": (len(NAMES) + len(INPUTS.offer_names) + len(INPUTS.cross_names), INPUTS.arm_fingerprint),
}


@pytest.fixture
def store(redis_url: str) -> Iterator[RedisLearnerStore]:
    opened = RedisLearnerStore(redis_url)
    yield opened
    opened.close()


def put(store: RedisLearnerStore, count: int, seed: int = 0) -> None:
    """Append examples of both models to the streams of all shards."""
    chance = np.random.default_rng(seed)
    pipe = store.client.pipeline(transaction=False)
    for number in range(count):
        model = ("churn", "next_best_offer")[number % 2]
        size, fingerprint = SIZES[model]
        example = Example(
            model=model,
            id=f"{seed}-{number}",
            customer=f"u:{number}",
            opened_at=0,
            closed_at=number,
            label=float(chance.random() < 0.3),
            fingerprint=fingerprint,
            vector=recorded(chance.lognormal(size=size)),
            offer_id=f"offer-{number % 7}",
            propensity=0.1,
        )
        pipe.xadd(keys.examples(number % SHARDS), {"x": encode_example(example)})
    pipe.execute()


def learning(store: RedisLearnerStore, most: int = 40) -> Learning:
    return Learning(store, INPUTS, SHARDS, most=most, spacing_ms=0, wall_ms=lambda: NOON)


def drained(course: Learning) -> Learning:
    while course.take(1):
        pass
    course.commit(0.0)
    return course


def bits(course: Learning) -> dict[str, bytes]:
    return {name: encode_state(learner.state()) for name, learner in course.learners.items()}


def relearned(store: RedisLearnerStore) -> dict[str, bytes]:
    again = relearn(store.journal(), store.between, lambda: learners(INPUTS))
    return {name: encode_state(learner.state()) for name, learner in again.items()}


def test_a_restart_at_any_commit_ends_in_the_bits_that_the_journal_relearns(store: RedisLearnerStore) -> None:
    for seed in range(6):
        put(store, 60, seed)
        course = learning(store)
        course.take(1)
        course.take(1)
        if seed % 2:
            course.commit(0.0)

    last = drained(learning(store))

    assert sum(last.learners[name].version for name in SIZES) == 360
    assert bits(last) == relearned(store)
    assert bits(learning(store)) == bits(last)


def test_a_model_that_joins_later_learns_from_there_on_and_the_journal_says_so(store: RedisLearnerStore) -> None:
    put(store, 40)
    drained(learning(store))
    store.client.delete(state_key("churn"))
    put(store, 40, seed=1)

    course = drained(learning(store))

    assert course.learners["churn"].version == 20
    assert bits(course) == relearned(store)


def test_published_numbers_serve(store: RedisLearnerStore) -> None:
    put(store, 200)
    course = drained(learning(store))

    churn = decode_snapshot(store.client.get(keys.snapshot("churn")), INPUTS.customer_fingerprint)  # type: ignore[arg-type]
    offers = decode_snapshot(store.client.get(keys.snapshot("next_best_offer")), INPUTS.arm_fingerprint)  # type: ignore[arg-type]

    assert (churn.version, offers.version) == (100, 100)
    assert churn.checksum() == course.learners["churn"].publish().checksum()
    assert ChurnScorer(NAMES, churn).version == 100
    assert OfferScorer(offers, INPUTS.arm_fingerprint).version == 100


def test_an_empty_system_has_snapshots_that_know_nothing(store: RedisLearnerStore) -> None:
    drained(learning(store))

    offers = decode_snapshot(store.client.get(keys.snapshot("next_best_offer")))  # type: ignore[arg-type]

    assert offers.version == 0
    assert OfferScorer(offers).score(
        np.zeros(len(NAMES)), np.zeros((1, len(OFFER_NAMES))), np.zeros((1, len(CROSS_NAMES)))
    ) == pytest.approx(0.5)


def test_whoever_commits_second_is_fenced_and_changes_nothing(store: RedisLearnerStore) -> None:
    put(store, 80)
    first, second = learning(store), learning(store)
    first.take(1)
    first.commit(0.0)
    put(store, 8, seed=1)
    second.take(1)
    second.take(1)
    held = store.client.mget(HEAD, state_key("churn"))

    with pytest.raises(Fenced):
        second.commit(0.0)

    assert store.client.mget(HEAD, state_key("churn")) == held


def test_two_that_did_the_very_same_are_one(store: RedisLearnerStore) -> None:
    put(store, 80)
    first, second = learning(store), learning(store)
    for course in (first, second):
        course.take(1)
        course.commit(0.0)

    assert bits(first) == bits(second) == relearned(store)
    assert store.client.xlen("lrn:journal") == 1


def test_a_commit_whose_answer_was_lost_is_recognised(store: RedisLearnerStore) -> None:
    put(store, 40)
    course = learning(store)
    course.take(1)
    prepared = course._prepared()

    answers = [store.commit(prepared), store.commit(prepared)]

    assert answers == ["written", "already"]
    assert store.client.xlen("lrn:journal") == 1


def test_examples_that_nobody_can_read_are_passed_over(store: RedisLearnerStore) -> None:
    store.client.xadd(keys.examples(1), {"x": b"\xff\xfe"})
    store.client.xadd(keys.examples(1), {"y": b"?"})
    put(store, 8)

    course = drained(learning(store))

    assert sum(course.learners[name].version for name in SIZES) == 8
    assert bits(course) == relearned(store)


def test_a_model_of_another_make_begins_afresh_and_the_journal_says_so(store: RedisLearnerStore) -> None:
    put(store, 40)
    drained(Learning(store, product_inputs(horizon_days=7.0), SHARDS, spacing_ms=0))
    put(store, 40, seed=1)

    course = drained(learning(store))

    assert course.learners["churn"].version == 20
    assert course.learners["next_best_offer"].version == 40
    assert bits(course) == relearned(store)


def test_what_everybody_buys_is_published_with_the_offers(store: RedisLearnerStore) -> None:
    store.client.hset(keys.popularity(0), mapping={"": encode_pair((3.0, 1000)), "tea": encode_pair((1.0, 1000))})
    store.client.hset(keys.popularity(3), mapping={"": encode_pair((1.0, 1000)), "tea": encode_pair((1.0, 1000))})
    course = learning(store)

    course.look_around(10.0)
    course.commit(10.0)

    snapshot = decode_snapshot(store.client.get(keys.snapshot("next_best_offer")))  # type: ignore[arg-type]
    assert OfferScorer(snapshot).popularity == {"tea": pytest.approx(0.5)}


def test_what_goes_along_with_what_is_learned_from_profiles_and_outlives_a_restart(store: RedisLearnerStore) -> None:
    for number in range(400):
        habit, next_one = (("nappies", "baby food"), ("leash", "dog food"))[number % 2]
        bought = Purchases()
        for week, name in enumerate((habit, habit, next_one)):
            purchase = Purchase(key=bytes([week]), at=1_480_000_000_000 + week * WEEK, joined_categories=name)
            bought = bought.bought(purchase)
        profile = Profile(f"u:{number}", {f"u:{number}": Part(purchases=bought)})
        store.client.set(keys.profile(number % SHARDS, profile.key), encode_profile(profile))
    counts = {name: encode_pair((100.0, 1000)) for name in ("nappies", "baby food", "leash", "dog food")}
    for name, pair in {"": encode_pair((400.0, 1000)), **counts}.items():
        store.client.hset(keys.popularity(0), name, pair)

    course = learning(store)
    for second in range(0, 30, 3):
        course.look_around(float(second))
    course.commit(30.0)
    after = learning(store)
    after.look_around(40.0)
    after.commit(40.0)

    snapshot = decode_snapshot(store.client.get(keys.snapshot("next_best_offer")))  # type: ignore[arg-type]
    companions = OfferScorer(snapshot).companions
    place = {name: index for index, name in enumerate(companions.names)}
    assert companions.weights[1 + place["nappies"], place["baby food"]] > 0.05
    assert companions.weights[1 + place["leash"], place["baby food"]] < 0.0


def a_process(redis_url: str) -> subprocess.Popen[bytes]:
    start = "import sys; from flows.learn import main; sys.exit(main(redis_url=sys.argv[1]))"
    return subprocess.Popen(
        [sys.executable, "-c", start, redis_url],
        env={**os.environ, "REGULARS_SHARDS": str(SHARDS), "REGULARS_LEARN_PUBLISH_MS": "50"},
        stderr=subprocess.DEVNULL,
    )


def learned_so_far(store: RedisLearnerStore) -> int:
    raws = [store.client.get(keys.snapshot(model)) for model in SIZES]
    return sum(decode_snapshot(raw).version for raw in raws if isinstance(raw, bytes))


def wait_until_learned(store: RedisLearnerStore, count: int) -> None:
    until = time.monotonic() + 20
    while learned_so_far(store) < count:
        assert time.monotonic() < until, "the learner does not get there"
        time.sleep(0.02)


def test_killed_and_asked_to_stop_it_loses_and_doubles_nothing(store: RedisLearnerStore, redis_url: str) -> None:
    process = a_process(redis_url)
    put(store, 120)
    wait_until_learned(store, 40)
    process.send_signal(signal.SIGKILL)
    process.wait()
    put(store, 80, seed=1)

    process = a_process(redis_url)
    wait_until_learned(store, 200)
    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=10) == 0
    course = learning(store)
    assert course.take(1) == 0
    assert bits(course) == relearned(store)
    assert sum(course.learners[name].version for name in SIZES) == 200


def test_a_fenced_process_stops_with_its_own_exit_code(store: RedisLearnerStore, redis_url: str) -> None:
    process = a_process(redis_url)
    until = time.monotonic() + 20
    while not store.client.exists(HEAD):
        assert time.monotonic() < until
        time.sleep(0.02)

    put(store, 8)
    store.client.set(HEAD, "somebody else")
    put(store, 8, seed=1)

    assert process.wait(timeout=20) == EXIT_FENCED


def test_while_redis_is_away_the_learner_waits_and_keeps_what_it_has(short_path: Path) -> None:
    server = start_embedded(short_path, maxmemory_mb=64, persistence="always")
    store = RedisLearnerStore(server.url)
    put(store, 40)
    process = a_process(server.url)
    try:
        wait_until_learned(store, 40)
        server.stop()
        time.sleep(0.3)
        server = start_embedded(short_path, maxmemory_mb=64, persistence="always")
        put(store, 40, seed=1)
        wait_until_learned(store, 80)
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=10) == 0
        assert bits(learning(store)) == relearned(store)
    finally:
        process.kill()
        process.wait()
        store.close()
        server.stop()
