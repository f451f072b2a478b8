"""A folder of YAML → a catalogue and a policy, or every mistake in it.

`offers/*.yaml` hold a list under `offers:`, `campaigns/*.yaml` one under `campaigns:`; `policy.yaml` is the policy;
`stores.yaml` and `triggers.yaml` may be absent. Nothing is half loaded: with any mistake the caller keeps what it has.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from config.catalogue_checks import check_references
from config.coupon_files import coupon_files, with_codes
from config.mistakes import CatalogueError, Mistake, did_you_mean
from config.strict_yaml import read_yaml
from config.written_forms import WRONG, Reader
from config.written_schema import schema_of
from engine.decisioning.catalogue import Catalogue
from engine.decisioning.compiling import compile_catalogue
from engine.decisioning.occasions import compile_occasions
from engine.decisioning.offers import Campaign, Offer, Store
from engine.decisioning.policy import Policy
from engine.decisioning.triggers import Trigger, TriggersFile
from engine.features.derived import RULE_INDEX, RULE_NAMES

POLICY, STORES, TRIGGERS = "policy.yaml", "stores.yaml", "triggers.yaml"
FILES = (POLICY, STORES, TRIGGERS)
FOLDERS: Mapping[str, type[Struct]] = {"offers": Offer, "campaigns": Campaign}


class Loaded(Struct, frozen=True, eq=False):
    """A catalogue compiled under its policy, and what else the folder holds."""

    catalogue: Catalogue
    policy: Policy
    stores: Mapping[str, Store]
    triggers: tuple[Trigger, ...] = ()
    cart_abandoned_minutes: float = TriggersFile().cart_abandoned_minutes
    occasions: Catalogue | None = None
    """The rules of triggers, where any trigger has some."""


class Found(Struct, frozen=True):
    """Something read, with where it stands."""

    file: str
    path: str
    item: Any


def load_catalogue(folder: Path) -> Loaded:
    """The folder's catalogue. Raises `CatalogueError` with all mistakes, in the order of files and lines."""
    mistakes: list[Mistake] = []
    if not folder.is_dir():
        raise CatalogueError([Mistake(str(folder), "", "is no folder")])
    _refuse_strangers(folder, mistakes)
    policy = _policy(folder, mistakes)
    zone = policy.timezone if policy is not None else "UTC"
    offers, campaigns = (
        [found for file in _yaml_files(folder / name) for found in _items(folder, file, name, kind, zone, mistakes)]
        for name, kind in FOLDERS.items()
    )
    offers = [Found(one.file, one.path, with_codes(folder, one.file, one.path, one.item, mistakes)) for one in offers]
    triggers, cart_abandoned_minutes = _triggers(folder, zone, mistakes)
    stores = _stores(folder, mistakes)
    if policy is not None:
        mistakes += check_references(
            [(found.file, found.path, found.item) for found in offers],
            [(found.file, found.path, found.item) for found in campaigns],
            [(found.file, found.path, found.item) for found in triggers],
            policy,
            complete=not mistakes,
        )
    if mistakes or policy is None:
        raise CatalogueError(sorted(set(mistakes), key=lambda one: (one.file, mistakes.index(one))))
    catalogue = compile_catalogue(
        [found.item for found in offers], policy, RULE_NAMES, [found.item for found in campaigns], stores
    )
    declared = tuple(found.item for found in triggers)
    occasions = compile_occasions(declared, policy, RULE_NAMES)
    return Loaded(catalogue, policy, stores, declared, cart_abandoned_minutes, occasions)


def folder_stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of the folder's files: what a poll compares before it reads anything again."""
    files = sorted(
        (*_yaml_files(folder), *_yaml_files(folder / "offers"), *_yaml_files(folder / "campaigns"), *coupon_files(folder))
    )
    return tuple((str(file), (told := file.stat()).st_size, told.st_mtime_ns) for file in files)


def main_check(folder: Path) -> int:
    """Prints what the folder holds and returns 0, or every mistake and returns 1."""
    try:
        loaded = load_catalogue(folder)
    except CatalogueError as error:
        for mistake in error.mistakes:
            print(mistake)
        number = len(error.mistakes)
        print(f"{number} mistake{'s' if number > 1 else ''} in {folder}", file=sys.stderr)
        return 1
    catalogue = loaded.catalogue
    live = int(catalogue.columns.live.sum())
    print(
        f"{folder}: {len(catalogue.offers)} offers ({live} live), {len(catalogue.campaigns)} campaigns,"
        f" {len(loaded.policy.placements)} placements, {len(loaded.stores)} stores;"
        f" catalogue {catalogue.version}, policy {catalogue.policy_version}; no mistakes"
    )
    return 0


def main_schema() -> int:
    """Prints the JSON Schema of the files, for editors."""
    print(json.dumps(schema(), indent=2))
    return 0


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12): a definition for each kind of file; any of them is valid at the top."""
    return schema_of(
        {
            "offers_file": {"offers": tuple[Offer, ...]},
            "campaigns_file": {"campaigns": tuple[Campaign, ...]},
            "policy_file": Policy,
            "stores_file": {"stores": dict[str, Store]},
            "triggers_file": TriggersFile,
        },
        RULE_NAMES,
    )


def _yaml_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*") if file.suffix in (".yaml", ".yml") and file.is_file())


def _refuse_strangers(folder: Path, mistakes: list[Mistake]) -> None:
    """A misspelt file would be silently ignored otherwise."""
    for file in _yaml_files(folder):
        if file.name not in FILES:
            where = " or a folder offers/ or campaigns/" if file.stem in FOLDERS else ""
            expected = f"is not a file of a catalogue: expected {', '.join(FILES)}{where}"
            mistakes.append(Mistake(file.name, "", expected + did_you_mean(file.name, FILES)))


def _content(folder: Path, file: Path, mistakes: list[Mistake]) -> tuple[str, Any]:
    name = file.relative_to(folder).as_posix()
    content, wrong = read_yaml(file, name)
    mistakes += wrong
    return name, WRONG if wrong and content is None else content


def _policy(folder: Path, mistakes: list[Mistake]) -> Policy | None:
    if not (folder / POLICY).is_file():
        mistakes.append(Mistake(POLICY, "", "is missing"))
        return None
    name, content = _content(folder, folder / POLICY, mistakes)
    if content is WRONG:
        return None
    reader = Reader(name, RULE_INDEX)
    policy = reader.struct(Policy, content, "")
    mistakes += reader.mistakes
    return policy if isinstance(policy, Policy) else None


def _items(
    folder: Path,
    file: Path,
    key: str,
    kind: type[Struct],
    zone: str,
    mistakes: list[Mistake],
    optional: bool = False,
) -> list[Found]:
    """The structs of a list under one key."""
    if optional and not file.is_file():
        return []
    name, content = _content(folder, file, mistakes)
    if content is WRONG or content is None:
        return []
    reader = Reader(name, RULE_INDEX, zone)
    found = [Found(name, path, item) for path, item in _listed(reader, content, key, kind) if item is not WRONG]
    mistakes += reader.mistakes
    return found


def _triggers(folder: Path, zone: str, mistakes: list[Mistake]) -> tuple[list[Found], float]:
    """The triggers, and how long a cart stands untouched before it counts as abandoned."""
    settings = TriggersFile()
    if not (folder / TRIGGERS).is_file():
        return [], settings.cart_abandoned_minutes
    name, content = _content(folder, folder / TRIGGERS, mistakes)
    if content is WRONG or content is None:
        return [], settings.cart_abandoned_minutes
    reader = Reader(name, RULE_INDEX, zone)
    if not isinstance(content, dict):
        reader.wrong("", "expected a list under the key triggers:")
        mistakes += reader.mistakes
        return [], settings.cart_abandoned_minutes
    rest = {key: value for key, value in content.items() if key != "triggers"}
    read = reader.struct(TriggersFile, rest, "")
    settings = read if isinstance(read, TriggersFile) else settings
    nodes = content.get("triggers") or []
    if not isinstance(nodes, list):
        reader.wrong("triggers", "expected a list")
        nodes = []
    items = [(f"triggers[{at}]", reader.struct(Trigger, node, f"triggers[{at}]")) for at, node in enumerate(nodes)]
    mistakes += reader.mistakes
    return [Found(name, path, item) for path, item in items if item is not WRONG], settings.cart_abandoned_minutes


def _listed(reader: Reader, content: Any, key: str, kind: type[Struct]) -> Sequence[tuple[str, Any]]:
    if not isinstance(content, dict):
        reader.wrong("", f"expected a list under the key {key}:")
        return []
    for name in content:
        if name != key:
            reader.wrong(str(name), f"is not known here{did_you_mean(str(name), [key])}; known is {key}")
    nodes = content.get(key) or []
    if not isinstance(nodes, list):
        reader.wrong(key, "expected a list")
        return []
    return [(f"{key}[{at}]", reader.struct(kind, node, f"{key}[{at}]")) for at, node in enumerate(nodes)]


def _stores(folder: Path, mistakes: list[Mistake]) -> dict[str, Store]:
    if not (folder / STORES).is_file():
        return {}
    name, content = _content(folder, folder / STORES, mistakes)
    if content is WRONG or content is None:
        return {}
    reader = Reader(name, RULE_INDEX)
    stores = reader.struct(_Stores, content, "")
    mistakes += reader.mistakes
    return dict(stores.stores) if isinstance(stores, _Stores) else {}


class _Stores(Struct, frozen=True):
    """stores.yaml."""

    stores: dict[str, Store] = {}
