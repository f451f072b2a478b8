"""Every due trigger reaches a webhook that often fails, once, whatever is killed meanwhile."""

import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from engine.ids import unit_interval
from engine.moments import rfc3339
from engine.store.embedded import EmbeddedRedis, start_embedded
from engine.store.redis_actions import RedisActions
from tests.chaos.processes import Victim, wait_until
from tests.receiver import Receiver, receiving

SHARDS = 8
PATIENCE_S = 300
PER_REQUEST = 50
POLICY = """\
timezone: UTC
placements:
  message: {channel: email, shown_when: decided}
"""
OFFERS = """\
offers:
  - {id: how-was-it, kind: service, placements: [message], content: {default: {title: "How was it?"}}}
"""
TRIGGERS = """\
triggers:
  - {id: after-a-fitting, event: fitting_finished, placement: message, wait_minutes: 0.03, webhook: shop}
"""


class Size(NamedTuple):
    triggers: int
    kills: int


sizes = pytest.mark.parametrize(
    "size",
    [
        pytest.param(Size(triggers=240, kills=3), id="small", marks=pytest.mark.slow),
        pytest.param(Size(triggers=5_000, kills=20), id="full", marks=pytest.mark.chaos),
    ],
)


def a_third_fails(name: str, nth: int) -> int:
    """Says no to one request in three: with an error, busy, or by hanging up. Which ones does not change from run to run."""
    draw = unit_interval("receiver", name, str(nth))
    return 204 if draw >= 1 / 3 else (503, 429, 0)[int(draw * 9)]


class Shop:
    """A whole system as single processes on one Redis, with a webhook beside it."""

    def __init__(self, server: EmbeddedRedis, folder: Path, receiver: Receiver, size: Size) -> None:
        self.size, self.receiver = size, receiver
        self.book = RedisActions(server.url, SHARDS)
        catalogue = folder / "catalogue"
        (catalogue / "offers").mkdir(parents=True)
        (catalogue / "policy.yaml").write_text(POLICY)
        (catalogue / "offers" / "all.yaml").write_text(OFFERS)
        (catalogue / "triggers.yaml").write_text(TRIGGERS)
        with socket.socket() as door:
            door.bind(("127.0.0.1", 0))
            port = door.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        environment = {
            "REGULARS_SHARDS": str(SHARDS),
            "REGULARS_CATALOGUE": str(catalogue),
            "REGULARS_PORT": str(port),
            "REGULARS_URL": self.url,
            "REGULARS_BATCH_EVENTS": "20",
            "REGULARS_WEBHOOKS": f"shop={receiver.url}",
            "REGULARS_WEBHOOK_SECRETS": "shop=a secret of the shop",
            "REGULARS_WEBHOOK_ATTEMPTS": "40",
            "REGULARS_WEBHOOK_FIRST_PAUSE_MS": "50",
            "REGULARS_WEBHOOK_LONGEST_PAUSE_S": "1",
            "REGULARS_WEBHOOK_TIMEOUT_MS": "1000",
            "REGULARS_SENDER_CLAIM_MS": "3000",
        }
        self.victims = {name: Victim(name, server.url, environment, folder / f"{name}.log") for name in ("api", "engine", "act")}
        self.sent = 0

    def start(self) -> None:
        for victim in self.victims.values():
            victim.start()
        wait_until(self._answers, PATIENCE_S)
        wait_until(self.victims["engine"].has_opened, PATIENCE_S)

    def send(self, share: float) -> None:
        """The next part of the events that start triggers, each of another customer; sent again while nobody answers."""
        until = min(self.size.triggers, self.sent + max(1, round(share * self.size.triggers)))
        while self.sent < until:
            numbers = range(self.sent, min(until, self.sent + PER_REQUEST))
            now = rfc3339(int(time.time() * 1000))
            events = [
                {"id": f"f-{one}", "type": "fitting_finished", "user_id": f"u-{one}", "time": now, "data": {}} for one in numbers
            ]
            answer = httpx.post(f"{self.url}/v1/events", json=events, timeout=30)
            assert answer.json()["accepted"] == len(events), answer.text
            self.sent = numbers[-1] + 1

    def delivered(self) -> int:
        return len(self.receiver.acknowledged)

    def finish(self) -> None:
        """Until the queue is empty; then everything is asked to stop."""
        self.send(1.0)
        wait_until(lambda: self.delivered() >= self.size.triggers and not self.book.standing(0).waiting, PATIENCE_S)
        assert {victim.stop() for victim in self.victims.values()} == {0}

    def close(self) -> None:
        for victim in self.victims.values():
            victim.abandon()
        self.book.close()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/livez", timeout=1).status_code == 200
        except httpx.HTTPError:
            return False


@contextmanager
def a_shop(folder: Path, size: Size) -> Iterator[Shop]:
    server = start_embedded(folder, persistence="always")
    try:
        with receiving(a_third_fails) as receiver:
            shop = Shop(server, folder, receiver, size)
            try:
                shop.start()
                yield shop
            finally:
                shop.close()
    finally:
        server.stop()


def customers(receiver: Receiver) -> Counter[str]:
    """How often each customer was written to with success."""
    taken: list[Any] = [one.message["data"]["customer"]["user_id"] for one in receiver.requests if 200 <= one.status < 300]
    return Counter(taken)


def tell(capsys: pytest.CaptureFixture[str], shop: Shop, what: str, started: float) -> None:
    requests, taken = shop.receiver.requests, shop.receiver.acknowledged
    refused = sum(not 200 <= one.status < 300 for one in requests)
    with capsys.disabled():
        print(
            f"\n{shop.size.triggers} due triggers; {what}; {len(requests)} requests, {refused} refused; {len(taken)} delivered, "
            f"{sum(count > 1 for count in taken.values())} more than once; {time.monotonic() - started:.0f} s"
        )


@sizes
def test_the_engine_is_killed_again_and_again_and_each_trigger_is_delivered_once(
    short_path: Path, size: Size, capsys: pytest.CaptureFixture[str]
) -> None:
    started, chance = time.monotonic(), random.Random(7)
    with a_shop(short_path, size) as shop:
        engine = shop.victims["engine"]
        for _ in range(size.kills):
            shop.send(1 / size.kills)
            before = shop.delivered()
            wait_until(lambda before=before: shop.delivered() > before, PATIENCE_S)  # type: ignore[misc]
            time.sleep(chance.random() * 0.3)
            engine.kill()
            engine.start()
            wait_until(engine.has_opened, PATIENCE_S)
        shop.finish()

        assert engine.kills == size.kills
        assert customers(shop.receiver) == Counter({f"u-{number}": 1 for number in range(size.triggers)})
        assert set(shop.receiver.acknowledged.values()) == {1}
        tell(capsys, shop, f"the engine killed {size.kills} times", started)


@sizes
def test_the_sender_is_killed_and_whoever_remembers_ids_takes_each_message_once(
    short_path: Path, size: Size, capsys: pytest.CaptureFixture[str]
) -> None:
    started, chance = time.monotonic(), random.Random(8)
    with a_shop(short_path, size) as shop:
        sender = shop.victims["act"]
        for _ in range(size.kills):
            shop.send(1 / size.kills)
            before = shop.delivered()
            wait_until(lambda before=before: shop.delivered() > before, PATIENCE_S)  # type: ignore[misc]
            time.sleep(chance.random() * 0.2)
            sender.kill()
            sender.start()
        shop.finish()

        names = {one.message["data"]["customer"]["user_id"]: one.id for one in shop.receiver.requests}
        assert len(shop.receiver.acknowledged) == len(names) == len(set(names.values())) == size.triggers
        again = sum(count - 1 for count in shop.receiver.acknowledged.values())
        assert again <= 8 * size.kills, "at most what was in the hands of the workers that were killed"
        tell(capsys, shop, f"the sender killed {size.kills} times", started)
