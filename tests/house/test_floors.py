"""The floors hold, and files are named and sized as the house wants them."""

import ast
import subprocess
import sys
from pathlib import Path

from tests.house.tree import PACKAGES, ROOT, parsed, python_files, tracked

NAMELESS = {"utils", "util", "common", "helpers", "helper", "manager", "misc", "base_utils", "shared"}
LONGEST_FILE = 450


def test_no_package_imports_upwards_or_sideways() -> None:
    linter = Path(sys.executable).parent / "lint-imports"

    found = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)

    assert found.returncode == 0, found.stdout


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    unnamed = [path for path in python_files() if NAMELESS & {part.removesuffix(".py") for part in path.parts}]

    assert unnamed == []


def test_no_file_has_grown_into_a_facade() -> None:
    long = [path for path in python_files() if len((ROOT / path).read_text().splitlines()) > LONGEST_FILE]

    assert long == []


def test_every_package_says_why_it_is_there() -> None:
    silent = [path for path in python_files() if path.name == "__init__.py" and not ast.get_docstring(parsed(path))]

    assert silent == []


def test_every_folder_with_code_is_a_package() -> None:
    folders = {path.parent for path in python_files(*PACKAGES, "tests")}

    assert [folder for folder in sorted(folders) if not (ROOT / folder / "__init__.py").is_file()] == []


def test_packages_re_export_nothing_but_the_union_of_events() -> None:
    exporting = [
        path
        for path in python_files()
        if path.name == "__init__.py"
        and path != Path("engine/events/__init__.py")
        and any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(parsed(path)))
    ]

    assert exporting == []


def test_every_module_says_what_it_is() -> None:
    silent = [path for path in python_files() if not ast.get_docstring(parsed(path))]

    assert silent == []


def test_the_root_holds_what_was_agreed() -> None:
    agreed = {
        "engine", "flows", "api", "config", "load_tests", "tests", "pyproject.toml", "README.md",
        "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "requirements.lock", "regulars.py", "Containerfile",
        ".ci", ".importlinter", ".gitignore", ".containerignore",
    }  # fmt: skip

    assert {path.parts[0] for path in tracked()} <= agreed
