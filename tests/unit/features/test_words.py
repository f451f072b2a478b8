"""What a customer's drivers are called."""

import pytest

from engine.features.vector import NAMES, READINGS
from engine.features.words import told


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("rfm.recency", 12.3, "days since the last purchase: 12"),
        ("rfm.recency", 3650.0, "days since the last purchase: never"),
        ("rfm.trips_28d", 2.25, "purchases lately (half-life 28d): 2.2"),
        ("rfm.stays_away_28d", 0.2, "how often a silence like this lasted four weeks longer: 20 %"),
        ("rfm.recency_per_gap", 1.46, "silence against the usual gap: 1.5 times"),
        ("engagement.introduced", 0.0, "told something of themselves: no"),
        ("rfm.forgotten", 1.0, "rfm.forgotten"),
    ],
)
def test_a_driver_says_what_it_is_and_how_much_of_it_there_is(name: str, value: float, words: str) -> None:
    assert told(name, value) == words


def test_every_reading_has_words_of_its_own() -> None:
    assert len({reading.words for reading in READINGS}) == len(NAMES)
