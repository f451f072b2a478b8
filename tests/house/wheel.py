"""The wheel, built from a copy, so that the build leaves nothing in the checkout."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.house.tree import ROOT, tracked


def build_wheel(folder: Path) -> Path:
    """Builds below `folder` from what is in the checkout, and returns the wheel."""
    copy = folder / "checkout"
    for path in tracked():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, copy / path)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", copy / "dist"],
        cwd=copy, check=True, capture_output=True,
    )  # fmt: skip
    return next((copy / "dist").glob("*.whl"))
