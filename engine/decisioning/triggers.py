"""What leads to an offer by itself: triggers as a marketer declares them, what shards follow of them, and the actions.

Theory of operation. A shard follows the `Rules`, a reference fact in its own log, so a replay starts and stops the same
timers. When a trigger's wait is over the shard puts an `Action` on its stream, once, in the commit in which time passed. Nothing
is decided there: who takes the action asks for a decision when it is about to be sent, so that consent, caps, quiet
hours, the rules of offers and the trigger's own are those of that moment.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from engine.decisioning.conditions import Condition
from engine.decisioning.offers import Identifier
from engine.ids import digest_of, erased_name
from engine.moments import DAY, MINUTE

TRIGGERS = "triggers"
"""The reference fact that shards follow."""
CART_ABANDONED, WEEKLY_REVIEW, BIRTHDAY = "cart_abandoned", "weekly_review", "birthday"
PRICE_DROPPED, POINTS_CHANGED = "price_dropped", "points_changed"
OCCASIONS: dict[str, str] = {
    CART_ABANDONED: "the cart was left alone for `cart_abandoned_minutes`",
    WEEKLY_REVIEW: "the customer's likelihoods of leaving and buying were worked out anew, once a week",
    BIRTHDAY: "the customer's birthday began",
    PRICE_DROPPED: "a product that the customer looked at within two weeks became cheaper",
    POINTS_CHANGED: "a purchase, a return or points that were given or used moved what the next tier is judged by",
}
"""What happens without anybody sending an event of it, beside which every type of event may start a trigger."""


class Trigger(Struct, frozen=True, kw_only=True):
    """When `event` happens, offers for `placement` go to `webhook` after `wait_minutes`.

    Events in `unless` cancel what waits; the event itself starts the wait again. `eligible_when` has to hold when it is
    sent. What could not be sent within `max_age_minutes` of its time is dropped. One customer gets it once in `every_days`.
    """

    id: Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$")]
    event: Identifier
    placement: Identifier
    wait_minutes: Annotated[float, Meta(ge=0, le=60 * 24 * 365)] = 0.0
    unless: tuple[Identifier, ...] = ()
    eligible_when: Annotated[tuple[Condition, ...], Meta(extra={"written": "conditions"})] = ()
    max_age_minutes: Annotated[float, Meta(gt=0, le=60 * 24 * 365)] = 1440.0
    every_days: Annotated[float, Meta(ge=0, le=3650)] = 0.0
    offers: Annotated[int, Meta(ge=1, le=50)] = 1
    webhook: Identifier = "default"
    status: Literal["draft", "live", "paused"] = "live"


class TriggersFile(Struct, frozen=True, kw_only=True):
    """triggers.yaml: the triggers, and for how long a cart stands untouched before it counts as abandoned."""

    triggers: tuple[Trigger, ...] = ()
    cart_abandoned_minutes: Annotated[float, Meta(gt=0, le=60 * 24 * 30)] = 60.0


class Rule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A trigger as far as time and events are concerned."""

    id: str
    event: str
    wait_ms: int = 0
    unless: tuple[str, ...] = ()
    every_ms: int = 0


class Rules(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that shards follow. `zone` says when a birthday begins."""

    triggers: tuple[Rule, ...] = ()
    cart_idle_ms: int = 60 * MINUTE
    zone: str = "UTC"


class Occasion(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened: the type of event, its id, when, and the little of its body that a message may name."""

    event: str
    id: str
    at: int
    data: dict[str, Any] = {}


class Action(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A trigger's wait is over for a customer: time to ask what may be sent. `due_at` is when that was, in event time."""

    id: str
    trigger: str
    customer: str
    occasion: Occasion
    due_at: int


def rules_of(triggers: Iterable[Trigger], cart_abandoned_minutes: float, zone: str) -> Rules:
    """What shards follow of the triggers that are live."""
    return Rules(
        triggers=tuple(
            Rule(
                id=one.id,
                event=one.event,
                wait_ms=int(one.wait_minutes * MINUTE),
                unless=one.unless,
                every_ms=int(one.every_days * DAY),
            )
            for one in triggers
            if one.status == "live"
        ),
        cart_idle_ms=int(cart_abandoned_minutes * MINUTE),
        zone=zone,
    )


def action_id(trigger: str, customer: str, occasion: Occasion, salt: bytes) -> str:
    """The same trigger, customer and occasion have the same id, however often it is worked out.

    The customer goes in by a hash keyed with the installation's salt: ids are remembered longer than an erased customer may be.
    """
    told = digest_of(trigger.encode(), erased_name(customer, salt), occasion.event.encode(), occasion.id.encode(), size=16)
    return f"act-{told.hex()}"
