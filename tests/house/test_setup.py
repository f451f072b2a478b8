"""The set-up a stranger meets: the lock, the Makefile, the README's commands, continuous integration."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from regulars import ROSTER
from tests.house.tree import ROOT, tracked

# A home folder of whoever wrote the line, or a package index by name: neither means anything to a reader.
PRIVATE = re.compile(r"(?<![\w.])/(?:hom[e]|roo[t]|User[s])/[\w.]+/|\bfile:/{2}\w|pythonhoste[d]\.|py[p]i\.org")
DOCUMENTS = ("README.md", "CONTRIBUTING.md")


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def canonical(requirement: str) -> str:
    return re.split(r"[\s<>=!~;\[]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def locked() -> dict[str, str]:
    """Each pinned package with the text of its entry."""
    entries = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text())
    return {canonical(entry): entry for entry in entries if "==" in entry}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_lock_names_no_address() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text()


def test_every_pin_has_its_hashes() -> None:
    assert [name for name, entry in locked().items() if "--hash=sha256:" not in entry] == []


def test_every_dependency_is_in_the_lock() -> None:
    told = project()
    groups = [*told["project"]["optional-dependencies"].values(), *told["dependency-groups"].values()]
    asked = [*told["project"]["dependencies"], *(each for group in groups for each in group)]

    assert {canonical(each) for each in asked} - set(locked()) == set()


def test_every_dependency_says_what_it_is_for() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    requirements = [line for line in lines if re.match(r'    "[A-Za-z][\w.-]+(\[\w+\])?[<>=].*",', line)]

    assert len(requirements) > 20
    assert [line for line in requirements if " # " not in line] == []


def test_every_make_command_of_the_documents_exists() -> None:
    named = {
        target
        for document in DOCUMENTS
        for target in re.findall(r"(?:^|`)make ([a-z]+)", (ROOT / document).read_text(), re.MULTILINE)
    }

    assert {"demo", "test"} <= named
    assert named <= targets()


def test_every_regulars_command_of_the_documents_exists() -> None:
    known = {command.partition(" ")[0] for command in ROSTER}
    named = {
        command
        for document in DOCUMENTS
        for command in re.findall(r"(?:^|`|bin/)regulars ([a-z][a-z-]+)", (ROOT / document).read_text(), re.MULTILINE)
    }

    assert named <= known


def test_continuous_integration_checks_and_tests() -> None:
    script = ROOT / ".ci" / "run"

    assert os.access(script, os.X_OK)
    assert re.findall(r"^make (\w+)$", script.read_text(), re.MULTILINE) == ["check", "test"]


def test_no_file_names_a_home_folder_or_a_package_index() -> None:
    def offending(path: Path) -> list[str]:
        try:
            return PRIVATE.findall((ROOT / path).read_text())
        except UnicodeDecodeError:
            return []

    assert {str(path): found for path in tracked() if (found := offending(path))} == {}
