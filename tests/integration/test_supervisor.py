"""The supervisor keeps real processes alive, and takes them along when it goes. The children are tiny stand-ins."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from redis import Redis

from flows.children import ChildrenReport, ChildReport
from flows.supervise import ChildSpec, Misconfigured, Store, Supervisor
from flows.up import AddressTaken, DataInUse, listening, locked

STEADY = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(0)); time.sleep(600)"
CRASHING = "raise SystemExit(3)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
WRONG_USE = "raise SystemExit(2)"


def child(name: str, script: str, stage: int = 0) -> ChildSpec:
    return ChildSpec(name, (sys.executable, "-c", script), stage=stage)


def seen(folder: Path) -> dict[str, ChildReport]:
    """What `children.json` says; a child that it does not name yet reads as starting."""
    found: dict[str, ChildReport] = defaultdict(ChildReport)
    with suppress(FileNotFoundError):
        report = msgspec.json.decode((folder / "children.json").read_bytes(), type=ChildrenReport)
        found.update((each.name, each) for each in report.children)
    return found


def look_until(supervisor: Supervisor, true: Callable[[], bool], within_s: float = 10.0) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "did not come true in time"
        supervisor.look()
        supervisor.wait(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(true: Callable[[], bool], within_s: float = 10.0) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.02)


@pytest.fixture
def supervisor(short_path: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor(short_path, drain_s=1.0)
    with supervisor.signals():
        yield supervisor
        supervisor.stop()


def test_a_killed_child_comes_back_and_is_counted(supervisor: Supervisor, short_path: Path) -> None:
    supervisor.add([child("engine-0", STEADY)])
    look_until(supervisor, lambda: seen(short_path)["engine-0"].state == "running")
    first = seen(short_path)["engine-0"].pid
    assert first is not None

    os.kill(first, signal.SIGKILL)
    look_until(supervisor, lambda: seen(short_path)["engine-0"].pid not in (first, None))

    assert seen(short_path)["engine-0"].restarts == 1


def test_a_crash_loop_shows_by_name(supervisor: Supervisor, short_path: Path) -> None:
    supervisor.add([child("learn", CRASHING), child("api-0", STEADY)])

    look_until(supervisor, lambda: seen(short_path)["learn"].state == "crash_loop", within_s=15)

    assert seen(short_path)["learn"].restarts >= 5
    assert seen(short_path)["api-0"].state == "running"


def test_wrong_use_before_the_system_was_ready_ends_it(supervisor: Supervisor) -> None:
    supervisor.add([child("api-0", WRONG_USE)])

    with pytest.raises(Misconfigured, match="api-0"):
        look_until(supervisor, lambda: False)


def test_wrong_use_later_is_restarted_like_any_death(supervisor: Supervisor, short_path: Path) -> None:
    supervisor.ready()
    supervisor.add([child("api-0", WRONG_USE)])

    look_until(supervisor, lambda: seen(short_path)["api-0"].restarts >= 2)


def test_stopping_ends_the_front_before_the_back(supervisor: Supervisor, short_path: Path) -> None:
    note = short_path / "order"
    ends = f"""
    import signal, sys, time
    def end(*_):
        time.sleep(0.1)
        open({str(note)!r}, "a").write(sys.argv[1] + " ")
        sys.exit(0)
    signal.signal(15, end)
    time.sleep(600)
    """
    command = (sys.executable, "-c", textwrap.dedent(ends))
    supervisor.add(
        [ChildSpec("engine-0", (*command, "engine"), stage=1), ChildSpec("api-0", (*command, "api"), stage=0)]
    )
    look_until(supervisor, lambda: {each.state for each in seen(short_path).values()} == {"running"})

    supervisor.stop()

    assert note.read_text().split() == ["api", "engine"]
    assert {each.state for each in seen(short_path).values()} == {"stopped"}


def test_a_child_that_does_not_listen_is_killed_after_its_time(supervisor: Supervisor, short_path: Path) -> None:
    supervisor.add([child("learn", STUBBORN)])
    look_until(supervisor, lambda: seen(short_path)["learn"].state == "running")
    pid = seen(short_path)["learn"].pid
    assert pid is not None

    supervisor.stop()

    assert not alive(pid)


def test_a_killed_redis_comes_back_with_everything_at_the_same_address(
    supervisor: Supervisor, short_path: Path
) -> None:
    url = supervisor.start_store(Store(short_path / "redis", 64))
    with Redis.from_url(url) as client:
        client.set("kept", "yes")
    first = seen(short_path)["redis"].pid
    assert first is not None

    os.kill(first, signal.SIGKILL)
    look_until(supervisor, lambda: seen(short_path)["redis"].pid not in (first, None))

    with Redis.from_url(url) as client:
        assert client.get("kept") == b"yes"
    assert seen(short_path)["redis"].restarts == 1


def test_children_and_redis_die_with_a_killed_supervisor(short_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux kills a child with its parent")
    script = f"""
    import sys
    from pathlib import Path
    from flows.supervise import ChildSpec, Store, Supervisor
    supervisor = Supervisor(Path({str(short_path)!r}))
    supervisor.start_store(Store(Path({str(short_path)!r}) / "redis", 64))
    supervisor.add([ChildSpec("engine-0", (sys.executable, "-c", {STUBBORN!r}))])
    while True:
        supervisor.look()
        supervisor.wait(0.05)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)]) as parent:
        wait_until(lambda: seen(short_path)["engine-0"].state == "running")
        pids = [each.pid for each in seen(short_path).values()]
        parent.kill()

    assert len(pids) == 2
    wait_until(lambda: not any(alive(pid) for pid in pids if pid is not None), within_s=5)


def test_a_second_signal_does_not_wait_for_a_child_that_does_not_listen(short_path: Path) -> None:
    script = f"""
    import sys
    from pathlib import Path
    from flows.supervise import ChildSpec, Supervisor
    supervisor = Supervisor(Path({str(short_path)!r}), drain_s=60)
    supervisor.add([ChildSpec("engine-0", (sys.executable, "-c", {STUBBORN!r}))])
    with supervisor.signals():
        while not supervisor.stopping:
            supervisor.look()
            supervisor.wait(0.05)
        supervisor.stop()
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stderr=subprocess.PIPE) as parent:
        wait_until(lambda: seen(short_path)["engine-0"].state == "running")
        parent.terminate()
        time.sleep(0.3)
        assert parent.poll() is None

        parent.terminate()
        code = parent.wait(5)

    assert code == 0
    assert seen(short_path)["engine-0"].state == "stopped"


def test_a_second_up_on_the_same_data_is_told_who_holds_it(short_path: Path) -> None:
    with locked(short_path), pytest.raises(DataInUse, match=f"process {os.getpid()}"), locked(short_path):
        pass


def test_the_data_can_be_used_again_after_the_holder_left(short_path: Path) -> None:
    with locked(short_path):
        pass

    with locked(short_path):
        pass


def test_a_taken_port_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(AddressTaken, match=f"port {port}"), listening("127.0.0.1", port):
            pass


def test_nobody_gets_a_connection_before_an_api_process_listens() -> None:
    with listening("127.0.0.1", 0) as door:
        port = door.getsockname()[1]

        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
