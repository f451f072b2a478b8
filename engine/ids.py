"""Names of things, and the stable hashes that place them."""

from hashlib import blake2b
from typing import NewType
from zlib import crc32

CustomerKey = NewType("CustomerKey", str)
"""One identity of a customer: `u:` user, `l:` loyalty card, `a:` anonymous browser, `w:` workstation (nobody)."""

Shard = NewType("Shard", int)

SHARDS = 64
"""The shard count of a new installation. It is written at first start and cannot change afterwards."""


def shard_of(key: str, shards: int = SHARDS) -> Shard:
    """The shard that owns a customer key: CRC-32 of its UTF-8 bytes modulo the shard count, stable for ever."""
    return Shard(crc32(key.encode()) % shards)


def unit_interval(*parts: str) -> float:
    """A number in [0, 1) that depends on nothing but the parts: assignment to groups, staggering, draws.

    BLAKE2b, because neighbouring ids must not land in neighbouring places and nobody outside may steer where theirs lands.
    """
    digest = blake2b("\x1f".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def digest_of(*parts: bytes, size: int = 8) -> bytes:
    """A short hash of length-prefixed parts, so that ("ab", "c") and ("a", "bc") differ."""
    state = blake2b(digest_size=size)
    for part in parts:
        state.update(len(part).to_bytes(4, "big"))
        state.update(part)
    return state.digest()


def erased_name(key: str, salt: bytes) -> bytes:
    """What is remembered of an erased customer: a hash keyed with the installation's salt, so that nobody can look names up."""
    return blake2b(key.encode(), digest_size=16, key=salt[:64]).digest()


def is_after(stream_id: str, other: str) -> bool:
    """Whether one Redis stream id (`milliseconds-sequence`) comes after another."""
    return stream_order(stream_id) > stream_order(other)


def stream_order(stream_id: str) -> tuple[int, int]:
    """A Redis stream id as a comparable pair."""
    milliseconds, _, sequence = stream_id.partition("-")
    return int(milliseconds), int(sequence or 0)
