"""`regulars catalogue pause` and `resume`: one word in one file, everything else as the marketer left it.

The YAML reader knows from which character to which a value stands, so only those characters change: comments, quotes, order
and blank lines stay byte for byte, which a library that writes YAML anew cannot promise for every layout. The edit is trusted
only after the new text reads as the old content with that one status; where an anchor makes it mean more, it is refused.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from msgspec import Struct

from config.catalogue_files import FOLDERS
from config.catalogue_folder import read_files, tag_of, write_files
from config.mistakes import CatalogueError, Mistake, did_you_mean
from config.settings import DEFAULT_CATALOGUE
from config.strict_yaml import compose_yaml, parse_yaml
from engine.errors import RegularsError

Status = Literal["live", "paused"]


class NotThere(RegularsError):
    """No offer and no campaign has this id."""


class NotPossible(RegularsError):
    """The status cannot be changed by itself."""


class Place(Struct, frozen=True):
    """Where an offer or a campaign stands."""

    kind: str
    file: str
    id: str
    node: Any

    @property
    def fields(self) -> dict[str, yaml.Node]:
        return {key.value: value for key, value in self.node.value}

    @property
    def status(self) -> str:
        held = self.fields.get("status")
        return str(held.value) if isinstance(held, yaml.ScalarNode) else "live"


def main_pause(folder: Path | None, offer: str) -> int:
    """Pauses an offer or a campaign, and says where."""
    return _set(folder or DEFAULT_CATALOGUE, offer, "paused")


def main_resume(folder: Path | None, offer: str) -> int:
    """Makes a paused one live again, and says where."""
    return _set(folder or DEFAULT_CATALOGUE, offer, "live")


def _set(folder: Path, name: str, status: Status) -> int:
    files = read_files(folder)
    place = find(files, name)
    if place.status == status:
        print(f"the {place.kind} {name} is {status} already, in {place.file}")
        return 0
    text = with_status(files[place.file], place, status)
    loaded = write_files(folder, {**files, place.file: text}, tag_of(files))
    print(
        f"the {place.kind} {name} is {status} in {place.file}; catalogue {loaded.catalogue.version}."
        " What runs on this folder takes it over within seconds."
    )
    return 0


def find(files: Mapping[str, str], name: str) -> Place:
    """An offer, else a campaign, of this id. Raises `NotThere` with a did-you-mean, `CatalogueError` for what is no YAML."""
    places = list(_places(files))
    for place in places:
        if place.id == name:
            return place
    raise NotThere(f"there is no offer and no campaign {name!r}{did_you_mean(name, [place.id for place in places])}")


def with_status(text: str, place: Place, status: Status) -> str:
    """The file with that one status. Raises `NotPossible`."""
    held = place.fields.get("status")
    if place.status == "draft":
        raise NotPossible(f"{place.id} is a draft and not made to anybody: set `status: live` in {place.file} when it is ready")
    if held is not None:
        changed = text[: held.start_mark.index] + status + text[held.end_mark.index :]
    else:
        changed = _inserted(text, place, status)
    if _content(changed, place.file) != _expected(text, place, status):
        raise NotPossible(
            f"{place.file} is written so that this changes more than {place.id}: set `status: {status}` there by hand"
        )
    return changed


def _inserted(text: str, place: Place, status: Status) -> str:
    key, value = next((key, value) for key, value in place.node.value if key.value == "id")
    end = value.end_mark.index
    if place.node.flow_style:
        return f"{text[:end]}, status: {status}{text[end:]}"
    line = text.find("\n", end) + 1
    written = f"{' ' * key.start_mark.column}status: {status}"
    if not line:
        return f"{text}\n{written}\n"
    ending = "\r\n" if text[:line].endswith("\r\n") else "\n"
    return f"{text[:line]}{written}{ending}{text[line:]}"


def _expected(text: str, place: Place, status: Status) -> Any:
    content = _content(text, place.file)
    for item in content[f"{place.kind}s"]:
        if str(item.get("id")) == place.id:
            item["status"] = status
    return content


def _content(text: str, file: str) -> Any:
    content, mistakes = parse_yaml(text, file)
    if mistakes:
        raise CatalogueError(mistakes)
    return content


def _places(files: Mapping[str, str]) -> Iterator[Place]:
    for folder in FOLDERS:
        for file in sorted(name for name in files if name.startswith(f"{folder}/")):
            yield from _in_file(folder, file, files[file])


def _in_file(folder: str, file: str, text: str) -> Iterator[Place]:
    try:
        root = compose_yaml(text)
    except yaml.YAMLError as error:
        raise CatalogueError([Mistake(file, "", f"is no YAML: {error}")]) from error
    lists = [value for key, value in root.value if key.value == folder] if isinstance(root, yaml.MappingNode) else []
    for node in [item for held in lists if isinstance(held, yaml.SequenceNode) for item in held.value]:
        names = [value.value for key, value in node.value if key.value == "id"] if isinstance(node, yaml.MappingNode) else []
        if names:
            yield Place(folder.removesuffix("s"), file, str(names[0]), node)
