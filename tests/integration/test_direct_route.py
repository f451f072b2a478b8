"""A plain request of the busiest route takes a shorter way, and nobody can tell from the answers."""

import json
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from httpx import Client
from redis import Redis

from engine.ids import shard_of
from engine.store import keys
from tests.integration.api_client import SHARDS, api_client, consent, write_catalogue

MORE_THAN_IS_PLAIN = 70_000
_OF_THE_MOMENT = re.compile(rb'"(?:decision_id|took_ms|expires_at|age_ms)":(?:"[^"]*"|[0-9.]+|null)')


@pytest.fixture
def client(redis_url: str, tmp_path: Path) -> Iterator[Client]:
    shop = write_catalogue(tmp_path)
    may = {"write_keys": "w-1", "cors_origins": "https://shop.example"}
    with api_client(redis_url, 5000, catalogue=shop, decision_deadline_ms=5000, **may) as client:
        yield client


@contextmanager
def connected(client: Client) -> Iterator[socket.socket]:
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), 10) as line:
        yield line


def request(body: bytes, *headers: str, key: str = "w-1", path: str = "/v1/decisions") -> bytes:
    head = (f"POST {path} HTTP/1.1", "host: shop", f"content-length: {len(body)}", f"authorization: Bearer {key}", *headers)
    return "\r\n".join((*head, "", "")).encode() + body


def chunked(body: bytes, key: str = "w-1") -> bytes:
    """The same request as nobody sends it who is in a hurry; it takes the long way."""
    head = ("POST /v1/decisions HTTP/1.1", "host: shop", "transfer-encoding: chunked", f"authorization: Bearer {key}")
    return "\r\n".join((*head, "", "")).encode() + (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"


def wanted(user: str = "u-1", **more: object) -> bytes:
    return json.dumps({"user_id": user, "placements": [{"name": "home_hero", "count": 1}], **more}).encode()


def answers(line: socket.socket, count: int) -> list[tuple[bytes, bytes]]:
    """So many heads and bodies, as they come."""
    held = b""
    found: list[tuple[bytes, bytes]] = []
    while len(found) < count:
        head, end, rest = held.partition(b"\r\n\r\n")
        length = int(re.findall(rb"content-length: ([0-9]+)", head)[0]) if end else 0
        if end and len(rest) >= length:
            found.append((head, rest[:length]))
            held = rest[length:]
            continue
        came = line.recv(65536)
        if not came:
            break
        held += came
    return found


def asked(client: Client, *requests: bytes) -> list[tuple[bytes, bytes]]:
    """Each on a connection of its own."""
    found: list[tuple[bytes, bytes]] = []
    for one in requests:
        with connected(client) as line:
            line.sendall(one)
            found += answers(line, 1)
    return found


@pytest.mark.parametrize(
    "body",
    [
        wanted(),
        wanted(explain=True),
        wanted(dry_run=True, context={"locale": "de-AT"}),
        wanted(events=[consent("denied")]),
        b'{"user_id": "u-1"',
        b'{"user_id": "u-1", "placements": []}',
        b'{"user_id": "u-1", "placements": [{"name": "nowhere"}]}',
        b'{"placements": [{"name": "home_hero"}]}',
        b"",
    ],
)
def test_the_short_way_and_the_long_one_answer_alike(client: Client, body: bytes) -> None:
    short, long = asked(client, request(body), chunked(body))

    assert _OF_THE_MOMENT.sub(b"", short[1]) == _OF_THE_MOMENT.sub(b"", long[1])
    assert re.sub(rb"content-length: [0-9]+", b"", short[0]) == re.sub(rb"content-length: [0-9]+", b"", long[0])


def test_a_wrong_key_is_refused_on_both_ways(client: Client) -> None:
    short, long = asked(client, request(wanted(), key="other"), chunked(wanted(), key="other"))

    assert short[0].startswith(b"HTTP/1.1 401 ")
    assert short == long


def test_a_page_of_another_origin_is_told_that_it_may_read_the_answer(client: Client) -> None:
    (answer,) = asked(client, request(wanted(), "origin: https://shop.example"))

    assert b"access-control-allow-origin: https://shop.example" in answer[0]


def test_requests_that_are_sent_ahead_are_answered_in_their_order(client: Client) -> None:
    names = [f"u-{number}" for number in range(7)]
    bodies = [wanted(name, request_id=name, explain=number == 2) for number, name in enumerate(names)]
    mixed = [chunked(body) if number % 3 == 1 else request(body) for number, body in enumerate(bodies)]
    with connected(client) as line:
        line.sendall(b"".join(mixed))
        found = answers(line, len(names))

    repeated = [json.loads(body)["decision_id"] for _, body in asked(client, *map(request, bodies))]
    assert [json.loads(body)["decision_id"] for number, (_, body) in enumerate(found) if number != 2] == [
        name for number, name in enumerate(repeated) if number != 2
    ]
    assert "explanation" in json.loads(found[2][1])


def test_a_request_in_pieces_is_one_request(client: Client) -> None:
    whole = request(wanted())
    with connected(client) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(whole), 7):
            line.sendall(whole[at : at + 7])
        (answer,) = answers(line, 1)

    assert answer[0].startswith(b"HTTP/1.1 200 ")


def test_a_connection_is_kept_for_the_next_request_unless_somebody_wants_it_closed(client: Client) -> None:
    with connected(client) as line:
        heads: list[bytes] = []
        for closing in ([], [], ["connection: close"]):
            line.sendall(request(wanted(), *closing))
            heads += [head for head, _ in answers(line, 1)]
        left = line.recv(1)

    assert [b"connection: close" in head for head in heads] == [False, False, True]
    assert left == b""


def test_a_long_body_and_one_that_waits_for_leave_are_taken_too(client: Client) -> None:
    long = wanted(exclude=["x" * 90] * (MORE_THAN_IS_PLAIN // 93))
    with connected(client) as line:
        line.sendall(request(wanted(), "expect: 100-continue"))
        leave = line.recv(25)
        (late,) = answers(line, 1)

    assert leave == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert [head[:13] for head, _ in (late, *asked(client, request(long)))] == [b"HTTP/1.1 200 "] * 2


def test_who_leaves_before_the_answer_takes_nobody_with_them(client: Client, redis_url: str) -> None:
    gone = [f"gone-{number}" for number in range(20)]
    for name in gone:
        with connected(client) as line:
            line.sendall(request(wanted(name)))

    (answer,) = asked(client, request(wanted()))

    assert answer[0].startswith(b"HTTP/1.1 200 ")
    with Redis.from_url(redis_url) as redis:
        assert decided(redis, gone) == set(gone)


def decided(redis: Any, users: Sequence[str]) -> set[str]:
    """Those of whom a decision was logged."""
    streams = {shard_of(f"u:{user}", SHARDS) for user in users}
    told = [fields[b"k"].decode() for shard in streams for _, fields in redis.xrange(keys.events(shard))]
    return {name.removeprefix("u:") for name in told} & set(users)
