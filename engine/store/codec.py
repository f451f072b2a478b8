"""Bytes of what is stored. Each record begins with its format, so that a later version can tell."""

import zlib
from collections.abc import Mapping
from struct import Struct as Layout

import msgspec

from engine.errors import StoredFormatError
from engine.events.reference import Reference
from engine.models.lift import ArmSums
from engine.profiles.profile import Profile
from engine.shards.commit import ShardRecord
from engine.shards.complaints import ComplaintSums
from engine.shards.receipts import Receipt
from engine.shards.sequences import Day

PROFILE_FORMAT = b"\x01"
RECORD_FORMAT = b"\x01"
_PAIR = Layout("<dq")
_ENCODER = msgspec.msgpack.Encoder()
_PROFILE = msgspec.msgpack.Decoder(Profile)
_RECORD = msgspec.msgpack.Decoder(ShardRecord)
_REFERENCE = msgspec.msgpack.Decoder(Reference)
_NAMES = msgspec.msgpack.Decoder(tuple[str, ...])
_SUMS = msgspec.msgpack.Decoder(ArmSums)
_COMPLAINTS = msgspec.msgpack.Decoder(ComplaintSums)
_RECEIPT = msgspec.msgpack.Decoder(Receipt)
_DAY = msgspec.msgpack.Decoder(Day)


def encode_profile(profile: Profile) -> bytes:
    return PROFILE_FORMAT + _ENCODER.encode(profile)


def decode_profile(key: str, raw: bytes) -> Profile:
    """Raises `StoredFormatError` naming the key for anything this version cannot read."""
    if raw[:1] != PROFILE_FORMAT:
        raise StoredFormatError(key, f"profile format {raw[:1]!r} is unknown to this version")
    try:
        return _PROFILE.decode(memoryview(raw)[1:])
    except msgspec.MsgspecError as error:
        raise StoredFormatError(key, str(error)) from error


def encode_record(record: ShardRecord) -> bytes:
    return RECORD_FORMAT + _ENCODER.encode(record)


def decode_record(key: str, raw: bytes) -> ShardRecord:
    """Raises `StoredFormatError` naming the key."""
    if raw[:1] != RECORD_FORMAT:
        raise StoredFormatError(key, f"shard format {raw[:1]!r} is unknown to this version")
    try:
        return _RECORD.decode(memoryview(raw)[1:])
    except msgspec.MsgspecError as error:
        raise StoredFormatError(key, str(error)) from error


def encode_reference(reference: Reference) -> bytes:
    """A reference fact, as a field of a shard's hash."""
    return _ENCODER.encode(reference)


def decode_reference(raw: bytes) -> Reference:
    return _REFERENCE.decode(raw)


def encode_pair(pair: tuple[float, int]) -> bytes:
    """A fading count and its time, in sixteen bytes."""
    return _PAIR.pack(*pair)


def decode_pair(raw: bytes) -> tuple[float, int]:
    count, at = _PAIR.unpack(raw)
    return count, at


def encode_sums(sums: ArmSums) -> bytes:
    """One arm of one campaign, as a field of a shard's hash."""
    return _ENCODER.encode(sums)


def decode_sums(raw: bytes) -> ArmSums:
    return _SUMS.decode(raw)


def encode_complaints(sums: ComplaintSums) -> bytes:
    """Complaints of one reason, product and store, as a field of a shard's hash."""
    return _ENCODER.encode(sums)


def decode_complaints(raw: bytes) -> ComplaintSums:
    return _COMPLAINTS.decode(raw)


def encode_receipt(receipt: Receipt) -> bytes:
    """Whose a receipt is."""
    return _ENCODER.encode(receipt)


def decode_receipt(raw: bytes) -> Receipt:
    return _RECEIPT.decode(raw)


def encode_day(day: Day) -> bytes:
    """A workstation's day, as a field of a shard's hash."""
    return _ENCODER.encode(day)


def decode_day(raw: bytes) -> Day:
    return _DAY.decode(raw)


def arm_field(campaign: str, arm: str) -> str:
    """The name of that field. The name of a campaign cannot hold the bar."""
    return f"{campaign}|{arm}"


def arm_of(field: bytes) -> tuple[str, str]:
    """Campaign and arm of a field."""
    campaign, _, arm = field.decode().partition("|")
    return campaign, arm


def encode_told(told: Mapping[str, object]) -> bytes:
    """What a script is told, for its `cmsgpack.unpack`, which reads no bytes; whole numbers arrive exactly up to 2**53."""
    return _ENCODER.encode(told)


def encode_names(names: tuple[str, ...]) -> bytes:
    """The offers of a catalogue in order."""
    return zlib.compress(_ENCODER.encode(names), 6)


def decode_names(raw: bytes) -> tuple[str, ...]:
    return _NAMES.decode(zlib.decompress(raw))
