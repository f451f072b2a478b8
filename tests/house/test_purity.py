"""The engine has no clock, no chance and no I/O of its own: a decision replays from its log to the same answer."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.house.tree import parsed, python_files

# Modules whose very import means a clock, chance or I/O.
OUTSIDE_WORLD = {
    "time", "secrets", "socket", "subprocess", "os", "sys", "pathlib", "shutil", "tempfile", "urllib", "http",
    "asyncio", "threading", "logging",
}  # fmt: skip
CLOCKS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"), ("uuid", "uuid4")}
# Of `random`, only the generator that is given its seed.
SEEDED = {"Random"}
WORLDLY_CALLS = {"open", "print", "input"}


def core_files() -> list[Path]:
    return [path for path in python_files("engine") if path.parts[1] != "store"]


def offences(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (f"import {name.name}" for name in names if name.name.partition(".")[0] in OUTSIDE_WORLD)
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in OUTSIDE_WORLD:
                yield f"from {module}"
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if (name, attribute) in CLOCKS:
                yield f"{name}.{attribute}"
            case ast.Attribute(value=ast.Name(id="random"), attr=attribute) if attribute not in SEEDED:
                yield f"random.{attribute}"
            case ast.Call(func=ast.Name(id=name)) if name in WORLDLY_CALLS:
                yield f"{name}()"
            case ast.Call(func=ast.Attribute(attr="default_rng"), args=[], keywords=[]):
                yield "default_rng() without a seed"


def test_the_engine_reads_no_clock_draws_no_chance_and_does_no_io() -> None:
    found = {str(path): sorted(offences(parsed(path))) for path in core_files()}

    assert {path: names for path, names in found.items() if names} == {}


def test_the_search_finds_what_it_looks_for() -> None:
    guilty = ast.parse(
        "import time\nfrom os import path\nx = datetime.now(UTC)\n"
        "y = random.random()\nopen('f')\nnp.random.default_rng()"
    )

    assert sorted(offences(guilty)) == [
        "datetime.now", "default_rng() without a seed", "from os", "import time", "open()", "random.random",
    ]  # fmt: skip
