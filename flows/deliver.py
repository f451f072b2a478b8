"""One action, one step further: ask what may be sent at this moment, send it, and say what to write down.

Theory of operation. The decision is the API's, asked for over HTTP with the action's id as request id: consent, holdout, rules,
caps, quiet hours and stock are those of now, and asking twice for one action takes nothing twice. Between a decision and an
attempt lies at most the time of the attempt before it; from then on every further attempt looks again first, without taking
anything, whether what was decided is still lawful. So an offer revoked while its webhook was down is never sent.

Before a decision is asked for, that is written down. Who takes the action up after a crash in between gets the same answer,
and looks again before sending it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from engine.decisioning.deliveries import Delivery, Patience, ended
from engine.decisioning.triggers import Action, Trigger
from engine.events.base import Aware
from engine.moments import MINUTE, SECOND, millis, rfc3339
from engine.store.redis_actions import Held
from flows.door import Door, DoorClosed, DoorRefused
from flows.webhooks import Webhook

_KINDS: Final = {"u": "user_id", "l": "loyalty_id", "a": "anonymous_id"}
_STILL_LAWFUL: Final = frozenset({"chosen", "arbitration", "cap", "stock"})
"""Stages at which what was decided may still be sent: its own contact counts under its caps now."""
_WORDS: Final = {"service": "complaint_open", "eligibility": "no_eligible", "placement": "no_eligible"}
_SENT: Final = ("offer_id", "campaign_id", "kind", "position", "content", "expires_at")
_SOON_MS: Final = 5 * SECOND
_DECIDE_WITHIN_MS: Final = 5_000
LEAST_QUIET_MS: Final = MINUTE
CONFLICT: Final = 409


def message(action: Action, trigger: Trigger, answer: Mapping[str, Any], now: int) -> bytes:
    """What goes on the wire: who, why, and what to say. No score, no likelihood, no propensity leaves the house."""
    placement = answer["placements"][0]
    occasion = action.occasion
    return msgspec.json.encode(
        {
            "type": "action",
            "id": action.id,
            "timestamp": rfc3339(now),
            "data": {
                "trigger": trigger.id,
                "occasion": {"event": occasion.event, "id": occasion.id, "at": rfc3339(occasion.at), **occasion.data},
                "customer": {_KINDS[action.customer[0]]: action.customer[2:]},
                "placement": trigger.placement,
                "decision_id": answer["decision_id"],
                "offers": [{name: offer[name] for name in _SENT if name in offer} for offer in placement["offers"]],
            },
        }
    )


class Book(Protocol):
    """Where deliveries are written down."""

    def settle(self, held: Held, after: Delivery, again_at: int) -> bool:
        """False where the claim was lost."""
        ...

    def erased(self, customer: str) -> bool:
        """Whether the customer asked to be forgotten."""
        ...


class Plan(Struct, frozen=True):
    """What a sender goes by: the triggers that are live, and the webhooks with their secrets."""

    triggers: Mapping[str, Trigger]
    webhooks: Mapping[str, tuple[str, str]]
    patience: Patience
    timeout_s: float


class Lost(Exception):
    """The claim ran out meanwhile: somebody else has the action now."""


class Deliverer:
    """Takes actions further. Not for two threads at once: it keeps connections."""

    def __init__(
        self,
        plan: Callable[[], Plan],
        book: Book,
        door: Door,
        clock: Callable[[], float],
        tell: Callable[[str, Delivery], None],
    ) -> None:
        self._plan, self._book, self._door, self._clock, self._tell = plan, book, door, clock, tell
        self._webhooks: dict[str, Webhook] = {}

    def step(self, held: Held) -> None:
        """All that can be done for the action now. Raises `StoreUnavailable` where nothing could be written down."""
        try:
            self._step(held)
        except Lost:
            self._tell("lost", held.delivery)

    def close(self) -> None:
        """Drops the connections."""
        self._door.close()
        for webhook in self._webhooks.values():
            webhook.close()

    def _step(self, held: Held) -> None:
        plan, delivery = self._plan(), held.delivery
        action, trigger = delivery.action, plan.triggers.get(delivery.trigger)
        if action is None or self._book.erased(action.customer):
            return self._drop(held, delivery, "erased")
        if trigger is None:
            return self._drop(held, delivery, "withdrawn")
        if trigger.webhook not in plan.webhooks:
            return self._drop(held, delivery, "no_webhook")
        if not delivery.body and self._now() > delivery.due_at + trigger.max_age_minutes * MINUTE:
            return self._drop(held, delivery, "max_age")
        try:
            ready = (self._looked_at_again if delivery.body else self._asked)(held, delivery, action, trigger)
        except (DoorRefused, DoorClosed) as error:
            return self._unanswered(held, delivery, error)
        if ready is not None:
            self._send(held, ready, plan, trigger)
        return None

    def _asked(self, held: Held, before: Delivery, action: Action, trigger: Trigger) -> Delivery | None:
        """With what may be sent; None where nothing may, or not now, and that is written down."""
        unsure = before.asked
        if not unsure:
            before = replace(before, asked=True)
            self._keep(held, before)
        answer = self._decide(action, trigger, {"request_id": f"{action.id}.{before.asks}"})
        placement = answer["placements"][0]
        if answer["degraded"] and answer["degraded"] != ["model"]:
            self._later(held, replace(before, reason="degraded"), self._now() + _SOON_MS)
            return None
        if placement["reason"] == "quiet_hours":
            self._later(held, replace(before, asked=False, asks=before.asks + 1, reason="quiet_hours"), self._quiet(placement))
            return None
        if placement["reason"] != "ok":
            self._drop(held, before, str(placement["reason"]))
            return None
        ready = replace(
            before,
            state="delivering",
            asked=False,
            asks=before.asks + 1,
            body=message(action, trigger, answer, self._now()),
            decision_id=str(answer["decision_id"]),
            offers=tuple(str(offer["offer_id"]) for offer in placement["offers"]),
            reason="",
            at=self._now(),
        )
        self._keep(held, ready)
        return self._looked_at_again(held, ready, action, trigger) if unsure else ready

    def _looked_at_again(self, held: Held, delivery: Delivery, action: Action, trigger: Trigger) -> Delivery | None:
        """The same, if all its offers could still be made; else that is written down."""
        answer = self._decide(action, trigger, {"explain": True})
        stages = {one["offer_id"]: one["stage"] for one in answer["explanation"] or ()}
        if answer["degraded"] and answer["degraded"] != ["model"]:
            self._later(held, replace(delivery, reason="degraded"), self._now() + _SOON_MS)
            return None
        for offer in delivery.offers:
            stage = stages.get(offer, "eligibility")
            if stage == "quiet_hours":
                self._later(held, replace(delivery, reason=stage), self._quiet(answer["placements"][0]))
                return None
            if stage not in _STILL_LAWFUL:
                self._drop(held, delivery, _WORDS.get(stage, stage))
                return None
        return delivery

    def _send(self, held: Held, delivery: Delivery, plan: Plan, trigger: Trigger) -> None:
        url, secret = plan.webhooks[trigger.webhook]
        webhook = self._webhooks.get(trigger.webhook)
        if webhook is None:
            webhook = self._webhooks[trigger.webhook] = Webhook(url, secret, plan.timeout_s)
        if self._now() + int(plan.timeout_s * SECOND) > held.until:
            return self._later(held, delivery, self._now())
        told = webhook.post(delivery.id, delivery.body, self._now() // SECOND)
        tried = replace(delivery, tries=delivery.tries + 1, status=told.status)
        self._tell(told.meaning, tried)
        if told.meaning == "acknowledged":
            return self._end(held, ended(tried, "delivered", "", self._now()))
        why = f"{told.status or 'no answer'}: {told.detail}"
        if told.meaning == "refused" or tried.tries >= plan.patience.attempts:
            return self._end(held, ended(tried, "dead", why, self._now()))
        pause = max(plan.patience.pause(delivery.id, tried.tries), int(told.wait_s * SECOND))
        return self._later(held, replace(tried, reason=why[:200]), self._now() + pause)

    def _unanswered(self, held: Held, delivery: Delivery, error: DoorRefused | DoorClosed) -> None:
        """The API did not decide: again soon. Where the trigger was changed since it was asked, under another request id."""
        asks = delivery.asks + (isinstance(error, DoorRefused) and error.status == CONFLICT)
        self._later(held, replace(delivery, asks=asks, reason=str(error)[:200]), self._now() + _SOON_MS)

    def _decide(self, action: Action, trigger: Trigger, more: dict[str, Any]) -> Any:
        kind, name = action.customer[0], action.customer[2:]
        asked = {
            _KINDS[kind]: name,
            "placements": [{"name": trigger.placement, "count": trigger.offers}],
            "trigger": trigger.id,
            "deadline_ms": _DECIDE_WITHIN_MS,
            **more,
        }
        return self._door.post("/v1/decisions", msgspec.json.encode(asked)).json()

    def _quiet(self, placement: Mapping[str, Any]) -> int:
        until = placement.get("retry_at")
        told = millis(msgspec.convert(until, type=Aware)) if until else 0
        return max(told, self._now() + LEAST_QUIET_MS)

    def _drop(self, held: Held, delivery: Delivery, why: str) -> None:
        self._end(held, ended(delivery, "dropped", why, self._now()))

    def _end(self, held: Held, after: Delivery) -> None:
        self._settled(held, after, 0)
        self._tell(after.state, after)

    def _later(self, held: Held, after: Delivery, again_at: int) -> None:
        self._settled(held, replace(after, at=self._now()), again_at)

    def _keep(self, held: Held, after: Delivery) -> None:
        self._settled(held, after, held.until)

    def _settled(self, held: Held, after: Delivery, again_at: int) -> None:
        if not self._book.settle(held, after, again_at):
            raise Lost

    def _now(self) -> int:
        return int(self._clock() * SECOND)
