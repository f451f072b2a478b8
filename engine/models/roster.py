"""Every model that learns, one line each. A new model is its learner and its line here.

A line may say whose examples its learner listens to, so that a challenger learns from exactly what the champion is given.
"""

from collections.abc import Callable, Mapping

import msgspec

from engine.models.adagrad import CHURN_ADAGRAD, AdaGradLearner
from engine.models.base import Learner
from engine.models.churn import ChurnLearner
from engine.models.defection import DEFECTION, Defection
from engine.models.drift import TOLERANCE
from engine.models.lifetime_value import LIFETIME_VALUE, LifetimeValueLearner
from engine.models.next_best_offer import NextBestOfferLearner
from engine.models.purchase import PurchaseLearner
from engine.models.scoring import CHURN, NEXT_BEST_OFFER, PURCHASE, PURCHASE_DAYS, arm_fingerprint


class Inputs(msgspec.Struct, frozen=True):
    """What the examples hold: names of readings in their order, with the fingerprint of the customer's."""

    customer_names: tuple[str, ...]
    customer_fingerprint: str
    offer_names: tuple[str, ...] = ()
    cross_names: tuple[str, ...] = ("affinity.rule_logit",)
    churn_horizon_days: float = 28.0
    churn_activity_days: float = 28.0

    @property
    def arm_fingerprint(self) -> str:
        """The fingerprint of an arm's vector."""
        return arm_fingerprint(self.customer_fingerprint, self.offer_names, self.cross_names)


def _churn(inputs: Inputs) -> Learner:
    return ChurnLearner(inputs.customer_names, inputs.customer_fingerprint, inputs.churn_horizon_days, inputs.churn_activity_days)


def _churn_adagrad(inputs: Inputs) -> Learner:
    return AdaGradLearner(
        inputs.customer_names, inputs.customer_fingerprint, inputs.churn_horizon_days, inputs.churn_activity_days
    )


def _purchase(inputs: Inputs) -> Learner:
    return PurchaseLearner(
        inputs.customer_names, inputs.customer_fingerprint, PURCHASE_DAYS, activity_days=inputs.churn_activity_days
    )


def _defection(inputs: Inputs) -> Learner:
    return Defection(inputs.customer_names, inputs.customer_fingerprint, inputs.churn_horizon_days)


def _next_best_offer(inputs: Inputs) -> Learner:
    return NextBestOfferLearner(inputs.customer_names, inputs.offer_names, inputs.cross_names, inputs.arm_fingerprint)


def _lifetime_value(inputs: Inputs) -> Learner:  # noqa: ARG001
    return LifetimeValueLearner()


class Line(msgspec.Struct, frozen=True):
    """How a learner is made, and the name of the examples that it listens to: its own where nothing is said.

    `tolerance` is the factor by which the odds of its labels may differ from what it says before that is drift. `overlap`
    is how many labels of one customer say partly the same thing, since their horizons overlap.
    """

    make: Callable[[Inputs], Learner]
    listens: str = ""
    tolerance: float = TOLERANCE
    overlap: float = 1.0

    def __call__(self, inputs: Inputs) -> Learner:
        """A fresh learner."""
        return self.make(inputs)


ROSTER: Mapping[str, Line] = {
    CHURN: Line(_churn, overlap=4.0),
    CHURN_ADAGRAD: Line(_churn_adagrad, listens=CHURN, overlap=4.0),
    PURCHASE: Line(_purchase),
    NEXT_BEST_OFFER: Line(_next_best_offer, tolerance=2.0),
    DEFECTION: Line(_defection, listens=CHURN),
    LIFETIME_VALUE: Line(_lifetime_value),
}

LISTENS: Mapping[str, str] = {name: line.listens or name for name, line in ROSTER.items()}
"""Of each model, the name of the examples it learns."""


def learners(inputs: Inputs) -> dict[str, Learner]:
    """A fresh learner of every model, by name, in the order of the roster."""
    return {name: make(inputs) for name, make in ROSTER.items()}
