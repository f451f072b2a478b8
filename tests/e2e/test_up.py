"""The whole system as one command: it starts, survives its children's deaths, and ends in order."""

import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.store.embedded import EmbeddedRedis
from flows.supervise import regulars_command
from tests.e2e.running import Up, alive, up, wait_until
from tests.house.wheel import build_wheel


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("up"), "--engines", "2", "--api-workers", "2") as system:
        yield system


def send(system: Up, *events: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{system.url}/v1/events", json=list(events), timeout=10)


def events_of(system: Up, user: str) -> int:
    """How many purchases the customer's profile holds; 0 while nobody is known by that name."""
    answer = httpx.get(f"{system.url}/v1/customers/{user}", timeout=10)
    return int(answer.json()["purchases"]["count"]) if answer.status_code == 200 else 0


def bought(user: str, number: int) -> dict[str, Any]:
    return {
        "type": "order_completed",
        "id": f"order-{user}-{number}",
        "user_id": user,
        "time": "2026-05-01T10:00:00Z",
        "data": {"order_id": f"{user}-{number}", "currency": "EUR", "total": 1250},
    }


def test_the_only_line_says_where_it_answers_and_that_it_has_no_keys(running: Up) -> None:
    assert running.line.startswith("Regulars is ready at http://127.0.0.1:")
    assert "no keys" in running.line


def test_every_child_runs_under_its_name(running: Up) -> None:
    assert set(running.children()) == {"redis", "engine-0", "engine-1", "learn", "act", "api-0", "api-1"}
    assert httpx.get(f"{running.url}/readyz").status_code == 200


def test_an_accepted_event_reaches_the_profile(running: Up) -> None:
    answer = send(running, bought("first", 1))

    assert answer.status_code == 202
    wait_until(lambda: events_of(running, "first") == 1, what="the purchase in the profile")


@pytest.mark.parametrize("name", ["engine-0", "engine-1", "learn", "act", "api-0", "redis"])
def test_a_killed_child_comes_back_and_nothing_accepted_is_lost(running: Up, name: str) -> None:
    before = running.children()[name]
    assert before.pid is not None

    os.kill(before.pid, signal.SIGKILL)
    wait_until(lambda: running.children()[name].pid not in (None, before.pid), what=f"a new {name}")
    wait_until(lambda: ready(running), what="ready again")

    users = [f"{name}-{number}" for number in range(8)]
    assert send(running, *(bought(user, 1) for user in users)).status_code == 202
    wait_until(lambda: all(events_of(running, user) == 1 for user in users), what="all eight purchases")
    assert running.children()[name].restarts == before.restarts + 1


def ready(system: Up) -> bool:
    try:
        return httpx.get(f"{system.url}/readyz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def test_the_metrics_of_all_processes_are_one_exposition(running: Up) -> None:
    send(running, bought("counted", 1))
    wait_until(lambda: events_of(running, "counted") == 1)

    text = httpx.get(f"{running.url}/metrics").text

    assert "regulars_events_accepted_total" in text
    assert "regulars_events_committed_total" in text


def test_a_second_up_on_the_same_data_says_who_holds_it(running: Up) -> None:
    second = subprocess.run(
        regulars_command("up", "--data", str(running.data), "--port", "0"), capture_output=True, text=True, timeout=30
    )

    assert second.returncode == 2
    assert f"process {running.process.pid}" in second.stderr


def test_a_dead_letter_is_listed_and_stays_when_the_door_would_refuse_it_again(running: Up) -> None:
    refused = send(running, {"type": "order_completed", "user_id": "u", "time": "2026-05-01T10:00:00Z", "data": {}})
    letter = refused.json()["rejected"][0]["dead_letter_id"]

    listed = command(running, "dead-letters", "list")
    replayed = command(running, "dead-letters", "replay", letter, "--url", running.url)

    assert letter in listed.stdout
    assert replayed.returncode == 1
    assert "stays" in replayed.stdout


def command(system: Up, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        regulars_command(*words), capture_output=True, text=True, timeout=30,
        env={**os.environ, "REGULARS_DATA": str(system.data)},
    )  # fmt: skip


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_and_ctrl_c_end_everything_with_code_zero(
    asked: signal.Signals, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with up(tmp_path_factory.mktemp("up")) as system:
        assert send(system, bought("kept", 1)).status_code == 202
        pids = [each.pid for each in system.children().values() if each.pid]

        # As a terminal does it: to the whole foreground group.
        os.killpg(system.process.pid, asked)
        code = system.process.wait(60)

        assert code == 0
        assert [pid for pid in pids if alive(pid)] == []
        assert {each.state for each in system.children().values()} == {"stopped"}

    with up(system.data) as again:
        wait_until(lambda: events_of(again, "kept") == 1, what="what the first run accepted")


def test_children_die_with_a_killed_up(tmp_path_factory: pytest.TempPathFactory) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux kills a child with its parent")
    with up(tmp_path_factory.mktemp("up")) as system:
        pids = [each.pid for each in system.children().values() if each.pid]

        system.process.kill()

        wait_until(lambda: not any(alive(pid) for pid in pids), within_s=5, what="the end of all children")


def test_a_crash_loop_makes_the_system_not_ready_and_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    with up(tmp_path_factory.mktemp("up")) as system:
        for deaths in range(1, 6):
            wait_until(lambda: system.children()["engine-0"].pid is not None, what="an engine to kill")
            os.kill(system.pid_of("engine-0"), signal.SIGKILL)
            wait_until(lambda so_far=deaths: system.children()["engine-0"].restarts == so_far, what="the death")  # type: ignore[misc]

        answer = httpx.get(f"{system.url}/readyz", timeout=10)

        assert system.children()["engine-0"].state == "crash_loop"
        assert answer.status_code == 503
        assert "engine-0" in answer.text


def test_with_a_redis_of_ones_own_none_is_started_and_it_is_left_running(
    redis_url: str, redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with up(tmp_path_factory.mktemp("up"), "--redis-url", redis_url) as system:
        assert set(system.children()) == {"engine-0", "learn", "act", "api-0"}
        assert send(system, bought("elsewhere", 1)).status_code == 202
        assert system.stop() == 0

    assert redis_server.exit_code() is None
    assert not (system.data / "redis").exists()


def test_a_broken_catalogue_ends_the_start_with_the_mistake(tmp_path: Path) -> None:
    (tmp_path / "catalogue" / "offers").mkdir(parents=True)
    (tmp_path / "catalogue" / "offers" / "broken.yaml").write_text("offers:\n  - id: a\n    kind: sel\n")

    ended = subprocess.run(
        regulars_command("up", "--data", str(tmp_path / "d"), "--port", "0", "--catalogue", str(tmp_path / "catalogue")),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert ended.returncode == 2
    assert "broken.yaml" in ended.stderr
    assert ended.stdout == ""


@pytest.mark.slow
def test_the_wheel_runs_outside_the_checkout(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("w")
    zipfile.ZipFile(build_wheel(folder)).extractall(folder / "site")

    with up(folder / "data", environment={"PYTHONPATH": str(folder / "site")}, cwd=folder) as system:
        assert send(system, bought("first", 1)).status_code == 202
        wait_until(lambda: events_of(system, "first") == 1)
        command_line = Path(f"/proc/{system.pid_of('engine-0')}/environ")
        assert not command_line.exists() or str(folder / "site") in command_line.read_text(errors="replace")
        assert system.stop() == 0
