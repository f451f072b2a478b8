"""Churn: the probability that a customer makes no purchase within the churn horizon.

A Bayesian logit over the readings of the customer, of which those of purchases and their rhythm bend. It learns an
example when its horizon has ended and never earlier: whoever bought again is known at once, so learning early would
first learn from returners only.

Features carry the result: on a year of real baskets five quite different learners end within .001 AUC of each other.
"""

from collections.abc import Sequence
from typing import Self

import msgspec
import numpy as np

from engine.models.base import Example, Report, numbers_of
from engine.models.logit import BayesianLogit
from engine.models.progress import Progress
from engine.models.scoring import CHURN, shape_facts
from engine.models.snapshot import Snapshot, SnapshotMismatch, State

BASE_LOGIT = -2.0
"""Where the intercept starts: about one customer in eight, until labels say otherwise."""

_BENDING = ("rfm.", "affinity.")
_LEFT_OUT = frozenset(
    {
        "rfm.frequency",
        "rfm.weekend_share",
        "rfm.evening_share",
        "rfm.stores",
        "rfm.last_amount",
        "rfm.units_per_trip",
        "rfm.lines_per_trip",
        "offers.discount_share_28d",
        "offers.discount_share_112d",
        "offers.coupon_share_56d",
        "offers.coupons_112d",
        "affinity.private_label_56d",
        "request.web",
        "request.pos",
    }
)
"""What a basket looks like says next to nothing about the next visit and costs .001 AUC; a boundary has no request."""


class ChurnLearner:
    """The churn model and how well it did so far.

    The figures of `report` count customers who were active when scored (a purchase within `activity_days`): to say
    that somebody who has long been away stays away is easy and useless.
    """

    def __init__(
        self,
        names: Sequence[str],
        fingerprint: str,
        horizon_days: float = 28.0,
        activity_days: float = 28.0,
        prior_precision: float = 30.0,
    ) -> None:
        self.names = tuple(names)
        self.fingerprint = fingerprint
        self.horizon_days = horizon_days
        self.activity_days = activity_days
        chosen = [place for place, name in enumerate(names) if name not in _LEFT_OUT]
        self._columns = np.array(chosen, dtype=np.intp)
        self._recency = self.names.index("rfm.recency")
        readings = tuple(self.names[place] for place in chosen)
        self.logit = BayesianLogit(
            prior_precision=prior_precision,
            intercept=BASE_LOGIT,
            straight=tuple(name for name in readings if not name.startswith(_BENDING)),
            names=readings,
        )
        self._progress = Progress()

    @property
    def name(self) -> str:
        """`churn`."""
        return CHURN

    @property
    def version(self) -> int:
        """How many examples it has learned."""
        return self.logit.learned

    def learn(self, examples: Sequence[Example]) -> None:
        """Learn matured examples in this order; those of other features are counted and left."""
        for example in examples:
            vector = numbers_of(example)
            if example.fingerprint != self.fingerprint or len(vector) != len(self.names):
                self._progress.foreign += 1
                continue
            step = self.logit.learn(vector[self._columns], example.label)
            if step is not None:
                active = float(vector[self._recency]) < self.activity_days
                self._progress.learned(step.probability, example.label, watched=active)

    def report(self) -> Report:
        """The figures of this moment."""
        return self._progress.report(CHURN, self.version, self.logit.unlearnable)

    def state(self) -> State:
        """Everything that influences what comes next."""
        inner = self.logit.state()
        return State(
            arrays={**inner.arrays, **self._progress.arrays()},
            facts={**inner.facts, **self._progress.facts(), "fingerprint": self.fingerprint, "terms": self._terms()},
        )

    def from_state(self, state: State) -> Self:
        """A learner of the same make that continues from a state."""
        if state.facts.get("fingerprint") != self.fingerprint or state.facts.get("terms") != self._terms():
            raise SnapshotMismatch("this churn state is of other features, another horizon or another activity window")
        fresh = type(self)(self.names, self.fingerprint, self.horizon_days, self.activity_days, self.logit.prior_precision)
        fresh.logit = self.logit.from_state(state)
        fresh._progress = Progress.from_state(state)
        return fresh

    def publish(self) -> Snapshot:
        """Weights and standardisation; the report rides along."""
        logit = self.logit
        return Snapshot(
            name=CHURN,
            version=self.version,
            fingerprint=self.fingerprint,
            arrays={
                "weights": logit.weights,
                "mean": logit.mean,
                "deviation": logit.deviation,
                "variances": logit.variances,
            },
            facts={
                **shape_facts(logit.layout),
                "horizon_days": self.horizon_days,
                "activity_days": self.activity_days,
                "positives": self._progress.positives,
            },
            carried={"report": msgspec.to_builtins(self.report())},
        )

    def _terms(self) -> list[float]:
        return [self.horizon_days, self.activity_days]
