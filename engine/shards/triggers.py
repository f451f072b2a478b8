"""When triggers start, what stops them, and when their wait is over.

Only the present starts a trigger: history that is filled in, and events that arrive long after they happened, build
profiles and nothing else. One wait at a time for a customer and a trigger: the occasion that comes while one waits takes
its place. What the shard notices by itself (a cart left alone, a weekly review, a birthday) is an occasion like any event.

All times here are those of the log, and `front` is as far as the log has come: the time of the newest event or tick.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from engine.decisioning.triggers import (
    BIRTHDAY,
    CART_ABANDONED,
    POINTS_CHANGED,
    PRICE_DROPPED,
    TRIGGERS,
    WEEKLY_REVIEW,
    Action,
    Occasion,
    Rule,
    Rules,
    action_id,
)
from engine.events.base import Event, Product
from engine.events.clickstream import Listing, ListViewed
from engine.events.prices import PriceDropped
from engine.events.reference import Reference
from engine.events.routing import has_customer
from engine.ids import digest_of
from engine.moments import millis, moment
from engine.profiles.profile import Part, Profile
from engine.shards.alarms import Alarms
from engine.shards.commit import Commit
from engine.shards.own import own_event
from engine.shards.timers import CART, COOLING, TRIGGER, WATCH, Timers, birthday_tag, cart_tag, cooling_tag, parsed, trigger_tag
from engine.shards.watching import LOOKS, Watching

MOST_NAMED = 10
_NAMED = ("product_id", "order_id", "complaint_id", "case_id", "service_id", "tier", "store", "reason")
_ENCODER = msgspec.json.Encoder()


class _Pending(msgspec.Struct, frozen=True, array_like=True):
    """What waits under the alarm of a trigger."""

    occasion: Occasion
    due: int


_PENDING = msgspec.json.Decoder(_Pending)


class Triggers:
    """The rules of a shard, by the events that start and stop them."""

    def __init__(self, rules: Rules) -> None:
        self.cart_idle_ms = rules.cart_idle_ms
        self.zone = ZoneInfo(rules.zone)
        self.by_id = {rule.id: rule for rule in rules.triggers}
        self.starting: dict[str, list[Rule]] = {}
        self.stopping: dict[str, list[str]] = {}
        for rule in rules.triggers:
            self.starting.setdefault(rule.event, []).append(rule)
            for name in rule.unless:
                self.stopping.setdefault(name, []).append(rule.id)
        self.judges_points = POINTS_CHANGED in self.starting
        self.heeded = frozenset({*self.starting, *self.stopping}) | _TOUCHES_CART | _TELLS_TRAITS
        if PRICE_DROPPED in self.starting:
            self.heeded |= LOOKS


def triggers_in(references: Mapping[str, Reference]) -> Triggers:
    """The rules that a shard stands at."""
    held = references.get(TRIGGERS)
    return Triggers(msgspec.convert(held.value, Rules) if held is not None else Rules())


class Occasions:
    """The triggers of a shard while one batch is folded."""

    def __init__(self, triggers: Triggers, timers: Timers, alarms: Alarms, commit: Commit, lateness_ms: int, salt: bytes) -> None:
        self.triggers = triggers
        self._alarms, self._commit, self._lateness_ms = alarms, commit, lateness_ms
        self._watching, self._salt = Watching(timers, alarms, lateness_ms), salt

    def happened(self, before: Profile, after: Profile, event: Event, at: int, front: int, live: bool) -> None:
        """An event of a customer was folded. What belongs to a workstation is nobody's to be told of."""
        rules = self.triggers
        if not (event.type in rules.heeded or rules.judges_points) or not has_customer(after.key):
            return
        for name in self.triggers.stopping.get(event.type, ()):
            self._cancel(name, after.key)
        if event.type in _TOUCHES_CART:
            self._cart(after, front, live)
        if event.type in _TELLS_TRAITS:
            self._birthday(before, after, at)
        if live and PRICE_DROPPED in self.triggers.starting:
            self._watching.happened(after.key, event, at)
        if live:
            self._begins(event.type, event, after, at, front)
            if rules.judges_points and _has_earned(before, after):
                self._begins(POINTS_CHANGED, event, after, at, front)

    def _begins(self, name: str, event: Event, profile: Profile, at: int, front: int) -> None:
        for rule in self.triggers.starting.get(name, ()):
            self._start(rule, profile.key, Occasion(event=name, id=event.id, at=at, data=_named(event)), front)

    def price_dropped(self, event: PriceDropped, at: int, front: int, live: bool) -> None:
        """A product became cheaper: news for whoever looked at it before."""
        rules = self.triggers.starting.get(PRICE_DROPPED, ()) if live else ()
        for customer in self._watching.of(event.data.product_id, at) if rules else ():
            for rule in rules:
                told = msgspec.to_builtins(event.data)
                self._start(rule, customer, Occasion(event=PRICE_DROPPED, id=event.id, at=at, data=told), front)

    def reviewed(self, profile: Profile, boundary: int, front: int, live: bool) -> None:
        """The customer's week is over. It is news from when it is noticed on."""
        if live:
            for rule in self.triggers.starting.get(WEEKLY_REVIEW, ()):
                self._start(rule, profile.key, Occasion(event=WEEKLY_REVIEW, id=str(boundary), at=max(boundary, front)), front)

    def gone_off(self, tag: str, at: int, profile: Profile, front: int, live: bool) -> None:
        """An alarm of triggers is due, `at` on the watermark. `COOLING` and `WATCH` had nothing to do but be there."""
        kind, middle, _ = parsed(tag)
        if kind == TRIGGER:
            raw = self._alarms.take(tag)
            rule = self.triggers.by_id.get(middle[0])
            if not raw or rule is None:
                self._count("withdrawn")
                return
            pending = _PENDING.decode(raw)
            self._fire(rule, profile.moved_to or profile.key, pending.occasion, pending.due)
        elif kind == CART:
            self._left_alone(profile, front, live)
        elif kind not in (COOLING, WATCH):
            self._congratulate(profile, at + self._lateness_ms, front, live)

    def _start(self, rule: Rule, customer: str, occasion: Occasion, front: int) -> None:
        if rule.every_ms and cooling_tag(rule.id, customer) in self._alarms:
            self._count("repeated")
            return
        self._count("started")
        due = occasion.at + rule.wait_ms
        if due <= front:
            self._fire(rule, customer, occasion, due)
        else:
            waiting = _ENCODER.encode(_Pending(occasion, due))
            self._alarms.wait(trigger_tag(rule.id, customer), due - self._lateness_ms, waiting)

    def _cancel(self, name: str, customer: str) -> None:
        tag = trigger_tag(name, customer)
        if tag in self._alarms:
            self._alarms.drop(tag)
            self._alarms.take(tag)
            self._count("cancelled")

    def _fire(self, rule: Rule, customer: str, occasion: Occasion, due: int) -> None:
        if rule.every_ms:
            self._alarms.set(cooling_tag(rule.id, customer), due + rule.every_ms - self._lateness_ms)
        name = action_id(rule.id, customer, occasion, self._salt)
        self._commit.actions.append(
            _ENCODER.encode(Action(id=name, trigger=rule.id, customer=customer, occasion=occasion, due_at=due))
        )
        self._count("fired")

    def _cart(self, profile: Profile, front: int, live: bool) -> None:
        tag, browsing = cart_tag(profile.key), profile.browsing
        if live and browsing.cart and CART_ABANDONED in self.triggers.starting:
            due = max(browsing.cart_at + self.triggers.cart_idle_ms, front + 1)
            self._alarms.set(tag, due - self._lateness_ms)
        elif tag in self._alarms:
            self._alarms.drop(tag)

    def _left_alone(self, profile: Profile, front: int, live: bool) -> None:
        browsing = profile.browsing
        if not (live and browsing.cart and has_customer(profile.key)) or browsing.cart_at + self.triggers.cart_idle_ms > front:
            return
        at = browsing.cart_at + self.triggers.cart_idle_ms
        lines = tuple(
            Product(product_id=line.product_id or None, category=line.category or None, quantity=line.quantity)
            for line in browsing.cart
        )
        key, shard, seen = profile.key, self._commit.shard, Listing(products=lines)
        name = f"cart-{digest_of(key.encode(), str(browsing.cart_at).encode()).hex()}"
        told = own_event(ListViewed, CART_ABANDONED, name, key, shard, at, arrived=profile.arrived_at, data=seen)
        self._commit.outbox.append(told)

    def _birthday(self, before: Profile, after: Profile, at: int) -> None:
        """The alarm of the next birthday, once one is known; it does not matter whether history or the present told it."""
        told = after.whole.identity.trait("birthday")
        tag = birthday_tag(after.key)
        if told == before.whole.identity.trait("birthday") and (told is None or tag in self._alarms):
            return
        due = next_birthday(told, at, self.triggers.zone)
        if due:
            self._alarms.set(tag, due - self._lateness_ms)
        elif tag in self._alarms:
            self._alarms.drop(tag)

    def _congratulate(self, profile: Profile, at: int, front: int, live: bool) -> None:
        if profile.moved_to:
            return
        told = profile.whole.identity.trait("birthday")
        due = next_birthday(told, front, self.triggers.zone)
        if not due:
            return
        self._alarms.set(birthday_tag(profile.key), due - self._lateness_ms)
        if live:
            year = str(moment(at).astimezone(self.triggers.zone).year)
            for rule in self.triggers.starting.get(BIRTHDAY, ()):
                self._start(rule, profile.key, Occasion(event=BIRTHDAY, id=year, at=at), front)

    def _count(self, what: str) -> None:
        counts = self._commit.facts.triggers
        counts[what] = counts.get(what, 0) + 1


def _has_earned(before: Profile, after: Profile) -> bool:
    """Whether what points and tiers are judged by has changed."""
    return any(_judged_by(before.part_of(name)) != _judged_by(part) for name, part in after.parts.items())


def _judged_by(part: Part) -> tuple[object, ...]:
    return part.purchases.months, part.purchases.spend, part.loyalty


def next_birthday(told: object, after: int, zone: ZoneInfo) -> int:
    """The first instant after `after` at which the day begins there, of a birthday written `1990-02-29` or `--02-29`.

    Who was born on 29 February is congratulated on the 28th in other years. 0 where it is no date.
    """
    if not isinstance(told, str):
        return 0
    try:
        born = date.fromisoformat(f"2000{told[1:]}" if told.startswith("--") else told[:10])
    except ValueError:
        return 0
    year = moment(after).astimezone(zone).year
    for one in (year, year + 1):
        try:
            day = born.replace(year=one)
        except ValueError:
            day = date(one, 2, 28)
        due = millis(datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC))
        if due > after:
            return due
    return 0


def _named(event: Event) -> dict[str, Any]:
    """What a message may name of the event: references, never free text."""
    body = msgspec.to_builtins(getattr(event, "data", None))
    if not isinstance(body, dict):
        return {}
    found = {name: body[name] for name in _NAMED if isinstance(body.get(name), str | int)}
    products = body.get("products") or body.get("lines")
    if isinstance(products, list | tuple):
        names = [line.get("product_id") for line in products if isinstance(line, dict) and line.get("product_id")]
        if names:
            found["products"] = names[:MOST_NAMED]
    return found


DERIVED = frozenset({CART_ABANDONED, "service_due", "erasure_requested"})
"""What the engine may notice by itself: from itself it is no activity of the customer's."""
_TOUCHES_CART = frozenset(
    {"product_added", "product_removed", "cart_viewed", "checkout_started", "order_completed", "part_handed_over"}
)
_TELLS_TRAITS = frozenset({"customer_identified", "part_handed_over"})
