"""The Complete Journey data, of all households or of some: enough to see whether something runs."""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from flows.complete_journey import CompleteJourney
from flows.replay_source import COMPLETE_JOURNEY, Sendable, sendable

EACH: Final = 8
"""Of so many households one is taken."""


class Households(Struct, frozen=True):
    """A source of the events of these households, None for all."""

    journey: CompleteJourney
    chosen: frozenset[str] | None = None

    @property
    def name(self) -> str:
        return COMPLETE_JOURNEY

    @property
    def words(self) -> str:
        """The data as a heading says it."""
        return self.name if self.chosen is None else f"{self.name}, {len(self.chosen)} households"

    @property
    def total(self) -> int:
        everybody = len(self.journey.households)
        return len(self.journey) * (everybody if self.chosen is None else len(self.chosen)) // everybody

    def events(self) -> Iterator[Sendable]:
        """Their events in order of time."""
        for at, event in self.journey.timed_events(self.chosen):
            yield sendable(event, at)


def source(quick: bool) -> Households:
    """All households, or some of them."""
    journey = CompleteJourney()
    return Households(journey, frozenset(journey.households[::EACH]) if quick else None)
