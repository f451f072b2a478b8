"""The bundled server keeps what it acknowledged, and never meets another Redis."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from redis import Redis

from engine.store.embedded import EmbeddedRedisFailed, start_embedded


def alive(pid: int) -> bool:
    """Running, and not a zombie that waits for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not alive(pid)


def test_the_server_is_durable_and_evicts_nothing(short_path: Path) -> None:
    server = start_embedded(short_path, maxmemory_mb=64)
    try:
        with Redis.from_url(server.url, decode_responses=True) as client:
            settings = client.config_get("*")
    finally:
        server.stop()

    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "always"
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["maxmemory"] == str(64 * 1024 * 1024)
    assert settings["save"] == ""
    assert settings["port"] == "0"


def test_what_was_acknowledged_survives_a_kill(short_path: Path) -> None:
    server = start_embedded(short_path)
    with Redis.from_url(server.url) as client:
        client.set("kept", "yes")

    os.kill(server.pid, signal.SIGKILL)
    server.process.wait()
    server = start_embedded(short_path)

    try:
        with Redis.from_url(server.url) as client:
            assert client.get("kept") == b"yes"
    finally:
        server.stop()


def test_stopping_leaves_no_process_and_no_socket(short_path: Path) -> None:
    server = start_embedded(short_path)

    server.stop()

    assert server.exit_code() == 0
    assert not alive(server.pid)
    assert not (short_path / "redis.sock").exists()


def test_a_socket_and_a_pid_file_of_a_crash_do_not_matter(short_path: Path) -> None:
    (short_path / "redis.sock").write_text("left over")
    (short_path / "redis.pid").write_text(str(os.getpid()))

    server = start_embedded(short_path)

    server.stop()
    assert server.exit_code() == 0


def test_a_folder_too_deep_for_a_socket_gets_a_loopback_port(short_path: Path) -> None:
    deep = short_path / ("d" * 60) / ("e" * 60)

    server = start_embedded(deep)
    try:
        assert server.url.startswith("redis://127.0.0.1:")
        with Redis.from_url(server.url) as client:
            assert client.info("server")["process_id"] == server.pid
    finally:
        server.stop()


def test_a_second_server_on_the_same_folder_is_refused(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.store.embedded._PREDECESSOR_WITHIN_S", 0.2)
    server = start_embedded(short_path)

    try:
        with pytest.raises(EmbeddedRedisFailed, match=f"process {server.pid}"):
            start_embedded(short_path)
        with Redis.from_url(server.url) as client:
            assert client.ping()
    finally:
        server.stop()


def test_a_server_that_cannot_start_says_what_it_wrote(short_path: Path) -> None:
    (short_path / "appendonly.aof").write_bytes(b"*1\r\nbroken in the middle\r\n" * 50)

    with pytest.raises(EmbeddedRedisFailed, match="Bad file format"):
        start_embedded(short_path)


def test_the_server_dies_with_a_killed_parent_and_its_folder_can_be_used_at_once(short_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux kills a child with its parent")
    script = textwrap.dedent(
        f"""
        import time
        from pathlib import Path
        from engine.store.embedded import start_embedded
        print(start_embedded(Path({str(short_path)!r})).pid, flush=True)
        time.sleep(60)
        """
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()

    assert gone_within(pid, 5)
    server = start_embedded(short_path)
    server.stop()
