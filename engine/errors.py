"""Whose fault it is decides where it stops.

`Rejected` is a value, not an exception: an event that cannot be used is an expected input.
"""

import msgspec


class Rejected(msgspec.Struct, frozen=True):
    """An event that cannot be used: a stable `code`, the `field` at fault and a sentence for the sender."""

    code: str
    detail: str
    field: str = ""
    id: str = ""


class RegularsError(Exception):
    """The root of every error this product raises on purpose."""


class StoreUnavailable(RegularsError):
    """The store did not answer; nothing is known about the last write. Retry after re-reading the offset."""


class Fenced(RegularsError):
    """Another owner has committed for this shard or model; this one must drop its state and stop."""


class StoredFormatError(RegularsError):
    """A stored record does not decode: `key` names it; it is quarantined and rebuilt by replay."""

    def __init__(self, key: str, detail: str) -> None:
        super().__init__(f"{key}: {detail}")
        self.key = key
        self.detail = detail


class InvariantBroken(RegularsError):
    """A promise of our own code does not hold. Always a bug of ours."""
