"""How far a replay has come, in a small file, so that an interrupted one goes on where it stopped.

A position is trusted only where the server still knows the customer of the last acknowledged event. An empty server at
an old address gets everything from the start; that is always safe, since an event counts once however often it comes.
"""

import os
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from engine.ids import digest_of
from flows.door import Door, DoorRefused
from flows.replay_source import COMPLETE_JOURNEY

_QUERY: Final = {"l": "loyalty_id", "a": "anonymous_id"}


class Position(msgspec.Struct, frozen=True):
    """The first `events` of the source are acknowledged by the server at `url`; `customer` had one of the last."""

    source: str = ""
    url: str = ""
    events: int = 0
    customer: str = ""


class PositionFile:
    """Where the position of one source at one server is kept: next to the file, or in the user's state folder."""

    def __init__(self, source: str, name: str, url: str) -> None:
        self._name, self._url = name, url
        mark = digest_of(url.encode()).hex()[:8]
        folder = _state_folder() if source == COMPLETE_JOURNEY else Path(source).resolve().parent
        stem = COMPLETE_JOURNEY if source == COMPLETE_JOURNEY else Path(source).name
        self._path = folder / f".{stem}.replay-{mark}.json"

    def read(self) -> Position:
        """The position kept for this very source and server, else the start."""
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=Position)
        except (OSError, msgspec.MsgspecError):
            return Position()
        return kept if (kept.source, kept.url) == (self._name, self._url) else Position()

    def write(self, events: int, customer: str) -> None:
        """Replaces the file at once or not at all. A folder that cannot be written to only costs the resuming."""
        body = msgspec.json.encode(Position(self._name, self._url, events, customer))
        new = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(body)
            new.replace(self._path)
        except OSError:
            return

    def forget(self) -> None:
        """The replay is complete: the next one begins at the start."""
        self._path.unlink(missing_ok=True)


def is_known(door: Door, customer: str) -> bool:
    """Whether the server has a profile of the customer; False also where this key may not ask."""
    kind, _, name = customer.partition(":")
    if kind not in ("u", "l", "a"):
        return False
    path = f"?{_QUERY[kind]}={quote(name, safe='')}" if kind in _QUERY else f"/{quote(name, safe='')}"
    try:
        return door.get(f"/v1/customers{path}").status == 200
    except DoorRefused:
        return False


def _state_folder() -> Path:
    """The user's folder for state that programs keep. Source: XDG Base Directory Specification 0.8."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "regulars"
