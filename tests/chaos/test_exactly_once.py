"""Every event counts once, every label is learned once, whatever is killed and however often it is sent."""

import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from typing import cast

import msgspec
import pytest

from engine.errors import StoreUnavailable
from engine.models.base import Example
from engine.models.journal import relearn
from engine.models.roster import LISTENS, learners
from engine.models.snapshot import encode_state
from engine.moments import DAY
from engine.profiles.profile import Profile
from engine.shards.commit import Entry
from engine.shards.labels import ChurnRule, Labels
from engine.shards.processor import ShardProcessor
from engine.store import keys
from engine.store.codec import decode_profile
from engine.store.embedded import EmbeddedRedis, start_embedded
from engine.store.memory import MemoryStore
from engine.store.redis_learner import RedisLearnerStore, state_key
from engine.store.redis_writer import RedisStore
from flows.learn import product_inputs
from flows.owner import Owner
from flows.runner import run_until_idle
from tests.builders import START
from tests.chaos.processes import FENCED, Progress, Victim, wait_until
from tests.chaos.shop_log import SPAN, ShopLog, Truth


@dataclass(frozen=True)
class Size:
    """How much is sent and how often what is killed."""

    events: int
    customers: int
    kills: int
    shards: int


SMALL = Size(4_000, 100, 3, 8)
FULL = Size(20_000, 500, 10, 32)
PER_BATCH = 50
PATIENCE_S = 60.0

sizes = pytest.mark.parametrize(
    "size", [pytest.param(SMALL, marks=pytest.mark.slow, id="small"), pytest.param(FULL, marks=pytest.mark.chaos, id="full")]
)


@pytest.fixture
def durable(short_path: Path) -> Iterator[EmbeddedRedis]:
    server = start_embedded(short_path, persistence="always")
    yield server
    server.stop()


class Field:
    """Redis, the processes on it, and the log that is being sent."""

    def __init__(self, url: str, folder: Path, size: Size, seed: int) -> None:
        self.size = size
        self.url = url
        self.folder = folder
        self.store = RedisStore(url)
        self.progress = Progress(self.store.client, size.shards)
        self.log = ShopLog(size.events, size.customers, seed)
        self.chance = random.Random(seed)
        self.repeated = 0
        self._batches = self._in_batches()
        self._started: list[Victim] = []

    def victim(self, command: str) -> Victim:
        """A process on this Redis, running; small batches, so that a kill finds it in the middle of its work."""
        environment = {
            "REGULARS_SHARDS": str(self.size.shards),
            "REGULARS_BATCH_EVENTS": "5",
            "REGULARS_LEARN_PUBLISH_MS": "20",
            "REGULARS_LEARN_BATCH_EXAMPLES": "100",
            "REGULARS_CACHE_CUSTOMERS": "100",
        }
        victim = Victim(command, self.url, environment, self.folder / f"{command}-{len(self._started)}.log")
        victim.start()
        self._started.append(victim)
        return victim

    def _in_batches(self) -> list[list[tuple[int, bool]]]:
        """Numbers of events in the order of sending; a fifth of the batches is sent again, at once or a little later."""
        starts = range(0, self.size.events, PER_BATCH)
        fresh = [[(number, False) for number in range(start, min(start + PER_BATCH, self.size.events))] for start in starts]
        placed = [(2 * at, batch) for at, batch in enumerate(fresh)]
        for at in self.chance.sample(range(len(fresh)), len(fresh) // 5):
            later = at + self.chance.choice([0, 0, 3, 7])
            placed.append((2 * later + 1, [(number, True) for number, _ in fresh[at]]))
        return [batch for _, batch in sorted(placed, key=lambda pair: pair[0])]

    def send(self, share: float) -> None:
        """Append the next part of the log, as the door does."""
        most = max(1, round(share * len(self.log.sent) * 1.2 / PER_BATCH))
        now, self._batches = self._batches[:most], self._batches[most:]
        for batch in now:
            self._append([self.log.entry(number, again, self.size.shards) for number, again in batch])
            self.repeated += sum(again for _, again in batch)

    def _append(self, entries: list[tuple[int, Entry]]) -> None:
        """Send, and send again while there is no answer, as any producer does."""
        while True:
            try:
                self.store.append(entries)
            except StoreUnavailable:
                time.sleep(0.05)
            else:
                return

    def finish(self) -> set[int]:
        """Send all that is left and the time that lets every label mature; wait until everything is folded and learned.

        Returns the exit codes of the processes, which are asked to stop then: learners first, since what they announce
        still has to be folded.
        """
        self.send(1.0)
        self._append([(shard, Entry("", tick=START + SPAN + 60 * DAY)) for shard in range(self.size.shards)])
        wait_until(self.progress.folded, PATIENCE_S, self.revive)
        wait_until(lambda: self.progress.learned() == self.progress.examples(), PATIENCE_S)
        codes = {victim.stop() for victim in self._started if victim.command == "learn"}
        wait_until(self.progress.folded, PATIENCE_S, lambda: self.revive("engine"))
        return codes | {victim.stop() for victim in self._started if victim.command != "learn"}

    def revive(self, command: str = "") -> None:
        """Start again what was fenced."""
        for victim in self._started:
            if command in ("", victim.command):
                victim.revive()

    def close(self) -> None:
        """Nothing that was started outlives the test."""
        for victim in self._started:
            victim.abandon()
        self.store.client.close()


@contextmanager
def a_field(server: EmbeddedRedis, size: Size, seed: int) -> Iterator[Field]:
    field = Field(server.url, server.folder, size, seed)
    try:
        yield field
    finally:
        field.close()


def clean_run(field: Field) -> MemoryStore:
    """The same log through the plain loop over a store in memory."""
    memory = MemoryStore()
    for shard in range(field.size.shards):
        after = "0-0"
        while batches := field.store.read({shard: after}, 2_000, 0):
            memory.append([(shard, entry) for entry in batches[0].entries])
            after = batches[0].entries[-1].id
    rules = ShardProcessor(Labels(ChurnRule()), DAY, field.size.shards)
    run_until_idle(Owner(memory, rules, range(field.size.shards)), memory)
    return memory


def examples_of(raws: Iterable[bytes]) -> list[Example]:
    return [msgspec.msgpack.decode(raw, type=Example) for raw in raws]


def told_by(profile: Profile) -> Truth:
    """What a profile says, in the words of the truth; what was counted once and taken back reads as nothing."""
    part = profile.whole
    views = Counter({name: int(part.browsing.viewed.reading(name)[2]) for name in part.browsing.viewed.names})
    bought = Counter({name: int(part.purchases.categories.reading(name)[2]) for name in part.purchases.categories.names})
    offers = part.offers
    return Truth(
        part.purchases.count,
        part.purchases.spend.get("EUR", 0),
        views,
        bought,
        part.service.filed,
        offers.decided,
        offers.shown,
        offers.clicked,
        offers.redeemed,
    )


def assert_the_truth(field: Field) -> None:
    """Every count and amount, customer by customer and in sum, against what was sent."""
    profiles = [field.store.client.get(name) for name in field.store.client.scan_iter("prof:*", count=1_000)]
    held = {one.key: one for one in (decode_profile("", raw) for raw in profiles if isinstance(raw, bytes))}
    for user, truth in field.log.truth.items():
        known = held.get(f"u:{user}") or held.get(f"a:b-{user}") or Profile()
        assert told_by(known) == truth, user
    records = [field.store.open(shard).record.totals for shard in range(field.size.shards)]
    truths = field.log.truth.values()
    assert sum(one.events for one in records) == field.size.events - sum(one.decided for one in truths)
    assert sum(one.duplicates for one in records) >= field.repeated > 0
    assert sum(one.rejected for one in records) == 0
    assert sum(one.purchases for one in records) == sum(one.purchases for one in truths)
    assert sum(one.spend.get("EUR", 0) for one in records) == sum(one.spend for one in truths)
    for name in ("decided", "shown", "clicked", "redeemed"):
        assert sum(getattr(one, f"offers_{name}") for one in records) == sum(getattr(one, name) for one in truths)


def assert_the_bits_of(field: Field, clean: MemoryStore) -> None:
    """Profiles, readings that wait, alarms, labels: bit by bit as a clean run of the same log leaves them."""
    client = field.store.client
    for kind, expected in (
        ("prof", {keys.profile(*name): raw for name, raw in clean.profiles.items()}),
        ("ids", {keys.seen(*name): raw for name, raw in clean.seen.items()}),
        ("wait", {keys.waiting(*name): raw for name, raw in clean.waiting.items()}),
    ):
        assert {name.decode(): client.get(name) for name in client.scan_iter(f"{kind}:*", count=1_000)} == expected
    for shard in range(field.size.shards):
        mine, theirs = field.store.open(shard), clean.open(shard)
        for held in sorted({*mine.__struct_fields__} - {"offset", "salt"}):
            assert (held, getattr(mine, held)) == (held, getattr(theirs, held))
        assert stored_examples(field, shard) == clean.examples[shard]
    assert all(clean.lift[shard] for shard in range(field.size.shards)), "customers were counted for their arms"


def stored_examples(field: Field, shard: int) -> list[bytes]:
    found = cast("list[tuple[bytes, dict[bytes, bytes]]]", field.store.client.xrange(keys.examples(shard)))
    return [fields[b"x"] for _, fields in found]


def assert_learned_once(field: Field) -> Counter[str]:
    """Each matured label once, and the models bit by bit as their journal relearns them; returns labels by model."""
    examples = examples_of(raw for shard in range(field.size.shards) for raw in stored_examples(field, shard))
    assert len({(one.model, one.id) for one in examples}) == len(examples)
    offers = [one for one in examples if one.model == "next_best_offer"]
    truths = field.log.truth.values()
    assert (len(offers), sum(one.label for one in offers)) == (
        sum(one.shown for one in truths),
        sum(one.redeemed for one in truths),
    )
    held = RedisLearnerStore(field.url)
    try:
        again = relearn(held.journal(), held.between, lambda: learners(product_inputs()))
        counts = Counter(one.model for one in examples)
        for name, learner in again.items():
            assert field.store.client.get(state_key(name)) == encode_state(learner.state())
            report = learner.report()
            assert report.version + report.ignored == counts[LISTENS[name]]
            assert (report.foreign, report.unlearnable) == (0, 0)
    finally:
        held.close()
    return counts


def tell(capsys: pytest.CaptureFixture[str], field: Field, labels: Counter[str], what: str, started: float) -> None:
    """The figures, past the capture of output."""
    with capsys.disabled():
        print(
            f"\n{field.size.events} events of {field.size.customers} customers, {field.repeated} sent twice; {what}; "
            f"0 customers differ from the truth, 0 bits from a clean run; labels learned once: {dict(labels)}; "
            f"{time.monotonic() - started:.0f} s"
        )


@sizes
def test_killed_again_and_again_the_engine_and_the_learner_end_where_a_clean_run_ends(
    durable: EmbeddedRedis, size: Size, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    with a_field(durable, size, seed=11) as field:
        engine, learner = field.victim("engine"), field.victim("learn")
        field.send(0.35)
        wait_until(lambda: field.progress.learned() > 0, PATIENCE_S)
        offsets, learned = field.progress.offsets(), field.progress.learned()
        for _ in range(size.kills):
            field.send(0.6 / size.kills)
            wait_until(lambda before=offsets: field.progress.offsets() != before, PATIENCE_S)  # type: ignore[misc]
            time.sleep(field.chance.random() * 0.04)
            engine.kill()
            offsets = field.progress.offsets()
            engine.start()
            wait_until(lambda before=learned: field.progress.learned() > before, PATIENCE_S)  # type: ignore[misc]
            time.sleep(field.chance.random() * 0.04)
            learner.kill()
            learned = field.progress.learned()
            learner.start()

        assert field.finish() == {0}
        assert (engine.kills, learner.kills) == (size.kills, size.kills)
        assert_the_truth(field)
        assert_the_bits_of(field, clean_run(field))
        labels = assert_learned_once(field)
        tell(capsys, field, labels, f"engine and learner killed {size.kills} times each", started)


@sizes
def test_redis_killed_in_the_middle_of_its_writes_loses_nothing_that_it_acknowledged(
    short_path: Path, size: Size, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    server = start_embedded(short_path, persistence="always")
    try:
        with a_field(server, size, seed=13) as field:
            field.victim("engine")
            field.victim("learn")
            for _ in range(size.kills):
                offsets = field.progress.offsets()
                field.send(0.9 / size.kills)
                wait_until(lambda before=offsets: field.progress.offsets() != before, PATIENCE_S)  # type: ignore[misc]
                time.sleep(field.chance.random() * 0.04)
                server.process.kill()
                server.process.wait()
                server = start_embedded(short_path, persistence="always")

            assert field.finish() == {0}
            assert_the_truth(field)
            assert_the_bits_of(field, clean_run(field))
            labels = assert_learned_once(field)
            tell(capsys, field, labels, f"redis-server killed {size.kills} times", started)
    finally:
        server.stop()


@sizes
def test_two_owners_of_the_same_shards_do_no_harm(durable: EmbeddedRedis, size: Size, capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    with a_field(durable, size, seed=12) as field:
        rivals = [field.victim("engine"), field.victim("engine")]
        field.victim("learn")
        for _ in range(2 * size.kills):
            field.revive()
            wait_until(lambda: all(rival.has_opened() for rival in rivals), PATIENCE_S, field.revive)
            field.send(0.9 / (2 * size.kills))

        assert field.finish() <= {0, FENCED, -SIGTERM}, "fenced at the end, or asked to stop while starting"
        fenced = sum(rival.fenced for rival in rivals)
        assert fenced
        assert_the_truth(field)
        assert_the_bits_of(field, clean_run(field))
        labels = assert_learned_once(field)
        tell(capsys, field, labels, f"two owners of every shard, fenced {fenced} times", started)
