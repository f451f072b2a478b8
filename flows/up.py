"""`regulars up` put together: which children there are, what they are told, and when the system counts as ready."""

import fcntl
import http.client
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from config.logging import log_to_stderr
from config.settings import ApiSettings, RedisSettings, UpSettings
from engine.errors import RegularsError
from flows.supervise import ChildSpec, Interrupted, Store, Supervisor, fresh_folder, regulars_command

log = logging.getLogger(__name__)

_SAY_NOT_READY_EVERY_S: Final = 10.0
_REACHABLE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class DataInUse(RegularsError):
    """Another `regulars up` works on this data folder."""


class AddressTaken(RegularsError):
    """The address to listen on is not free, or not of this machine."""


def main(
    *,
    data: Path,
    host: str,
    port: int,
    redis_url: str,
    engines: int,
    api_workers: int,
    catalogue: Path | None,
) -> int:
    """Runs until SIGTERM or Ctrl-C. Prints one line with the address when everything is ready."""
    log_to_stderr("up")
    up = UpSettings(data=data, engines=engines)
    api = ApiSettings(host=host, port=port, api_workers=api_workers)
    api.refuse_exposure()
    redis = RedisSettings(redis_url=redis_url)
    folder = up.data.resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder), listening(api.host, api.port) as door:
        metrics = fresh_folder(folder / "metrics")
        supervisor = Supervisor(folder, drain_s=up.stop_within_s, metrics=metrics)
        with supervisor.signals():
            try:
                url = redis.redis_url or supervisor.start_store(Store(folder / "redis", redis.redis_maxmemory_mb))
                told = {
                    "REGULARS_REDIS_URL": url,
                    "REGULARS_CHILDREN_FILE": str(supervisor.children_file),
                    "PROMETHEUS_MULTIPROC_DIR": str(metrics),
                    "REGULARS_ENGINES": str(up.engines),
                    "REGULARS_HOST": api.host,
                    "REGULARS_PORT": str(door.getsockname()[1]),
                    "REGULARS_URL": _within_reach(*door.getsockname()[:2]),
                } | ({"REGULARS_CATALOGUE": str(catalogue.resolve())} if catalogue else {})
                supervisor.add(children(told, door, up.engines, api.api_workers))
                _keep_alive(supervisor, api, door)
            except Interrupted:
                log.info("stopped while starting")
            finally:
                # The API processes hold the socket too; with this copy gone, theirs is the last to close.
                door.close()
                supervisor.stop()
    return 0


def children(told: dict[str, str], door: socket.socket, engines: int, api_workers: int) -> list[ChildSpec]:
    """The children in the order they start: each engine has a fixed share of the shards, each API the same socket."""
    table = [
        ChildSpec(
            f"engine-{index}",
            regulars_command("engine"),
            told | {"REGULARS_PART": f"engine-{index}", "REGULARS_ENGINE_INDEX": str(index)},
            stage=1,
        )
        for index in range(engines)
    ]
    table.append(ChildSpec("learn", regulars_command("learn"), told | {"REGULARS_PART": "learn"}, stage=1))
    table.append(ChildSpec("act", regulars_command("act"), told | {"REGULARS_PART": "act"}, stage=0))
    table.extend(
        ChildSpec(
            f"api-{index}",
            regulars_command("api"),
            told | {"REGULARS_PART": f"api-{index}", "REGULARS_LISTEN_FD": str(door.fileno())},
            inherited=(door.fileno(),),
            stage=0,
        )
        for index in range(api_workers)
    )
    return table


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the data folder for this process alone; the kernel lets go of it however the process ends."""
    path = folder / "up.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode().strip() or "unknown"
            raise DataInUse(f"{folder} is in use by another `regulars up`, process {holder}") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket bound to the address. It listens as soon as the first API process does, and refuses until then."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        door = socket.socket(family, kind, protocol)
    except OSError as error:
        raise AddressTaken(f"cannot listen on {host}: {error.strerror or error}") from None
    with door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(address)
        except OSError as error:
            raise AddressTaken(f"cannot listen on {host} port {port}: {error.strerror}") from None
        yield door


def _keep_alive(supervisor: Supervisor, api: ApiSettings, door: socket.socket) -> None:
    """Looks after the children until a signal comes, and says when everything is ready."""
    address = door.getsockname()[:2]
    announced = False
    complain_at = time.monotonic() + _SAY_NOT_READY_EVERY_S
    while not supervisor.stopping:
        supervisor.look()
        if announced:
            supervisor.wait()
            continue
        missing = _missing(*address)
        if missing is None:
            announced = True
            supervisor.ready()
            _announce(api, *address)
        elif time.monotonic() > complain_at:
            log.warning("not ready yet", extra={"missing": missing})
            complain_at = time.monotonic() + _SAY_NOT_READY_EVERY_S
        supervisor.wait(0.05)


def _missing(host: str, port: int) -> str | None:
    """None when `/readyz` answers 200; else what it says is missing."""
    reachable = _REACHABLE.get(host, host)
    connection = http.client.HTTPConnection(reachable, port, timeout=1.0)
    try:
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            body = response.read().decode(errors="replace")
            return None if response.status == 200 else body
        return "the API does not answer yet"
    finally:
        connection.close()


def _within_reach(host: str, port: int) -> str:
    """The API's address for a child on this machine."""
    reachable = _REACHABLE.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _announce(api: ApiSettings, host: str, port: int) -> None:
    shown = f"[{host}]" if ":" in host else host
    note = " (no keys are set: it answers on this machine only, and every caller has all rights)" if api.keyless else ""
    print(f"Regulars is ready at http://{shown}:{port}{note}")
    sys.stdout.flush()
