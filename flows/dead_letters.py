"""`regulars dead-letters`: what could not be used, why, and another try through the door.

A replay cannot duplicate: the event keeps its id, and the shard knows ids.
"""

import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from engine.ids import stream_order
from engine.moments import rfc3339
from engine.store.redis_archive import Archive, Letter
from flows.door import Door, DoorRefused
from flows.replay_source import undated
from flows.running import NotFound, open_archive, write_line

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
        why = letter.reason.code if letter.reason.code in FINAL else refusal(door, letter.raw)
        if why is None:
            archive.forget_letter(letter.id)
        stayed += why is not None
        write_line({"id": letter.id, "outcome": "accepted" if why is None else f"stays: {why}"})
    write_line({"accepted": len(letters) - stayed, "stayed": stayed})
    return 1 if stayed else 0


def refusal(door: Door, raw: bytes) -> str | None:
    """Sends one event; None when it is accepted, else why not. Asks first without writing: a refusal adds no letter."""
    for path in ("/v1/events/check", "/v1/events"):
        try:
            told = door.post(path, undated(raw)).json()
        except DoorRefused as error:
            return str(error)
        checked = [problem for event in told.get("events", ()) for problem in event["problems"]]
        for problem in (*checked, *told.get("rejected", ())):
            return str(problem["code"])
    return None


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
