"""Who somebody says they are, and which identities belong together."""

from typing import Any

from msgspec import Struct

from engine.events.base import Event


class Traits(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is told of a customer. Only what features or rules read is kept; names and addresses are not."""

    birthday: str | None = None
    locale: str | None = None
    timezone: str | None = None
    household_size: str | None = None
    income_band: str | None = None
    age_band: str | None = None
    has_children: bool | None = None
    home_owner: bool | None = None
    extra: dict[str, Any] = {}


class CustomerIdentified(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A customer is known from here on, with these traits."""

    data: Traits = Traits()


class IdentityLinked(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The identities in the envelope belong to one person."""

    data: dict[str, Any] = {}


class IdentityUnlinked(Event, frozen=True, kw_only=True, omit_defaults=True):
    """They do not, after all."""

    data: dict[str, Any] = {}


class Claim(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`part_key` belongs to customer `by`; a handover carries the part itself, as stored, in base64."""

    part_key: str
    by: str
    part: str = ""


class IdentityClaimed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """From the shard of a known customer to that of an identity: yours is mine. Only the engine writes this."""

    data: Claim


class PartHandedOver(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The answer: here is all that was held of it; what still arrives will be passed on. Only the engine writes this."""

    data: Claim


TYPES: dict[str, type[Event]] = {
    "customer_identified": CustomerIdentified,
    "identity_linked": IdentityLinked,
    "identity_unlinked": IdentityUnlinked,
    "identity_claimed": IdentityClaimed,
    "part_handed_over": PartHandedOver,
}
