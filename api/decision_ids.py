"""Names of decisions: they sort by time, and nobody guesses the next."""

import os


def decision_id(now_ms: int) -> str:
    """`d-`, twelve hexadecimal digits of milliseconds and twenty of chance: the layout of a ULID in another alphabet."""
    return f"d-{now_ms:012x}{os.urandom(10).hex()}"
