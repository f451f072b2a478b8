"""A symmetric matrix that is multiplied by a vector and corrected by a rank of one, thousands of times a second.

It is kept in tiles small enough that OpenBLAS computes each on one thread. With one large matrix the library would
split every product over the cores: the last bits would depend on how many there are, and on a busy machine the wait for
the other thread costs a hundred times the arithmetic.
"""

from itertools import pairwise

import numpy as np
from scipy.linalg.blas import dgemv, dger, dsymv, dsyr

from engine.models.snapshot import Numbers

TILE = 88
"""Rows of a tile at most: OpenBLAS goes parallel from 100 rows (syr) and from 8,192 numbers (ger)."""


class Covariance:
    """Lower tiles of a symmetric matrix; of the tiles on the diagonal only the lower triangle is kept.

    BLAS is told where in the vectors a tile begins, and writes where it stands: at this size a slice costs as much as its
    product.
    """

    def __init__(self, matrix: Numbers) -> None:
        self.width = len(matrix)
        count = max(1, -(-self.width // TILE))
        edges = [self.width * tile // count for tile in range(count + 1)]
        self._starts = edges[:-1]
        self._spans = [slice(start, stop) for start, stop in pairwise(edges)]
        self._diagonal = [np.array(matrix[span, span], order="F") for span in self._spans]
        self._below = {
            (row, column): np.array(matrix[self._spans[row], self._spans[column]], order="F")
            for row in range(count)
            for column in range(row)
        }

    def times(self, vector: Numbers) -> Numbers:
        """The product with a vector."""
        x = np.ascontiguousarray(vector)
        product = np.empty(self.width)
        for tile, start in zip(self._diagonal, self._starts, strict=True):
            dsymv(1.0, tile, x, 0.0, product, start, 1, start, 1, 1, 1)
        for (row, column), tile in self._below.items():
            down, across = self._starts[row], self._starts[column]
            dgemv(1.0, tile, x, 1.0, product, across, 1, down, 1, 0, 1)
            dgemv(1.0, tile, x, 1.0, product, down, 1, across, 1, 1, 1)
        return product

    def subtract_square(self, vector: Numbers, factor: float = 1.0) -> None:
        """Take away the vector times its own transpose, so many times."""
        x = np.ascontiguousarray(vector)
        for place, (tile, start) in enumerate(zip(self._diagonal, self._starts, strict=True)):
            self._diagonal[place] = dsyr(-factor, x, 1, 1, start, len(tile), tile, 1)
        for (row, column), tile in self._below.items():
            self._below[row, column] = dger(-factor, x[self._spans[row]], x[self._spans[column]], 1, 1, tile, 0, 0, 1)

    def scale(self, factors: Numbers) -> None:
        """Multiply each row and each column by its factor: deviations grow by it, correlations stay."""
        parts = [factors[span] for span in self._spans]
        for place, part in enumerate(parts):
            self._diagonal[place] = np.asfortranarray(self._diagonal[place] * part[:, None] * part)
        for (row, column), tile in self._below.items():
            self._below[row, column] = np.asfortranarray(tile * parts[row][:, None] * parts[column])

    def diagonal(self) -> Numbers:
        """The numbers on the diagonal (a copy)."""
        return np.concatenate([np.diagonal(tile) for tile in self._diagonal])

    def matrix(self) -> Numbers:
        """The whole symmetric matrix (a copy)."""
        whole = np.zeros((self.width, self.width))
        for tile, span in zip(self._diagonal, self._spans, strict=True):
            lower = np.tril(tile)
            whole[span, span] = lower + np.tril(lower, -1).T
        for (row, column), tile in self._below.items():
            whole[self._spans[row], self._spans[column]] = tile
            whole[self._spans[column], self._spans[row]] = tile.T
        return whole

    def lower(self) -> Numbers:
        """The lower triangle row by row: all there is to store."""
        return np.asarray(self.matrix()[np.tril_indices(self.width)])


def from_lower(width: int, numbers: Numbers) -> Covariance:
    """The matrix of which `lower` was stored. A wrong count of numbers is a ValueError."""
    whole = np.zeros((width, width))
    whole[np.tril_indices(width)] = numbers
    return Covariance(whole + np.tril(whole, -1).T)
