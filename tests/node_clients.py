"""Node and the packages of other people's clients: part of the environment, like the browser.

In continuous integration missing ones fail the tests; elsewhere these are skipped with the line that says how to get them.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path(__file__).parent / "conformance" / "node"
HOW: Final = "node or the clients' packages are missing: install node and npm, then run bash .ci/setup-node"
WITHIN_S: Final = 120


def package(name: str) -> Path:
    """The folder of an installed package. Fails in continuous integration where it is missing, and skips the test elsewhere."""
    folder = FOLDER / "node_modules" / name
    if shutil.which("node") is None or not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(HOW)
        pytest.skip(HOW)
    return folder


def run_script(name: str, *arguments: str) -> None:
    """Runs a script of the folder to its end; its complaints fail the test."""
    ran = subprocess.run(["node", name, *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert ran.returncode == 0, ran.stderr
