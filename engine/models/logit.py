"""Second-order online logistic regression: the one learner behind churn and next best offer.

Theory of operation. The weights have a Gaussian posterior (mean w, covariance S). An example with inputs a, label y
and predicted p = sigmoid(w·a) has the curvature h = p(1 − p). The Laplace step at the current mean is the update of an
extended Kalman filter and costs one product and one rank-1 correction:

    s = S a,   d = 1 + h (a·s),   w ← w + s (y − p)/d,   S ← S − (h/d) s sᵀ

There is no step size to tune, rare readings keep their uncertainty, and S is what exploration asks for. It forgets
nothing: h ≥ 0 only ever shrinks S.

Bit-equal by construction: the operations are the same for one example or a thousand, and `covariance` sees to it that
their sums do not depend on the number of cores.

Source: Spiegelhalter & Lauritzen (1990), "Sequential updating of conditional probabilities on directed graphical
structures", Networks 20, 579-605.
"""

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray
from river.base import Classifier
from river.base.typing import ClfTarget

from engine.models.covariance import Covariance, from_lower
from engine.models.expansion import Layout, Moments, inputs, layout_of, pulled, scaled, standardised
from engine.models.snapshot import Numbers, SnapshotMismatch, State

MAX_WIDTH = 512
"""The most inputs of one model. An example costs the square of it; at 512 a third of a millisecond."""

LOOSER = 4.0
"""How much variances grow when labels have drifted: steps become so much longer."""

MAX_LOGIT = 30.0
"""Logits are clipped here: beyond it a probability differs from 0 or 1 by less than 1e-13."""


class Step(msgspec.Struct, frozen=True):
    """What one example did: the probability before it was learned, and what is left to learn for a term outside.

    `pull` is (y − p)/d and `curvature` h/d: a term with variance v that was passed in moves by v·pull, and its
    variance shrinks by v²·curvature.
    """

    probability: float
    pull: float
    curvature: float


def sigmoid(logit: float) -> float:
    """The probability of a logit, clipped so that it is never exactly 0 or 1."""
    return 1.0 / (1.0 + math.exp(-min(max(logit, -MAX_LOGIT), MAX_LOGIT)))


class BayesianLogit(Classifier):
    """Bayesian logistic regression with a full covariance, one rank-1 update an example.

    Parameters
    ----------
    prior_precision
        Inverse prior variance of every weight but the intercept.
    intercept_precision
        Inverse prior variance of the intercept.
    intercept
        Prior mean of the intercept: the logit of the rate that is expected before any label.
    knots
        Where standardised readings bend, in deviations.
    plain
        Readings that are taken as they are: no logarithm, no standardisation, no bend.
    straight
        Readings that do not bend.
    prior_means
        Prior means of the weights of readings that do not start at 0, as (name, mean) pairs: the warm start.
    names
        The readings in their order, where they are known beforehand. Readings met later in a dictionary are appended.

    Examples
    --------
    >>> model = BayesianLogit()
    >>> for visits in range(40):
    ...     model.learn_one({"visits": visits}, visits > 20)
    >>> model.predict_one({"visits": 2}), model.predict_one({"visits": 39})
    (False, True)

    A value that is not finite teaches nothing; an absent one counts as an average reading. None is an empty tuple, which
    River cannot clone.

    """

    def __init__(
        self,
        prior_precision: float = 10.0,
        intercept_precision: float = 0.1,
        intercept: float = 0.0,
        knots: tuple[float, ...] = (-1.0, 1.0),
        plain: tuple[str, ...] | None = None,
        straight: tuple[str, ...] | None = None,
        prior_means: tuple[tuple[str, float], ...] | None = None,
        names: tuple[str, ...] | None = None,
    ) -> None:
        if prior_precision <= 0 or intercept_precision <= 0:
            raise ValueError("a precision is greater than 0")
        self.prior_precision = prior_precision
        self.intercept_precision = intercept_precision
        self.intercept = intercept
        self.knots = knots
        self.plain = plain
        self.straight = straight
        self.prior_means = prior_means
        self.names = names
        self.learned = 0
        self.unlearnable = 0
        self._set_out(names or ())

    def _set_out(self, names: Sequence[str]) -> None:
        self._layout = layout_of(names, self.knots, self.plain or (), self.straight or ())
        width = self._layout.width
        if width > MAX_WIDTH:
            raise ValueError(f"{width} inputs, at most {MAX_WIDTH}: let fewer readings bend, or drop some")
        self._moments = Moments(len(names))
        self._positions = {name: position for position, name in enumerate(names)}
        means = dict(self.prior_means or ())
        self._weights = np.zeros(width)
        self._weights[0] = self.intercept
        self._weights[1 : 1 + len(names)] = [means.get(name, 0.0) for name in names]
        variances = np.full(width, 1.0 / self.prior_precision)
        variances[0] = 1.0 / self.intercept_precision
        self._covariance = Covariance(np.diag(variances))

    @property
    def layout(self) -> Layout:
        """Which input belongs to which reading."""
        return self._layout

    @property
    def weights(self) -> Numbers:
        """Posterior means, one an input (a copy)."""
        return self._weights.copy()

    @property
    def variances(self) -> Numbers:
        """Posterior variances, one an input (a copy)."""
        return self._covariance.diagonal()

    @property
    def mean(self) -> Numbers:
        """Running means of the pulled readings (a copy)."""
        return self._moments.mean.copy()

    @property
    def deviation(self) -> Numbers:
        """Running deviations of the pulled readings."""
        return self._moments.deviation()

    # --- vectors ---------------------------------------------------------------------------------------------------

    def learn(self, readings: Numbers, label: float, offset: float = 0.0, variance: float = 0.0) -> Step | None:
        """Learn one example from readings in the order of `names`; None if it cannot be learned (and is counted).

        `offset` and `variance` describe a term of the logit that is kept elsewhere (an arm's own intercept).
        """
        if not _finite(readings) or label not in (0.0, 1.0) or not math.isfinite(offset):
            self.unlearnable += 1
            return None
        return self._learn(readings, float(label), offset, variance)

    def hint(self, readings: Numbers, label: float, offset: float, variance: float, weight: float) -> Step | None:
        """Learn from something else that was seen of an example beside its label, and that speaks for the same weights.

        It counts for `weight` of a label, and is none: neither `learned` nor what an average reading is moves.
        """
        z = standardised(self._layout, readings, self._moments.mean, self._moments.deviation())
        return self._update(inputs(self._layout, z), label, offset, variance, weight)

    def logit(self, readings: Numbers) -> Numbers:
        """The logit of a vector of readings, or of each row of a matrix."""
        z = standardised(self._layout, readings, self._moments.mean, self._moments.deviation())
        return np.asarray(inputs(self._layout, z) @ self._weights)

    def probability(self, readings: Numbers) -> Numbers:
        """The probability of label 1 for a vector of readings, or for each row of a matrix."""
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(self.logit(readings), -MAX_LOGIT, MAX_LOGIT))))

    def _learn(self, readings: Numbers, label: float, offset: float, variance: float) -> Step | None:
        drawn = pulled(readings)
        z = scaled(self._layout, readings, drawn, self._moments.mean, self._moments.deviation())
        step = self._update(inputs(self._layout, z), label, offset, variance)
        if step is not None:
            self.learned += 1
            self._moments.add(drawn)
        return step

    def _update(self, a: Numbers, label: float, offset: float, variance: float, weight: float = 1.0) -> Step | None:
        s = self._covariance.times(a)
        p = sigmoid(float(self._weights.dot(a)) + offset)
        h = weight * p * (1.0 - p)
        d = 1.0 + h * (float(a.dot(s)) + variance)
        step = Step(p, weight * (label - p) / d, h / d)
        moved = self._weights + s * step.pull
        # A product is finite only where every number in it is: a zero does not hide an infinity.
        if d < 1.0 or not math.isfinite(float(moved.dot(a))):
            self.unlearnable += 1
            return None
        self._weights = moved
        self._covariance.subtract_square(s, step.curvature)
        return step

    def loosen(self, factor: float = LOOSER) -> None:
        """Take back certainty, once: every variance grows by this factor, at most to what it was before any label."""
        variances = self._covariance.diagonal()
        prior = np.full(len(variances), 1.0 / self.prior_precision)
        prior[0] = 1.0 / self.intercept_precision
        self._covariance.scale(np.sqrt(np.clip(prior / variances, 1.0, factor)))

    # --- River -----------------------------------------------------------------------------------------------------

    def learn_one(self, x: Mapping[Hashable, Any], y: ClfTarget) -> None:
        """River's verb: learn one dictionary of readings; new readings are appended in the order of their names."""
        met = [str(name) for name in x if name not in self._positions]
        if met:
            self._grow(sorted(met))
        readings = self._read(x)
        if np.isinf(readings).any() or any(value != value for value in x.values()):
            self.unlearnable += 1
            return
        if self._update(self._inputs_of(readings), 1.0 if y else 0.0, 0.0, 0.0) is not None:
            self.learned += 1
            self._moments.add_present(pulled(readings))

    def predict_proba_one(self, x: Mapping[Hashable, Any], **kwargs: Any) -> dict[ClfTarget, float]:  # noqa: ARG002
        """River's verb: probabilities of False and True; a reading never met before says nothing."""
        p = sigmoid(float(self._inputs_of(self._read(x)) @ self._weights))
        return {False: 1.0 - p, True: p}

    def _inputs_of(self, readings: Numbers) -> Numbers:
        """Inputs where NaN marks an absent reading, which counts as an average one."""
        z = standardised(self._layout, readings, self._moments.mean, self._moments.deviation())
        return inputs(self._layout, np.where(np.isnan(z), 0.0, z))

    def _read(self, x: Mapping[Hashable, Any]) -> Numbers:
        return np.array([x.get(name, math.nan) for name in self._layout.names], dtype=np.float64)

    def _grow(self, met: Collection[str]) -> None:
        old, weights, covariance, moments = self._layout, self._weights, self._covariance, self._moments
        self._set_out((*old.names, *met))
        kept = _places_after_growth(old, self._layout)
        self._weights[kept] = weights
        whole = self._covariance.matrix()
        whole[np.ix_(kept, kept)] = covariance.matrix()
        self._covariance = Covariance(whole)
        read = len(old.names)
        self._moments.count = moments.count
        self._moments.mean[:read] = moments.mean
        self._moments.squares[:read] = moments.squares

    # --- complete state ----------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Everything: posterior, moments, names and counts. The settings are the maker's and only checked."""
        return State(
            arrays={
                "weights": self._weights.copy(),
                "covariance": self._covariance.lower(),
                "mean": self._moments.mean.copy(),
                "squares": self._moments.squares.copy(),
            },
            facts={
                "make": self._make(),
                "names": list(self._layout.names),
                "learned": self.learned,
                "unlearnable": self.unlearnable,
                "count": self._moments.count,
            },
        )

    def from_state(self, state: State) -> Self:
        """A learner with these settings that continues from a state; `SnapshotMismatch` if its settings differ."""
        facts = msgspec.convert(dict(state.facts), _Facts)
        fresh = self.clone()
        if facts.make != fresh._make() or (self.names and tuple(facts.names) != tuple(self.names)):
            raise SnapshotMismatch("this state was learned with other settings or of other readings")
        fresh._set_out(facts.names)
        fresh._weights[:] = state.arrays["weights"]
        fresh._covariance = from_lower(fresh._layout.width, state.arrays["covariance"])
        fresh._moments.mean[:] = state.arrays["mean"]
        fresh._moments.squares[:] = state.arrays["squares"]
        fresh._moments.count = facts.count
        fresh.learned = facts.learned
        fresh.unlearnable = facts.unlearnable
        return fresh

    def _make(self) -> str:
        parts = (self.prior_precision, self.intercept_precision, self.intercept, self.knots, self.plain)
        return repr((*parts, self.straight, self.prior_means))


def _finite(readings: Numbers) -> bool:
    """Whether all are; the sum of squares says so at once unless it overflows."""
    return math.isfinite(float(readings.dot(readings))) or bool(np.isfinite(readings).all())


class _Facts(msgspec.Struct, frozen=True):
    make: str
    names: list[str]
    learned: int
    unlearnable: int
    count: int


def _places_after_growth(old: Layout, new: Layout) -> NDArray[np.intp]:
    """For each input of the old layout, its place in the new one."""
    bends_old, bends_new = list(old.bending), list(new.bending)
    places = list(range(1 + len(old.names)))
    for knot in range(len(old.knots)):
        start = 1 + len(new.names) + knot * len(bends_new)
        places += [start + bends_new.index(reading) for reading in bends_old]
    return np.array(places, dtype=np.intp)
