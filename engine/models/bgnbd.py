"""BG/NBD: how often a customer will buy again, from three numbers of what they bought so far.

The model says: while alive, a customer buys at random at a rate of their own; after each purchase they leave for good
with a probability of their own. Rates are gamma distributed over customers (shape `r`, scale `alpha`), leaving
probabilities beta (`a`, `b`). A customer is then completely described by `repeats` (purchases after the first), `last`
(time from the first purchase to the newest) and `age` (time from the first purchase to now). Units of time are free, but
`alpha` is in the same; the product uses days.

Each reading exists for one customer in plain `math`, since numpy takes fifty times as long for one, and for many in numpy.

P(alive) is 1 for everybody with a single purchase: it tells who has gone quiet for their own rhythm and is no
forecast of a purchase. For that use `buys_within`.

Source: Fader, Hardie & Lee (2005), "Counting Your Customers the Easy Way: An Alternative to the Pareto/NBD Model",
Marketing Science 24(2), 275-284. `buys_within` follows from its equation 4: given that a customer is alive, the rate is
gamma distributed with `r + repeats` and `alpha + age`.
"""

from math import exp, expm1, log, log1p

import msgspec
import numpy as np

from engine.models.snapshot import Numbers

_ENOUGH = 1e-13
_MOST_TERMS = 5_000


class BgNbd(msgspec.Struct, frozen=True):
    """The four numbers of a population. The defaults are of no population in particular: one that buys about monthly."""

    r: float = 0.5
    alpha: float = 20.0
    a: float = 0.6
    b: float = 3.0


def alive(model: BgNbd, repeats: int, last: float, age: float) -> float:
    """The probability that the customer has not left for good."""
    if repeats <= 0:
        return 1.0
    return 1.0 / (1.0 + exp(min(_log_odds_of_having_left(model, repeats, last, age), 700.0)))


def buys_within(model: BgNbd, repeats: int, last: float, age: float, span: float) -> float:
    """The probability of at least one purchase in the next `span`."""
    shape, scale = model.r + max(repeats, 0), model.alpha + age
    return -expm1(-shape * log1p(span / scale)) * alive(model, repeats, last, age)


def expected_purchases(model: BgNbd, repeats: int, last: float, age: float, span: float) -> float:
    """How many purchases to expect in the next `span`."""
    repeats = max(repeats, 0)
    z = span / (model.alpha + age + span)
    if z <= 0.0:
        return 0.0
    k, bound = model.a - 1.0, model.a + model.b + repeats
    fading = log1p(-z)
    flat = -fading if k == 0.0 else -expm1(k * fading) / k
    n, top = 1.0, model.a + model.b - 1.0 - model.r
    term = total = top * z
    while abs(term) > _ENOUGH * abs(total) and n < _MOST_TERMS:
        term *= (top + n) * (model.a + n - 1.0) / (bound + n - 1.0) * z / (n + 1.0)
        total += term
        n += 1.0
    return alive(model, repeats, last, age) * ((bound - 1.0) * flat - exp(k * fading) * total)


def alive_many(model: BgNbd, repeats: Numbers, last: Numbers, age: Numbers) -> Numbers:
    """`alive` of many customers."""
    bought = np.maximum(repeats, 1.0)
    odds = np.log(model.a / (model.b + bought - 1.0)) + (model.r + bought) * np.log((model.alpha + age) / (model.alpha + last))
    return np.where(repeats > 0, 1.0 / (1.0 + np.exp(np.minimum(odds, 700.0))), 1.0)


def buys_within_many(model: BgNbd, repeats: Numbers, last: Numbers, age: Numbers, span: float) -> Numbers:
    """`buys_within` of many customers."""
    chance = -np.expm1(-(model.r + repeats) * np.log1p(span / (model.alpha + age)))
    return chance * alive_many(model, repeats, last, age)


def expected_purchases_many(model: BgNbd, repeats: Numbers, last: Numbers, age: Numbers, span: float) -> Numbers:
    """`expected_purchases` of many customers."""
    z = span / (model.alpha + age + span)
    k, bound = model.a - 1.0, model.a + model.b + repeats
    fading = np.log1p(-z)
    flat = -fading if k == 0.0 else -np.expm1(k * fading) / k
    n, top = 1.0, model.a + model.b - 1.0 - model.r
    term = top * z
    total = term.copy()
    while bool(np.any(np.abs(term) > _ENOUGH * np.abs(total))) and n < _MOST_TERMS:
        term = term * ((top + n) * (model.a + n - 1.0) / (bound + n - 1.0) * z / (n + 1.0))
        total = total + term
        n += 1.0
    expected = alive_many(model, repeats, last, age) * ((bound - 1.0) * flat - np.exp(k * fading) * total)
    return np.maximum(expected, 0.0)


def log_likelihood(model: BgNbd, repeats: Numbers, last: Numbers, age: Numbers) -> Numbers:
    """The log-likelihood of each customer's history. `repeats` holds whole numbers."""
    r, alpha, a, b = model.r, model.alpha, model.a, model.b
    bought = repeats.astype(np.intp)
    steps = np.arange(int(bought.max(initial=0)), dtype=np.float64)
    rising = _summed(np.log(r + steps) + np.log(b + steps) - np.log(a + b + steps))[bought]
    still = -(r + repeats) * np.log(alpha + age)
    return rising + r * log(alpha) + np.logaddexp(still, _left(model, repeats, last))


def slopes(model: BgNbd, repeats: Numbers, last: Numbers, age: Numbers) -> Numbers:
    """The derivatives of each customer's log-likelihood by the logarithms of r, alpha, a and b: one row a customer."""
    r, alpha, a, b = model.r, model.alpha, model.a, model.b
    bought = repeats.astype(np.intp)
    steps = np.arange(int(bought.max(initial=0)), dtype=np.float64)
    together = _summed(1.0 / (a + b + steps))[bought]
    here = alive_many(model, repeats, last, age)
    gone = 1.0 - here
    return np.stack(
        [
            r * (_summed(1.0 / (r + steps))[bought] + log(alpha) - here * np.log(alpha + age) - gone * np.log(alpha + last)),
            r - alpha * (r + repeats) * (here / (alpha + age) + gone / (alpha + last)),
            gone - a * together,
            b * (_summed(1.0 / (b + steps))[bought] - together - gone / (b + np.maximum(repeats, 1.0) - 1.0)),
        ],
        axis=1,
    )


def _log_odds_of_having_left(model: BgNbd, repeats: int, last: float, age: float) -> float:
    return log(model.a / (model.b + repeats - 1.0)) + (model.r + repeats) * log((model.alpha + age) / (model.alpha + last))


def _left(model: BgNbd, repeats: Numbers, last: Numbers) -> Numbers:
    """The part of the likelihood where the customer left at the newest purchase; nobody leaves at the first."""
    left = np.log(model.a / (model.b + np.maximum(repeats, 1.0) - 1.0)) - (model.r + repeats) * np.log(model.alpha + last)
    return np.where(repeats > 0, left, -np.inf)


def _summed(values: Numbers) -> Numbers:
    """Running sums that begin with nothing: place n holds the sum of the first n."""
    return np.concatenate([[0.0], np.cumsum(values)])
