"""A reading in words that hold whether it speaks for something or against it: what it is, and how much of it there is."""

from engine.features.rfm import NEVER_DAYS
from engine.features.vector import INDEX, READINGS


def told(name: str, value: float) -> str:
    """`days since the last purchase: 12`. A name that is not read any more is told by itself."""
    place = INDEX.get(name)
    if place is None:
        return name
    reading = READINGS[place]
    return f"{reading.words}: {_amount(reading.unit, value)}"


def _amount(unit: str, value: float) -> str:
    if unit == "yes or no":
        return "yes" if value > 0.0 else "no"
    if unit == "share":
        return f"{100.0 * value:.0f} %"
    if unit == "days" and value >= NEVER_DAYS:
        return "never"
    if unit == "ratio":
        return f"{value:.1f} times"
    return f"{value:.0f}" if abs(value) >= 10.0 or value == int(value) else f"{value:.1f}"
