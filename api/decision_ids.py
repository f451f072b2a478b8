"""Names of decisions: `d-` and a ULID, so that they sort by time and nobody guesses the next."""

import os
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS: Final = [first + second for first in _ALPHABET for second in _ALPHABET]


def decision_id(now_ms: int) -> str:
    """26 characters of Crockford's base 32: 48 bits of milliseconds, 80 of chance."""
    number = (now_ms << 80) | int.from_bytes(os.urandom(10), "big")
    return "d-" + "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -10, -10)])
