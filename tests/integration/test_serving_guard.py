"""What is served when labels go wrong: the last good version, once, soon, and until an operator says otherwise."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import regulars
from engine.features.vector import NAMES
from engine.models.base import Example, recorded
from engine.models.churn import ChurnLearner
from engine.models.guard import DRIFT, NON_FINITE, OPERATOR, Record, record_of
from engine.models.journal import encode_example, relearn_lineup
from engine.models.lineup import Command, encode_command
from engine.models.roster import learners
from engine.models.snapshot import Numbers, Snapshot, decode_snapshot, decode_state, encode_state
from engine.store import keys
from engine.store.redis_learner import RedisLearnerStore, guard_key
from flows.learn import Learning, product_inputs

SHARDS = 4
NOON = 1_489_147_200_000
INPUTS = product_inputs()
GOOD = 1400

Poison = Callable[[Numbers, np.random.Generator], Numbers]


def flipped(share: float) -> Poison:
    return lambda labels, chance: np.abs(labels - (chance.random(len(labels)) < share))


POISONS: dict[str, Poison] = {
    "all flipped": lambda labels, _: 1.0 - labels,
    "three in ten flipped": flipped(0.3),
    "all one": lambda labels, _: np.ones(len(labels)),
    "all zero": lambda labels, _: np.zeros(len(labels)),
    "a coin": lambda labels, chance: (chance.random(len(labels)) < 0.5).astype(np.float64),
    "another customer's": lambda labels, chance: chance.permutation(labels),
}


@pytest.fixture
def store(redis_url: str) -> Iterator[RedisLearnerStore]:
    opened = RedisLearnerStore(redis_url)
    yield opened
    opened.close()


class World:
    """Customers who leave when they have been away for long, and what is known of them at some boundary."""

    def __init__(self, store: RedisLearnerStore, seed: int = 0) -> None:
        self._store = store
        self._chance = np.random.default_rng(seed)
        self._number = 0

    def put(self, count: int, poison: Poison | None = None) -> None:
        """Append labels to the streams of all shards, poisoned or as they are."""
        readings = self._chance.lognormal(size=(count, len(NAMES)))
        recency = np.log(readings[:, NAMES.index("rfm.recency")])
        labels = (self._chance.random(count) < 1.0 / (1.0 + np.exp(2.0 - 1.8 * recency))).astype(np.float64)
        if poison:
            labels = poison(labels, self._chance)
        pipe = self._store.client.pipeline(transaction=False)
        for vector, label in zip(readings, labels.tolist(), strict=True):
            self._number += 1
            example = Example(
                model="churn",
                id=f"u:{self._number}|0",
                customer=f"u:{self._number}",
                opened_at=0,
                closed_at=self._number,
                label=label,
                fingerprint=INPUTS.customer_fingerprint,
                vector=recorded(vector),
            )
            pipe.xadd(keys.examples(self._number % SHARDS), {"x": encode_example(example)})
        pipe.execute()


def learning(store: RedisLearnerStore) -> Learning:
    return Learning(store, INPUTS, SHARDS, most=400, spacing_ms=0, wall_ms=lambda: NOON)


def drained(course: Learning) -> Learning:
    while course.take(1):
        course.commit(0.0)
    course.commit(0.0)
    return course


def served(store: RedisLearnerStore) -> Snapshot:
    raw = store.client.get(keys.snapshot("churn"))
    assert isinstance(raw, bytes)
    return decode_snapshot(raw)


def record(store: RedisLearnerStore) -> Record:
    raw = store.client.get(guard_key("churn"))
    assert isinstance(raw, bytes)
    return record_of(decode_state(raw))


def asked(store: RedisLearnerStore, course: Learning, **command: object) -> Record:
    store.ask(encode_command(Command(model="churn", **command)))  # type: ignore[arg-type]
    drained(course)
    return record(store)


def bits(course: Learning) -> dict[str, bytes]:
    return {name: encode_state(learner.state()) for name, learner in course.learners.items()} | {
        f"guard {name}": encode_state(guard.state(course.learners[guard.source].report()))
        for name, guard in course.lineup.guards.items()
    }


def relearned(store: RedisLearnerStore) -> dict[str, bytes]:
    again = relearn_lineup(store.journal(), store.between, lambda: learners(INPUTS))
    return {name: encode_state(learner.state()) for name, learner in again.learners.items()} | {
        f"guard {name}": encode_state(guard.state(again.learners[guard.source].report())) for name, guard in again.guards.items()
    }


@pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)
def test_poisoned_labels_bring_the_last_good_version_back_within_500_labels_once(
    store: RedisLearnerStore, poison: Poison
) -> None:
    world, course = World(store), learning(store)
    world.put(GOOD)
    drained(course)
    world.put(500, poison)
    drained(course)
    first = (record(store), served(store).checksum())
    world.put(600, poison)
    world.put(200)

    drained(course)

    last = record(store)
    assert first[0].frozen == DRIFT
    assert served(store).version == first[0].served <= GOOD
    assert served(store).checksum() == first[1]
    assert (last.rollbacks, last.alarms, last.served) == (1, 1, first[0].served)
    assert course.learners["churn"].version == GOOD + 1300
    assert bits(course) == relearned(store)
    assert bits(learning(store)) == bits(course)


def test_clean_labels_are_served_as_they_are_learned(store: RedisLearnerStore) -> None:
    world, course = World(store, seed=1), learning(store)
    world.put(3000)

    drained(course)

    assert (record(store).frozen, record(store).rollbacks, served(store).version) == ("", 0, 3000)
    assert [one.version for one in record(store).kept] == sorted({one.version for one in record(store).kept})
    assert 4 <= len(record(store).kept) <= 20
    assert len(list(store.client.scan_iter("lrn:kept:churn:*"))) == len(record(store).kept)


def test_a_number_that_is_not_finite_is_never_published_and_learning_goes_on(store: RedisLearnerStore) -> None:
    world, course = World(store, seed=2), learning(store)
    world.put(1200)
    drained(course)
    learner = course.learners["churn"]
    assert isinstance(learner, ChurnLearner)
    learner.logit._weights[3] = np.nan
    world.put(40)

    drained(course)

    told = record(store)
    assert (told.frozen, told.rollbacks, served(store).version) == (NON_FINITE, 1, told.kept[-1].version)
    assert all(np.isfinite(array).all() for array in served(store).arrays.values())
    world.put(400)
    drained(course)
    assert course.learners["churn"].version == told.served + 400
    assert served(store).version == told.served


def test_before_any_good_version_broken_numbers_begin_afresh_and_nothing_else(store: RedisLearnerStore) -> None:
    world, course = World(store, seed=3), learning(store)
    world.put(40)
    drained(course)
    learner = course.learners["churn"]
    assert isinstance(learner, ChurnLearner)
    learner.logit._weights[3] = np.inf
    world.put(40)

    drained(course)
    world.put(40)
    drained(course)

    assert (record(store).frozen, served(store).version) == ("", 40)


def test_an_operator_freezes_thaws_and_rolls_back_and_the_journal_repeats_it(store: RedisLearnerStore) -> None:
    world, course = World(store, seed=4), learning(store)
    world.put(1600)
    drained(course)

    frozen = asked(store, course, action="freeze", why="a price test", id="1")
    world.put(400)
    drained(course)
    assert (frozen.frozen, frozen.why, frozen.served) == (OPERATOR, "a price test", 1600)
    assert (served(store).version, course.learners["churn"].version) == (1600, 2000)

    course = learning(store)
    thawed = asked(store, course, action="thaw", id="2")
    assert (thawed.frozen, served(store).version) == ("", 2000)

    back = asked(store, course, action="rollback", id="3")
    assert (back.frozen, back.served) == (OPERATOR, thawed.kept[-1].version)
    further = asked(store, course, action="rollback", version=thawed.kept[0].version, id="4")
    assert served(store).version == further.served == thawed.kept[0].version

    from_there = asked(store, course, action="thaw", from_served=True, id="5")
    assert served(store).version == course.learners["churn"].version == further.served
    assert [one.version for one in from_there.kept] == [further.served]
    assert [note.id for note in from_there.notes] == ["1", "2", "3", "4", "5"]

    world.put(400)
    drained(course)
    assert bits(course) == relearned(store)
    assert bits(learning(store)) == bits(course)


def test_what_cannot_be_obeyed_is_refused_with_its_reason(store: RedisLearnerStore) -> None:
    course = learning(store)
    store.ask(b"no command at all")
    store.ask(encode_command(Command("freeze", "no such model")))

    told = [asked(store, course, **command).notes[-1] for command in (
        {"action": "thaw"},
        {"action": "rollback"},
        {"action": "rollback", "version": 77},
        {"action": "promote"},
        {"action": "dance"},
    )]  # fmt: skip

    assert all(note.refused for note in told)
    assert [note.why for note in told] == [
        "churn is not frozen",
        "no version before 0 is kept: none yet",
        "no version 77 of churn is kept: none yet",
        "churn is what is served",
        "'dance' is not known",
    ]
    assert bits(course) == relearned(store)


# --- the learner as a process, and the command line --------------------------------------------------------------------


@pytest.fixture
def process(redis_url: str) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        begin = "import sys; from flows.learn import main; sys.exit(main(redis_url=sys.argv[1]))"
        environment = {"REGULARS_SHARDS": str(SHARDS), "REGULARS_LEARN_PUBLISH_MS": "10", "REGULARS_LEARN_BATCH_EXAMPLES": "80"}
        words = [sys.executable, "-c", begin, redis_url]
        started.append(subprocess.Popen(words, env={**os.environ, **environment}, stderr=subprocess.DEVNULL))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not true():
        assert time.monotonic() < until, "it does not get there"
        time.sleep(0.005)


def has_learned(store: RedisLearnerStore, count: int) -> bool:
    if not store.client.exists(guard_key("churn")):
        return False
    report = record(store).report
    return report is not None and report.version >= count


def test_killed_in_the_middle_of_a_rollback_it_ends_where_the_journal_ends(
    store: RedisLearnerStore, process: Callable[[], subprocess.Popen[bytes]]
) -> None:
    world, chance = World(store, seed=5), np.random.default_rng(5)
    learner = process()
    world.put(GOOD)
    wait_until(lambda: has_learned(store, GOOD))
    world.put(800, POISONS["three in ten flipped"])
    for _ in range(2):
        time.sleep(chance.random() * 0.1)
        learner.kill()
        learner.wait()
        learner = process()
        before = int(store.client.xlen("lrn:journal"))
        wait_until(lambda before=before: int(store.client.xlen("lrn:journal")) > before)  # type: ignore[misc]

    wait_until(lambda: has_learned(store, GOOD + 800))
    learner.send_signal(signal.SIGTERM)

    assert learner.wait(timeout=20) == 0
    assert (record(store).frozen, record(store).rollbacks) == (DRIFT, 1)
    assert served(store).version == record(store).served <= GOOD
    assert bits(learning(store)) == relearned(store)


def run(redis_url: str, *words: str) -> Result:
    return CliRunner().invoke(regulars.app, ["models", *words, "--redis-url", redis_url])


def told(redis_url: str, *words: str) -> dict[str, object]:
    result = run(redis_url, *words)
    assert result.exit_code == 0, result.output
    line: dict[str, object] = json.loads(result.stdout)
    return line


def test_the_command_line_shows_and_changes_what_is_served(
    store: RedisLearnerStore, redis_url: str, process: Callable[[], subprocess.Popen[bytes]]
) -> None:
    World(store, seed=6).put(1300)
    process()
    wait_until(lambda: has_learned(store, 1300))

    assert told(redis_url, "freeze", "churn", "--why", "a look")["outcome"] == "frozen"
    shown = told(redis_url, "show", "churn", "--json")
    assert (shown["frozen"], shown["why"], shown["served"], shown["version"]) == ("operator", "a look", 1300, 1300)
    kept = shown["kept"]
    assert isinstance(kept, list)
    assert told(redis_url, "rollback", "churn", "--to", str(kept[0]["version"]))["served"] == kept[0]["version"]
    compared = told(redis_url, "show", "churn", "--against", str(kept[-1]["version"]), "--json")
    differences = compared["differences"]
    assert isinstance(differences, dict)
    assert abs(differences["rfm.recency"]) > 0.0
    assert told(redis_url, "unfreeze", "churn")["outcome"] == "thawed"
    assert "not frozen" in run(redis_url, "thaw", "churn").stdout

    listed = run(redis_url, "list").stdout
    assert "churn" in listed
    assert "1300" in listed
    assert "rfm.recency" in run(redis_url, "show", "churn", "--against", str(kept[0]["version"])).stdout
    assert run(redis_url, "rollback", "churn", "--to", "7").exit_code == 2


def test_without_a_learner_a_command_waits_for_one(store: RedisLearnerStore, redis_url: str) -> None:
    drained(learning(store))

    result = run(redis_url, "freeze", "churn", "--why", "nobody is there")

    assert result.exit_code == 1
    assert "no learner runs" in result.stdout
    course = drained(learning(store))
    assert course.lineup.guards["churn"].frozen == OPERATOR


def test_a_model_that_does_not_exist_is_answered_with_the_one_that_may_be_meant(store: RedisLearnerStore, redis_url: str) -> None:
    drained(learning(store))

    result = run(redis_url, "show", "chrun")

    assert result.exit_code == 2
    assert "did you mean 'churn'" in result.stderr
