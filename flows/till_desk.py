"""What `regulars till` does."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
from msgspec import to_builtins

from engine.errors import RegularsError
from engine.moments import rfc3339
from flows.replay import interruptible
from flows.running import WrongUse, write_line
from flows.till import Till
from flows.till_queue import TillQueue

_TOGETHER = 500


def record(*, source: str, file: Path) -> int:
    """Keeps the documents of a file or of standard input."""
    count = 0
    with closing(Till("http://unused", "", file)) as till:
        for documents in _documents(source):
            till.record(*documents)
            count += len(documents)
    print(f"{count} kept in {file}")
    return 0


def send(*, file: Path, url: str, key: str, follow: bool) -> int:
    """Sends what waits; with `follow`, until Ctrl-C or SIGTERM."""
    with closing(Till(url, key, file)) as till, interruptible():
        if follow:
            till.send_on()
            return 0
        sent = till.send()
    print(f"{sent.acknowledged} sent, {sent.refused} refused, {sent.waiting} waiting")
    return 0


def status(*, file: Path, as_json: bool) -> int:
    """Prints what waits and what is aside."""
    with closing(TillQueue(file)) as queue:
        counts, refused = queue.counts(), list(queue.refused())
    since = f", the oldest since {rfc3339(int(counts.oldest_at * 1000))}" if counts.waiting else ""
    if as_json:
        write_line(to_builtins(counts))
    else:
        print(f"{counts.waiting} waiting{since}, {counts.refused} refused")
    for one in refused:
        why = {"number": one.n, "code": one.code, "field": one.field, "detail": one.detail}
        if as_json:
            write_line({**why, "transaction": orjson.loads(one.body)})
        else:
            print(f"{one.n}: {one.code} {one.field}: {one.detail}")
    return 0


def again(*, number: int, file: Path) -> int:
    """Queues what is aside once more."""
    with closing(TillQueue(file)) as queue:
        count = queue.again(number or None)
    print(f"{count} queued again")
    return 0


def offer(*, basket: str, url: str, key: str, deadline_ms: int) -> int:
    """Prints the offer for a basket."""
    with tempfile.TemporaryDirectory() as folder, closing(Till(url, key, Path(folder) / "till.db")) as till:
        found = till.offer(_read(basket), deadline_ms)
    write_line(to_builtins(found))
    return 0


def _documents(source: str) -> Iterator[list[dict[str, Any]]]:
    stream = sys.stdin.buffer if source == "-" else None
    try:
        with stream or Path(source).open("rb") as lines:
            held: list[dict[str, Any]] = []
            for line in lines:
                if line.strip():
                    held.append(_read(line))
                if len(held) >= _TOGETHER:
                    yield held
                    held = []
            if held:
                yield held
    except OSError as error:
        raise RegularsError(f"{source} cannot be read: {error}") from None


def _read(text: str | bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except ValueError as error:
        raise WrongUse(f"no JSON: {error}") from None
    if not isinstance(value, dict):
        raise WrongUse("a JSON object is wanted, one on a line")
    return value
