"""A replay keeps order, pace and position; its door has manners."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.errors import RegularsError
from engine.events.base import Event
from engine.events.decode import decode_value
from engine.events.routing import route
from engine.moments import SECOND, Millis
from flows.door import Door, DoorClosed, DoorRefused
from flows.replay import main, rounds
from flows.replay_position import PositionFile
from flows.replay_source import EventFile, Sendable, SourceMissing, customer_of, source_of
from flows.sending import ROUND_EVENTS, Sender, receipt_of


def events(number: int, step_s: int = 1) -> list[Sendable]:
    return [Sendable(b"{}", f"u:{index % 7}", (1 + index * step_s) * SECOND) for index in range(number)]


def test_rounds_hold_every_event_once_and_in_order() -> None:
    sent = events(2 * ROUND_EVENTS + 5)

    cut = list(rounds(iter(sent), None, lambda: 0.0))

    assert [event for batch in cut for event in batch] == sent
    assert [len(batch) for batch in cut] == [ROUND_EVENTS, ROUND_EVENTS, 5]


def test_at_a_pace_nothing_is_sent_before_it_is_due() -> None:
    ticks = count()
    sent = events(20)
    clock: list[float] = []

    def now() -> float:
        clock.append(0.01 * next(ticks))
        return clock[-1]

    seen: list[Sendable] = []
    for batch in rounds(iter(sent), 10.0, now):
        for event in batch:
            assert event.at <= sent[0].at + (clock[-1] - clock[0]) * 10.0 * SECOND + 1
        seen += batch

    assert seen == sent


def test_an_event_as_sent_belongs_to_whom_the_engine_says() -> None:
    base: dict[str, Any] = {"type": "page_viewed", "id": "1", "time": "2026-01-01T00:00:00Z"}
    till = {"store": "s", "workstation": "w", "business_day": "2026-01-01", "sequence_number": 1, "currency": "EUR"}
    bodies: list[dict[str, Any]] = [
        base | {"user_id": "u", "anonymous_id": "a", "loyalty_id": "l"},
        base | {"anonymous_id": "a", "loyalty_id": 7},
        base | {"anonymous_id": "a"},
        {"type": "pos_transaction_completed", "time": "2026-01-01T00:00:00Z", "data": till},
        {"type": "pos_transaction_completed", "time": "2026-01-01T00:00:00Z", "data": till | {"loyalty_id": "l"}},
    ]

    for body in bodies:
        decoded = decode_value(body, Millis(1_767_225_600_000))
        assert isinstance(decoded, Event)
        assert customer_of(body) == route(decoded)


def test_a_file_of_events_is_read_line_by_line_and_broken_lines_are_kept(tmp_path: Path) -> None:
    sale = {
        "type": "order_completed",
        "user_id": "u-1",
        "time": "2026-01-01T10:00:00+01:00",
        "data": {"order_id": "o", "currency": "EUR", "total": "19.90"},
    }
    path = tmp_path / "events.ndjson"
    path.write_bytes(orjson.dumps(sale) + b'\n\n{"broken"\n[1]\n{"type": "page_viewed", "time": "yesterday"}\n')

    source = EventFile(path)
    first, *rest = source.events()

    assert source.total == 4
    assert (first.customer, first.at, first.paid_minor, first.currency) == ("u:u-1", 1_767_258_000_000, 1990, "EUR")
    assert [event.raw for event in rest] == [b'{"broken"', b"[1]", b'{"type": "page_viewed", "time": "yesterday"}']
    assert all(event.at == 0 and not event.currency for event in rest)


def test_a_source_that_is_not_there_is_named() -> None:
    with pytest.raises(SourceMissing, match=r"nowhere\.ndjson"):
        source_of("nowhere.ndjson")


def test_a_position_holds_for_its_content_and_its_server_only(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text("{}\n")
    here = PositionFile(str(path), "one", "http://a")

    here.write(17, "u:1")

    assert (here.read().events, here.read().customer) == (17, "u:1")
    assert PositionFile(str(path), "two", "http://a").read().events == 0
    assert PositionFile(str(path), "one", "http://b").read().events == 0
    here.forget()
    assert here.read().events == 0


def test_a_speed_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(RegularsError, match="times faster than life"):
        main(source="complete-journey", url="http://127.0.0.1:1", key="", speed="fast")


def test_an_answer_is_counted_by_code() -> None:
    receipt = receipt_of({"accepted": 2, "rejected": [{"index": 1, "code": "schema.type", "detail": "no"}] * 2})

    both = receipt.plus(receipt)

    assert (both.accepted, both.rejected) == (4, {"schema.type": 4})


@contextmanager
def answering(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives these answers in turn, the last one for ever; with the bodies that it was sent."""
    bodies: list[bytes] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with lock:
                status, headers, content = answers[min(len(bodies), len(answers) - 1)]
                bodies.append(body)
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", bodies
        finally:
            server.shutdown()
            thread.join()


FINE: tuple[int, dict[str, str], bytes] = (202, {}, b'{"accepted": 1, "rejected": []}')


def test_a_door_that_says_come_again_gets_the_same_bytes_when_it_said() -> None:
    with answering((429, {"retry-after": "0.2"}, b""), (503, {"retry-after": "0.1"}, b""), FINE) as (url, bodies):
        door = Door(url)
        answer = door.post("/v1/events", b"same")
        door.close()

    assert (answer.status, answer.tries, bodies) == (202, 3, [b"same"] * 3)
    assert answer.seconds >= 0.3


def test_a_refusal_is_final() -> None:
    with answering((400, {}, b"no"), FINE) as (url, bodies):
        door = Door(url)
        with pytest.raises(DoorRefused, match="400: no"):
            door.post("/v1/events", b"x")
        door.close()

    assert len(bodies) == 1


def test_a_door_that_stays_closed_ends_the_patience() -> None:
    door = Door("http://127.0.0.1:9", patience_s=0.3)

    with pytest.raises(DoorClosed, match="no usable answer"):
        door.post("/v1/events", b"x")


def test_a_body_that_is_too_large_goes_in_halves() -> None:
    with answering((413, {}, b""), FINE) as (url, bodies):
        sender = Sender(url, lanes=1)
        answers = [answer.result() for answer in sender.send(events(4))]
        sender.close()

    assert [body.count(b"\n") + 1 for body in bodies] == [4, 2, 2]
    assert sum(answer.accepted for answer in answers) == 2
