"""The last touch points of a customer, for people to read: what happened, when, on which channel, in a few words.

They lie beside the profile and not in it: a decision decodes the profile and has no use for them. Steps of a visit are left
out, or the page views of an evening would push out the complaint of last week. Free text stays in the event.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from engine.events.base import Event
from engine.events.feedback import ConversationEnded, FeedbackSubmitted, InteractionLogged, SpecialRequestNoted
from engine.events.orders import OrderCompleted
from engine.events.pos import PosTransactionCompleted
from engine.money import to_major

MOST_KEPT = 50
NOT_KEPT = frozenset(
    """page_viewed session_started products_searched product_list_viewed product_clicked product_viewed product_added
    product_removed cart_viewed checkout_started checkout_step_completed offer_decided offer_viewed identity_claimed
    part_handed_over identity_released part_released reference_changed erasure_requested pos_item_scanned pos_day_closed
    message_delivered""".split()  # noqa: SIM905
)
_WORDS = 120
_REFERENCES = ("complaint_id", "case_id", "claim_id", "order_id", "service_id", "product_id", "survey_id", "lead_id")
_DETAILS = ("reason", "purpose", "status", "tier", "about", "severity", "topic", "lifecycle")


class TouchPoint(Struct, frozen=True, array_like=True):
    """One line of a timeline; `ref` names the order, case or offer that it is about."""

    at: int = 0
    type: str = ""
    channel: str = ""
    words: str = ""
    ref: str = ""
    id: str = ""


_encode = msgspec.msgpack.Encoder().encode
_DECODER = msgspec.msgpack.Decoder(TouchPoint)


def touch_point(event: Event, at: int) -> bytes | None:
    """The stored line of an event; None for what is no touch point."""
    if event.type in NOT_KEPT:
        return None
    ref, detail = _TELLERS.get(type(event), _plain)(event)
    words = _in_words(event.type)
    if detail:
        words = f"{words}: {detail}"
    return _encode(TouchPoint(at, event.type, event.channel or "", words[:_WORDS], ref[:_WORDS], event.id))


def read_touch_point(raw: bytes) -> TouchPoint:
    return _DECODER.decode(raw)


@lru_cache(maxsize=512)
def _in_words(kind: str) -> str:
    return kind.replace("_", " ")


def _order(event: OrderCompleted) -> tuple[str, str]:
    order = event.data
    return order.order_id, _amount(order.amount_minor, order.currency or "")


def _receipt(event: PosTransactionCompleted) -> tuple[str, str]:
    data = event.data
    return f"{data.store}/{data.workstation}/{data.sequence_number}", _amount(data.total or 0, data.currency or "")


def _answers(event: FeedbackSubmitted) -> tuple[str, str]:
    named = (("nps", event.data.nps), ("csat", event.data.csat), ("ces", event.data.ces))
    scores = ", ".join(f"{name} {score:g}" for name, score in named if score is not None)
    return event.data.order_id or event.data.survey_id or "", scores


def _interaction(event: InteractionLogged) -> tuple[str, str]:
    said = event.data
    return said.case_id or "", " ".join(word for word in (said.kind, said.action, said.subject) if word)


def _request(event: SpecialRequestNoted) -> tuple[str, str]:
    return event.data.request_id or event.data.product_id or "", event.data.request or event.data.subject or ""


def _conversation(event: ConversationEnded) -> tuple[str, str]:
    return event.data.case_id or event.data.conversation_id or "", event.data.topic or ""


_TELLERS: dict[type[Event], Callable[[Any], tuple[str, str]]] = {
    OrderCompleted: _order,
    PosTransactionCompleted: _receipt,
    FeedbackSubmitted: _answers,
    InteractionLogged: _interaction,
    SpecialRequestNoted: _request,
    ConversationEnded: _conversation,
}


def _plain(event: Event) -> tuple[str, str]:
    data: Any = getattr(event, "data", None)
    references, details = (_REFERENCES, _DETAILS) if isinstance(data, dict) else _named_in(type(data))
    body = data if isinstance(data, dict) else {name: getattr(data, name) for name in (*references, *details)}
    ref = next((str(body[name]) for name in references if body.get(name)), event.offer_id or "")
    return ref, ", ".join([body[name] for name in details if body.get(name) and isinstance(body[name], str)])


_NAMED_IN: dict[type, tuple[tuple[str, ...], tuple[str, ...]]] = {}


def _named_in(kind: type) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those of references and details that a body of this make has."""
    found = _NAMED_IN.get(kind)
    if found is None:
        references = tuple(name for name in _REFERENCES if hasattr(kind, name))
        found = _NAMED_IN[kind] = references, tuple(name for name in _DETAILS if hasattr(kind, name))
    return found


def _amount(minor: int, currency: str) -> str:
    return f"{to_major(minor, currency)} {currency}" if currency else str(minor)
