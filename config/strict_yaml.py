"""YAML without its surprises: no key twice, no `no` that means false, no `21:30` that means 1290, dates stay text.

Scalars are read as YAML 1.2 does: `true` and `false`, plain decimal numbers, `null`; everything else is text.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from config.mistakes import Mistake


class _Loader(yaml.SafeLoader):
    """The safe loader with resolvers of its own and a list for keys that stand twice."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: list[tuple[str, int]] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = key.value
            if name in seen and key.tag != "tag:yaml.org,2002:merge":
                self.repeated.append((str(name), key.start_mark.line + 1))
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|false)$", "tf"),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    ("float", r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?$", "-+0123456789."),
    ("null", r"^(?:~|null|)$", ["~", "n", ""]),
    ("merge", r"^<<$", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", lambda _loader, node: int(node.value))
_Loader.add_constructor("tag:yaml.org,2002:float", lambda _loader, node: float(node.value))


def read_yaml(path: Path, name: str) -> tuple[Any, list[Mistake]]:
    """The content of a file and what is wrong with it as YAML; the content is None where it cannot be read at all."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return None, [Mistake(name, "", f"cannot be read: {error}")]
    return parse_yaml(text, name)


def parse_yaml(text: str, name: str) -> tuple[Any, list[Mistake]]:
    """The same for a text."""
    try:
        loader = _Loader(text)
    except yaml.YAMLError as error:
        return None, [Mistake(name, "", f"cannot be read: {error}")]
    try:
        content = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        return None, [Mistake(name, where, f"is no YAML: {_said(error)}")]
    except (yaml.YAMLError, RecursionError) as error:
        return None, [Mistake(name, "", f"is no YAML: {error}")]
    finally:
        loader.dispose()
    return content, [Mistake(name, f"line {line}", f"the key {key!r} stands here a second time") for key, line in loader.repeated]


def compose_yaml(text: str) -> yaml.Node | None:
    """The nodes of a text, which know where they stand. Raises `yaml.YAMLError`."""
    return yaml.compose(text, Loader=_Loader)


_HINTS = (
    ("found character '\\t'", "indent with spaces, not with a tab"),
    ("mapping values are not allowed here", "put a text that holds a colon in quotes"),
    ("found undefined alias", "put a text that begins with * in quotes"),
    ("found character '%'", "put a text that begins with % in quotes"),
    ("found character '@'", "put a text that begins with @ in quotes"),
    ("found unexpected end of stream", "a quote is not closed"),
    ("expected ',' or '}', but got ':'", "put a text that holds a colon in quotes"),
    ("expected ',' or ']'", "a bracket [ is not closed"),
    ("expected ',' or '}'", "a brace { is not closed"),
    ("expected <block end>", "this line is not indented like the ones above it"),
)


def _said(error: yaml.MarkedYAMLError) -> str:
    """What the reader found, with what a marketer most likely has to do."""
    problem = str(error.problem or error)
    hint = next((hint for found, hint in _HINTS if found in problem), "")
    return f"{problem}: {hint}" if hint else problem
