"""Churn: the probability that a customer makes no purchase within the churn horizon."""

from collections.abc import Sequence

from engine.models.horizon import PRIOR_PRECISION, HorizonLearner
from engine.models.scoring import CHURN


class ChurnLearner(HorizonLearner):
    """Label 1: nothing was bought from the boundary until the horizon. It starts at about one customer in eight."""

    MODEL = CHURN
    BASE_LOGIT = -2.0

    def __init__(
        self,
        names: Sequence[str],
        fingerprint: str,
        horizon_days: float = 28.0,
        activity_days: float = 28.0,
        prior_precision: float = PRIOR_PRECISION,
    ) -> None:
        super().__init__(names, fingerprint, horizon_days, activity_days, prior_precision)
