"""The folder of a catalogue as text: read as it stands, and written whole or not at all.

What is to be written is put into a copy beside the folder and checked there as it would be loaded, so a bad catalogue never
replaces a good one. Then one file is renamed into its place, or, where several differ, the two folders change names in one
step of the file system: whoever reads meanwhile sees the old catalogue or the new one. A lock keeps two writers apart, and the
tag of what a writer had read keeps one from undoing what another did.
"""

import ctypes
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Final

from config.catalogue_files import FILES, FOLDERS, Loaded, load_catalogue
from config.mistakes import CatalogueError, Mistake, did_you_mean
from engine.errors import RegularsError

MOST_FILES: Final = 500
_NAMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\.ya?ml")
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


class ChangedMeanwhile(RegularsError):
    """The folder is not what the writer had read."""


class NotWritable(RegularsError):
    """The folder cannot be written by this process."""


def read_files(folder: Path) -> dict[str, str]:
    """The text of every file of the catalogue, by its path inside the folder. Raises `CatalogueError` where there is none."""
    if not folder.is_dir():
        raise CatalogueError([Mistake(str(folder), "", "is no folder")])
    return {name: path.read_bytes().decode("utf-8", errors="replace") for name, path in _paths(folder)}


def tag_of(files: Mapping[str, str]) -> str:
    """Sixteen hex digits of names and texts, comments included: what an `ETag` says."""
    told = blake2b(digest_size=8)
    for name in sorted(files):
        for part in (name, files[name]):
            raw = part.encode("utf-8", "surrogatepass")
            told.update(len(raw).to_bytes(8, "big") + raw)
    return told.hexdigest()


def write_files(folder: Path, files: Mapping[str, str], expected: str | None = None) -> Loaded:
    """The folder with exactly these files, and what is loaded from it. Files that are none of a catalogue's stay.

    Raises `CatalogueError` with every mistake, `ChangedMeanwhile` where the folder's tag is not the one expected, and
    `NotWritable`; then nothing is changed.
    """
    _refuse_names(files)
    folder = folder.resolve()
    try:
        with _alone(folder):
            held = read_files(folder)
            if expected is not None and tag_of(held) != expected:
                raise ChangedMeanwhile("the catalogue was changed meanwhile: read it again")
            return _written(folder, held, files)
    except OSError as error:
        raise NotWritable(f"{folder} cannot be written: {error.strerror or error}") from error


def _written(folder: Path, held: Mapping[str, str], files: Mapping[str, str]) -> Loaded:
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        fresh = aside / folder.name
        shutil.copytree(folder, fresh)
        for name in held.keys() - files.keys():
            (fresh / name).unlink()
        changed = [name for name, text in files.items() if held.get(name) != text]
        for name in changed:
            _put(fresh / name, files[name])
        loaded = load_catalogue(fresh)
        if len(changed) == 1 and held.keys() <= files.keys() and (folder / changed[0]).parent.is_dir():
            os.replace(fresh / changed[0], folder / changed[0])
        elif changed or held.keys() - files.keys():
            _exchange(fresh, folder)
        _flush(folder.parent)
        return loaded
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _paths(folder: Path) -> Iterator[tuple[str, Path]]:
    for name in FILES:
        if (folder / name).is_file():
            yield name, folder / name
    for name in FOLDERS:
        for path in sorted((folder / name).glob("*")):
            if path.suffix in (".yaml", ".yml") and path.is_file():
                yield f"{name}/{path.name}", path


def _refuse_names(files: Mapping[str, str]) -> None:
    """Only names that a catalogue knows: none of them leads out of the folder."""
    mistakes = [Mistake(name, "", _expected(name)) for name in files if not _is_named(name)]
    if len(files) > MOST_FILES:
        mistakes.append(Mistake("", "", f"a catalogue has at most {MOST_FILES} files, found {len(files)}"))
    if mistakes:
        raise CatalogueError(mistakes)


def _is_named(name: str) -> bool:
    folder, slash, file = name.rpartition("/")
    return name in FILES or (bool(slash) and folder in FOLDERS and _NAMED.fullmatch(file) is not None)


def _expected(name: str) -> str:
    known = [*FILES, *(f"{folder}/{name.rpartition('/')[2]}" for folder in FOLDERS)]
    folders = " or ".join(f"{folder}/NAME.yaml" for folder in FOLDERS)
    return f"is not a file of a catalogue: expected {', '.join(FILES)}, {folders}{did_you_mean(name, known)}"


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds the parent for one writer at a time; the kernel lets go of it however the process ends."""
    descriptor = os.open(folder.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _exchange(one: Path, other: Path) -> None:
    """Two folders change names: in one step where the system can, else in three renames."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is not None and rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return
    between = one.with_name(f"{one.name}.before")
    os.rename(other, between)
    os.rename(one, other)
    os.rename(between, one)
