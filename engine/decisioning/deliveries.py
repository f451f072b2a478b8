"""What becomes of an action: the record of its way to a webhook, and the rules of trying again.

    waiting → delivering → delivered
       ↓           ↓
    dropped      dead → (replay) → delivering

An action is delivered at least once on the wire and always under its own id, so a receiver that remembers ids takes it once;
after the first success that was written down nothing is sent again. What is over keeps its id, so that the same
action is never taken up a second time, and lets go of the customer; a dead letter keeps everything, to be replayed.
"""

from typing import Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from engine.decisioning.triggers import Action
from engine.errors import StoredFormatError
from engine.ids import unit_interval
from engine.moments import DAY, SECOND

State = Literal["waiting", "delivering", "delivered", "dropped", "dead"]
OVER: Final = frozenset({"delivered", "dropped", "dead"})
KEPT_MS: Final = 90 * DAY
"""How long it is known that an action is over."""
DEAD_KEPT_MS: Final = 14 * DAY
MOST_REMEMBERED: Final = 300


class Delivery(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One action on its way.

    `asks` counts decisions asked for, and `asked` is set while the answer to one is out: whoever finds that set does not know how
    old the answer is. `body` is what goes on the wire, empty before there is a decision. `tries` counts attempts, `status` is the
    last answer (0: none). `at` is when the state was written. `action` is None once there is nothing left to send.
    """

    id: str
    trigger: str
    due_at: int
    state: State = "waiting"
    action: Action | None = None
    asks: int = 0
    asked: bool = False
    body: bytes = b""
    decision_id: str = ""
    offers: tuple[str, ...] = ()
    tries: int = 0
    status: int = 0
    reason: str = ""
    at: int = 0
    replayed: int = 0

    @property
    def over(self) -> bool:
        """Whether nothing happens any more unless somebody asks for it."""
        return self.state in OVER


class Patience(Struct, frozen=True, kw_only=True):
    """How often a webhook is tried, and how long the pauses become."""

    attempts: int = 16
    first_ms: int = SECOND
    longest_ms: int = 3_600 * SECOND

    def pause(self, name: str, tries: int) -> int:
        """The pause after so many attempts: doubling, and between half and the whole of it, so that a webhook that comes back is
        not met by everything at once."""
        whole = min(self.first_ms << min(tries - 1, 40), self.longest_ms)
        return round(whole * (0.5 + 0.5 * unit_interval("pause", name, str(tries))))


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Delivery)


def begun(action: Action) -> Delivery:
    """An action that was just taken over from a shard."""
    return Delivery(id=action.id, trigger=action.trigger, due_at=action.due_at, action=action, at=action.due_at)


def ended(delivery: Delivery, state: State, reason: str, at: int) -> Delivery:
    """Over. What is dead keeps what it takes to try again; anything else lets go of the customer."""
    after = replace(delivery, state=state, reason=reason[:MOST_REMEMBERED], at=at, asked=False)
    return after if state == "dead" else replace(after, action=None, body=b"", offers=())


def revived(delivery: Delivery, at: int) -> Delivery:
    """A dead letter that somebody wants to try again, under the same id."""
    return replace(delivery, state="delivering", tries=0, reason="", at=at, replayed=delivery.replayed + 1)


def encode_delivery(delivery: Delivery) -> bytes:
    return _ENCODER.encode(delivery)


def decode_delivery(raw: bytes, key: str = "action") -> Delivery:
    """Raises `StoredFormatError`."""
    try:
        return _DECODER.decode(raw)
    except msgspec.MsgspecError as error:
        raise StoredFormatError(key, str(error)) from None
