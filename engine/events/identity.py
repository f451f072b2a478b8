"""Who somebody says they are, and which identities belong together."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from engine.events.base import Event, Identifier

NEVER_KEPT = frozenset(
    [
        "email",
        "e_mail",
        "mail",
        "email_address",
        "phone",
        "phone_number",
        "mobile",
        "telephone",
        "name",
        "first_name",
        "last_name",
        "full_name",
        "surname",
        "given_name",
        "family_name",
        "username",
        "address",
        "street",
        "street_address",
        "avatar",
        "ip",
        "password",
    ]
)
"""Traits that name or reach a person. They are dropped at the door: no rule needs them, and what is not held cannot leak."""
MOST_TRAIT_TEXT = 100


class Traits(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What is told of a customer. Only what features or rules read is kept; names and addresses are not.

    `reached_by` holds keyed hashes of e-mail address and phone number. The door makes them; a sender's own are not taken.
    """

    birthday: str | None = None
    locale: str | None = None
    timezone: str | None = None
    household_size: str | None = None
    income_band: str | None = None
    age_band: str | None = None
    has_children: bool | None = None
    home_owner: bool | None = None
    reached_by: dict[str, str] = {}
    extra: dict[str, Any] = {}
    removed: Annotated[tuple[Identifier, ...], Meta(max_length=50)] = ()
    """Traits that are taken back; a sender says null."""


def shaped(data: Mapping[str, Any]) -> dict[str, Any]:
    """The body of `customer_identified` with a shop's own traits under `extra`: plain values that do not name a person.

    A trait that is null is taken back.
    """
    gone = {str(name)[:100]: None for name, value in data.items() if value is None and _key(name) not in NEVER_KEPT}
    if gone:
        data = {**{name: value for name, value in data.items() if value is not None}, "removed": tuple(gone)[:50]}
    declared = {name: value for name, value in data.items() if name in Traits.__struct_fields__}
    own = {**{name: value for name, value in data.items() if name not in declared}, **_mapping(data.get("extra"))}
    kept = {name: value for name, value in own.items() if _key(name) not in NEVER_KEPT and _is_plain(value)}
    return {**declared, **({"extra": kept} if kept or "extra" in data else {})}


def _mapping(value: object) -> dict[str, Any]:
    return {str(name): one for name, one in value.items()} if isinstance(value, dict) else {}


def _key(name: str) -> str:
    """`firstName`, `First Name` and `first_name` are one."""
    spelled = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", spelled.lower()).strip("_")


def _is_plain(value: object) -> bool:
    return isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= MOST_TRAIT_TEXT)


class CustomerIdentified(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A customer is known from here on, with these traits."""

    data: Traits = Traits()


class IdentityLinked(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The identities in the envelope belong to one person."""

    data: dict[str, Any] = {}


class IdentityUnlinked(Event, frozen=True, kw_only=True, omit_defaults=True):
    """They do not, after all."""

    data: dict[str, Any] = {}


class Carried(Struct, frozen=True, gc=False, array_like=True):
    """The close of a decision's offers on its way with their part: what waits for its label is in base64."""

    closes_at: int = 0
    decision_id: str = ""
    waiting: str = ""


class Claim(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """`part_key` belongs to customer `by`, or does no more; a handover carries the part itself, as stored, in base64.

    `at`, `event_id` and `event_source` are those of the event that said so. `via` is the card through which it goes,
    `forget` says that the part is to be thrown away, `awaited` what was done with offers that had not come yet (base64).
    """

    part_key: str
    by: str
    part: str = ""
    offers: tuple[Carried, ...] = ()
    at: int = 0
    event_id: str = ""
    event_source: str = ""
    outright: bool = False
    via: str = ""
    forget: bool = False
    awaited: str = ""


class IdentityClaimed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """From the shard of a customer to that of an identity: yours is mine. Only the engine writes this."""

    data: Claim


class PartHandedOver(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A part on its way to where it belongs: here is all that was held of it. Only the engine writes this."""

    data: Claim


class IdentityReleased(Event, frozen=True, kw_only=True, omit_defaults=True):
    """From the shard of a customer to that of an identity: yours is not mine any more. Only the engine writes this."""

    data: Claim


class PartReleased(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The answer: from here on nothing more of it is passed on, so give it back. Only the engine writes this."""

    data: Claim


TYPES: dict[str, type[Event]] = {
    "customer_identified": CustomerIdentified,
    "identity_linked": IdentityLinked,
    "identity_unlinked": IdentityUnlinked,
    "identity_claimed": IdentityClaimed,
    "part_handed_over": PartHandedOver,
    "identity_released": IdentityReleased,
    "part_released": PartReleased,
}
