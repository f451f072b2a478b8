"""`GET /v1/customers/{id}/identities`: which names a customer has, on whose word, and what was said of them before."""

from typing import Final, Literal

from msgspec import Struct

from engine.moments import rfc3339
from engine.profiles.links import MOST_CHANGES, Link
from engine.profiles.profile import Profile

KINDS: Final = {"u": "user", "l": "loyalty", "a": "anonymous"}
Status = Literal["joined", "linked", "unlinked"]


class IdentityLine(Struct, frozen=True, omit_defaults=True):
    """One identity. `joined`: what was done under it is in the customer. `linked`: it is said to be theirs, and is on its way or
    belongs to another customer. `unlinked`: it was said outright that it is not. `via` is the card that brought it along."""

    kind: str
    id: str
    status: Status
    at: str = ""
    event_id: str = ""
    source: str = ""
    outright: bool = False
    via: str = ""


class ChangeLine(Struct, frozen=True, omit_defaults=True):
    """`linked` and `unlinked` were said by the event; `joined` and `parted` are when the part came or went because of it."""

    at: str
    what: str
    kind: str
    id: str
    event_id: str = ""
    source: str = ""


class IdentitiesAnswer(Struct, frozen=True):
    """Identities in order of their names, changes oldest first; the newest `kept` are kept."""

    user_id: str
    identities: list[IdentityLine]
    changes: list[ChangeLine]
    kept: int = MOST_CHANGES


IDENTITIES_EXAMPLE = {
    "user_id": "u-42",
    "identities": [
        {"kind": "anonymous", "id": "a-1", "status": "joined", "at": "2026-03-01T09:30:00.000Z", "event_id": "e-1",
         "source": "web://shop.example"},
        {"kind": "loyalty", "id": "c-9", "status": "unlinked", "at": "2026-03-02T08:00:00.000Z", "event_id": "crm-7",
         "source": "crm://desk", "outright": True},
    ],
    "changes": [
        {"at": "2026-03-01T09:30:00.000Z", "what": "linked", "kind": "anonymous", "id": "a-1", "event_id": "e-1",
         "source": "web://shop.example"},
        {"at": "2026-03-01T09:30:00.000Z", "what": "joined", "kind": "anonymous", "id": "a-1", "event_id": "e-1",
         "source": "web://shop.example"},
    ],
    "kept": MOST_CHANGES,
}  # fmt: skip


def identities_answer(user_id: str, profile: Profile) -> IdentitiesAnswer:
    """Of a customer as stored."""
    links = profile.links
    keys = sorted({*links.by_key, *profile.parts} - {profile.key})
    return IdentitiesAnswer(
        user_id,
        [_line(key, links.by_key.get(key, Link()), key in profile.parts) for key in keys],
        [ChangeLine(_at(one.at), one.what, *_named(one.key), one.event_id, one.source) for one in links.trail],
    )


def _line(key: str, held: Link, joined: bool) -> IdentityLine:
    status: Status = "unlinked" if not held.linked else "joined" if joined else "linked"
    via = held.via.partition(":")[2] if held.via != key else ""
    return IdentityLine(*_named(key), status, _at(held.at), held.event_id, held.source, held.outright, via)


def _named(key: str) -> tuple[str, str]:
    kind, _, name = key.partition(":")
    return KINDS.get(kind, kind), name


def _at(at: int) -> str:
    return rfc3339(at) if at else ""
