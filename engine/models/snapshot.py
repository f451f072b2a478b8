"""Published numbers and complete learner states, as bytes.

Two things leave a learner. A `Snapshot` is the small immutable part that serving needs; a `State` is everything, so
that restore-then-continue equals continue. Both are named arrays of float64 plus plain facts, written as msgpack with
raw little-endian numbers and sealed with a checksum. Nothing in them can run code when it is read, and no library's
private format outlives its release in our Redis.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import RegularsError

Numbers = NDArray[np.float64]
"""An array of float64: the only kind of array that a learner publishes or stores."""

Fact = str | int | float | bool | None | list[Any] | dict[str, Any]
"""A plain value beside the arrays: whatever msgpack holds without help."""

FORMAT = 1
"""The layout of the sealed bytes. A reader refuses any other."""

_WIRE_FLOAT = np.dtype("<f8")
_DIGEST_BYTES = 16

_Body = TypeVar("_Body")


class SnapshotMismatch(RegularsError):
    """Published numbers that do not belong here: damaged, of another format, or of other features.

    The reader keeps the last good ones and says so.
    """


class State(msgspec.Struct, frozen=True, eq=False):
    """A learner's complete state: arrays by name and plain facts. Nothing else may influence what it learns next."""

    arrays: Mapping[str, Numbers] = {}
    facts: Mapping[str, Fact] = {}


class Snapshot(msgspec.Struct, frozen=True, eq=False):
    """The published part of a learner: enough to score and to explain, and immutable.

    `version` is the number of examples learned; `fingerprint` names the features in their order. `carried` facts ride
    along for the reader's convenience (category popularity): they are not learned and not part of what relearning
    a journal has to reproduce.
    """

    name: str
    version: int = 0
    fingerprint: str = ""
    arrays: Mapping[str, Numbers] = {}
    facts: Mapping[str, Fact] = {}
    carried: Mapping[str, Fact] = {}

    def checksum(self) -> str:
        """A digest of the learned part, in hexadecimal: equal exactly when every published number is bit-equal."""
        learned = (self.name, self.version, self.fingerprint, _packed(self.arrays), dict(self.facts))
        return blake2b(_ENCODER.encode(learned), digest_size=_DIGEST_BYTES).hexdigest()


class _Array(msgspec.Struct, frozen=True, array_like=True):
    name: str
    shape: tuple[int, ...]
    numbers: bytes


class _SnapshotBody(msgspec.Struct, frozen=True, array_like=True):
    name: str
    version: int
    fingerprint: str
    arrays: list[_Array]
    facts: dict[str, Any]
    carried: dict[str, Any]


class _StateBody(msgspec.Struct, frozen=True, array_like=True):
    arrays: list[_Array]
    facts: dict[str, Any]


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    kind: str
    format: int
    digest: bytes
    body: bytes


_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_SEALED = msgspec.msgpack.Decoder(_Sealed)
_SNAPSHOT_BODY = msgspec.msgpack.Decoder(_SnapshotBody)
_STATE_BODY = msgspec.msgpack.Decoder(_StateBody)


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """A snapshot as sealed bytes; equal snapshots give equal bytes."""
    body = _SnapshotBody(
        snapshot.name,
        snapshot.version,
        snapshot.fingerprint,
        _packed(snapshot.arrays),
        dict(snapshot.facts),
        dict(snapshot.carried),
    )
    return _seal("snapshot", _ENCODER.encode(body))


def decode_snapshot(sealed: bytes, fingerprint: str | None = None) -> Snapshot:
    """The snapshot in sealed bytes; with `fingerprint`, only one of exactly those features.

    Raises `SnapshotMismatch` for any other bytes, whatever they are.
    """
    body = _open("snapshot", sealed, _SNAPSHOT_BODY)
    if fingerprint is not None and body.fingerprint != fingerprint:
        raise SnapshotMismatch(f"{body.name}: features {body.fingerprint!r}, expected {fingerprint!r}")
    return Snapshot(body.name, body.version, body.fingerprint, _unpacked(body.arrays), body.facts, body.carried)


def encode_state(state: State) -> bytes:
    """A complete learner state as sealed bytes; equal states give equal bytes."""
    return _seal("state", _ENCODER.encode(_StateBody(_packed(state.arrays), dict(state.facts))))


def decode_state(sealed: bytes) -> State:
    """The learner state in sealed bytes. Raises `SnapshotMismatch` for any other bytes."""
    body = _open("state", sealed, _STATE_BODY)
    return State(_unpacked(body.arrays), body.facts)


def _seal(kind: str, body: bytes) -> bytes:
    return _ENCODER.encode(_Sealed(kind, FORMAT, blake2b(body, digest_size=_DIGEST_BYTES).digest(), body))


def _open(kind: str, sealed: bytes, decoder: msgspec.msgpack.Decoder[_Body]) -> _Body:
    try:
        seal = _SEALED.decode(sealed)
        if (seal.kind, seal.format) != (kind, FORMAT):
            raise SnapshotMismatch(f"{seal.kind!r} of format {seal.format}, expected {kind!r} of format {FORMAT}")
        if blake2b(seal.body, digest_size=_DIGEST_BYTES).digest() != seal.digest:
            raise SnapshotMismatch(f"the checksum of this {kind} does not match its content")
        return decoder.decode(seal.body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SnapshotMismatch(f"not a {kind}: {error}") from error


def _packed(arrays: Mapping[str, Numbers]) -> list[_Array]:
    return [
        _Array(name, arrays[name].shape, np.ascontiguousarray(arrays[name], dtype=_WIRE_FLOAT).tobytes())
        for name in sorted(arrays)
    ]


def _unpacked(arrays: list[_Array]) -> dict[str, Numbers]:
    return {array.name: _numbers(array) for array in arrays}


def _numbers(array: _Array) -> Numbers:
    try:
        return np.frombuffer(array.numbers, dtype=_WIRE_FLOAT).reshape(array.shape).astype(np.float64, copy=False)
    except ValueError as error:
        raise SnapshotMismatch(f"{array.name}: {error}") from error
