"""What is stored decodes to itself, and nothing else decodes at all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.models.snapshot import (
    Numbers,
    Snapshot,
    SnapshotMismatch,
    State,
    decode_snapshot,
    decode_state,
    encode_snapshot,
    encode_state,
)

ARRAYS = st.dictionaries(
    st.text(max_size=5),
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=6).map(lambda row: np.array(row, dtype=np.float64)),
    max_size=3,
)
FACTS = st.dictionaries(
    st.text(max_size=5),
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.lists(st.text(max_size=3)),
    max_size=4,
)


@settings(deadline=None)
@given(ARRAYS, FACTS)
def test_a_state_decodes_to_itself_bit_by_bit(arrays: dict[str, Numbers], facts: dict[str, object]) -> None:
    state = State(arrays, facts)  # type: ignore[arg-type]

    again = decode_state(encode_state(state))

    assert {name: array.tobytes() for name, array in again.arrays.items()} == {
        name: array.tobytes() for name, array in arrays.items()
    }
    assert again.facts == facts


@settings(deadline=None)
@given(ARRAYS, FACTS, st.integers(0, 10**12))
def test_a_snapshot_decodes_to_itself(arrays: dict[str, Numbers], facts: dict[str, object], version: int) -> None:
    snapshot = Snapshot("m", version, "f", arrays, facts, {"popularity": {"tea": 0.5}})  # type: ignore[arg-type]

    again = decode_snapshot(encode_snapshot(snapshot), "f")

    assert (again.name, again.version, again.facts, again.carried) == ("m", version, facts, {"popularity": {"tea": 0.5}})
    assert again.checksum() == snapshot.checksum()


def test_a_matrix_keeps_its_shape() -> None:
    matrix = np.arange(6.0).reshape(2, 3)

    again = decode_state(encode_state(State({"m": np.asfortranarray(matrix)})))

    assert again.arrays["m"].tolist() == matrix.tolist()


def test_the_checksum_covers_what_is_learned_and_not_what_rides_along() -> None:
    learned = Snapshot("m", 3, "f", {"weights": np.array([0.1])})
    moved = Snapshot("m", 3, "f", {"weights": np.nextafter(np.array([0.1]), 1.0)})
    carrying = Snapshot("m", 3, "f", {"weights": np.array([0.1])}, {}, {"popularity": {"tea": 1.0}})

    assert learned.checksum() != moved.checksum()
    assert learned.checksum() == carrying.checksum()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_one_changed_byte_is_noticed(data: st.DataObject) -> None:
    sealed = bytearray(encode_snapshot(Snapshot("m", 3, "f", {"weights": np.array([0.5, 2.0])}, {"a": 1})))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises(SnapshotMismatch):
        decode_snapshot(bytes(sealed))


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_no_other_bytes_decode(raw: bytes) -> None:
    with pytest.raises(SnapshotMismatch):
        decode_snapshot(raw)
    with pytest.raises(SnapshotMismatch):
        decode_state(raw)


def test_a_state_is_no_snapshot_and_other_features_are_refused() -> None:
    with pytest.raises(SnapshotMismatch, match="expected 'snapshot'"):
        decode_snapshot(encode_state(State()))
    with pytest.raises(SnapshotMismatch, match="expected 'g'"):
        decode_snapshot(encode_snapshot(Snapshot("m", 0, "f")), "g")
