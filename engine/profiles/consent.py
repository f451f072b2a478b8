"""What the customer allows. The newest statement about a purpose and channel holds; unknown is denied.

Purposes of marketing: `onsite`, `email`, `sms` and `push`, by where the customer is reached. `marketing` covers the four: a
statement about it is one about each of them, and one about `email` is one about `marketing` on that channel. `profiling` is
whether what the customer does may be read and judged. Shops may have purposes of their own; those cover nothing else.

Nothing that needs consent is offered without a `Granted`, and only this file makes one: who holds it has asked.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, Literal, final

from msgspec import Struct

from engine.errors import InvariantBroken
from engine.events.base import Event
from engine.events.consent import MESSAGE_CHANNELS, ConsentUpdated, MessageUnsubscribed
from engine.events.decode import arrival_of
from engine.moments import HOUR, millis

Status = Literal["granted", "denied", "revoked", "unknown"]
EVERY_CHANNEL = "*"
MOST_STATEMENTS = 100
MARKETING, PROFILING = "marketing", "profiling"
PURPOSE_OF: Final = {
    "web": "onsite",
    "app": "onsite",
    "pos": "onsite",
    "kiosk": "onsite",
    "email": "email",
    "sms": "sms",
    "push": "push",
}
"""The purpose of being reached there. Calls have none: they need `marketing` itself."""
COVERED: Final = ("onsite", "email", "sms", "push")
PURPOSES: Final = (MARKETING, PROFILING, *COVERED)
WRONG_CLOCK_MS = HOUR
"""A refusal that arrives within this time of being made holds from its arrival, so no clock that is wrong outvotes it."""


class Statement(Struct, frozen=True, gc=False, array_like=True):
    """What was said, when, and until when it holds (0 is for ever)."""

    status: Status = "unknown"
    at: int = 0
    expires_at: int = 0
    text_version: str = ""

    @property
    def order(self) -> tuple[int, bool, int, str]:
        """The newer statement wins; of two at the same instant the refusal, then the one that ends first."""
        return self.at, self.status != "granted", -self.expires_at, self.text_version

    def holding(self, now: int) -> "Statement":
        """This one, or nothing known where it was granted until before now."""
        return Statement("unknown", self.at) if self.status == "granted" and 0 < self.expires_at <= now else self


_SEAL: Final = object()
_UNKNOWN: Final = Statement()


@final
class Granted:
    """Proof that a purpose is granted on every channel that a contact touches: the statements that say so, channel by channel.

    Only `Consents.permission` makes one. Raises `InvariantBroken` for anybody else.
    """

    __slots__ = ("channels", "purpose", "statements")

    def __init__(self, seal: object, purpose: str, channels: tuple[str, ...], statements: tuple[Statement, ...]) -> None:
        if seal is not _SEAL:
            raise InvariantBroken("consent is proven by what the customer said, and by nothing else")
        self.purpose, self.channels, self.statements = purpose, channels, statements

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Granted) and self._said == other._said

    def __hash__(self) -> int:
        return hash(self._said)

    def __repr__(self) -> str:
        return f"Granted{self._said}"

    @property
    def _said(self) -> tuple[object, ...]:
        return self.purpose, self.channels, self.statements


@lru_cache(maxsize=1024)
def _places(purpose: str, channel: str) -> tuple[tuple[str, str], ...]:
    """Under which purpose and channel there may be a word about a contact, each once."""
    places = [(purpose, EVERY_CHANNEL), (purpose, channel)]
    if purpose == MARKETING and channel in PURPOSE_OF:
        own = PURPOSE_OF[channel]
        places += [(own, EVERY_CHANNEL), (own, channel)]
    elif purpose in COVERED:
        places += [(MARKETING, EVERY_CHANNEL), (MARKETING, purpose)]
        places += [(MARKETING, channel)] if PURPOSE_OF.get(channel) == purpose else []
    return tuple(dict.fromkeys(places))


class Consents(Struct, frozen=True, gc=False, array_like=True):
    """Statements by purpose and channel."""

    statements: dict[str, dict[str, Statement]] = {}

    def statement(self, purpose: str, channel: str | None, now: int) -> Statement:
        """The statement that holds for one purpose and channel; without a channel the newest about the purpose at all."""
        heard = list(self.statements.get(purpose, {}).values()) if channel is None else self._heard(purpose, channel)
        if not heard:
            return _UNKNOWN
        newest = heard[0] if len(heard) == 1 else max(heard, key=lambda statement: statement.order)
        return newest.holding(now)

    def status(self, purpose: str, channel: str | None, now: int) -> Status:
        """Only "granted" permits anything."""
        return self.statement(purpose, channel, now).status

    def permission(self, purpose: str, channels: Sequence[str], now: int) -> Granted | None:
        """The proof that a contact on all these channels is allowed for a purpose; None where any of them is not."""
        said = self._asked(purpose, channels, now)
        for statement in said:
            if statement.status != "granted":
                return None
        return Granted(_SEAL, purpose, tuple(channels), tuple(said))

    def refusal(self, purpose: str, channels: Sequence[str], now: int) -> Status:
        """What stands in the way of a permission, or "granted"."""
        return next((one.status for one in self._asked(purpose, channels, now) if one.status != "granted"), "granted")

    def may_profile(self, now: int, default: bool) -> bool:
        """Whether the customer's readings may be judged; `default` where nothing holds."""
        if PROFILING not in self.statements:
            return default
        status = self.status(PROFILING, None, now)
        return default if status == "unknown" else status == "granted"

    def _asked(self, purpose: str, channels: Sequence[str], now: int) -> list[Statement]:
        """What was said of a contact: of its purpose on each channel, and of that channel where its own purpose is another."""
        said = [self.statement(purpose, channel or EVERY_CHANNEL, now) for channel in channels or ("",)]
        if purpose in COVERED:
            said += [self.statement(MARKETING, name, now) for name in channels if PURPOSE_OF.get(name, purpose) != purpose]
        return said

    def _heard(self, purpose: str, channel: str) -> list[Statement]:
        statements = self.statements
        return [
            statements[about][name]
            for about, name in _places(purpose, channel)
            if about in statements and name in statements[about]
        ]

    @property
    def refusals(self) -> "Consents":
        """The statements that permit nothing."""
        refused = {
            purpose: {channel: one for channel, one in said.items() if one.status != "granted"}
            for purpose, said in self.statements.items()
        }
        return Consents({purpose: said for purpose, said in refused.items() if said})

    def merge(self, other: "Consents") -> "Consents":
        """Statements of two identities: for each purpose and channel the newest, so a withdrawal is never outvoted."""
        merged = {purpose: dict(said) for purpose, said in self.statements.items()}
        for purpose, said in other.statements.items():
            mine = merged.setdefault(purpose, {})
            for channel, statement in said.items():
                mine[channel] = max(mine.get(channel, Statement()), statement, key=lambda heard: heard.order)
        return Consents(merged)

    def _with(self, purpose: str, channels: Sequence[str], said: Statement) -> "Consents":
        """Purposes that the engine knows are always heard; of a shop's own as many as there is room for."""
        if purpose not in PURPOSES and purpose not in self.statements and len(self.statements) >= MOST_STATEMENTS:
            return self
        return self.merge(Consents({purpose: dict.fromkeys(channels or (EVERY_CHANNEL,), said)}))


def _since(event: Event, at: int, granted: bool) -> int:
    """From when a statement counts. None is dated later than it arrived; a refusal that is no history counts from its arrival."""
    arrived = arrival_of(event)
    if not arrived:
        return at
    fresh = not granted and event.mode == "live" and at >= arrived - WRONG_CLOCK_MS
    return arrived if fresh else min(at, arrived)


def _updated(facet: Consents, event: ConsentUpdated, at: int) -> Consents:
    said = event.data
    expires = millis(said.expires_at) if said.expires_at else 0
    statement = Statement(said.status, _since(event, at, said.status == "granted"), expires, said.text_version or "")
    return facet._with(said.purpose, said.all_channels, statement)


def _unsubscribed(facet: Consents, event: MessageUnsubscribed, at: int) -> Consents:
    named = event.data.channel or (event.channel if event.channel in MESSAGE_CHANNELS else None)
    statement = Statement("revoked", _since(event, at, granted=False))
    return facet._with(MARKETING, (named,) if named else MESSAGE_CHANNELS, statement)


HANDLERS: dict[str, Callable[..., Consents]] = {"consent_updated": _updated, "message_unsubscribed": _unsubscribed}
