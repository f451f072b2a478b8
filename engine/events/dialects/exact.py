"""Numbers as they stand in the JSON text.

A price goes from its digits to minor units without ever being a binary float: 19.99 read as a float is not 19.99. What is no
amount of money becomes a plain number again.
"""

import math
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from engine.money import AmountError, exponent

_NOISE = Decimal("0.000001")
_LONGEST = 40
_MOST_INT = 2**63


def _number(text: str) -> Decimal | str:
    try:
        return Decimal(text)
    except InvalidOperation:
        return text


_EXACTLY = msgspec.json.Decoder(float_hook=_number)


def read_exactly(raw: bytes) -> Any:
    """JSON with every number that has a point or an exponent as a `Decimal`. Raises ValueError and RecursionError."""
    return _EXACTLY.decode(raw)


def major_text(amount: object, currency: str) -> object:
    """An amount that counts major units as decimal text, the way the native dialect says it; anything but a number as it is.

    Sums that a sender made in binary floats carry noise far behind the last digit of the currency: 0.1 + 0.2 is written
    0.30000000000000004. What lies within a millionth of a minor unit is that unit; 19.999 EUR stays as it is, to be refused.
    """
    if isinstance(amount, bool) or not isinstance(amount, int | Decimal):
        return amount.strip() if isinstance(amount, str) else amount
    if isinstance(amount, int):
        return str(amount) if abs(amount) < 10**_LONGEST else "beyond measure"
    return str(_without_noise(amount, currency))


def _without_noise(amount: Decimal, currency: str) -> Decimal:
    digits = len(amount.as_tuple().digits)
    if not 12 <= digits <= _LONGEST or abs(amount.adjusted()) > _LONGEST:
        return amount
    try:
        unit = Decimal(1).scaleb(-exponent(currency))
    except AmountError:
        return amount
    try:
        rounded = amount.quantize(unit)
    except InvalidOperation:
        return amount
    return rounded if abs(amount - rounded) <= unit * _NOISE else amount


def plain(value: Any) -> Any:
    """The same value as any JSON reader sees it: decimals as floats, numbers beyond 64 bits as floats or text."""
    match value:
        case Decimal():
            return _plain_number(float(value), str(value))
        case bool():
            return value
        case int():
            return value if -_MOST_INT <= value < _MOST_INT else _plain_number(_as_float(value), "beyond measure")
        case dict():
            return {name: plain(inner) for name, inner in value.items()}
        case list():
            return [plain(inner) for inner in value]
        case _:
            return value


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _plain_number(number: float, text: str) -> float | str:
    return number if math.isfinite(number) else text[:_LONGEST]
