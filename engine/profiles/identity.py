"""Who it is: identities, traits, the channels used, and since when."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from engine.events.base import Event
from engine.events.identity import CustomerIdentified

MOST_IDENTITIES = 20
MOST_TRAITS = 50


class Identity(Struct, frozen=True, gc=False, array_like=True):
    """One identity's own facts. `traits` are (value, told at). `reached_by` holds keyed hashes of e-mail address and phone
    number, by kind, as (hash, told at)."""

    first_at: int = 0
    last_at: int = 0
    anonymous: tuple[str, ...] = ()
    loyalty: tuple[str, ...] = ()
    traits: dict[str, tuple[Any, int]] = {}
    channels: dict[str, int] = {}
    reached_by: dict[str, tuple[str, int]] = {}

    def met(self, event: Event, at: int) -> "Identity":
        """After any event of this customer."""
        channels = self.channels
        if event.channel:
            channels = {**channels, event.channel: channels.get(event.channel, 0) + 1}
        return Identity(
            min(self.first_at, at) if self.first_at else at,
            max(self.last_at, at),
            _with(self.anonymous, event.anonymous_id),
            _with(self.loyalty, event.loyalty_id),
            self.traits,
            channels,
            self.reached_by,
        )

    @property
    def reached(self) -> frozenset[str]:
        """The hashes by which this customer is found."""
        return frozenset(digest for digest, _ in self.reached_by.values() if digest)

    @property
    def told(self) -> dict[str, Any]:
        """What is held under each name; what was taken back leaves its name alone, so that older news does not bring it back."""
        return {name: value for name, (value, _) in sorted(self.traits.items()) if value is not None}

    def trait(self, name: str) -> Any:
        """What was last told of the customer under this name, or None."""
        return self.traits.get(name, (None, 0))[0]

    def without(self, key: str) -> "Identity":
        """As if the identity had never been named beside this one."""
        kind, _, name = key.partition(":")
        return replace(
            self,
            anonymous=tuple(one for one in self.anonymous if (kind, name) != ("a", one)),
            loyalty=tuple(one for one in self.loyalty if (kind, name) != ("l", one)),
        )

    def merge(self, other: "Identity") -> "Identity":
        """Facts of two identities of one customer; of two traits the later told."""
        traits = dict(self.traits)
        for name, told in other.traits.items():
            if name not in traits or traits[name][1] < told[1]:
                traits[name] = told
        channels = {
            name: self.channels.get(name, 0) + other.channels.get(name, 0) for name in sorted({*self.channels, *other.channels})
        }
        return Identity(
            min(filter(None, (self.first_at, other.first_at)), default=0),
            max(self.last_at, other.last_at),
            tuple(sorted({*self.anonymous, *other.anonymous}))[:MOST_IDENTITIES],
            tuple(sorted({*self.loyalty, *other.loyalty}))[:MOST_IDENTITIES],
            traits,
            channels,
            {
                kind: max(self.reached_by.get(kind, _NOWHERE), other.reached_by.get(kind, _NOWHERE), key=lambda one: one[::-1])
                for kind in sorted({*self.reached_by, *other.reached_by})
            },
        )


_NOWHERE = ("", 0)


def _with(known: tuple[str, ...], name: str | None) -> tuple[str, ...]:
    if not name or name in known or len(known) >= MOST_IDENTITIES:
        return known
    return tuple(sorted((*known, name)))


def _identified(facet: Identity, event: CustomerIdentified, at: int) -> Identity:
    told = to_builtins(event.data)
    told.update(told.pop("extra", {}))
    told.update(dict.fromkeys(told.pop("removed", ())))
    reached_by = dict(facet.reached_by)
    for kind, digest in told.pop("reached_by", {}).items():
        reached_by[kind] = max(reached_by.get(kind, _NOWHERE), (digest, at), key=lambda one: one[::-1])
    traits = dict(facet.traits)
    for name, value in told.items():
        if name in traits and traits[name][1] > at:
            continue
        if name in traits or len(traits) < MOST_TRAITS:
            traits[name] = (value, at)
    return replace(facet, traits=traits, reached_by=reached_by)


def _said_of(facet: Identity, event: Event, at: int) -> Identity:
    """Who belongs to whom is nothing that the customer did: no activity, and no trait."""
    return facet


HANDLERS: dict[str, Callable[..., Identity]] = {
    "customer_identified": _identified,
    "identity_linked": _said_of,
    "identity_unlinked": _said_of,
}
