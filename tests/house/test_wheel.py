"""What is installed is what is in the checkout, data files included, and it runs away from the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.house.tree import PACKAGES, tracked
from tests.house.wheel import build_wheel

SHIPPED = {".py", ".yaml", ".yml", ".json", ".html", ".js", ".css", ".svg", ".lua", ".service", ".typed"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_packages_and_no_test(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())

    shipped = {str(path) for path in tracked() if path.parts[0] in PACKAGES and path.suffix in SHIPPED}
    assert shipped | {"regulars.py"} <= held
    assert [name for name in held if name.startswith("tests/")] == []


@pytest.mark.slow
def test_every_data_file_has_an_ending_that_ships() -> None:
    data = [path for path in tracked() if path.parts[0] in PACKAGES and path.suffix not in SHIPPED]

    assert data == []


@pytest.mark.slow
def test_the_installed_command_runs_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)

    told = subprocess.run(
        [sys.executable, "-P", "-c", "import regulars; print(regulars.__file__); regulars.app(['--help'])"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    assert told.startswith(str(site))
    assert "dead-letters" in told
