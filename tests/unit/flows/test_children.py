"""A child's life, told in seconds that nobody has to wait for."""

from datetime import UTC, datetime

import pytest

from flows.children import LONGEST_DELAY_S, Life


def delays(life: Life, deaths: int, now: float = 0.0) -> list[float]:
    """How long the child waits after each of so many deaths, each at the moment of its start."""
    waited = []
    for _ in range(deaths):
        life.started(1, now)
        life.died(now)
        waited.append(life.start_due_at - now)
        now = life.start_due_at
    return waited


def test_each_death_doubles_the_wait_up_to_ten_seconds() -> None:
    waited = delays(Life("engine-0", 0.0), 8)

    assert waited == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, LONGEST_DELAY_S, LONGEST_DELAY_S])


def test_half_a_minute_of_health_forgets_the_wait() -> None:
    life = Life("engine-0", 0.0)
    delays(life, 4)
    life.started(2, 100.0)

    life.lived(130.0)
    life.died(131.0)

    assert life.start_due_at - 131.0 == pytest.approx(0.2)
    assert life.restarts == 5
    assert life.state == "backoff"


def test_four_deaths_are_bad_luck_and_the_fifth_within_a_minute_is_a_crash_loop() -> None:
    life = Life("learn", 0.0)

    delays(life, 4)
    before = life.state
    life.died(life.start_due_at)

    assert before == "backoff"
    assert life.state == "crash_loop"


def test_five_deaths_spread_over_more_than_a_minute_are_no_crash_loop() -> None:
    life = Life("learn", 0.0)

    for at in (0.0, 16.0, 32.0, 48.0, 64.0):
        life.started(1, at)
        life.died(at)

    assert life.state == "backoff"


def test_a_crash_loop_shows_until_the_child_has_been_healthy() -> None:
    life = Life("api-0", 0.0)
    delays(life, 5)
    life.started(7, 20.0)

    life.lived(25.0)
    soon = life.state
    life.lived(50.0)

    assert soon == "crash_loop"
    assert life.state == "running"


def test_the_report_tells_the_last_change_in_wall_clock_time() -> None:
    life = Life("api-0", 100.0)
    life.started(7, 100.0)
    life.lived(102.0)

    report = life.report(112.0, datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC))

    assert (report.name, report.pid, report.state) == ("api-0", 7, "running")
    assert report.since == "2026-05-01T12:00:20.000+00:00"
