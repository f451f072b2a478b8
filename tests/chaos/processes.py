"""Engines and learners as real processes that can be killed, and what they have committed so far."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from redis import Redis

from engine.ids import stream_order
from engine.models.journal import decode_entry
from engine.store import keys
from engine.store.redis_learner import JOURNAL

ROOT = Path(__file__).parents[2]
FENCED = 3


class Victim:
    """One command of the product, started anew whenever it is asked for."""

    def __init__(self, command: str, url: str, environment: dict[str, str], log: Path) -> None:
        self.command = command
        self._log = log
        self._words = [sys.executable, "-m", "regulars", command, "--redis-url", url]
        self._environment = {**os.environ, **environment, "REGULARS_PART": command}
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self.kills = 0
        self.fenced = 0

    def start(self) -> None:
        """Run it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._words, cwd=ROOT, env=self._environment, stdout=log, stderr=log)
        self.starts += 1

    def has_opened(self) -> bool:
        """Whether the engine that was started last holds its shards."""
        return self._log.read_text().count("has opened its shards") == self.starts

    def kill(self) -> None:
        """`kill -9`."""
        assert self._process is not None
        assert self._process.poll() is None, f"it ended by itself with {self._process.returncode}"
        self._process.kill()
        self._process.wait()
        self.kills += 1

    def revive(self) -> None:
        """Start it again if it was fenced; any other end is a failure."""
        code = self._process.poll() if self._process is not None else None
        if code is not None:
            assert code == FENCED, f"it ended by itself with {code}"
            self.fenced += 1
            self.start()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=30)

    def abandon(self) -> None:
        """For the end of a failed test."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class Progress:
    """How far everything is, as Redis holds it."""

    def __init__(self, client: Redis, shards: int) -> None:
        self._client = client
        self._shards = range(shards)

    def offsets(self) -> list[bytes | None]:
        """The committed offsets of all shards."""
        return cast("list[bytes | None]", self._client.mget([keys.offset(shard) for shard in self._shards]))

    def folded(self) -> bool:
        """Whether every entry is folded, and nothing is left for other shards."""
        pipe = self._client.pipeline(transaction=True)
        for shard in self._shards:
            pipe.xrevrange(keys.events(shard), count=1)
            pipe.get(keys.offset(shard))
            pipe.xlen(keys.outbox(shard))
        answers = iter(pipe.execute())
        return all(
            not left and (not last or (offset and stream_order(offset.decode()) >= stream_order(last[0][0].decode())))
            for last, offset, left in zip(answers, answers, answers, strict=True)
        )

    def examples(self) -> int:
        """Labels that have matured."""
        pipe = self._client.pipeline(transaction=False)
        for shard in self._shards:
            pipe.xlen(keys.examples(shard))
        return sum(pipe.execute())

    def learned(self) -> int:
        """Labels that model commits have taken."""
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", self._client.xrange(JOURNAL))
        return sum(run.count for _, fields in entries for run in decode_entry(fields[b"j"]).runs)


def wait_until(true: Callable[[], bool], within_s: float, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Look again and again; fails when it takes too long."""
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "it does not get there"
        meanwhile()
        time.sleep(0.004)
