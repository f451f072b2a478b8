"""What customers allow, and their wish to be forgotten."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from engine.events.base import Aware, Channel, Event, Identifier, Text


class Consent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A statement about one purpose. Without channels it holds for all of them."""

    purpose: Identifier
    status: Literal["granted", "denied", "revoked"]
    channels: Annotated[tuple[Channel, ...], Meta(max_length=7)] = ()
    channel: Channel | None = None
    expires_at: Aware | None = None
    text_version: Text | None = None

    @property
    def all_channels(self) -> tuple[str, ...]:
        """The channels meant; empty is all of them."""
        return self.channels or ((self.channel,) if self.channel else ())


class ConsentUpdated(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Consent for a purpose was granted, denied or revoked."""

    data: Consent


class ErasureRequested(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The customer wants to be forgotten."""

    data: dict[str, Any] = {}


class PrivacyNote(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Preferences were changed, or access to what is held was asked for."""

    data: dict[str, Any] = {}


TYPES: dict[str, type[Event]] = {
    "consent_updated": ConsentUpdated,
    "erasure_requested": ErasureRequested,
    "preference_updated": PrivacyNote,
    "access_requested": PrivacyNote,
}
