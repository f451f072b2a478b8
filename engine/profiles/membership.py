"""The tier in which a customer is held, as their shard last judged it."""

from msgspec import Struct


class Membership(Struct, frozen=True, gc=False, array_like=True):
    """`tier` is empty for none. It was reached at `since` and holds until `review_at`, whatever happens before."""

    tier: str = ""
    since: int = 0
    review_at: int = 0
