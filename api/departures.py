"""Why customers leave, in the shape that the API promises: of all of them by tier, and what changed with one."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from engine.features.movement import changes
from engine.features.vector import NAMES
from engine.models.defection import Departures, Driver, departures
from engine.models.snapshot import Snapshot
from engine.moments import Millis, rfc3339

LEAST_DEPARTURES = 50
"""Before, nothing is told of why."""
MOST_CHANGES = 5


class Movement(Struct, frozen=True):
    """Means of a group: how it was, how it was at the last purchase, and the mean change as a logarithm."""

    before: float
    now: float
    shift: float


class DriverAnswer(Struct, frozen=True):
    """One thing that had moved, `unit` for its numbers. `separation` is how far those who left stand from those who stayed,
    in standard deviations of the change; `shown` whether that is more than chance."""

    driver: str
    unit: str
    words: str
    left: Movement
    stayed: Movement
    separation: float
    shown: bool


class Segment(Struct, frozen=True):
    """All, or a third of the customers by what they used to spend. Counts fade by half in half a year; `left` and `stayed`
    are looks at customers in the week of a purchase, so each departure is one and a customer who stays is many."""

    segment: str
    left: int
    stayed: int
    share_left: float | None
    drivers: tuple[DriverAnswer, ...]


class ChurnAnswer(Struct, frozen=True):
    """The body of `GET /v1/insights/churn`. Left means no purchase within `horizon_days`; `departures` counts all so far."""

    at: str
    status: str
    horizon_days: int
    departures: int
    looks: int
    segments: tuple[Segment, ...]


CHURN_EXAMPLE: dict[str, Any] = {
    "at": "2026-03-02T12:00:00.000Z", "status": "ready", "horizon_days": 28, "departures": 412, "looks": 8120,
    "segments": [
        {
            "segment": "heavy", "left": 61, "stayed": 3904, "share_left": 0.0154,
            "drivers": [
                {"driver": "gaps", "unit": "days between purchases", "separation": 0.41, "shown": True,
                 "words": "longer gaps: gaps between purchases +9% against before with those who left, -1% with those who stayed",
                 "left": {"before": 5.8, "now": 6.4, "shift": 0.0862}, "stayed": {"before": 4.1, "now": 4.0, "shift": -0.0101}},
            ],
        }
    ],
}  # fmt: skip


def churn_answer(snapshot: Snapshot | None, horizon_days: float, now: Millis) -> ChurnAnswer:
    """What a published snapshot says; `warming_up` until enough customers have left. Raises `SnapshotMismatch`."""
    if snapshot is None:
        return ChurnAnswer(rfc3339(now), "warming_up", int(horizon_days), 0, 0, ())
    count = int(str(snapshot.facts.get("departures", 0)))
    ready = count >= LEAST_DEPARTURES
    horizon = int(float(str(snapshot.facts.get("horizon_days", horizon_days))))
    told = tuple(_segment(one) for one in departures(snapshot)) if ready else ()
    return ChurnAnswer(rfc3339(now), "ready" if ready else "warming_up", horizon, count, snapshot.version, told)


def _segment(one: Departures) -> Segment:
    looks = one.left + one.stayed
    share = round(one.left / looks, 4) if looks else None
    return Segment(one.tier, round(one.left), round(one.stayed), share, tuple(_driver(driver) for driver in one.drivers))


def _driver(one: Driver) -> DriverAnswer:
    return DriverAnswer(
        driver=one.movement.name,
        unit=one.movement.unit,
        words=one.words,
        left=Movement(round(one.left_before, 3), round(one.left_now, 3), round(one.left_shift, 4)),
        stayed=Movement(round(one.stayed_before, 3), round(one.stayed_now, 3), round(one.stayed_shift, 4)),
        separation=round(one.separation, 3),
        shown=one.shown,
    )


def changed(vector: Sequence[float]) -> list[dict[str, str | float]]:
    """What moved with one customer, most first: `from` how it was `to` how it is lately."""
    return [
        {
            "driver": one.movement.name,
            "from": round(one.before, 3),
            "to": round(one.now, 3),
            "unit": one.movement.unit,
            "words": one.words,
        }
        for one in changes(NAMES, vector)[:MOST_CHANGES]
    ]
