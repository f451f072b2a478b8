"""`regulars up` as its users start it: the installed command, a data folder, one line when it is ready."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from engine.store.embedded import bound_to_parent
from flows.children import ChildrenReport, ChildReport
from flows.supervise import regulars_command

READY_WITHIN_S = 60.0


class Up:
    """A running system. `url` is where it said that it answers."""

    def __init__(self, process: "subprocess.Popen[str]", data: Path) -> None:
        self.process = process
        self.data = data
        assert process.stdout is not None
        self.line = process.stdout.readline()
        assert self.line, f"up ended with {process.wait()} before it was ready; its log is in {data}/up.log"
        self.url = next(word for word in self.line.split() if word.startswith("http://"))

    def children(self) -> dict[str, ChildReport]:
        """What `children.json` says now."""
        report = msgspec.json.decode((self.data / "children.json").read_bytes(), type=ChildrenReport)
        return {each.name: each for each in report.children}

    def pid_of(self, name: str) -> int:
        """The process id of a child that is running."""
        pid = self.children()[name].pid
        assert pid is not None
        return pid

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def up(
    data: Path,
    *options: str,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[Up]:
    """Starts it on a free port and takes it down however the test ends."""
    data.mkdir(parents=True, exist_ok=True)
    command = regulars_command("up", "--data", str(data), "--port", "0", *options)
    with (data / "up.log").open("wb") as log:
        process = subprocess.Popen(
            bound_to_parent(command),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **(environment or {})},
            cwd=cwd,
            start_new_session=True,
        )
    try:
        yield Up(process, data)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout:
            process.stdout.close()


def wait_until(true: Callable[[], bool], within_s: float = 20.0, what: str = "it") -> None:
    """Looks every 20 ms; fails the test when it does not come true in time."""
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, f"{what} did not come true in {within_s} s"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Running, and not a zombie that waits for its parent."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    if not sys.platform.startswith("linux"):
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
