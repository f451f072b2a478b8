"""Why customers leave: what had moved before, told apart from what moves with everybody, and counted once."""

import numpy as np
import pytest

from engine.features.movement import MOVEMENTS, changes, readable
from engine.features.vector import FINGERPRINT, INDEX, NAMES
from engine.models.base import Example, recorded
from engine.models.defection import Defection, Departures, departures
from engine.models.snapshot import Snapshot, SnapshotMismatch, decode_snapshot, encode_snapshot
from engine.moments import DAY

START = 17_000 * DAY


def readings(**given: float) -> np.ndarray:
    """A customer for two years, who buys twice a week for 40.00 and bought yesterday."""
    vector = np.zeros(len(NAMES))
    usual = {"rfm.tenure": 730.0, "rfm.recency": 1.0, "rfm.frequency": 200.0, "rfm.gap_mean": 3.5, "rfm.gap_recent": 3.5}
    for days in (14, 28, 56, 112, 224):
        trips = 2.0 / 7.0 * days / np.log(2.0)
        usual |= {f"rfm.trips_{days}d": trips, f"rfm.spend_{days}d": 40.0 * trips}
        usual |= {f"affinity.categories_{days}d": 6.0 * trips} if days in (14, 56, 112) else {}
    for name, number in usual.items():
        vector[INDEX[name]] = number
    return with_(vector, **given)


def with_(vector: np.ndarray, **given: float) -> np.ndarray:
    changed = vector.copy()
    for name, number in given.items():
        changed[INDEX[name.replace("_", ".", 1)]] = number
    return changed


def example(vector: np.ndarray, left: bool, number: int, day: int = 0) -> Example:
    at = START + day * DAY
    return Example("churn", f"u:{number}|{at}", f"u:{number}", at, at + 28 * DAY, float(left), FINGERPRINT, recorded(vector))


def found(examples: list[Example]) -> list[Departures]:
    learner = Defection(NAMES, FINGERPRINT)
    learner.learn(examples)
    return departures(decode_snapshot(encode_snapshot(learner.publish())))


def crowd(seed: int, count: int, complain: float = 0.4) -> list[Example]:
    """Of ten customers one leaves; gaps had grown with those who left, discounts fell for all alike, baskets say nothing."""
    chance = np.random.default_rng(seed)
    drawn = []
    for number in range(count):
        left = chance.random() < 0.1
        scale = chance.lognormal(0.0, 0.8)
        vector = readings()
        for name in NAMES:
            if name.startswith("rfm.spend_"):
                vector[INDEX[name]] *= scale * chance.lognormal(0.0, 0.2)
        grown = chance.lognormal(0.4 if left else 0.0, 0.3)
        vector = with_(vector, rfm_gap_recent=3.5 * grown, offers_discount_share_112d=0.3, offers_discount_share_28d=0.1)
        vector = with_(vector, service_open_complaints=float(left and chance.random() < complain))
        drawn.append(example(vector, left, number, number % 30))
    return drawn


def test_what_moved_before_customers_left_comes_first_and_what_moved_with_all_is_no_reason() -> None:
    everybody, *tiers = found(crowd(1, 6_000))

    assert [tier.tier for tier in tiers] == ["heavy", "moderate", "light"]
    shown = [driver.movement.name for driver in everybody.drivers if driver.shown]
    assert shown[:2] in (["gaps", "complaints"], ["complaints", "gaps"])
    assert not {"discounts", "basket", "breadth", "visits", "sessions", "offers"} & set(shown)
    gaps = next(driver for driver in everybody.drivers if driver.movement.name == "gaps")
    assert gaps.left_shift == pytest.approx(0.4 * 3.5 / 4.5, abs=0.05)
    assert gaps.words.startswith("longer gaps: gaps between purchases +3")
    for tier in tiers:
        assert tier.left + tier.stayed == pytest.approx(2_000, rel=0.15)
        assert tier.drivers[0].movement.name in ("gaps", "complaints")


def test_where_nothing_moved_no_reason_is_shown() -> None:
    chance = np.random.default_rng(3)
    vectors = [with_(readings(), rfm_gap_recent=3.5 * chance.lognormal(0.0, 0.3)) for _ in range(3_000)]

    everybody = found([example(vector, bool(chance.random() < 0.2), number) for number, vector in enumerate(vectors)])[0]

    assert [driver.movement.name for driver in everybody.drivers if driver.shown] == []


def test_a_departure_counts_once_however_many_boundaries_it_is_seen_at() -> None:
    learner = Defection(NAMES, FINGERPRINT)
    learner.learn([example(readings(rfm_recency=1.0 + 7.0 * week), True, 1, 7 * week) for week in range(4)])

    report = learner.report()

    assert (report.positives, report.version, report.ignored) == (1, 1, 3)


def test_reasons_of_long_ago_fade() -> None:
    then = [example(readings(rfm_gap_recent=20.0), True, number) for number in range(50)]
    then += [example(readings(), False, number) for number in range(100, 200)]
    later = [example(readings(rfm_gap_recent=20.0), False, number, 728) for number in range(200, 260)]
    later += [example(readings(), True, number, 728) for number in range(300, 360)]

    everybody = found([*then, *later])[0]

    assert everybody.left == pytest.approx(60 + 50 / 16)
    gaps = next(driver for driver in everybody.drivers if driver.movement.name == "gaps")
    assert gaps.separation < 0


def test_a_snapshot_of_something_else_is_refused() -> None:
    with pytest.raises(SnapshotMismatch):
        departures(Snapshot("churn"))


def test_every_movement_can_be_read_from_the_readings_of_a_customer() -> None:
    assert readable(NAMES) == MOVEMENTS


def test_what_changed_with_one_customer_is_said_from_then_to_now() -> None:
    vector = readings(rfm_gap_recent=9.0, service_open_complaints=1.0)

    told = changes(NAMES, vector.tolist())

    assert {one.movement.name for one in told} == {"gaps", "complaints"}
    gaps = next(one for one in told if one.movement.name == "gaps")
    assert gaps.words == "longer gaps: 9.0 days between purchases lately, 3.5 before"
    assert changes(NAMES, readings().tolist()) == []
    assert changes(NAMES, with_(vector, rfm_tenure=10.0).tolist()) == []
