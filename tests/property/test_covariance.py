"""The tiled matrix does what a plain one does, whatever its width; inputs of a vector are those of a matrix's row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.models.covariance import TILE, Covariance, from_lower
from engine.models.expansion import inputs, layout_of

WIDTHS = st.sampled_from([1, 2, 7, TILE - 1, TILE, TILE + 1, 2 * TILE, 2 * TILE + 1, 3 * TILE + 5])
SEEDS = st.integers(0, 9)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(WIDTHS, SEEDS)
def test_products_and_corrections_are_those_of_the_plain_matrix(width: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    half = chance.normal(size=(width, width))
    plain = half @ half.T
    vector, spaced = chance.normal(size=width), chance.normal(size=2 * width)[::2]
    tiled = Covariance(plain)

    tiled.subtract_square(vector)
    tiled.subtract_square(spaced, 0.25)
    plain = plain - np.outer(vector, vector) - 0.25 * np.outer(spaced, spaced)

    assert tiled.times(vector) == pytest.approx(plain @ vector, rel=1e-9, abs=1e-9)
    assert tiled.times(spaced) == pytest.approx(plain @ spaced, rel=1e-9, abs=1e-9)
    assert tiled.matrix() == pytest.approx(plain, rel=1e-9, abs=1e-9)
    assert tiled.diagonal() == pytest.approx(np.diagonal(plain), rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=20)
@given(WIDTHS, SEEDS)
def test_what_was_stored_goes_on_to_the_same_last_bit(width: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    tiled = Covariance(np.diag(chance.random(width) + 1.0))
    tiled.subtract_square(0.1 * chance.normal(size=width))
    again = from_lower(width, tiled.lower())

    vector = chance.normal(size=width)
    for matrix in (tiled, again):
        matrix.subtract_square(0.1 * vector)

    assert again.times(vector).tobytes() == tiled.times(vector).tobytes()
    assert again.lower().tobytes() == tiled.lower().tobytes()


@settings(deadline=None)
@given(st.integers(0, 12), st.sampled_from([(), (0.5,), (-1.0, 0.0, 1.0)]), st.integers(0, 3), SEEDS)
def test_a_vector_bends_as_the_row_of_a_matrix_does(readings: int, knots: tuple[float, ...], straight: int, seed: int) -> None:
    names = tuple(f"r-{place}" for place in range(readings))
    layout = layout_of(names, knots, straight=names[:straight])
    rows = np.random.default_rng(seed).normal(0.0, 2.0, (4, readings))

    matrix = inputs(layout, rows)

    assert matrix.shape == (4, layout.width)
    for row, z in zip(matrix, rows, strict=True):
        assert inputs(layout, z).tobytes() == row.tobytes()
        bends = [max(z[reading] - knot, 0.0) - max(-knot, 0.0) for knot in layout.knots for reading in layout.bending]
        assert row.tolist() == [1.0, *z.tolist(), *bends]
