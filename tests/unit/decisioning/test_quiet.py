"""When quiet hours end, by the customer's own clock."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from engine.decisioning.conditions import Span
from engine.decisioning.policy import Placement, Policy, QuietHours
from engine.decisioning.quiet import quiet_until
from engine.decisioning.situation import Situation
from engine.moments import millis, rfc3339

VIENNA = "Europe/Vienna"
NIGHT = Policy(placements={"message": Placement()}, quiet_hours=QuietHours(span=Span(start=21 * 60, end=8 * 60)))


@pytest.mark.parametrize(
    ("local", "ends"),
    [
        ("2026-01-10T22:00:00", "2026-01-11T07:00:00.000Z"),
        ("2026-01-11T01:00:00", "2026-01-11T07:00:00.000Z"),
        ("2026-03-28T23:00:00", "2026-03-29T06:00:00.000Z"),
        ("2026-10-24T23:00:00", "2026-10-25T07:00:00.000Z"),
    ],
)
def test_they_end_when_the_clock_on_the_wall_says_so_also_in_the_night_in_which_clocks_change(local: str, ends: str) -> None:
    now = millis(datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(VIENNA)))
    situation = Situation(decision_id="d", now=now, unit="u:1", placements=(), timezone=VIENNA)

    assert rfc3339(quiet_until(situation, NIGHT)) == ends


def test_without_quiet_hours_nobody_waits() -> None:
    now = millis(datetime.fromisoformat("2026-01-10T22:00:00+01:00"))
    situation = Situation(decision_id="d", now=now, unit="u:1", placements=())

    assert quiet_until(situation, Policy(placements={"message": Placement()})) == now
