"""A replay against the running system: everything arrives once, broken lines are kept, and a second run changes nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from flows import replay
from flows.door import Door
from flows.exposition import Samples, read_samples
from flows.replay_position import PositionFile, is_known
from flows.replay_source import EventFile
from tests.e2e.running import Up, up, wait_until

CUSTOMERS, SALES = 20, 300
TOTAL_MINOR = 1099

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("d")) as system:
        yield system


def sale(number: int) -> dict[str, Any]:
    return {
        "type": "pos_transaction_completed",
        "time": f"2026-03-{1 + number // 20:02d}T{8 + number % 12:02d}:15:00+01:00",
        "loyalty_id": f"c-{number % CUSTOMERS}",
        "data": {
            "store": "12",
            "workstation": "3",
            "business_day": f"2026-03-{1 + number // 20:02d}",
            "sequence_number": number,
            "currency": "EUR",
            "total": "10.99",
            "lines": [{"product_id": "p-1", "category": "coffee", "amount": "10.99"}],
        },
    }


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "sales.ndjson"
    lines = [orjson.dumps(sale(number)) for number in range(SALES)]
    path.write_bytes(b"\n".join([*lines[:150], b'{"type": "broken"', *lines[150:]]) + b"\n")
    return path


def samples(door: Door) -> Samples:
    return read_samples(door.get("/metrics").body.decode())


def test_a_file_arrives_whole_and_a_second_replay_changes_nothing(
    running: Up, events: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    door = Door(running.url)

    codes = [replay.main(source=str(events), url=running.url, key="", speed="max") for _ in range(2)]

    assert codes == [1, 1]  # the broken line is refused each time
    told = capsys.readouterr().out
    assert told.count("accepted         300\n") == 2
    assert told.count("json.invalid: 1\n") == 2
    wait_until(lambda: samples(door).total("regulars_purchases") == SALES, what="every sale in a profile")
    assert samples(door).total("regulars_spend_minor", currency="EUR") == SALES * TOTAL_MINOR
    assert samples(door).total("regulars_events_duplicate_total") >= SALES
    assert not list(events.parent.glob(".*replay*"))
    door.close()


def test_a_replay_goes_on_where_it_stopped_if_the_server_knows_what_came_before(
    running: Up, events: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replay.main(source=str(events), url=running.url, key="", speed="max")
    place = PositionFile(str(events), EventFile(events).name, running.url)
    door = Door(running.url)
    wait_until(lambda: is_known(door, "l:c-7"), what="the customer")
    capsys.readouterr()

    place.write(251, "l:c-7")
    replay.main(source=str(events), url=running.url, key="", speed="max")

    told = capsys.readouterr().out
    assert "resumed at 251" in told
    assert "accepted         50\n" in told
    place.write(251, "l:nobody-knows")
    replay.main(source=str(events), url=running.url, key="", speed="max")
    assert "accepted         300\n" in capsys.readouterr().out
    door.close()


def test_a_paced_replay_takes_its_time(running: Up, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "hour.ndjson"
    page = {"type": "page_viewed", "user_id": "u-1", "id": "x"}
    times = [f"2026-03-01T10:{minute:02d}:00Z" for minute in (0, 30, 59)]
    path.write_bytes(b"\n".join(orjson.dumps(page | {"id": f"p-{time}", "time": time}) for time in times))

    assert replay.main(source=str(path), url=running.url, key="", speed="3600") == 0

    told = capsys.readouterr().out
    seconds = float(told.partition("seconds")[2].split()[0])
    assert 0.9 < seconds < 10
    assert "accepted         3\n" in told


def test_a_recording_in_other_peoples_dialects_keeps_its_times(
    running: Up, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at, long_ago = "2026-03-01T10:00:00Z", "2026-03-01T10:00:01Z"
    bought = {"order_id": "1", "currency": "EUR", "total": 19.99}
    order = {"type": "track", "event": "Order Completed", "messageId": "m-1", "userId": "u-said", "timestamp": at}
    page = {"type": "page", "messageId": "m-2", "anonymousId": "a-said", "timestamp": at}
    lines = [
        {"batch": [order | {"properties": bought}, page, page | {"messageId": "m-3", "anonymousId": None}], "sentAt": long_ago},
        order | {"messageId": "m-4", "sentAt": long_ago, "properties": bought | {"order_id": "2"}},
        {"id": "n-1", "type": "page_viewed", "time": at, "sent_at": long_ago, "user_id": "u-said"},
        {"specversion": "1.0", "id": "c-1", "type": "page_viewed", "source": "/shop", "time": at, "subject": "u-said"},
    ]
    path = tmp_path / "said.ndjson"
    path.write_bytes(b"\n".join(orjson.dumps(line) for line in lines))
    assert EventFile(path).total == 6
    door = Door(running.url)

    codes = [replay.main(source=str(path), url=running.url, key="", speed="max") for _ in range(2)]

    assert codes == [1, 1]  # the page of nobody is refused each time
    told = capsys.readouterr().out
    assert told.count("accepted         5\n") == 2
    assert told.count("schema.missing: 1\n") == 2
    wait_until(lambda: is_known(door, "u:u-said"), what="the customer")
    customer = door.get("/v1/customers/u-said").json()
    assert (customer["purchases"]["count"], customer["purchases"]["spend_minor"]) == (2, 3998)
    assert customer["purchases"]["last_at"].startswith("2026-03-01T10:00:00")
    door.close()
