"""Purchase likelihood: the probability that a customer buys something within the next days.

It reads what churn reads at the same boundaries. The horizon is short, so labels mature within a week and the model
answers for itself three weeks before churn does.
"""

from collections.abc import Sequence

from engine.models.horizon import PRIOR_PRECISION, HorizonLearner
from engine.models.scoring import PURCHASE, PURCHASE_DAYS


class PurchaseLearner(HorizonLearner):
    """Label 1: something was bought from the boundary until the horizon. It starts at about two customers in five."""

    MODEL = PURCHASE
    BASE_LOGIT = -0.5

    def __init__(
        self,
        names: Sequence[str],
        fingerprint: str,
        horizon_days: float = PURCHASE_DAYS,
        activity_days: float = 28.0,
        prior_precision: float = PRIOR_PRECISION,
    ) -> None:
        super().__init__(names, fingerprint, horizon_days, activity_days, prior_precision)
