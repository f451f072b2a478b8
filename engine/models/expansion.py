"""From raw readings to the inputs of a linear model, the same way in learning and in serving.

Three steps, each without any choice at run time:

1. a reading is pulled together: sign(x) · log(1 + |x|), since counts, money and days have long tails;
2. it is standardised by running moments that start as if ten readings of mean 0 and variance 1 had been seen, and
   clipped at six deviations, so that a reading that was always zero says nothing and the first other value is no shock;
3. it may bend at fixed knots: max(0, z − k) − max(0, −k), which lets a linear model be wrong in fewer places. The
   second term makes every input 0 for an average customer, so contributions are differences from that.

A *plain* reading (a logit that a rule already worked out) skips all three.

This file needs numpy alone: the request path computes with it.
"""

from collections.abc import Collection, Sequence
from functools import cached_property, lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.models.snapshot import Numbers

CLIP = 6.0
"""Deviations beyond which a reading tells nothing more."""

PRIOR_READINGS = 10.0
"""How many readings of mean 0 and variance 1 the running moments start from."""


_ONE = np.ones(1)


class Layout(msgspec.Struct, frozen=True, eq=False, dict=True):
    """Which input belongs to which reading: intercept, one per reading, then one per knot and bending reading."""

    names: tuple[str, ...]
    plain: NDArray[np.intp]
    bending: NDArray[np.intp]
    knots: tuple[float, ...]

    @property
    def width(self) -> int:
        """The number of inputs."""
        return 1 + len(self.names) + len(self.knots) * len(self.bending)

    @cached_property
    def limits(self) -> tuple[Numbers, Numbers]:
        """The clip of each reading from below and above: numbers of one shape are put together in half the time."""
        return np.full(len(self.names), -CLIP), np.full(len(self.names), CLIP)

    @cached_property
    def bends(self) -> tuple[NDArray[np.intp], Numbers, Numbers, Numbers]:
        """Of each bend its reading, its knot, a zero, and what it amounts to for an average reading."""
        knots, rests = _bends(self.knots)
        places = np.tile(self.bending, len(self.knots))
        each = len(self.bending)
        return places, knots.repeat(each), np.zeros(len(places)), rests.repeat(each)

    def owners(self) -> NDArray[np.intp]:
        """The reading behind each input; −1 for the intercept."""
        readings = np.arange(len(self.names))
        return np.concatenate([[-1], readings, *([self.bending] * len(self.knots))]).astype(np.intp)


def layout_of(
    names: Sequence[str],
    knots: Sequence[float] = (),
    plain: Collection[str] = (),
    straight: Collection[str] = (),
) -> Layout:
    """The layout of these readings: `plain` ones stay as they are, `straight` and plain ones do not bend."""
    positions = range(len(names))
    return Layout(
        names=tuple(names),
        plain=np.array([i for i in positions if names[i] in plain], dtype=np.intp),
        bending=np.array([i for i in positions if names[i] not in plain and names[i] not in straight and knots], dtype=np.intp),
        knots=tuple(float(knot) for knot in knots),
    )


def pulled(readings: Numbers) -> Numbers:
    """Step 1 for a vector or for the rows of a matrix."""
    drawn = np.abs(readings)
    return np.copysign(np.log1p(drawn, out=drawn), readings, out=drawn)


def standardised(layout: Layout, readings: Numbers, mean: Numbers, deviation: Numbers) -> Numbers:
    """Steps 1 and 2 for a vector or for the rows of a matrix; plain readings unchanged."""
    return scaled(layout, readings, pulled(readings), mean, deviation)


def scaled(layout: Layout, readings: Numbers, drawn: Numbers, mean: Numbers, deviation: Numbers) -> Numbers:
    """Step 2 alone, for readings of which `drawn` is step 1."""
    z = drawn - mean
    z /= deviation
    low, high = layout.limits
    np.maximum(z, low, out=z)
    np.minimum(z, high, out=z)
    if layout.plain.size:
        z[..., layout.plain] = readings[..., layout.plain]
    return z


def inputs(layout: Layout, z: Numbers) -> Numbers:
    """Step 3 for a vector or for the rows of a matrix, with the intercept's 1 in front."""
    if z.ndim == 1:
        readings, corners, zeros, averages = layout.bends
        bends = z[readings]
        bends -= corners
        np.maximum(bends, zeros, out=bends)
        bends -= averages
        return np.concatenate((_ONE, z, bends))
    knots, rests = _bends(layout.knots)
    read, bending = z.shape[-1], len(layout.bending)
    out = np.empty((*z.shape[:-1], 1 + read + len(layout.knots) * bending))
    out[..., 0] = 1.0
    out[..., 1 : 1 + read] = z
    places = out[..., 1 + read :].reshape(*z.shape[:-1], len(layout.knots), bending)
    np.subtract(z.take(layout.bending, axis=-1)[..., None, :], knots, out=places)
    np.maximum(places, 0.0, out=places)
    places -= rests
    return out


@lru_cache(maxsize=64)
def _bends(knots: tuple[float, ...]) -> tuple[Numbers, Numbers]:
    """The knots as a column, and what the bends of an average reading amount to."""
    column = np.array(knots).reshape(len(knots), 1)
    return column, np.maximum(-column, 0.0)


class Moments:
    """Running mean and variance of pulled readings (Welford's recurrence), with prior readings mixed in.

    Source: Welford (1962), "Note on a method for calculating corrected sums of squares and products",
    Technometrics 4(3), 419-420.
    """

    def __init__(self, readings: int) -> None:
        self.count = 0
        self.mean = np.zeros(readings)
        self.squares = np.zeros(readings)

    def deviation(self) -> Numbers:
        """The standard deviation of each reading, never zero."""
        variance = self.squares + PRIOR_READINGS
        variance /= self.count + PRIOR_READINGS
        return np.asarray(np.sqrt(variance, out=variance))

    def add(self, readings: Numbers) -> None:
        """Take in one vector of pulled readings."""
        self._add(readings - self.mean)

    def add_present(self, readings: Numbers) -> None:
        """The same where NaN marks a reading that is absent: it changes nothing of its own."""
        difference = readings - self.mean
        self._add(np.where(np.isnan(difference), 0.0, difference))

    def _add(self, difference: Numbers) -> None:
        self.count += 1
        self.mean += difference / self.count
        difference *= difference
        difference *= 1.0 - 1.0 / self.count
        self.squares += difference
