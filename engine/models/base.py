"""What a learner is, what it is given, and what it says about itself.

An `Example` is a closed observation: the vector that was recorded when the customer was scored, and the label that
matured for it later. A learner never looks a feature up again, so it learns from exactly what was served.

Nothing here imports River, since the request path reads these types too.
"""

from collections.abc import Sequence
from typing import Protocol, Self

import msgspec
import numpy as np

from engine.models.snapshot import Numbers, Snapshot, State

_RECORDED = np.dtype("<f4")


class Example(msgspec.Struct, frozen=True, array_like=True):
    """One matured label with the vector that was recorded when it was still open.

    `id` is unique (`"u:42|1489104000000"`, `"d-01..|offer-3"`). Instants are epoch milliseconds. `vector` holds
    little-endian float32 numbers of the features that `fingerprint` names. `offer_id`, `propensity` (the probability
    with which the arm was chosen *then*) and `clicked` belong to offers alone.
    """

    model: str
    id: str
    customer: str
    opened_at: int
    closed_at: int
    label: float
    fingerprint: str
    vector: bytes
    offer_id: str = ""
    propensity: float = 1.0
    clicked: bool = False
    variation: str = ""


class Report(msgspec.Struct, frozen=True):
    """Plain facts about what a learner has learned so far.

    `log_loss`, `auc` and `base_rate` are progressive: each example is predicted with the weights of the moment before
    it is learned, and the last few thousand of those predictions are kept. None where there are too few to say.
    `unlearnable` counts examples whose numbers are not finite or whose label is neither 0 nor 1, `foreign` those of
    other features, `ignored` those that this model does not learn from on purpose.
    """

    model: str
    version: int = 0
    positives: int = 0
    unlearnable: int = 0
    foreign: int = 0
    ignored: int = 0
    window: int = 0
    log_loss: float | None = None
    auc: float | None = None
    base_rate: float | None = None
    calibration_error: float | None = None


class Learner(Protocol):
    """One model that learns matured examples one at a time.

    Deterministic: the same examples in the same order give bit-equal numbers, and `from_state(state())` continues
    exactly as the original would.
    """

    @property
    def name(self) -> str:
        """The name of the model, as examples and snapshots carry it."""
        ...

    @property
    def version(self) -> int:
        """How many examples it has learned."""
        ...

    def learn(self, examples: Sequence[Example]) -> None:
        """Take these examples in this order. Those of other models are not for it and must not be passed."""
        ...

    def report(self) -> Report:
        """The figures of this moment; costs a sort of the window."""
        ...

    def state(self) -> State:
        """Everything that influences what comes next."""
        ...

    def from_state(self, state: State) -> Self:
        """A learner of the same make that continues from a state; `SnapshotMismatch` if it is of another make."""
        ...

    def publish(self) -> Snapshot:
        """The numbers that serving needs."""
        ...


def recorded(vector: Numbers) -> bytes:
    """A vector as an example carries it. Exact for numbers that float32 can hold, which every reading is."""
    return np.asarray(vector, dtype=_RECORDED).tobytes()


def numbers_of(example: Example) -> Numbers:
    """The vector of an example, in the precision that learners compute in."""
    return np.frombuffer(example.vector, dtype=_RECORDED).astype(np.float64)
