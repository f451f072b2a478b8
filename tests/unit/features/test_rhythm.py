"""What the rhythm of purchases says about the silence of now."""

import pytest

from engine.events.identity import CustomerIdentified, Traits
from engine.features.vector import INDEX, NO_REQUEST, read_features
from engine.moments import DAY, Millis, moment
from engine.profiles.identity import Identity
from engine.profiles.profile import Part, Profile
from engine.profiles.purchases import Purchase, Purchases

START = 1_500_000_000_000


def customer(days: list[float]) -> Profile:
    bought = Purchases()
    for number, day in enumerate(days):
        purchase = Purchase(key=b"%08d" % number, at=START + int(day * DAY), amount=1000, currency="EUR", units=1.0)
        bought = bought.bought(purchase)
    return Profile("u:1", {"u:1": Part(Identity(first_at=START), bought)})


def reading(profile: Profile, name: str, day: float) -> float:
    return float(read_features(profile, NO_REQUEST, Millis(START + int(day * DAY)))[INDEX[name]])


def test_a_silence_that_used_to_go_on_is_expected_to_go_on() -> None:
    patient = customer([0, 40, 80, 120, 160])
    weekly = customer([0, 7, 14, 21, 28, 35, 42])

    assert reading(patient, "rfm.stays_away_28d", 165) == pytest.approx(5 / 9)
    assert reading(weekly, "rfm.stays_away_28d", 45) == pytest.approx(1 / 11)
    assert reading(patient, "rfm.stays_away_7d", 165) >= reading(patient, "rfm.stays_away_28d", 165)


def test_a_silence_longer_than_any_before_says_what_it_says_of_everybody() -> None:
    assert reading(customer([0, 7, 14]), "rfm.stays_away_14d", 90) == pytest.approx(0.2)
    assert reading(Profile("u:2"), "rfm.stays_away_14d", 90) == pytest.approx(0.2)


def test_time_beyond_a_week_of_silence_counts_also_while_it_lasts() -> None:
    profile = customer([0, 10, 20])

    assert reading(profile, "rfm.silence_7d", 20) == pytest.approx(6 / 20)
    assert reading(profile, "rfm.silence_7d", 40) == pytest.approx((6 + 13) / 40)


def test_weeks_with_a_purchase_count_as_far_as_there_were_weeks() -> None:
    assert reading(customer([0, 7, 14, 21]), "rfm.active_weeks", 21.5) == pytest.approx(1.0)
    assert reading(customer([0, 14]), "rfm.active_weeks", 28) == pytest.approx(2 / 4)
    assert reading(customer([0]), "rfm.active_weeks", 200) == 0.0


def test_being_known_levels_off() -> None:
    profile = customer([0])

    assert reading(profile, "rfm.known", 0) == 0.0
    assert reading(profile, "rfm.known", 28) == pytest.approx(0.5)
    assert reading(profile, "rfm.known", 365) > 0.999


def test_who_tells_a_trait_has_introduced_themselves() -> None:
    told = CustomerIdentified(
        id="1", type="customer_identified", source="web://shop", time=moment(START), user_id="1", data=Traits(age_band="45-54")
    )

    assert reading(customer([0]), "engagement.introduced", 1) == 0.0
    assert reading(customer([0]).after(told), "engagement.introduced", 1) == 1.0
