"""Gamma-gamma: its functions against the libraries of special functions, its slopes against differences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln, psi

from engine.models import spend
from engine.models.spend import GammaGamma

models = st.builds(GammaGamma, p=st.floats(0.3, 20.0), q=st.floats(1.2, 20.0), v=st.floats(1.0, 1e5))


@given(st.floats(1e-3, 1e6))
def test_special_functions_are_those_of_the_textbook(x: float) -> None:
    assert spend.log_gamma(np.array(x)) == pytest.approx(gammaln(x), rel=1e-9, abs=1e-9)
    assert spend.digamma(np.array(x)) == pytest.approx(psi(x), rel=1e-8, abs=1e-8)


@given(models, st.integers(1, 500), st.floats(1.0, 1e6))
def test_slopes_are_those_of_the_likelihood(model: GammaGamma, purchases: int, mean: float) -> None:
    facts, step = (np.array([float(purchases)]), np.array([mean])), 1e-5
    logs = np.log([model.p, model.q, model.v])

    for place, slope in enumerate(spend.slopes(model, *facts)[0]):
        moved = np.zeros(3)
        moved[place] = step
        above = spend.log_likelihood(GammaGamma(*np.exp(logs + moved).tolist()), *facts)[0]
        below = spend.log_likelihood(GammaGamma(*np.exp(logs - moved).tolist()), *facts)[0]
        assert slope == pytest.approx((above - below) / (2 * step), rel=1e-3, abs=1e-2)


@given(models, st.floats(1.0, 1e6))
def test_many_purchases_outweigh_what_everybody_spends(model: GammaGamma, mean: float) -> None:
    assert spend.expected_spend(model, 1_000_000, mean) == pytest.approx(mean, rel=0.02, abs=model.v / 1000)
