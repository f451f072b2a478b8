"""The demo as a stranger runs it, in a few seconds: it ends by itself, its figures are whole, and they add up."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from flows.children import ChildrenReport
from flows.supervise import regulars_command
from tests.e2e.running import alive, wait_until

ARMS = ("learned", "frozen", "popularity", "random")

pytestmark = pytest.mark.slow


def started(folder: Path, *options: str) -> "subprocess.Popen[str]":
    command = regulars_command("demo", "--port", "0", "--data", str(folder / "data"), *options)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)


def pids(folder: Path) -> list[int]:
    report = msgspec.json.decode((folder / "data" / "children.json").read_bytes(), type=ChildrenReport)
    return [report.supervisor, *(child.pid for child in report.children if child.pid)]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("d")
    process = started(folder, "--seconds", "15", "--json", str(folder / "figures.json"))
    said, _ = process.communicate(timeout=150)
    assert process.returncode == 0, said
    return said, orjson.loads((folder / "figures.json").read_bytes()), folder


def test_every_arm_shows_offers_to_as_many_households(ran: tuple[str, dict[str, Any], Path]) -> None:
    _, told, _ = ran

    for name in ARMS:
        arm = told["arms"][name]
        assert arm["shown"] > 0
        assert 0.0 <= arm["interval"][0] <= arm["rate"] <= arm["interval"][1] <= 1.0
    assert told["baskets"]["replayed"] > told["baskets"]["in_bulk"] > 0
    assert told["events"]["accepted"] > told["baskets"]["replayed"]
    assert (told["events"]["rejected"], told["events"]["dead_letters"]) == (0, 0)
    assert 0.0 < told["decision_ms"]["p50"] <= told["decision_ms"]["p99"]
    assert told["freshness_ms"]["p99"] > 0.0


def test_spend_and_hits_in_the_engine_are_those_of_the_data(ran: tuple[str, dict[str, Any], Path]) -> None:
    _, told, _ = ran

    assert told["spend"]["difference_minor"] == 0
    assert told["spend"]["data_minor"] > 0
    counted = told["offers"]["counted_by_regulars"]
    assert told["offers"]["redeemed"] == counted["redeemed"] > 0


def test_the_engine_dies_in_view_and_comes_back(ran: tuple[str, dict[str, Any], Path]) -> None:
    said, told, _ = ran

    assert "killed (SIGKILL)" in said
    assert told["engine_killed"]["back_s"] > 0.0
    assert told["engine_killed"]["decisions"] > 0


def test_the_story_has_basket_offer_reason_and_fate(ran: tuple[str, dict[str, Any], Path]) -> None:
    said, _, _ = ran

    for part in ("basket of", "offer:", "why:", "changed:", "Spend in the data", "What this cannot show:"):
        assert part in said
    assert "HIT:" in said or "MISS:" in said


def test_a_folder_with_a_run_in_it_is_not_used_again(ran: tuple[str, dict[str, Any], Path]) -> None:
    _, _, folder = ran

    process = started(folder, "--seconds", "5")
    said, _ = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "name a new folder" in said


def test_an_interrupt_ends_everything_with_the_figures_so_far(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("d")
    process = started(folder, "--seconds", "60", "--json", str(folder / "figures.json"))
    assert process.stdout is not None
    for line in process.stdout:
        if "loading history" in line:
            break
    running = pids(folder)

    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)

    assert process.returncode == 0
    assert orjson.loads((folder / "figures.json").read_bytes())["spend"]["difference_minor"] == 0
    wait_until(lambda: not any(alive(pid) for pid in running), what="the end of every process")
