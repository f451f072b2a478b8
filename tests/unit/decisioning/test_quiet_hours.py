"""Quiet hours go by the customer's own clock, also in the nights in which clocks change, and bind push channels only."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.decisioning.conditions import Span
from engine.decisioning.decide import decide
from engine.decisioning.offers import Store
from engine.decisioning.policy import Placement, QuietHours
from engine.decisioning.zones import zone_of
from engine.events.identity import CustomerIdentified, Traits
from engine.moments import HOUR, MINUTE, millis, moment
from engine.profiles.profile import Part, Profile
from engine.profiles.purchases import Purchase
from tests import shop

ZONES = ("Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Santiago", "UTC")
NIGHT = Span(start=21 * 60, end=8 * 60)
POLICY = shop.policy(placements={"hero": Placement()}, quiet_hours=QuietHours(span=NIGHT))
CATALOGUE = shop.catalogue([shop.offer("a"), shop.offer("late", "mandatory")], POLICY)
SCORERS = shop.scorers(CATALOGUE)
CHANGES = [
    *(millis(datetime(2026, 3, 29, hour, tzinfo=ZoneInfo("UTC"))) for hour in (0, 1, 2)),
    *(millis(datetime(2026, 10, 25, hour, tzinfo=ZoneInfo("UTC"))) for hour in (0, 1, 2)),
    millis(datetime(2026, 3, 8, 7, tzinfo=ZoneInfo("UTC"))),
    millis(datetime(2026, 11, 1, 6, tzinfo=ZoneInfo("UTC"))),
    millis(datetime(2026, 4, 4, 15, tzinfo=ZoneInfo("UTC"))),
    millis(datetime(2026, 10, 3, 15, 30, tzinfo=ZoneInfo("UTC"))),
]
ANNA = shop.customer()


def stage(now: int, zone: str, channel: str = "email") -> dict[str, int]:
    asked = shop.situation(ANNA, now=now, timezone=zone, channel=channel, late=True)
    return decide(asked, CATALOGUE, SCORERS, POLICY).placements[0].stages


@settings(max_examples=150, deadline=None)
@given(around=st.sampled_from(CHANGES), minutes=st.integers(-36 * 60, 36 * 60), zone=st.sampled_from(ZONES))
def test_it_is_quiet_exactly_while_the_customers_clock_says_so(around: int, minutes: int, zone: str) -> None:
    now = around + minutes * MINUTE
    local = moment(now).astimezone(ZoneInfo(zone))

    quiet = local.hour >= 21 or local.hour < 8

    assert stage(now, zone)["quiet_hours"] == quiet
    assert stage(now, zone, "web")["quiet_hours"] == 0


@pytest.mark.parametrize(("day", "hours"), [("2026-03-28", 10), ("2026-10-24", 12), ("2026-06-01", 11)])
def test_a_night_in_which_clocks_change_is_quiet_for_an_hour_less_or_more(day: str, hours: int) -> None:
    noon = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=ZoneInfo("Europe/Vienna"))
    begins = millis(noon)

    quiet = sum(stage(begins + step * MINUTE, "Europe/Vienna")["quiet_hours"] for step in range(0, 24 * 60, 15))

    assert quiet == hours * 4


def test_an_hour_that_happens_twice_is_quiet_both_times_and_one_that_is_left_out_ends_it_on_time() -> None:
    policy = shop.policy(placements={"hero": Placement()}, quiet_hours=QuietHours(span=Span(start=2 * 60, end=3 * 60)))

    def quiet(now: int) -> bool:
        asked = shop.situation(ANNA, now=now, timezone="Europe/Vienna", channel="sms", late=True)
        return decide(asked, CATALOGUE, SCORERS, policy).placements[0].stages["quiet_hours"] == 1

    autumn = millis(datetime(2026, 10, 25, 0, tzinfo=ZoneInfo("UTC")))
    spring = millis(datetime(2026, 3, 29, 0, tzinfo=ZoneInfo("UTC")))

    assert [quiet(autumn + half * HOUR // 2) for half in range(6)] == [True, True, True, True, False, False]
    assert not any(quiet(spring + half * HOUR // 2) for half in range(6))


def part(zone: str | None = None, *stores: str) -> Part:
    profile = Profile("u:anna")
    if zone is not None:
        told = CustomerIdentified(
            id="i", type="customer_identified", time=moment(shop.NOON), user_id="anna", data=Traits(timezone=zone)
        )
        profile = profile.after(told)
    whole = profile.whole
    bought = tuple(Purchase(key=bytes([at]), at=shop.NOON + at, store=name) for at, name in enumerate(stores))
    return replace(whole, purchases=replace(whole.purchases, last=bought))


@pytest.mark.parametrize(
    ("asked", "known", "zone"),
    [
        ("Asia/Tokyo", part("Europe/London", "s-1"), "Asia/Tokyo"),
        ("Mars/Olympus", part("Europe/London", "s-1"), "Europe/London"),
        ("", part("no zone at all", "s-1", "s-2"), "America/New_York"),
        ("", part(None, "s-1", "elsewhere"), "Europe/Lisbon"),
        ("", part(None, "elsewhere"), "Europe/Vienna"),
        ("", part(), "Europe/Vienna"),
        ("../../etc/passwd", None, "Europe/Vienna"),
    ],
)
def test_the_zone_is_the_requests_else_the_customers_else_their_stores_else_the_shops(asked: str, known: Any, zone: str) -> None:
    stores = {"s-1": Store(zone="Europe/Lisbon"), "s-2": Store(zone="America/New_York")}

    assert zone_of(asked, known, stores, "Europe/Vienna") == zone
