"""The loyalty programme: joining it, points earned and used, and moves between its tiers."""

from typing import Annotated

from msgspec import Meta, Struct

from engine.events.base import Event, Text

Points = Annotated[int, Meta(ge=-(10**9), le=10**9)]


class Membership(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """What is told when somebody joins."""

    programme: Text | None = None
    store: Text | None = None


class LoyaltyJoined(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The customer takes part from here on."""

    data: Membership = Membership()


class PointsMoved(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Points that a shop counts itself. With `order_id`, or the `receipt` they stand on (store/workstation/day/number),
    they belong to that purchase and go back with it."""

    points: Points
    reason: Text | None = None
    order_id: Text | None = None
    receipt: Text | None = None
    store: Text | None = None


class PointsEarned(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Points were credited; a number below zero corrects an earlier credit."""

    data: PointsMoved


class PointsUsed(PointsMoved, frozen=True, kw_only=True, omit_defaults=True):
    """Points that were paid with: never below zero."""

    points: Annotated[int, Meta(ge=0, le=10**9)]


class PointsRedeemed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Points were used."""

    data: PointsUsed


class TierMove(Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The tier left and the tier entered; empty is none. `points` is the balance at that moment, where the sender knows it."""

    tier: Annotated[str, Meta(max_length=100)] = ""
    tier_before: Annotated[str, Meta(max_length=100)] = ""
    points: Points | None = None


class TierChanged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The customer is in another tier. The engine says so itself where policy.yaml declares tiers; a shop that keeps tiers
    of its own may tell them."""

    data: TierMove = TierMove()


TYPES: dict[str, type[Event]] = {
    "loyalty_joined": LoyaltyJoined,
    "points_earned": PointsEarned,
    "points_redeemed": PointsRedeemed,
    "tier_changed": TierChanged,
}
