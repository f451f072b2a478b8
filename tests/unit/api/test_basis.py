"""What decisions go by, put together."""

from pathlib import Path

import numpy as np

from api.basis import basis_of
from config.catalogue_files import load_catalogue
from engine.features.vector import INDEX, NAMES
from engine.models.bgnbd import BgNbd
from engine.models.lifetime_value import ValueScorer
from tests.integration.api_client import write_catalogue


def test_before_labels_mature_customers_are_taken_for_customers_of_this_shop(tmp_path: Path) -> None:
    loaded, value, newcomer = load_catalogue(write_catalogue(tmp_path)), ValueScorer(), np.zeros(len(NAMES))
    newcomer[INDEX["rfm.frequency"]] = 1.0
    value.buying = BgNbd(r=5.0, alpha=5.0, a=0.1, b=10.0)

    eager, unknown = basis_of(loaded, None, value=value), basis_of(loaded, None)

    assert eager.purchase.probability(newcomer) > unknown.purchase.probability(newcomer)
    assert eager.churn.probability(newcomer) < unknown.churn.probability(newcomer)
