"""`regulars up`: the whole system on one machine, as one process that starts the others and keeps them alive.

Theory of operation. The supervisor holds what has to outlive a child: the lock on the data folder, the listening
socket (every API process serves the same one, so a restart refuses no connection) and the embedded Redis. The children
are the ordinary commands `regulars engine | learn | api`, configured by their environment alone. Their deaths are
expected: each is restarted with back-off, counted, and shown in `children.json`, which the API reads for `/readyz`.

It ends from front to back. The API stops accepting and finishes what it has; then engine and learner finish their
batch; then Redis is shut down. A second signal kills. A supervisor that is itself killed takes its children along.
"""

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec
from prometheus_client.multiprocess import mark_process_dead

from engine.errors import RegularsError
from engine.store.embedded import EmbeddedRedis, EmbeddedRedisFailed, bound_to_parent, start_embedded
from flows.children import ChildrenReport, Life

log = logging.getLogger(__name__)

WRONG_USE: Final = 2
_LOOK_EVERY_S: Final = 0.2
_LAST_WORD_S: Final = 5.0


class ChildSpec(msgspec.Struct, frozen=True):
    """A child to keep alive. Children of a lower `stage` are asked to end before those of a higher one."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = {}
    inherited: tuple[int, ...] = ()
    stage: int = 0


class Misconfigured(RegularsError):
    """A child says that it can never start as it is configured; it has printed why."""


class Interrupted(RegularsError):
    """A signal came while Redis was loading."""


class Store:
    """The embedded Redis as something to keep alive: the same folder and, where possible, the same address again."""

    def __init__(self, folder: Path, maxmemory_mb: int) -> None:
        self._folder = folder
        self._maxmemory_mb = maxmemory_mb
        self._server: EmbeddedRedis | None = None

    @property
    def url(self) -> str:
        """Where it answers; empty before its first start."""
        return self._server.url if self._server else ""

    def start(self, stopping: threading.Event) -> int:
        """Returns the process id once it answers; raises `EmbeddedRedisFailed`."""

        def loading(percent: float) -> None:
            log.info("redis is loading", extra={"percent": round(percent, 1)})
            if stopping.is_set():
                raise Interrupted("stopped while redis was loading")

        self._server = start_embedded(self._folder, maxmemory_mb=self._maxmemory_mb, on_loading=loading)
        return self._server.pid

    def has_ended(self) -> bool:
        """True when it was started and does not run any more."""
        return self._server is not None and self._server.exit_code() is not None

    def stop(self) -> None:
        """Shuts it down where it runs."""
        if self._server:
            self._server.stop()


class Supervisor:
    """Keeps a table of children, and the store under them, alive until it is told to stop.

    `run` belongs to the main thread: signals arrive there, and a child is bound to the thread that started it.
    """

    def __init__(self, data: Path, *, drain_s: float = 10.0, metrics: Path | None = None) -> None:
        self.children_file = data / "children.json"
        self._drain_s = drain_s
        self._metrics = metrics
        self._store: Store | None = None
        self._specs: dict[str, ChildSpec] = {}
        self._lives: dict[str, Life] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._killing = threading.Event()
        self._ever_ready = False
        self._written = b""

    def start_store(self, store: Store) -> str:
        """Starts Redis under everything else and returns its address."""
        self._store = store
        life = self._lives["redis"] = Life("redis", time.monotonic())
        life.started(store.start(self._stopping), time.monotonic())
        self._write()
        return store.url

    def add(self, specs: Sequence[ChildSpec]) -> None:
        """Children to start with the next look."""
        for spec in specs:
            self._specs[spec.name] = spec
            self._lives[spec.name] = Life(spec.name, time.monotonic())

    @property
    def stopping(self) -> bool:
        """A signal asked for the end."""
        return self._stopping.is_set()

    def ready(self) -> None:
        """From now on a child that cannot start is restarted for ever instead of ending everything."""
        self._ever_ready = True

    def look(self) -> None:
        """One round: notice deaths, start what is due, write down what is so.

        Raises `Misconfigured` when a child ends with "wrong use" before the system was ever ready.
        """
        now = time.monotonic()
        self._look_at_store(now)
        for name, spec in self._specs.items():
            life = self._lives[name]
            process = self._processes.get(name)
            if process is not None and (code := process.poll()) is not None:
                del self._processes[name]
                self._bury(process.pid)
                life.died(now)
                log.warning("child ended", extra={"child": name, "code": code, "restarts": life.restarts})
                if code == WRONG_USE and not self._ever_ready:
                    raise Misconfigured(f"{name} cannot start as it is configured (see above)")
            elif process is not None:
                life.lived(now)
            elif now >= life.start_due_at:
                self._processes[name] = process = _spawn(spec)
                life.started(process.pid, now)
        self._write()

    def wait(self, seconds: float = _LOOK_EVERY_S) -> None:
        """Until a child ends, a signal comes, or the time is over."""
        self._wake.wait(seconds)
        self._wake.clear()

    def stop(self) -> None:
        """Front to back, each stage with its time to finish; then Redis."""
        self._stopping.set()
        for stage in sorted({spec.stage for spec in self._specs.values()}):
            self._end_stage([name for name, spec in self._specs.items() if spec.stage == stage])
        if self._store:
            self._store.stop()
            self._lives["redis"].stopped(time.monotonic())
        self._write()

    @contextmanager
    def signals(self) -> Iterator[None]:
        """SIGTERM, Ctrl-C and a closed terminal ask for the end, a second one insists; a child's end wakes `wait`."""

        def asked(number: int, frame: FrameType | None) -> None:
            del frame
            if self._stopping.is_set():
                self._killing.set()
            log.info("asked to stop", extra={"signal": signal.Signals(number).name})
            self._stopping.set()
            self._wake.set()

        def ended(number: int, frame: FrameType | None) -> None:
            del number, frame
            self._wake.set()

        handlers = {signal.SIGTERM: asked, signal.SIGINT: asked, signal.SIGHUP: asked, signal.SIGCHLD: ended}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _look_at_store(self, now: float) -> None:
        if self._store is None:
            return
        life = self._lives["redis"]
        if life.pid is not None and self._store.has_ended():
            life.died(now)
            log.error("redis ended", extra={"restarts": life.restarts})
        if life.pid is not None:
            life.lived(now)
        elif now >= life.start_due_at:
            self._write()
            try:
                life.started(self._store.start(self._stopping), time.monotonic())
            except EmbeddedRedisFailed as error:
                log.error("redis does not start", extra={"why": str(error)})
                life.died(time.monotonic())

    def _end_stage(self, names: Sequence[str]) -> None:
        leaving = {name: self._processes.pop(name) for name in names if name in self._processes}
        for process in leaving.values():
            process.send_signal(signal.SIGKILL if self._killing.is_set() else signal.SIGTERM)
        give_up_at = time.monotonic() + self._drain_s
        while any(process.poll() is None for process in leaving.values()):
            if self._killing.is_set() or time.monotonic() > give_up_at:
                for process in leaving.values():
                    process.kill()
                break
            self.wait(0.1)
        for name, process in leaving.items():
            code = process.wait(_LAST_WORD_S)
            self._bury(process.pid)
            self._lives[name].stopped(time.monotonic())
            log.info("child stopped", extra={"child": name, "code": code})

    def _bury(self, pid: int) -> None:
        """A dead process's live gauges leave the exposition; its counters stay."""
        if self._metrics:
            mark_process_dead(pid, path=str(self._metrics))  # type: ignore[no-untyped-call]

    def _write(self) -> None:
        now, wall = time.monotonic(), datetime.now(UTC)
        report = ChildrenReport(
            supervisor=os.getpid(),
            started_at=self._started_at,
            redis_url=self._store.url if self._store else "",
            children=tuple(life.report(now, wall) for life in self._lives.values()),
        )
        # `since` is told from two clocks and wavers by a millisecond: only a change of substance is worth a write.
        substance = msgspec.json.encode([(c.name, c.pid, c.restarts, c.state) for c in report.children])
        if substance != self._written:
            scratch = self.children_file.with_suffix(".tmp")
            scratch.write_bytes(msgspec.json.encode(report))
            scratch.replace(self.children_file)
            self._written = substance


def regulars_command(*words: str) -> tuple[str, ...]:
    """The installed command in this interpreter; `-P` keeps the current folder off the import path."""
    return (sys.executable, "-P", "-m", "regulars", *words)


def fresh_folder(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _spawn(spec: ChildSpec) -> "subprocess.Popen[bytes]":
    environment: Mapping[str, str] = {**os.environ, **spec.environment}
    return subprocess.Popen(
        bound_to_parent(spec.command),
        env=environment,
        stdin=subprocess.DEVNULL,
        # Standard output belongs to the one line that says where Regulars answers.
        stdout=sys.stderr.fileno(),
        pass_fds=spec.inherited,
        # Ctrl-C at the terminal reaches the supervisor alone.
        start_new_session=True,
    )
