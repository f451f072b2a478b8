"""Gamma-gamma: how much a customer spends on average, drawn towards everybody's average while little is known.

The model says: a customer's purchases are gamma distributed around a mean of their own, and those means vary over
customers in a way of which three numbers tell: `p`, `q` and `v`. What to expect of a customer is a weighted mean of theirs and
of everybody's, the weight of theirs growing with every purchase.

Source: Fader & Hardie (2013), "The Gamma-Gamma Model of Monetary Value", note 25 at brucehardie.com.
"""

import msgspec
import numpy as np

from engine.models.snapshot import Numbers

_SHIFT = 6
_STIRLING = (1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0)
_DIGAMMA = (1.0 / 12.0, -1.0 / 120.0, 1.0 / 252.0, -1.0 / 240.0)


class GammaGamma(msgspec.Struct, frozen=True):
    """The three numbers of a population; `v` is an amount, in the unit in which means are given."""

    p: float = 4.0
    q: float = 4.0
    v: float = 2_000.0


def expected_spend(model: GammaGamma, purchases: int, mean: float) -> float:
    """What the customer's next purchase is expected to come to, after so many purchases of this mean."""
    return model.p * (model.v + purchases * mean) / max(model.p * purchases + model.q - 1.0, 1e-6)


def log_likelihood(model: GammaGamma, purchases: Numbers, mean: Numbers) -> Numbers:
    """The log-likelihood of each customer's mean, up to what does not depend on the model."""
    p, q, v = model.p, model.q, model.v
    shape = p * purchases
    constant = log_gamma(shape + q) - log_gamma(shape) - log_gamma(np.array(q)) + q * np.log(v)
    fits: Numbers = constant + shape * np.log(mean * purchases) - (shape + q) * np.log(v + mean * purchases)
    return fits


def slopes(model: GammaGamma, purchases: Numbers, mean: Numbers) -> Numbers:
    """The derivatives of each customer's log-likelihood by the logarithms of p, q and v: one row a customer."""
    p, q, v = model.p, model.q, model.v
    shape, total = p * purchases, mean * purchases
    both, share = digamma(shape + q), np.log(v + total)
    return np.stack(
        [
            shape * (both - digamma(shape) + np.log(total) - share),
            q * (both - digamma(np.array(q)) + np.log(v) - share),
            q - v * (shape + q) / (v + total),
        ],
        axis=1,
    )


def log_gamma(x: Numbers) -> Numbers:
    """The logarithm of the gamma function of positive numbers: Stirling's series, after six steps up."""
    x = np.asarray(x, dtype=np.float64)
    up = np.ones_like(x)
    for step in range(_SHIFT):
        up = up * (x + step)
    y = x + _SHIFT
    inverse = 1.0 / (y * y)
    series = sum(factor * inverse**power for power, factor in enumerate(_STIRLING))
    result: Numbers = (y - 0.5) * np.log(y) - y + 0.5 * np.log(2.0 * np.pi) + series / y - np.log(up)
    return result


def digamma(x: Numbers) -> Numbers:
    """The derivative of `log_gamma`."""
    x = np.asarray(x, dtype=np.float64)
    below = np.zeros_like(x)
    for step in range(_SHIFT):
        below = below + 1.0 / (x + step)
    y = x + _SHIFT
    inverse = 1.0 / (y * y)
    series = sum(factor * inverse**power for power, factor in enumerate(_DIGAMMA))
    result: Numbers = np.log(y) - 0.5 / y - inverse * series - below
    return result
