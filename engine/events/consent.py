"""What customers allow and wish, and their wish to be forgotten."""

from typing import Annotated, Any, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType

from engine.events.base import Aware, Channel, Event, Identifier, Text

ConsentChannel = Literal["web", "app", "pos", "call_center", "email", "sms", "push", "kiosk"]
"""Where a customer can be reached; `push` has no events of its own."""
MOST_TOPICS = 100
TimeOfDay = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Topic = Annotated[str, Meta(min_length=1, max_length=100)]


class Consent(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A statement about one purpose. Without channels it holds for all of them."""

    purpose: Identifier
    status: Literal["granted", "denied", "revoked"]
    channels: Annotated[tuple[ConsentChannel, ...], Meta(max_length=len(get_args(ConsentChannel)))] = ()
    channel: ConsentChannel | None = None
    expires_at: Aware | None = None
    text_version: Text | None = None

    @property
    def all_channels(self) -> tuple[str, ...]:
        """The channels meant; empty is all of them."""
        return self.channels or ((self.channel,) if self.channel else ())


class ConsentUpdated(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Consent for a purpose was granted, denied or revoked."""

    data: Consent


class Unsubscribed(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """`channel` is that of the message; without it the channel of the envelope counts, where it is one of messages."""

    channel: ConsentChannel | None = None
    text: Text | None = None


class MessageUnsubscribed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The customer wants no more messages on this channel; where nobody says on which, on none."""

    data: Unsubscribed = Unsubscribed()


class Often(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """At most `count` offers in any span of `window_days`, sliding."""

    count: Annotated[int, Meta(ge=0, le=1000)]
    window_days: Annotated[float, Meta(gt=0, le=7)] = 7.0


class QuietTime(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """From one time of day to another in the customer's own zone; past midnight where the end is the smaller one."""

    start: TimeOfDay
    end: TimeOfDay


Topics = Annotated[dict[Topic, bool], Meta(max_length=MOST_TOPICS)] | Annotated[tuple[Topic, ...], Meta(max_length=MOST_TOPICS)]
Channels = dict[ConsentChannel, bool] | Annotated[tuple[ConsentChannel, ...], Meta(max_length=8)]


class Wishes(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What is not named stays as it was; null goes back to what the shop does by itself.

    `topics` and `channels` say of each whether it is wanted; a list names all that are. A wish can refuse a channel and never
    opens one: that takes consent.
    """

    topics: Topics | UnsetType | None = UNSET
    channels: Channels | UnsetType | None = UNSET
    frequency: Often | UnsetType | None = UNSET
    quiet_hours: QuietTime | UnsetType | None = UNSET


class PreferenceUpdated(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The customer chose topics, channels, how often, or when not."""

    data: Wishes = Wishes()


class ErasureRequested(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The customer wants to be forgotten."""

    data: dict[str, Any] = {}


class PrivacyNote(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Access to what is held was asked for."""

    data: dict[str, Any] = {}


MESSAGE_CHANNELS: tuple[Channel | Literal["push"], ...] = ("email", "sms", "push")
"""Channels that reach a customer who is not there."""

TYPES: dict[str, type[Event]] = {
    "consent_updated": ConsentUpdated,
    "message_unsubscribed": MessageUnsubscribed,
    "erasure_requested": ErasureRequested,
    "preference_updated": PreferenceUpdated,
    "access_requested": PrivacyNote,
}
