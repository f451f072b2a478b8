"""The terms of an additive logit, over some readings side by side, and how odds and probabilities follow from them.

numpy only: the request path imports this file.
"""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.features.affinity import Promotions, strange
from engine.models.expansion import CLIP, Layout, pulled
from engine.models.snapshot import Numbers

MAX_LOGIT = 30.0
_MAX_ODDS = math.exp(MAX_LOGIT)


class Terms:
    """The bent lines of some readings in their order: part of an additive logit.

    A line that is standardised, clipped and bent is, over the pulled reading u, nothing but a sum of corners: d · max(u, c).
    So the standardisation is folded into the corners where the numbers are published, and serving is one pass.
    """

    def __init__(self, layout: Layout, weights: Numbers, mean: Numbers, deviation: Numbers, readings: slice) -> None:
        count = len(layout.names)
        chosen = np.arange(count)[readings]
        self.names = layout.names[readings]
        self._mean, self._scale = mean[readings], 1.0 / deviation[readings]
        self._lines = weights[1 : 1 + count][readings]
        self._plain = np.nonzero(np.isin(chosen, layout.plain))[0]
        here = np.isin(layout.bending, chosen)
        self._bending = layout.bending[here] - (chosen[0] if len(chosen) else 0)
        bends = weights[1 + count :].reshape(len(layout.knots), len(layout.bending))[:, here]
        self._knots = [(knot, bend) for knot, bend in zip(layout.knots, bends, strict=True) if len(bend)]
        self.plain = frozenset(self.names[place] for place in self._plain.tolist())
        self._plainly = [(place, float(self._lines[place])) for place in self._plain.tolist()]
        self._fold(deviation[readings])

    def _fold(self, deviation: Numbers) -> None:
        """Corners, what the logit turns by at each, and what is left: of straight readings two corners are a clip."""
        lines = self._lines.copy()
        lines[self._plain] = 0.0
        self._low, self._high = self._mean - CLIP * deviation, self._mean + CLIP * deviation
        self._slopes = lines * self._scale
        self._always = -float((self._slopes * self._mean).sum())
        knots = np.array([min(max(knot, -CLIP), CLIP) for knot, _ in self._knots])
        turns = np.zeros((len(knots) + 2, len(lines)))
        turns[0] = self._slopes
        for place, (knot, bend) in enumerate(self._knots):
            turns[place + 1, self._bending] = bend * self._scale[self._bending]
            self._always -= float((bend * max(-knot, 0.0)).sum())
        turns[-1] = -turns.sum(axis=0)
        places = np.array([-CLIP, *knots, CLIP])
        self._corners = (self._mean + places[:, None] * deviation)[:, :, None]
        self._turns = turns[:, :, None]
        # Left of all corners every max is the corner itself, and the line stands where it is clipped.
        start = float((self._slopes * self._low).sum()) + sum(
            float((bend * max(-CLIP - knot, 0.0)).sum()) for knot, bend in self._knots
        )
        self._rest = self._always + start - float((self._corners * self._turns).sum())

    def logit(self, readings: Numbers) -> Numbers:
        """The sum of the terms for a vector, or for each row of a matrix.

        Summed row by row: a product of matrices adds up in an order that depends on how many rows there are, and a
        score must not depend on who else is scored.
        """
        return self.add_plain(readings, self.curved(readings))

    def add_plain(self, readings: Numbers, total: Numbers) -> Numbers:
        """What `curved` leaves out, added to it in place."""
        for place, line in self._plainly:
            total += readings[..., place] * line
        return total

    def curved(self, readings: Numbers) -> Numbers:
        """The same without the plain readings, which are as they are."""
        if not self._knots:
            if readings.ndim == 2 and len(readings) == 1:
                return self.curved(readings[0])[None]
            u = pulled(readings)
            np.minimum(u, self._high, out=u)
            np.maximum(u, self._low, out=u)
            if u.ndim == 1:
                return np.asarray(u.dot(self._slopes) + self._always)
            return np.array([row.dot(self._slopes) + self._always for row in u])
        if readings.ndim == 1:
            bent = np.maximum(pulled(readings), self._corners[:, :, 0])
            return np.asarray(bent.ravel().dot(self._turns.ravel()) + self._rest)
        if len(readings) == 1:
            # A single column would be summed up in another order than one of several.
            return self.curved(np.concatenate((readings, readings)))[:1]
        return _turned(pulled(np.ascontiguousarray(readings.T)), self._corners, self._turns) + self._rest

    def span(self, columns: slice, without: str) -> "Span":
        """Some of the readings of a customer and what is promoted, one of them left out."""
        turns = self._turns[:, columns].copy()
        turns[:, [place for place, name in enumerate(self.names[columns]) if name == without]] = 0.0
        span = Span(columns, np.ascontiguousarray(self._corners[:, columns]), turns)
        return msgspec.structs.replace(span, less=float(span.more(_NOBODY, np.zeros(1, dtype=np.intp))[0]))

    def each(self, readings: Numbers) -> dict[str, float]:
        """Each reading's own term for one vector; their sum is `logit`."""
        z = self._standardised(readings)
        terms = z * self._lines
        bending = z[self._bending]
        for knot, bend in self._knots:
            terms[self._bending] += (np.maximum(bending - knot, 0.0) - max(-knot, 0.0)) * bend
        return dict(zip(self.names, terms.tolist(), strict=True))

    def _standardised(self, readings: Numbers) -> Numbers:
        z = (pulled(readings) - self._mean) * self._scale
        np.minimum(z, CLIP, out=z)
        np.maximum(z, -CLIP, out=z)
        if self._plain.size:
            z[..., self._plain] = readings[..., self._plain]
        return z


class Span(msgspec.Struct, frozen=True, eq=False):
    """The terms of joint readings side by side, none of which is ever negative."""

    columns: slice
    corners: Numbers
    turns: Numbers
    less: float = 0.0
    """What they come to for a customer of whom nothing is known."""

    def more(self, readings: Numbers, rows: NDArray[np.intp]) -> Numbers:
        """What they come to in some rows of a matrix, beyond that."""
        if len(rows) == 1:
            return self.more(readings, rows.repeat(2))[:1]
        chosen = readings.T[self.columns].take(rows, axis=1)
        sums = _turned(np.log1p(chosen, out=chosen), self.corners, self.turns)
        sums -= self.less
        return sums


_NOBODY = strange(Promotions([""], [()]), np.zeros(1))


def _turned(columns: Numbers, corners: Numbers, turns: Numbers) -> Numbers:
    """One sum for each of at least two rows, in an order that depends on nobody else: a single row is added up otherwise."""
    bent = np.maximum(columns, corners)
    bent *= turns
    sums: Numbers = np.add.reduce(bent.reshape(turns.size, columns.shape[1]), axis=0)
    return sums


def odds_of(logits: Numbers) -> Numbers:
    """Logits, bounded, as odds, in place of the logits: where logits add up, odds multiply."""
    np.minimum(logits, MAX_LOGIT, out=logits)
    np.maximum(logits, -MAX_LOGIT, out=logits)
    return np.exp(logits, out=logits)


def probability_by(odds: Numbers) -> Numbers:
    """Odds as probabilities, never quite 0 or 1, in place of the odds."""
    np.minimum(odds, _MAX_ODDS, out=odds)
    return np.divide(odds, odds + 1.0, out=odds)


def probability_of(logits: Numbers) -> Numbers:
    """Logits, bounded, as probabilities."""
    return probability_by(odds_of(np.array(logits)))
