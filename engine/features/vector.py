"""All readings of a customer as one vector: the only way to obtain features."""

from collections.abc import Sequence
from hashlib import blake2b
from itertools import chain
from struct import Struct as Layout

import numpy as np
from numpy.typing import NDArray

from engine.features import engagement, rfm, service
from engine.features.base import Group, Reading, Request
from engine.moments import Millis
from engine.profiles.profile import Part, Profile

Vector = NDArray[np.float64]

GROUPS: tuple[Group, ...] = (
    rfm.TOTALS,
    rfm.FADING,
    rfm.RHYTHM,
    engagement.BROWSED,
    engagement.OFFERED,
    engagement.SERVED,
    service.TOLD,
)
READINGS: tuple[Reading, ...] = tuple(chain.from_iterable(group.readings for group in GROUPS))
NAMES: tuple[str, ...] = tuple(reading.name for reading in READINGS)
INDEX: dict[str, int] = {name: index for index, name in enumerate(NAMES)}
LOWS: Vector = np.array([reading.low for reading in READINGS], dtype=np.float64)
HIGHS: Vector = np.array([reading.high for reading in READINGS], dtype=np.float64)


_READERS = tuple(group.read for group in GROUPS)
_ROW = Layout(f"{len(READINGS)}d")
_RECORDED = np.dtype("<f4")
_BYTES = _RECORDED.itemsize * len(READINGS)


def fingerprint(readings: tuple[Reading, ...]) -> str:
    """Names, units and bounds in order, hashed: two sides that differ in any of them must not share a model."""
    told = "\n".join(f"{reading.name} {reading.unit} {reading.low} {reading.high}" for reading in readings)
    return blake2b(told.encode(), digest_size=6).hexdigest()


FINGERPRINT = fingerprint(READINGS)
NO_REQUEST = Request()


def read_features(profile: Profile, request: Request, now: Millis) -> Vector:
    """Shape (len(NAMES),): readings in natural units, clipped to their bounds and rounded to float32.

    Rounding makes what is logged beside a decision, four bytes a number, exactly what was scored.
    """
    vector: Vector = read_all([(profile.whole, request, now)])[0]
    return vector


def read_all(asked: Sequence[tuple[Part, Request, Millis]]) -> Vector:
    """Shape (customers, len(NAMES)): the readings of several at once; each the same as alone."""
    return _rounded(asked).astype(np.float64)


def read_packed(profile: Profile, request: Request, now: Millis) -> bytes:
    """The same readings as examples hold them."""
    return _rounded([(profile.whole, request, now)]).tobytes()


def read_all_packed(asked: Sequence[tuple[Part, Request, Millis]]) -> list[bytes]:
    """The readings of several as examples hold them; each the same as alone, for a fraction of the time."""
    raw = _rounded(asked).tobytes()
    return [raw[at : at + _BYTES] for at in range(0, len(raw), _BYTES)]


def _rounded(asked: Sequence[tuple[Part, Request, Millis]]) -> NDArray[np.float32]:
    table = bytearray(_ROW.size * len(asked))
    for place, (part, request, now) in enumerate(asked):
        numbers: list[float] = []
        for read in _READERS:
            numbers += read(part, request, now)
        _ROW.pack_into(table, place * _ROW.size, *numbers)
    read_as = np.frombuffer(table).reshape(len(asked), len(READINGS))
    np.maximum(read_as, LOWS, out=read_as)
    return np.minimum(read_as, HIGHS, out=read_as).astype(_RECORDED)


def packed(vector: Vector) -> bytes:
    """Little-endian float32, as examples and decisions hold it. Exact for anything that `read_features` returned."""
    return vector.astype(_RECORDED).tobytes()


def unpacked(raw: bytes) -> Vector:
    """The vector that `packed` wrote."""
    return np.frombuffer(raw, _RECORDED).astype(np.float64)
