"""What a till has not got through yet, in one SQLite file that outlives power cuts.

A transaction is on disk before `put` returns (write-ahead log, flushed at every commit) and leaves the file when the server has
acknowledged it, or goes aside with the reason why it never will be. In between it may be sent twice, which counts once. Several
processes may put; one at a time sends (`flock` beside the file), so that the order in which the till wrote things down holds.
"""

import fcntl
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from engine.errors import RegularsError

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS waiting (
    n INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL, body BLOB NOT NULL, at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS aside (
    n INTEGER PRIMARY KEY, path TEXT NOT NULL, body BLOB NOT NULL, at REAL NOT NULL,
    refused_at REAL NOT NULL, code TEXT NOT NULL, field TEXT NOT NULL, detail TEXT NOT NULL
);
"""
_BUSY_S: Final = 30.0


class SenderBusy(RegularsError):
    """Another process is sending from this file."""


class Waiting(Struct, frozen=True):
    """One transaction that waits: its number in the queue, the path it goes to, its bytes, and when it was put (epoch s)."""

    n: int
    path: str
    body: bytes
    at: float


class Refused(Struct, frozen=True):
    """One transaction that the server will never take as it is, and why."""

    n: int
    path: str
    body: bytes
    at: float
    refused_at: float
    code: str
    field: str
    detail: str


class Counts(Struct, frozen=True):
    """How much waits, since when (epoch seconds, 0 where nothing does), and how much was refused."""

    waiting: int = 0
    oldest_at: float = 0.0
    refused: int = 0


class TillQueue:
    """The file. Each thread needs its own."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self._held = sqlite3.connect(file, timeout=_BUSY_S, isolation_level=None)
        self._held.execute("PRAGMA journal_mode=WAL")
        self._held.execute("PRAGMA synchronous=FULL")
        self._held.executescript(_SCHEMA)

    def put(self, transactions: Sequence[tuple[str, bytes]]) -> None:
        """Keeps (path, body) pairs in this order, all or none of them. On disk when it returns."""
        now = time.time()
        with self._change():
            rows = [(path, body, now) for path, body in transactions]
            self._held.executemany("INSERT INTO waiting (path, body, at) VALUES (?, ?, ?)", rows)

    def first(self, most: int, most_bytes: int) -> list[Waiting]:
        """The oldest that wait and go to one path, in order: at most `most`, and `most_bytes` unless the first is larger."""
        found: list[Waiting] = []
        size = 0
        for row in self._held.execute("SELECT n, path, body, at FROM waiting ORDER BY n LIMIT ?", (most,)):
            one = Waiting(*row)
            size += len(one.body) + 1
            if found and (one.path != found[0].path or size > most_bytes):
                break
            found.append(one)
        return found

    def settle(self, done: Sequence[Waiting], refused: Sequence[tuple[Waiting, str, str, str]]) -> None:
        """Those that were answered for leave; the refused ones go aside with (code, field, detail). In one step."""
        now = time.time()
        with self._change():
            for one, code, field, detail in refused:
                row = (one.n, one.path, one.body, one.at, now, code, field, detail)
                self._held.execute("INSERT OR REPLACE INTO aside VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            gone = [(one.n,) for one in done] + [(one.n,) for one, *_ in refused]
            self._held.executemany("DELETE FROM waiting WHERE n = ?", gone)

    def refused(self) -> Iterator[Refused]:
        """Those that are aside, in order."""
        for row in self._held.execute("SELECT n, path, body, at, refused_at, code, field, detail FROM aside ORDER BY n"):
            yield Refused(*row)

    def again(self, n: int | None = None, body: bytes | None = None) -> int:
        """Puts one that is aside, or all of them, at the end of the queue; `body` replaces what was wrong. Answers how many."""
        chosen = [one for one in self.refused() if n is None or one.n == n]
        with self._change():
            for one in chosen:
                row = (one.path, one.body if body is None else body, time.time())
                self._held.execute("INSERT INTO waiting (path, body, at) VALUES (?, ?, ?)", row)
                self._held.execute("DELETE FROM aside WHERE n = ?", (one.n,))
        return len(chosen)

    def counts(self) -> Counts:
        waiting, oldest = self._held.execute("SELECT COUNT(*), MIN(at) FROM waiting").fetchone()
        (refused,) = self._held.execute("SELECT COUNT(*) FROM aside").fetchone()
        return Counts(waiting, oldest or 0.0, refused)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """The right to send, held by one process at a time and given back when it dies. Raises `SenderBusy`."""
        with self.file.with_name(self.file.name + ".sender").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SenderBusy(f"another process sends from {self.file} already") from None
            yield

    def close(self) -> None:
        self._held.close()

    @contextmanager
    def _change(self) -> Iterator[None]:
        self._held.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._held.execute("ROLLBACK")
            raise
        self._held.execute("COMMIT")
