"""`regulars models`: what is served of each model and why, and what an operator can do about it.

Looking reads Redis alone. Whatever changes something is a command in a stream that the learner reads between two examples,
so that its place in the order is known and relearning the journal repeats it.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec
from rich.console import Console
from rich.table import Table

from engine.models.base import Report
from engine.models.gate import Evidence, objection
from engine.models.guard import Note, Numbered, Record, record_of
from engine.models.legible import terms_of
from engine.models.lineup import Command, encode_command, unknown
from engine.models.roster import ROSTER
from engine.models.snapshot import Snapshot, decode_snapshot, decode_state
from engine.moments import rfc3339
from engine.store.redis_learner import RedisLearnerStore, kept_key
from flows.running import NotFound, redis_of, write_line

PATIENCE_S: Final = 10.0
MOST_TERMS: Final = 20
_NUMBERED = msgspec.msgpack.Decoder(Numbered)


class Row(msgspec.Struct, frozen=True):
    """One model as it stands. `version` is what it has learned, `served` what answers requests."""

    model: str
    role: str
    version: int
    served: int | None
    source: str
    frozen: str
    why: str
    labels: int
    log_loss: float | None
    auc: float | None
    calibration_error: float | None
    age_s: float | None
    drift_level: float | None
    rollbacks: int


def list_models(*, redis_url: str, data: Path, as_json: bool) -> int:
    """One line a model and challenger."""
    store = _opened(redis_url, data)
    rows = [_row(store, name) for name in store.models()]
    if as_json:
        for row in rows:
            write_line(msgspec.to_builtins(row))
        return 0
    table = Table("model", "role", "version", "served", "frozen", "labels", "log loss", "AUC", "ECE", "age", box=None)
    for row in rows:
        table.add_row(
            row.model,
            row.role,
            str(row.version),
            "" if row.served is None else f"{row.served}{'' if row.source == row.model else f' by {row.source}'}",
            row.frozen and f"{row.frozen}: {row.why}",
            str(row.labels),
            *(_figure(value) for value in (row.log_loss, row.auc, row.calibration_error)),
            _age(row.age_s),
        )
    _console().print(table if rows else "No model has learned anything yet.")
    return 0


def show(*, redis_url: str, data: Path, model: str, against: int | None, as_json: bool) -> int:
    """What is served of one model: why, which versions are kept, and its terms by name; or how they differ from a version."""
    store = _opened(redis_url, data)
    _known(store, model)
    row, record, snapshot = _row(store, model), _record(store, model), _snapshot(store, model)
    terms = terms_of(snapshot)
    other = terms_of(_kept(store, model, record, against)) if against is not None else None
    told = {
        **msgspec.to_builtins(row),
        "checksum": snapshot.checksum(),
        "kept": [_dated(one) for one in record.kept] if record else [],
        "notes": [_dated(one) for one in record.notes] if record else [],
        "challengers": _challengers(store, record) if record else {},
        "terms": terms,
        **({"against": against, "differences": _differences(terms, other)} if other is not None else {}),
    }
    if as_json:
        write_line(told)
        return 0
    console = _console()
    console.print(_headline(row))
    if record:
        _print_history(console, record, told["challengers"])
    _print_terms(console, terms, other, against)
    return 0


def rollback(*, redis_url: str, data: Path, model: str, to: int | None, why: str) -> int:
    """Serve a kept version until thawed."""
    return _ask(redis_url, data, Command("rollback", model, -1 if to is None else to, why))


def freeze(*, redis_url: str, data: Path, model: str, why: str) -> int:
    """Serve what is served now until thawed."""
    return _ask(redis_url, data, Command("freeze", model, why=why))


def thaw(*, redis_url: str, data: Path, model: str, from_served: bool) -> int:
    """Serve the newest numbers again, or go on learning from the served ones."""
    return _ask(redis_url, data, Command("thaw", model, from_served=from_served))


def promote(*, redis_url: str, data: Path, model: str, force: bool) -> int:
    """Serve a challenger's numbers, if it has proven better or is forced to."""
    return _ask(redis_url, data, Command("promote", model, force=force))


def _ask(redis_url: str, data: Path, command: Command) -> int:
    """Hands over a command and waits for what became of it: 0 done, 1 not yet, 2 refused."""
    store = _opened(redis_url, data)
    _known(store, command.model)
    command = msgspec.structs.replace(command, id=uuid4().hex)
    store.ask(encode_command(command))
    if not store.alive():
        write_line({"model": command.model, "outcome": "waits", "why": "no learner runs; it is obeyed when one does"})
        return 1
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        note = _answer(store, command)
        if note is not None:
            outcome = f"refused: {note.why}" if note.refused else note.what
            write_line({"model": command.model, "outcome": outcome, "served": _row(store, _champion(command.model)).served})
            return 2 if note.refused else 0
        time.sleep(0.05)
    write_line({"model": command.model, "outcome": "waits", "why": "the learner has not come to it yet"})
    return 1


def _answer(store: RedisLearnerStore, command: Command) -> Note | None:
    record = _record(store, _champion(command.model)) or _record(store, command.model)
    return next((note for note in record.notes if note.id == command.id), None) if record else None


def _opened(redis_url: str, data: Path) -> RedisLearnerStore:
    return RedisLearnerStore(redis_of(redis_url, data))


def _champion(model: str) -> str:
    return model.partition(".")[0]


def _known(store: RedisLearnerStore, model: str) -> None:
    names = store.models()
    if model not in names:
        raise NotFound(unknown(model, names))


def _record(store: RedisLearnerStore, model: str) -> Record | None:
    raw = store.guard(model)
    return record_of(decode_state(raw)) if raw else None


def _snapshot(store: RedisLearnerStore, model: str) -> Snapshot:
    raw = store.snapshot(model)
    if raw is None:
        raise NotFound(f"nothing is published of {model} yet")
    return decode_snapshot(raw)


def _kept(store: RedisLearnerStore, model: str, record: Record | None, version: int) -> Snapshot:
    held = [one for one in (record.kept if record else ()) if one.version == version]
    if not held:
        names = ", ".join(str(one.version) for one in record.kept) if record and record.kept else "none yet"
        raise NotFound(f"no version {version} of {model} is kept: {names}")
    key = kept_key(model, held[-1].source, version)
    return decode_snapshot(_NUMBERED.decode(store.kept([key])[key]).snapshot)


def _row(store: RedisLearnerStore, model: str) -> Row:
    record = _record(store, model)
    report = (record.report if record else _carried(store, model)) or Report(model)
    return Row(
        model=model,
        role="champion" if record else "challenger",
        version=report.version,
        served=record.served if record else None,
        source=record.source if record else model,
        frozen=record.frozen if record else "",
        why=record.why if record else "",
        labels=report.version,
        log_loss=report.log_loss,
        auc=report.auc,
        calibration_error=report.calibration_error,
        age_s=max(0.0, time.time() - record.served_at / 1000) if record and record.served_at else None,
        drift_level=record.level if record else None,
        rollbacks=record.rollbacks if record else 0,
    )


def _carried(store: RedisLearnerStore, model: str) -> Report | None:
    raw = store.snapshot(model)
    told = decode_snapshot(raw).carried.get("report") if raw else None
    return msgspec.convert(told, Report) if told else None


def _challengers(store: RedisLearnerStore, record: Record) -> dict[str, dict[str, object]]:
    """Each challenger with what speaks for and against it."""
    told: dict[str, dict[str, object]] = {}
    for name in store.models():
        if _champion(name) != _champion(record.model) or name == record.source or name == record.model:
            continue
        evidence = record.evidence.get(name, Evidence())
        overlap = ROSTER[record.model].overlap if record.model in ROSTER else 1.0
        lower = evidence.lower(overlap)
        told[name] = {
            "labels": evidence.labels,
            "improvement": evidence.improvement,
            "lower_bound": lower if lower > float("-inf") else None,
            "objection": objection(evidence, _carried(store, name) or Report(name), overlap),
        }
    return told


def _dated(one: msgspec.Struct) -> dict[str, object]:
    told: dict[str, object] = msgspec.to_builtins(one)
    return {**told, "at": rfc3339(int(str(told["at"]))) if told["at"] else None}


def _differences(terms: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    """How the served terms differ from the other version's, the largest first."""
    names = sorted(set(terms) | set(other), key=lambda name: -abs(terms.get(name, 0.0) - other.get(name, 0.0)))
    return {name: terms.get(name, 0.0) - other.get(name, 0.0) for name in names}


def _headline(row: Row) -> str:
    served = f"version {row.served}" if row.served is not None else "nothing, it is a challenger"
    by = "" if row.source == row.model else f" of {row.source}"
    frozen = f"; frozen ({row.frozen}): {row.why}" if row.frozen else ""
    figures = f"log loss {_figure(row.log_loss)}, AUC {_figure(row.auc)}, ECE {_figure(row.calibration_error)}"
    return f"{row.model}: serves {served}{by}{frozen}; has learned {row.version} labels; {figures}"


def _print_history(console: Console, record: Record, challengers: dict[str, dict[str, object]]) -> None:
    kept = Table("kept version", "of", "at", "log loss", "AUC", "ECE", box=None)
    for one in record.kept:
        figures = (_figure(value) for value in (one.log_loss, one.auc, one.calibration_error))
        kept.add_row(str(one.version), one.source, rfc3339(one.at) if one.at else "", *figures)
    console.print(kept if record.kept else "No version is kept yet.")
    for note in record.notes:
        console.print(f"{rfc3339(note.at) if note.at else ''} {'refused ' if note.refused else ''}{note.what}: {note.why}")
    for name, told in challengers.items():
        console.print(f"challenger {name}: better by {told['improvement']:+.5f} on {told['labels']} labels; {told['objection']}")


def _print_terms(console: Console, terms: dict[str, float], other: dict[str, float] | None, against: int | None) -> None:
    chosen: Sequence[str] = list(_differences(terms, other)) if other is not None else _largest(terms)
    table = Table("term", "weight", *([f"in {against}", "difference"] if other is not None else []), box=None)
    for name in chosen[:MOST_TERMS]:
        cells = [f"{terms.get(name, 0.0):+.4f}"]
        if other is not None:
            cells += [f"{other.get(name, 0.0):+.4f}", f"{terms.get(name, 0.0) - other.get(name, 0.0):+.4f}"]
        table.add_row(name, *cells)
    console.print(table)


def _largest(terms: dict[str, float]) -> list[str]:
    return sorted(terms, key=lambda name: -abs(terms[name]))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return ""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)
