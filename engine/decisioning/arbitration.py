"""Which one of the eligible offers: drawn, so that it can be learned from, and with the exact probability of the draw.

Inverse-gap weighting: with K arms, values v and the best value b, an arm other than the best has the weight
1 / (K + γ · (b − v) / |b|) and the best one the rest; equally good ones share it. Gaps are shares of the best value, so
γ means the same whatever a margin is. Of the result 1 − ε is kept and ε is spread evenly: no arm is ever less likely
than ε/K, which bounds the weights of every estimate that is made from the log.

A slate is drawn without replacement from the top; each propensity is conditional on what stands above. The draw is the
last thing that happens: nothing after it drops or moves an offer. It is a hash of decision, attempt, placement and
position, so the same decision draws the same offers in any process and for ever.

Source: Foster & Rakhlin (2020), "Beyond UCB: optimal and efficient contextual bandits with regression oracles", ICML.
"""

from collections.abc import Callable, Iterator
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from engine.decisioning.policy import Arbitration
from engine.ids import unit_interval

FloatArray = NDArray[np.float64]


def propensities(values: FloatArray, arbitration: Arbitration) -> FloatArray:
    """The probability of each arm; they sum to one and none is below ε/K. At least one arm."""
    size = len(values)
    match arbitration.kind:
        case "uniform":
            return np.full(size, 1.0 / size)
        case "inverse_gap":
            return _inverse_gap(values, size, arbitration.gamma, arbitration.epsilon)
        case other:
            assert_never(other)


def _inverse_gap(values: FloatArray, size: int, gamma: float, epsilon: float) -> FloatArray:
    leader = int(values.argmax())
    best = float(values[leader])
    weights: FloatArray = best - values
    weights *= gamma / max(abs(best), 1e-12)
    weights += size
    leaders = weights == size
    np.divide(1.0, weights, weights)
    rest = 1.0 - float(np.add.reduce(weights))
    equals = int(np.count_nonzero(leaders))
    if equals == 1:
        weights[leader] += rest
    else:
        weights[leaders] += rest / equals
    weights *= 1.0 - epsilon
    weights += epsilon / size
    return weights


def draw(weights: FloatArray, point: float) -> int:
    """The arm on which a point of [0, 1) falls when the weights are laid end to end."""
    reached = np.add.accumulate(weights)
    return min(int(reached.searchsorted(point * float(reached[-1]), side="right")), len(weights) - 1)


def slate(
    values: FloatArray,
    count: int,
    arbitration: Arbitration,
    seed: tuple[str, ...],
    first_position: int,
    still_open: Callable[[], NDArray[np.bool_] | None],
) -> Iterator[tuple[int, float]]:
    """Arms with their conditional propensities, best place first.

    There is at least one arm. `still_open` is asked after each choice which arms it leaves open; None is all the others.
    """
    weights = propensities(values, arbitration)
    chosen = draw(weights, unit_interval(*seed, str(first_position)))
    yield chosen, float(weights[chosen])
    if count == 1:
        return
    arms = np.arange(len(values))
    for position in range(first_position + 1, first_position + count):
        arms = np.delete(arms, chosen)
        left = still_open()
        if left is not None:
            arms = arms[left[arms]]
        if not len(arms):
            return
        weights = propensities(values[arms], arbitration)
        chosen = draw(weights, unit_interval(*seed, str(position)))
        yield int(arms[chosen]), float(weights[chosen])
