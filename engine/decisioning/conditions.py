"""The kinds of condition that `eligible_when` and a campaign's `target` are written in.

Theory of operation. Each kind is a struct, the form a marketer writes, with a table that answers for every use of the
kind in the whole catalogue at once. An offer's conditions all have to hold; `any`, `all` and `not` combine them. When a
catalogue is loaded each tree becomes clauses (an "and" of "ors" of possibly negated uses), so that a request costs one
evaluation of each table and three numpy calls, however many offers there are.

A new kind is a struct, its table and a line in `KINDS`, all in this file: the reader of the YAML files, the JSON Schema
and the explanation follow from the struct.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, Protocol, TypeAlias, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from msgspec import Meta, Struct, field
from numpy.typing import NDArray

from engine.decisioning.in_tier import InTier, TierTable
from engine.decisioning.service import STATES, ServiceState
from engine.decisioning.situation import Situation
from engine.features.derived import DERIVED_NAMES
from engine.moments import DAY, moment
from engine.profiles.profile import Part
from engine.profiles.standing import BEST, Lifecycle, Standing

BoolArray = NDArray[np.bool_]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[str, ...] = get_args(Weekday)
Clock = Annotated[int, Meta(extra={"written": "clock"}, description='minutes after midnight, written "21:30"')]
Names = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...], Meta(min_length=1)]


class Feature(Struct, frozen=True, kw_only=True):
    """A reading of the customer lies in a range; `above` and `below` leave the bound out, the others take it in."""

    feature: Annotated[str, Meta(extra={"written": "feature"})]
    above: float | None = None
    below: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    between: tuple[float, float] | None = None

    def bounds(self) -> tuple[str, ...]:
        """Names of the bounds that are set."""
        return tuple(name for name in self.__struct_fields__[1:] if getattr(self, name) is not None)

    def words(self) -> str:
        bounds = [
            f"{name.replace('_', ' ')} {value:g}"
            for name in ("above", "at_least", "below", "at_most")
            if (value := getattr(self, name)) is not None
        ]
        if self.between is not None:
            bounds.append(f"between {self.between[0]:g} and {self.between[1]:g}")
        return f"{self.feature} {' and '.join(bounds)}"


class Channel(Struct, frozen=True, kw_only=True):
    """The contact happens on one of these channels."""

    channel: Names

    def words(self) -> str:
        return f"channel {' or '.join(self.channel)}"


class OnWeekday(Struct, frozen=True, kw_only=True):
    """It is one of these days where the customer is."""

    weekday: Annotated[tuple[Weekday, ...], Meta(min_length=1)]

    def words(self) -> str:
        return f"a {' or '.join(self.weekday)}"


class Span(Struct, frozen=True, kw_only=True):
    """A part of the day; one that ends before it starts runs over midnight."""

    start: Clock
    end: Clock


class AtHours(Struct, frozen=True, kw_only=True):
    """It is between two times of day where the customer is."""

    hours: Span

    def words(self) -> str:
        return f"from {clock(self.hours.start)} to {clock(self.hours.end)}"


class Things(Struct, frozen=True, kw_only=True):
    """Categories and products; one of them is enough."""

    categories: tuple[str, ...] = ()
    products: tuple[str, ...] = ()

    def words(self) -> str:
        return " or ".join((*self.categories, *self.products))


class InCart(Struct, frozen=True, kw_only=True):
    """The cart holds one of these."""

    cart: Things

    def words(self) -> str:
        return f"{self.cart.words()} in the cart"


class Bought(Struct, frozen=True, kw_only=True):
    """One of these was bought within so many days; products as far as the list of last purchases reaches."""

    bought: Things
    within_days: Annotated[float, Meta(gt=0, le=366)] = 28.0

    def words(self) -> str:
        return f"{self.bought.words()} bought within {self.within_days:g} days"


class InSegment(Struct, frozen=True, kw_only=True):
    """The customer is in one of these segments."""

    segment: Annotated[tuple[Literal["heavy", "moderate", "light", "best"], ...], Meta(min_length=1)]

    def words(self) -> str:
        return f"segment {' or '.join(self.segment)}"


class AtStage(Struct, frozen=True, kw_only=True):
    """The customer is at one of these stages of their time with us."""

    lifecycle: Annotated[tuple[Lifecycle, ...], Meta(min_length=1)]

    def words(self) -> str:
        return f"lifecycle {' or '.join(self.lifecycle)}"


class InCell(Struct, frozen=True, kw_only=True):
    """The customer is in one of these RFM cells: three digits from 1 to 5, 5 best; x stands for any."""

    rfm: Annotated[tuple[Annotated[str, Meta(pattern="^[1-5x]{3}$")], ...], Meta(min_length=1)]

    def words(self) -> str:
        return f"rfm {' or '.join(self.rfm)}"


class HasTrait(Struct, frozen=True, kw_only=True):
    """What was told of the customer under this name is one of these, whatever the case of its letters."""

    trait: Annotated[str, Meta(min_length=1, max_length=100)]
    equals: Annotated[str | None, Meta(extra={"written": "plain"})] = field(default=None, name="is")
    among: Annotated[tuple[str, ...], Meta(extra={"written": "plains"})] = field(default=(), name="in")

    @property
    def wanted(self) -> tuple[str, ...]:
        return self.among if self.equals is None else (self.equals,)

    def words(self) -> str:
        return f"{self.trait} is {' or '.join(self.wanted)}"


class InService(Struct, frozen=True, kw_only=True):
    """The customer is in one of these states of service, or one of these actions is due."""

    service: Annotated[tuple[ServiceState, ...], Meta(min_length=1)]

    def words(self) -> str:
        return " or ".join(STATES[name] for name in self.service)


class AnyOf(Struct, frozen=True, kw_only=True):
    """At least one of these holds."""

    any_of: Annotated["tuple[Condition, ...]", Meta(min_length=1, extra={"written": "conditions"})] = field(name="any")

    def words(self) -> str:
        return " or ".join(part.words() for part in self.any_of)


class AllOf(Struct, frozen=True, kw_only=True):
    """Each of these holds."""

    all_of: Annotated["tuple[Condition, ...]", Meta(min_length=1, extra={"written": "conditions"})] = field(name="all")

    def words(self) -> str:
        return " and ".join(part.words() for part in self.all_of)


class Not(Struct, frozen=True, kw_only=True):
    """This does not hold."""

    negated: Annotated["Condition", Meta(extra={"written": "condition"})] = field(name="not")

    def words(self) -> str:
        return f"not ({self.negated.words()})"


Leaf: TypeAlias = (
    Feature | Channel | OnWeekday | AtHours | InCart | Bought | InSegment | AtStage | InCell | HasTrait | InService | InTier
)
Condition: TypeAlias = Leaf | AnyOf | AllOf | Not


class Table(Protocol):
    """Answers for every use of one kind in the catalogue at once."""

    def holds(self, situations: Sequence[Situation]) -> BoolArray:
        """Shape (situations, uses)."""
        ...


class FeatureTable:
    """Ranges as closed intervals: an open bound is the next number inside, so one comparison a side is enough.

    Bounds are rounded to float32 as readings are. A reading that is not there (no vector, or NaN) holds for no range.
    """

    def __init__(self, uses: Sequence[Feature], feature_names: Sequence[str]) -> None:
        place = {name: index for index, name in enumerate(feature_names)}
        read = len(place.keys() - set(DERIVED_NAMES))
        self.unknown, self.not_derived = np.full(read, np.nan), np.full(len(place) - read, np.nan)
        self.index = np.array([place[use.feature] for use in uses], dtype=np.intp)
        self.derives = bool((self.index >= read).any())
        self.low = np.array([self._low(use) for use in uses])
        self.high = np.array([self._high(use) for use in uses])

    @staticmethod
    def _low(use: Feature) -> float:
        inclusive = [bound for bound in (use.at_least, use.between and use.between[0]) if bound is not None]
        bounds = [float(np.float32(bound)) for bound in inclusive]
        if use.above is not None:
            bounds.append(float(np.nextafter(float(np.float32(use.above)), np.inf)))
        return max(bounds, default=-np.inf)

    @staticmethod
    def _high(use: Feature) -> float:
        inclusive = [bound for bound in (use.at_most, use.between and use.between[1]) if bound is not None]
        bounds = [float(np.float32(bound)) for bound in inclusive]
        if use.below is not None:
            bounds.append(float(np.nextafter(float(np.float32(use.below)), -np.inf)))
        return min(bounds, default=np.inf)

    def holds(self, situations: Sequence[Situation]) -> BoolArray:
        vectors = np.array([self.unknown if one.vector is None else one.vector for one in situations])
        if self.derives:
            derived = [self.not_derived if one.derived is None else one.derived for one in situations]
            vectors = np.hstack([vectors, np.array(derived)])
        readings = vectors[:, self.index]
        result: BoolArray = (readings >= self.low) & (readings <= self.high)
        return result


class ChannelTable:
    def __init__(self, uses: Sequence[Channel], feature_names: Sequence[str]) -> None:  # noqa: ARG002
        self.uses = tuple(frozenset(use.channel) for use in uses)

    def holds(self, situations: Sequence[Situation]) -> BoolArray:
        return np.array([[one.channel in use for use in self.uses] for one in situations], dtype=np.bool_)


class WeekdayTable:
    def __init__(self, uses: Sequence[OnWeekday], feature_names: Sequence[str]) -> None:  # noqa: ARG002
        self.uses = tuple(frozenset(use.weekday) for use in uses)

    def holds(self, situations: Sequence[Situation]) -> BoolArray:
        days = [WEEKDAYS[local_time(one).weekday()] for one in situations]
        return np.array([[day in use for use in self.uses] for day in days], dtype=np.bool_)


class HoursTable:
    def __init__(self, uses: Sequence[AtHours], feature_names: Sequence[str]) -> None:  # noqa: ARG002
        self.spans = tuple(use.hours for use in uses)

    def holds(self, situations: Sequence[Situation]) -> BoolArray:
        minutes = [minute_of_day(local_time(one)) for one in situations]
        return np.array([[within(span, minute) for span in self.spans] for minute in minutes], dtype=np.bool_)


class CartTable:
    def __init__(self, uses: Sequence[InCart], feature_names: Sequence[str]) -> None:  # noqa: ARG002
        self.uses = tuple((frozenset(use.cart.categories), frozenset(use.cart.products)) for use in uses)

    def holds(self, situations: Sequence[Situation]) -> BoolArray:
        carts = [({line.category for line in one.cart}, {line.product_id for line in one.cart}) for one in situations]
        return np.array(
            [
                [not (wanted.isdisjoint(categories) and named.isdisjoint(products)) for wanted, named in self.uses]
                for categories, products in carts
            ],
            dtype=np.bool_,
        )


class BoughtTable:
    """Categories are looked up in the customer's habits, products in the list of last purchases."""

    def __init__(self, uses: Sequence[Bought], feature_names: Sequence[str]) -> None:  # noqa: ARG002
        self.uses = tuple((use.bought.categories, frozenset(use.bought.products), int(use.within_days * DAY)) for use in uses)

    def holds(self, situations: Sequence[Situation]) -> BoolArray:
        return np.array(
            [[one.part is not None and self._holds(one.part, one.now, *use) for use in self.uses] for one in situations],
            dtype=np.bool_,
        )

    @staticmethod
    def _holds(part: Part, now: int, categories: tuple[str, ...], products: frozenset[str], span: int) -> bool:
        habits = part.purchases.categories
        for name in categories:
            if name in habits.names:
                _, last, count = habits.reading(name)
                if count > 0 and last > now - span:
                    return True
        return bool(products) and any(
            purchase.at > now - span and not purchase.taken_back and not products.isdisjoint(purchase.products)
            for purchase in part.purchases.last
        )


class StandingTable:
    """Where the customer stood when their shard last looked: at the last purchase or weekly boundary."""

    def __init__(self, uses: Sequence[InSegment | AtStage | InCell], feature_names: Sequence[str]) -> None:  # noqa: ARG002
        self.uses = tuple(uses)

    def holds(self, situations: Sequence[Situation]) -> BoolArray:
        return np.array(
            [[one.standing is not None and _stands(one.standing, use) for use in self.uses] for one in situations],
            dtype=np.bool_,
        )


class TraitTable:
    """A customer who told nothing under a name is none of the values."""

    def __init__(self, uses: Sequence[HasTrait], feature_names: Sequence[str]) -> None:  # noqa: ARG002
        self.uses = tuple((use.trait, frozenset(value.casefold() for value in use.wanted)) for use in uses)

    def holds(self, situations: Sequence[Situation]) -> BoolArray:
        return np.array(
            [[one.part is not None and _told(one.part, name) in wanted for name, wanted in self.uses] for one in situations],
            dtype=np.bool_,
        )


def _told(part: Part, name: str) -> str | None:
    value = part.identity.trait(name)
    return plain_text(value).casefold() if isinstance(value, str | bool | int | float) else None


def plain_text(value: str | float) -> str:
    """A plain value as a marketer writes it: `true`, `4`, `Wien`."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def _stands(standing: Standing, use: InSegment | AtStage | InCell) -> bool:
    match use:
        case InSegment():
            return standing.tier in use.segment or (standing.best and BEST in use.segment)
        case AtStage():
            return standing.lifecycle in use.lifecycle
        case InCell():
            return any(
                len(standing.rfm) == 3 and all(wanted in ("x", held) for wanted, held in zip(cell, standing.rfm, strict=True))
                for cell in use.rfm
            )


class ServiceTable:
    def __init__(self, uses: Sequence[InService], feature_names: Sequence[str]) -> None:  # noqa: ARG002
        self.uses = tuple(frozenset(use.service) for use in uses)

    def holds(self, situations: Sequence[Situation]) -> BoolArray:
        return np.array([[not use.isdisjoint(one.states) for use in self.uses] for one in situations], dtype=np.bool_)


KINDS: dict[str, tuple[type[Any], Callable[[Sequence[Any], Sequence[str]], Table]]] = {
    "feature": (Feature, FeatureTable),
    "channel": (Channel, ChannelTable),
    "weekday": (OnWeekday, WeekdayTable),
    "hours": (AtHours, HoursTable),
    "cart": (InCart, CartTable),
    "bought": (Bought, BoughtTable),
    "segment": (InSegment, StandingTable),
    "lifecycle": (AtStage, StandingTable),
    "rfm": (InCell, StandingTable),
    "service": (InService, ServiceTable),
    "trait": (HasTrait, TraitTable),
    "tier": (InTier, TierTable),
}
"""Every kind by the key that a marketer writes, with its table."""
ABOUT_CUSTOMER: tuple[type, ...] = (Feature, Bought, InSegment, AtStage, InCell, HasTrait, InService, InTier)
"""Kinds that read the customer: while nothing is known of one, an offer that asks for them cannot be made."""
COMBINATIONS: dict[str, type[AnyOf] | type[AllOf] | type[Not]] = {"any": AnyOf, "all": AllOf, "not": Not}


def clock(minute: int) -> str:
    """Minutes after midnight as `21:30`."""
    return f"{minute // 60:02d}:{minute % 60:02d}"


def within(span: Span, minute: int) -> bool:
    """Whether a minute of the day lies in the span: its start does, its end does not; equal ends are the whole day."""
    if span.start < span.end:
        return span.start <= minute < span.end
    return minute >= span.start or minute < span.end


def minute_of_day(local: datetime) -> int:
    return local.hour * 60 + local.minute


def local_time(situation: Situation) -> datetime:
    """The wall clock where the customer is; UTC where the zone is unknown or none."""
    return _local(situation.now, situation.timezone)


@lru_cache(maxsize=64)
def _local(at: int, zone: str) -> datetime:
    """Remembered, since several kinds ask within one decision."""
    now = moment(at)
    if not zone:
        return now
    try:
        return now.astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return now
