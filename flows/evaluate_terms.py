"""What an evaluation is asked for beside its data, and how the answers of a user are read.

Every mistake in them is said before anything is computed: what it is, where it stands, and what to do about it.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from engine.models.evaluation import REPLICATES
from engine.moments import millis, rfc3339
from flows.running import WrongUse

_PREFIXES = ("u:", "l:", "a:")
_SHOWN = 3


class Terms(Struct, frozen=True):
    """The options of all evaluations; each takes what concerns it.

    `horizon_days` of silence are churn, and who bought within `activity_days` is active. `customers` are those whose
    scores count (None: everybody). Scores count from `since` on (None: from week 13), and the log ends before `until` for
    everything. Both are Millis.
    """

    horizon_days: int = 28
    activity_days: int = 28
    customers: tuple[str, ...] | None = None
    since: int | None = None
    until: int | None = None
    seed: int = 0
    replicates: int = REPLICATES


def terms_of(horizon_days: int, activity_days: int, customers: Path | None, since: str, until: str, seed: int) -> Terms:
    """Options as typed. Raises `WrongUse` for what cannot be meant."""
    terms = Terms(
        horizon_days=horizon_days,
        activity_days=activity_days,
        customers=None if customers is None else names_in(customers),
        since=_instant(since, "--from"),
        until=_instant(until, "--to"),
        seed=seed,
    )
    if terms.since is not None and terms.until is not None and terms.since >= terms.until:
        raise WrongUse(f"--from {since} is not before --to {until}: give an earlier --from or a later --to")
    return terms


def names_in(path: Path) -> tuple[str, ...]:
    """The customers that a file names, one a line; blank lines and those that begin with # are left out."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise WrongUse(f"--customers {path}: {error.strerror}; give a text file with one customer id a line") from None
    except UnicodeDecodeError:
        raise WrongUse(f"--customers {path} is no UTF-8 text; give a text file with one customer id a line") from None
    names = tuple(dict.fromkeys(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")))
    if not names:
        raise WrongUse(f"--customers {path} names nobody; write one customer id a line")
    return names


def keys_named(names: Collection[str], known: Mapping[str, str]) -> frozenset[str]:
    """The keys of named customers. `known` is every identity in the log, as `u:…`, `l:…` or `a:…`, with its customer's key.

    A name may carry the prefix; without it, it is any identity of that name. Raises `WrongUse` for names not in the log.
    """
    found: set[str] = set()
    missing: list[str] = []
    for name in names:
        keys = {known[identity] for identity in (name, *(prefix + name for prefix in _PREFIXES)) if identity in known}
        found |= keys
        if not keys:
            missing.append(name)
    if missing:
        told = ", ".join(missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
        raise WrongUse(
            f"{len(missing)} of the {len(names)} customers of --customers are not in the log: {told};"
            " give user ids, loyalty ids or anonymous ids as the events carry them"
        )
    return frozenset(found)


def span_told(since: int | None, until: int | None) -> str:
    """The time that counts, in words; nothing where it is all of the log."""
    if since is None and until is None:
        return ""
    parts = [f"from {rfc3339(since)[:16]}Z"] if since is not None else []
    return " ".join([*parts, *([f"to {rfc3339(until)[:16]}Z"] if until is not None else [])])


def _instant(text: str, option: str) -> int | None:
    """A day (its first instant in UTC) or a time with an offset."""
    if not text:
        return None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise WrongUse(f"{option} {text!r} is no day such as 2026-01-31 and no time such as 2026-01-31T09:30:00Z") from None
    if read.tzinfo is None:
        if len(text) > len("2026-01-31"):
            raise WrongUse(f"{option} {text!r} has no offset: add Z or +01:00")
        read = read.replace(tzinfo=UTC)
    return int(millis(read))
