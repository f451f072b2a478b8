"""Amounts: integers of minor units with an ISO-4217 currency, never binary floats."""

from decimal import Context, Decimal
from functools import lru_cache

from iso4217 import Currency

MOST_MINOR = 10**13
"""The largest amount that is believed, in minor units. Sums of it stay exact in the 2^53 range of JSON readers."""

_EXACT = Context(prec=60, traps=[])
"""Wide enough for every text that is read, so that nothing is rounded; what cannot be read becomes no number."""


class AmountError(ValueError):
    """An amount or a currency that cannot be read; the message is for the sender."""


@lru_cache(maxsize=512)
def exponent(currency: str) -> int:
    """Digits after the point of a currency: 2 for EUR, 0 for JPY, 3 for KWD. Source: ISO 4217, list one."""
    try:
        return int(Currency(currency).exponent or 0)
    except ValueError:
        raise AmountError(f"{currency!r} is no ISO-4217 currency code; use three letters such as EUR") from None


def to_minor(amount: object, currency: str) -> int:
    """An amount as sent in minor units: an integer is minor units already, a decimal string is major units.

    Raises `AmountError` for floats (they are not exact), for more digits than the currency has, and beyond `MOST_MINOR`.
    """
    if isinstance(amount, bool) or not isinstance(amount, int | str):
        raise AmountError('use an integer of minor units (1999) or a decimal string of major units ("19.99")')
    digits = exponent(currency)
    minor = amount if isinstance(amount, int) else _parse(amount, currency, digits)
    if abs(minor) > MOST_MINOR:
        raise AmountError("the amount is beyond anything a shop can mean")
    return minor


def _parse(text: str, currency: str, digits: int) -> int:
    scaled = _EXACT.create_decimal(text.strip()).scaleb(digits, _EXACT) if len(text) <= 40 else None
    if scaled is None or not scaled.is_finite() or scaled.adjusted() > 30:
        raise AmountError(f"{text[:40]!r} is no decimal amount")
    whole = scaled.to_integral_value()
    if whole != scaled:
        raise AmountError(f"{text!r} has more than the {digits} decimal digits of {currency}")
    return int(whole)


def to_major(minor: int, currency: str) -> str:
    """Minor units as an exact decimal string of major units: 1999 EUR reads "19.99"."""
    return str(Decimal(minor).scaleb(-exponent(currency)))
