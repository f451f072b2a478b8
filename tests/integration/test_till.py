"""A till's client against a real server: outages, refusals, kill -9, and an offer in time or none."""

import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from httpx import Client

from engine.store.embedded import bound_to_parent
from engine.store.redis_writer import RedisStore
from flows.supervise import regulars_command
from flows.till import Till, TillAway
from flows.till_queue import SenderBusy, TillQueue
from tests.integration.api_client import SHARDS, api_client, consent, fold, write_catalogue
from tests.integration.test_api_pos import KEYS, STORES, purchases, settle, transaction

RECORDER = """
import sys
from pathlib import Path
import orjson
from flows.till import Till
till = Till("http://unused", "", Path(sys.argv[1]))
for line in sys.stdin:
    till.record(orjson.loads(line))
    print(orjson.loads(line)["SequenceNumber"], flush=True)
"""


@pytest.fixture
def client(redis_url: str, tmp_path: Path) -> Iterator[Client]:
    folder = write_catalogue(tmp_path / "shop")
    (folder / "stores.yaml").write_text(STORES)
    with api_client(redis_url, catalogue=folder, decision_deadline_ms=2000, **KEYS) as client:
        client.headers["authorization"] = "Bearer till"
        yield client


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "till.db"


def till_of(client: Client, file: Path) -> Till:
    return Till(str(client.base_url), "till", file)


def entries(redis_url: str) -> list[str]:
    """Ids of what the server has accepted, in the order of each stream."""
    store = RedisStore(redis_url)
    batches = store.read(dict.fromkeys(range(SHARDS), "0-0"), 10_000, 0)
    found = [orjson.loads(entry.event) for batch in batches for entry in batch.entries]
    return [event["id"] for event in found if event.get("source", "").startswith("pos://") or event["type"] == "pos_item_scanned"]


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port: int = door.getsockname()[1]
        return port


def test_what_is_recorded_while_nobody_answers_waits_on_disk_and_arrives_in_order(
    client: Client, redis_url: str, file: Path
) -> None:
    away = Till(f"http://127.0.0.1:{free_port()}", "till", file)
    for number in range(1, 451):
        away.record(transaction(number))
    with pytest.raises(TillAway):
        away.send()
    assert away.status().waiting == 450
    away.close()

    back = till_of(client, file)
    sent = back.send()
    back.close()

    assert (sent.acknowledged, sent.refused, sent.waiting) == (450, 0, 0)
    assert [int(name.rpartition("/")[2]) for name in entries(redis_url)] == list(range(1, 451))


def test_a_refused_transaction_goes_aside_with_its_reason_and_holds_up_nobody(client: Client, redis_url: str, file: Path) -> None:
    wrong = transaction(2, "1.999", "c-9")
    till = till_of(client, file)
    till.record(transaction(1, card="c-9"), wrong, {"POSLog": {"Transaction": [transaction(3, card="c-9")]}})

    sent = till.send()
    (aside,) = till.refused()
    again = till.send_again(aside.n, transaction(2, "2.00", "c-9"))
    till.send()
    settle(redis_url)

    assert (sent.acknowledged, sent.refused, sent.waiting) == (2, 1, 0)
    assert (aside.code, aside.field, orjson.loads(aside.body)) == ("schema.money", "data.total", wrong)
    assert (again, till.refused()) == (1, [])
    assert purchases(client, "c-9") == (3, 1990 + 200 + 1990)
    till.close()


def test_a_body_that_no_server_can_read_takes_none_along(client: Client, redis_url: str, file: Path) -> None:
    queue = TillQueue(file)
    good = [("/v1/pos/transactions", orjson.dumps(transaction(number))) for number in (1, 2, 3)]
    queue.put([good[0], ("/v1/pos/transactions", b'{"cut off'), *good[1:]])
    queue.close()

    till = till_of(client, file)
    sent = till.send()

    assert (sent.acknowledged, sent.refused) == (3, 1)
    assert till.refused()[0].code == "body.not_json"
    assert len(entries(redis_url)) == 3
    till.close()


def test_a_wrong_key_is_nobodys_transactions_fault(client: Client, file: Path) -> None:
    till = Till(str(client.base_url), "wrong", file)
    till.record(transaction(1))

    with pytest.raises(Exception, match="401"):
        till.send()

    assert (till.status().waiting, till.status().refused) == (1, 0)
    till.close()


def test_native_events_keep_their_place_among_transactions(client: Client, redis_url: str, file: Path) -> None:
    named = {"store": "s-1", "workstation": "1", "business_day": "2026-03-02", "sequence_number": 1}
    shown = {"id": "k", "type": "pos_customer_identified", "time": "2026-03-03T10:00:00Z", "loyalty_id": "c-9", "data": named}
    till = till_of(client, file)
    till.record(transaction(1))
    till.record(shown, transaction(2, card="c-9"))

    assert till.send().acknowledged == 3
    settle(redis_url)

    assert purchases(client, "c-9") == (2, 2 * 1990)
    till.close()


def test_a_server_that_asks_for_time_is_given_it_and_gets_everything(redis_url: str, tmp_path: Path, file: Path) -> None:
    folder = write_catalogue(tmp_path / "shop")
    (folder / "stores.yaml").write_text(STORES)
    with api_client(redis_url, catalogue=folder, write_keys=("till",), rate_limit_per_s=1) as client:
        till = Till(str(client.base_url), "till", file, seed=1)
        till.record(*[transaction(number) for number in range(1, 401)])
        till.start()
        while till.status().waiting:
            time.sleep(0.02)
        till.close()

    assert sorted(int(name.rpartition("/")[2]) for name in entries(redis_url)) == list(range(1, 401))


def test_one_process_sends_at_a_time(client: Client, file: Path) -> None:
    queue, till = TillQueue(file), till_of(client, file)

    with queue.sending(), pytest.raises(SenderBusy):
        till.send()

    assert till.send().waiting == 0
    till.close()
    queue.close()


@pytest.mark.slow
def test_killed_at_any_moment_it_loses_nothing_and_counts_nothing_twice(client: Client, redis_url: str, file: Path) -> None:
    chance = random.Random(7)
    kept: set[int] = set()
    wanted = iter(range(1, 100_000))
    for _ in range(6):
        recorder = subprocess.Popen(
            bound_to_parent([sys.executable, "-c", RECORDER, str(file)]), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        options = ("--follow", "--file", str(file), "--url", str(client.base_url), "--key", "till")
        sender = subprocess.Popen(bound_to_parent(regulars_command("till", "send", *options)), stdout=subprocess.DEVNULL)
        assert recorder.stdin is not None
        assert recorder.stdout is not None
        for _ in range(chance.randint(20, 120)):
            recorder.stdin.write(orjson.dumps(transaction(next(wanted), card="c-9")) + b"\n")
            recorder.stdin.flush()
            kept.add(int(recorder.stdout.readline()))
        for _ in range(3):
            recorder.stdin.write(orjson.dumps(transaction(next(wanted), card="c-9")) + b"\n")
        recorder.stdin.flush()
        time.sleep(chance.random() * 1.5)
        for process in (sender, recorder):
            process.send_signal(signal.SIGKILL)
            process.wait()
        kept |= {int(number) for number in recorder.stdout.read().split()}
        recorder.stdout.close()
        recorder.stdin.close()

    till = till_of(client, file)
    till.send()
    till.close()
    settle(redis_url)

    arrived = [int(name.rpartition("/")[2]) for name in entries(redis_url)]
    assert kept <= set(arrived)
    count, spend = purchases(client, "c-9")
    assert (count, spend) == (len(set(arrived)), 1990 * len(set(arrived)))


def test_an_offer_comes_before_tender_and_sees_the_basket_that_rides_along(client: Client, redis_url: str, file: Path) -> None:
    client.post("/v1/events", json=consent(loyalty_id="c-9"))
    fold(redis_url)
    till = till_of(client, file)
    scanned = {
        "id": "scan-1", "type": "pos_item_scanned", "time": "2026-03-02T10:00:00Z", "loyalty_id": "c-9",
        "data": {"store": "s-1", "workstation": "1", "product_id": "p-1", "category": "bread"},
    }  # fmt: skip
    basket: dict[str, Any] = {"loyalty_id": "c-9", "cart": [{"product_id": "p-1", "category": "bread"}], "events": [scanned]}

    offer = till.offer(basket, deadline_ms=5_000)
    till.close()

    assert offer is not None
    assert (offer.offer_id in {"coffee", "once"}, offer.content["title"] in {"Coffee", "Fruit"}) == (True, True)
    assert "scan-1" in entries(redis_url)


@pytest.mark.parametrize("accepts", [False, True])
def test_without_an_answer_in_time_there_is_no_offer_and_no_wait(accepts: bool, file: Path) -> None:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        if accepts:
            door.listen()
        till = Till(f"http://127.0.0.1:{door.getsockname()[1]}", "till", file)

        offers = [till.offer({"loyalty_id": "c-9"}, deadline_ms=30) for _ in range(6)]

    assert offers == [None] * 6
    till.close()


@pytest.mark.slow
def test_the_command_keeps_sends_and_tells(client: Client, file: Path) -> None:
    def run(*words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(regulars_command("till", *words, "--file", str(file)), input=given, capture_output=True, timeout=60)

    lines = b"\n".join(orjson.dumps(one) for one in (transaction(1), transaction(2, "1.999"), transaction(3)))
    server = ("--url", str(client.base_url), "--key", "till")

    assert run("record", "-", given=lines).stdout.startswith(b"3 kept")
    assert run("send", "--url", f"http://127.0.0.1:{free_port()}").returncode == 1
    assert run("send", *server).stdout == b"2 sent, 1 refused, 0 waiting\n"
    assert run("status").stdout.splitlines()[0] == b"0 waiting, 1 refused"
    assert run("again").stdout == b"1 queued again\n"
    assert orjson.loads(run("status", "--json").stdout.splitlines()[0])["waiting"] == 1
