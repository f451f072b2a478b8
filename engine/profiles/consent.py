"""What the customer allows. The newest statement about a purpose and channel holds; unknown is denied."""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from engine.events.consent import ConsentUpdated
from engine.moments import millis

Status = Literal["granted", "denied", "revoked", "unknown"]
EVERY_CHANNEL = "*"
MOST_STATEMENTS = 100


class Statement(Struct, frozen=True, array_like=True):
    """What was said, when, and until when it holds (0 is for ever)."""

    status: Status = "unknown"
    at: int = 0
    expires_at: int = 0
    text_version: str = ""

    @property
    def order(self) -> tuple[int, bool, int, str]:
        """The newer statement wins; of two at the same instant the refusal, then the one that ends first."""
        return self.at, self.status != "granted", -self.expires_at, self.text_version


class Consents(Struct, frozen=True, array_like=True):
    """Statements by purpose and channel."""

    statements: dict[str, dict[str, Statement]] = {}

    def statement(self, purpose: str, channel: str | None, now: int) -> Statement:
        """The statement that holds for one purpose and channel, or for the purpose as a whole."""
        said = self.statements.get(purpose)
        if not said:
            return Statement()
        heard = [said[name] for name in (EVERY_CHANNEL, channel) if name in said]
        if channel is None:
            heard = list(said.values())
        newest = heard[0] if len(heard) == 1 else max(heard, key=lambda statement: statement.order, default=Statement())
        if newest.status == "granted" and newest.expires_at and newest.expires_at <= now:
            return Statement("unknown", newest.at)
        return newest

    def status(self, purpose: str, channel: str | None, now: int) -> Status:
        """Only "granted" permits anything."""
        return self.statement(purpose, channel, now).status

    def merge(self, other: "Consents") -> "Consents":
        """Statements of two identities: for each purpose and channel the newest, so a withdrawal is never outvoted."""
        merged = {purpose: dict(said) for purpose, said in self.statements.items()}
        for purpose, said in other.statements.items():
            mine = merged.setdefault(purpose, {})
            for channel, statement in said.items():
                mine[channel] = max(mine.get(channel, Statement()), statement, key=lambda heard: heard.order)
        return Consents(merged)


def _updated(facet: Consents, event: ConsentUpdated, at: int) -> Consents:
    said = event.data
    if said.purpose not in facet.statements and len(facet.statements) >= MOST_STATEMENTS:
        return facet
    expires = millis(said.expires_at) if said.expires_at else 0
    statement = Statement(said.status, at, expires, said.text_version or "")
    return facet.merge(Consents({said.purpose: dict.fromkeys(said.all_channels or (EVERY_CHANNEL,), statement)}))


HANDLERS: dict[str, Callable[..., Consents]] = {"consent_updated": _updated}
