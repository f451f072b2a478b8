"""The checkout as the house tests read it."""

import ast
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("engine", "flows", "api", "config", "load_tests")


@cache
def tracked() -> tuple[Path, ...]:
    """Every file under version control that is there, relative to the root; new ones that nothing ignores count too."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return tuple(path for path in map(Path, sorted(set(listed.splitlines()))) if (ROOT / path).is_file())


def python_files(*folders: str) -> list[Path]:
    """The Python files of these top-level folders, or of the whole house."""
    return [path for path in tracked() if path.suffix == ".py" and (not folders or path.parts[0] in folders)]


def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file of the checkout."""
    return ast.parse((ROOT / path).read_text(), str(path))
