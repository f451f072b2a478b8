"""The challenger of the churn model: River's own pipeline of a scaler and a logistic regression with AdaGrad steps.

It always learns beside the champion, from the same examples in the same order, and publishes numbers that the same scorer
serves. So the two are compared on what they would have said, and either can be served at once.

River keeps its state in dictionaries by name of a reading; here they are read out as arrays in the order of the names and
put back the same way, so a restored learner goes on to the same last bit.

Source: Duchi, Hazan & Singer (2011), "Adaptive subgradient methods for online learning and stochastic optimization",
Journal of Machine Learning Research 12, 2121-2159.
"""

from collections.abc import Sequence
from typing import Any, Final, Self

import msgspec
import numpy as np
from river.compose import FuncTransformer
from river.linear_model import LogisticRegression
from river.optim import AdaGrad
from river.preprocessing import StandardScaler
from river.utils import VectorDict

from engine.models.base import Example, Report, numbers_of
from engine.models.expansion import CLIP, layout_of, pulled
from engine.models.horizon import Newcomers, columns_of
from engine.models.progress import Progress
from engine.models.scoring import CHURN, shape_facts
from engine.models.snapshot import Numbers, Snapshot, SnapshotMismatch, State

CHURN_ADAGRAD: Final = "churn.adagrad"
STEP = 0.03
BASE_LOGIT = -2.0


def bounded(x: dict[str, float]) -> dict[str, float]:
    """Deviations beyond which a reading tells nothing more are cut off."""
    return {name: min(max(z, -CLIP), CLIP) for name, z in x.items()}


class AdaGradLearner:
    """`StandardScaler | bounded | LogisticRegression(AdaGrad(.03))` over the readings that the champion reads."""

    def __init__(
        self,
        names: Sequence[str],
        fingerprint: str,
        horizon_days: float = 28.0,
        activity_days: float = 28.0,
    ) -> None:
        self.names = tuple(names)
        self.fingerprint = fingerprint
        self.horizon_days = horizon_days
        self.activity_days = activity_days
        self._columns = columns_of(names)
        self._recency = self.names.index("rfm.recency")
        self.readings = tuple(self.names[place] for place in self._columns)
        self.scaler = StandardScaler()
        self.regression = LogisticRegression(AdaGrad(STEP), intercept_init=BASE_LOGIT)
        self.pipeline = self.scaler | FuncTransformer(bounded) | self.regression
        self.progress = Progress()
        self.newcomers = Newcomers(names)
        self._version = self._unlearnable = 0

    @property
    def name(self) -> str:
        """`churn.adagrad`."""
        return CHURN_ADAGRAD

    @property
    def version(self) -> int:
        """How many examples it has learned."""
        return self._version

    def learn(self, examples: Sequence[Example]) -> None:
        """Learn matured examples in this order; those of other features are counted and left."""
        for example in examples:
            vector = numbers_of(example)
            if example.fingerprint != self.fingerprint or len(vector) != len(self.names):
                self.progress.foreign += 1
                continue
            readings = vector[self._columns]
            if not np.isfinite(readings).all() or example.label not in (0.0, 1.0):
                self._unlearnable += 1
                continue
            x = self.told(readings)
            probability = self.pipeline.predict_proba_one(x)[True]
            self.pipeline.learn_one(x, example.label == 1.0)
            self._version += 1
            self.newcomers.learned(vector, example.label)
            self.progress.learned(probability, example.label, watched=float(vector[self._recency]) < self.activity_days)

    def told(self, readings: Numbers) -> dict[str, float]:
        """Chosen readings as River takes them."""
        return dict(zip(self.readings, pulled(readings).tolist(), strict=True))

    def loosen(self) -> None:
        """Become readier to follow: steps are as long again as when a quarter had been learned."""
        g2 = self.regression.optimizer.g2
        for name in g2:
            g2[name] /= 4.0

    def report(self) -> Report:
        """The figures of this moment."""
        return self.progress.report(CHURN_ADAGRAD, self.version, self._unlearnable)

    def state(self) -> State:
        """Everything that influences what comes next."""
        optimizer = self.regression.optimizer
        return State(
            arrays={
                "weights": self._numbers(self.regression.weights),
                "g2": self._numbers(optimizer.g2),
                "mean": self._numbers(self.scaler.means),
                "variance": self._numbers(self.scaler.vars),
                "intercept": np.array([self.regression.intercept]),
                **self.progress.arrays(),
            },
            facts={
                **self.progress.facts(),
                "fingerprint": self.fingerprint,
                "make": self._make(),
                "names": list(self.readings),
                "newcomers": self.newcomers.counts(),
                "learned": self._version,
                "unlearnable": self._unlearnable,
            },
        )

    def from_state(self, state: State) -> Self:
        """A learner of the same make that continues from a state."""
        facts = msgspec.convert(dict(state.facts), _Facts)
        if (facts.fingerprint, facts.make, facts.names) != (self.fingerprint, self._make(), self.readings):
            raise SnapshotMismatch(f"this {self.name} state is of other features, another horizon or another activity window")
        fresh = type(self)(self.names, self.fingerprint, self.horizon_days, self.activity_days)
        fresh.progress = Progress.from_state(state)
        fresh.newcomers.restore(state.facts["newcomers"])
        fresh._version, fresh._unlearnable = facts.learned, facts.unlearnable
        if facts.learned:
            fresh._put_back(state, facts.learned)
        return fresh

    def _put_back(self, state: State, learned: int) -> None:
        held = {name: dict(zip(self.readings, state.arrays[name].tolist(), strict=True)) for name in _BY_READING}
        self.scaler.counts.update(dict.fromkeys(self.readings, learned))
        self.scaler.means.update(held["mean"])
        self.scaler.vars.update(held["variance"])
        self.regression.intercept = float(state.arrays["intercept"][0])
        self.regression._weights = VectorDict(held["weights"])
        self.regression.optimizer.g2.update(held["g2"])
        self.regression.optimizer.n_iterations = learned

    def publish(self) -> Snapshot:
        """The numbers that the churn scorer serves: to it this is a model without bends."""
        variance = self._numbers(self.scaler.vars)
        seen = variance > 0.0
        weights = np.where(seen, self._numbers(self.regression.weights), 0.0)
        layout = layout_of(self.readings)
        return Snapshot(
            name=CHURN_ADAGRAD,
            version=self.version,
            fingerprint=self.fingerprint,
            arrays={
                "weights": np.concatenate([[self.regression.intercept], weights]),
                "mean": self._numbers(self.scaler.means),
                "deviation": np.sqrt(np.where(seen, variance, 1.0)),
            },
            facts={
                **shape_facts(layout),
                "horizon_days": self.horizon_days,
                "activity_days": self.activity_days,
                "positives": self.progress.positives,
                "newcomers": self.newcomers.counts(),
            },
            carried={"report": msgspec.to_builtins(self.report())},
        )

    def _numbers(self, held: Any) -> Numbers:
        return np.array([held.get(name, 0.0) for name in self.readings], dtype=np.float64)

    def _make(self) -> str:
        return repr((CHURN, self.horizon_days, self.activity_days, STEP, BASE_LOGIT))


_BY_READING = ("weights", "g2", "mean", "variance")


class _Facts(msgspec.Struct, frozen=True):
    fingerprint: str
    make: str
    names: tuple[str, ...]
    learned: int
    unlearnable: int
