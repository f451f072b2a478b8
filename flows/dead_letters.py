"""`regulars dead-letters`: what could not be used, why, and another try through the door.

A replay cannot duplicate: the event keeps its id, and the shard knows ids.
"""

import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from rich.console import Console
from rich.table import Table

from engine.errors import StoreUnavailable
from engine.ids import stream_order
from engine.moments import rfc3339
from engine.store.redis_archive import Archive, Letter
from flows.running import NotFound, WrongUse, open_archive, write_line

# Refused again whatever happens: the first event stands, and who was erased stays erased.
FINAL: Final = frozenset({"id.conflict", "customer.erased"})
_ALL: Final = 1_000_000


def list_letters(*, redis_url: str, data: Path, limit: int, reason: str) -> int:
    """One line a letter, newest first: a table on a terminal, else JSON lines."""
    letters = _chosen(open_archive(redis_url, data), limit, reason)
    if not sys.stdout.isatty():
        for letter in letters:
            write_line(_summary(letter))
        return 0
    table = Table("id", "arrived", "reason", "field", "what was wrong", box=None)
    for letter in letters:
        table.add_row(letter.id, _arrived(letter), letter.reason.code, letter.reason.field, letter.reason.detail)
    Console().print(table if letters else "There are no dead letters.")
    return 0


def show(*, redis_url: str, data: Path, dead_letter_id: str) -> int:
    """One letter with its bytes; those that are not text are shown escaped."""
    letter = open_archive(redis_url, data).letter(dead_letter_id)
    if letter is None:
        raise NotFound(f"there is no dead letter {dead_letter_id!r}; `regulars dead-letters list` names all")
    write_line(_summary(letter) | {"raw": letter.raw.decode("utf-8", "backslashreplace")})
    return 0


def replay(*, redis_url: str, data: Path, dead_letter_id: str, url: str, key: str, reason: str) -> int:
    """Sends letters through the door again, oldest first. A letter leaves when the door has accepted its event.

    The event keeps its id, so one that was accepted meanwhile, or is sent twice by a replay that was interrupted,
    counts once. What the door would refuse again stays and is named; code 1 then.
    """
    archive = open_archive(redis_url, data)
    if dead_letter_id:
        letter = archive.letter(dead_letter_id)
        letters = [letter] if letter else []
        if not letters:
            raise NotFound(f"there is no dead letter {dead_letter_id!r}")
    else:
        letters = _chosen(archive, _ALL, reason)[::-1]
    door = Door(url, key)
    stayed = 0
    for letter in letters:
        refusal = letter.reason.code if letter.reason.code in FINAL else door.send(letter.raw)
        if refusal is None:
            archive.forget_letter(letter.id)
        stayed += refusal is not None
        write_line({"id": letter.id, "outcome": "accepted" if refusal is None else f"stays: {refusal}"})
    write_line({"accepted": len(letters) - stayed, "stayed": stayed})
    return 1 if stayed else 0


class Door:
    """The HTTP door of a running Regulars, one event at a time."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise WrongUse(f"{url!r} is not the address of a Regulars, such as http://127.0.0.1:8080")
        connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = connect(parts.hostname, parts.port, timeout=30)
        self._path = f"{parts.path.rstrip('/')}/v1/events"
        self._headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})

    def send(self, raw: bytes) -> str | None:
        """None when the event is accepted, else why not. Asks first without writing, so a refusal adds no letter."""
        return self._refusal(f"{self._path}/check", raw) or self._refusal(self._path, raw)

    def _refusal(self, path: str, raw: bytes) -> str | None:
        try:
            self._connection.request("POST", path, body=raw, headers=self._headers)
            response = self._connection.getresponse()
            status, body = response.status, response.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            raise StoreUnavailable(f"the door does not answer: {error}") from error
        try:
            told = orjson.loads(body)
        except ValueError:
            told = {}
        if status >= 300:
            return str(told.get("code") or told.get("detail") or f"answered {status}")
        return _first_refusal(told)


def _first_refusal(told: dict[str, Any]) -> str | None:
    rejected = told.get("rejected") or [each for each in told.get("events", ()) if each.get("code")]
    return str(rejected[0].get("code", "rejected")) if isinstance(rejected, list) and rejected else None


def _chosen(archive: Archive, limit: int, reason: str) -> list[Letter]:
    letters = archive.letters(_ALL if reason else limit)
    return [letter for letter in letters if letter.reason.code == reason or not reason][:limit]


def _summary(letter: Letter) -> dict[str, object]:
    return {
        "id": letter.id,
        "arrived": _arrived(letter),
        "code": letter.reason.code,
        "field": letter.reason.field,
        "detail": letter.reason.detail,
        "event_id": letter.reason.id,
        "customer": letter.customer,
        "bytes": len(letter.raw),
    }


def _arrived(letter: Letter) -> str:
    return rfc3339(stream_order(letter.id.partition("-")[2])[0])
