"""Which one of the eligible offers: drawn, so that it can be learned from, and with the exact probability of the draw.

Inverse-gap weighting: with K arms, values v and the best value b, an arm other than the best has the weight
1 / (K + γ · (b − v) / |b|) and the best one the rest; equally good ones share it. Gaps are shares of the best value, so
γ means the same whatever a margin is. Of the result 1 − ε is kept and ε is spread evenly: no arm is ever less likely
than ε/K, which bounds the weights of every estimate that is made from the log.

A slate is drawn without replacement from the top; each propensity is conditional on what stands above. The draw is the
last thing that happens: nothing after it drops or moves an offer. It is a hash of decision, attempt, placement and
position, so the same decision draws the same offers in any process and for ever.

A model explores less the more it has learned: its γ grows with the square root of the labels behind it, which is the
schedule under which the cost of exploring stays of the order of √(K · labels). Who never learns keeps the γ of the policy.

Source: Foster & Rakhlin (2020), "Beyond UCB: optimal and efficient contextual bandits with regression oracles", ICML.
"""

from collections.abc import Callable, Iterator
from math import sqrt
from typing import assert_never

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from engine.decisioning.policy import Arbitration
from engine.ids import unit_interval

FloatArray = NDArray[np.float64]


LABELS_TO_SHARPEN = 1_000
"""At so many labels the γ of a learning model has grown by √2."""


def sharpened(arbitration: Arbitration, labels: int) -> Arbitration:
    """The arbitration of a model that has learned from so many labels."""
    return replace(arbitration, gamma=arbitration.gamma * sqrt(1.0 + labels / LABELS_TO_SHARPEN)) if labels else arbitration


def propensities(values: FloatArray, arbitration: Arbitration) -> FloatArray:
    """The probability of each arm; they sum to one and none is below ε/K. At least one arm."""
    size = len(values)
    match arbitration.kind:
        case "uniform":
            return np.full(size, 1.0 / size)
        case "inverse_gap":
            weights, best = _weights(values, arbitration.gamma)
            leaders = values == best
            weights[leaders] += (1.0 - weights.sum()) / np.count_nonzero(leaders)
            return np.asarray(weights * (1.0 - arbitration.epsilon) + arbitration.epsilon / size)
        case other:
            assert_never(other)


def draw(values: FloatArray, arbitration: Arbitration, point: float) -> tuple[int, float]:
    """The arm on which a point of [0, 1] falls, with its propensity.

    Equal to laying `propensities` end to end, but nothing is computed for arms that are not drawn: a share ε of the
    points is spread evenly, the others fall on the weights, and what the weights leave is the leaders'.
    """
    size = len(values)
    epsilon = arbitration.epsilon if arbitration.kind == "inverse_gap" else 1.0
    if epsilon == 1.0:
        return min(int(point * size), size - 1), 1.0 / size
    weights, best = _weights(values, arbitration.gamma)
    reached = np.add.accumulate(weights)
    total = float(reached[-1])
    if point < epsilon:
        arm = min(int(point / epsilon * size), size - 1)
    else:
        point = (point - epsilon) / (1.0 - epsilon)
        if point < total:
            arm = min(int(reached.searchsorted(point, side="right")), size - 1)
        else:
            leaders = (values == best).nonzero()[0]
            share = (point - total) / (1.0 - total) if total < 1.0 else 0.0
            arm = int(leaders[min(int(share * len(leaders)), len(leaders) - 1)])
    own = float(weights[arm])
    if values[arm] == best:
        own += (1.0 - total) / int(np.count_nonzero(values == best))
    return arm, own * (1.0 - epsilon) + epsilon / size


def _weights(values: FloatArray, gamma: float) -> tuple[FloatArray, float]:
    """1 / (K + γ · gap) for every arm, which sums to at most one, and the best value."""
    best = float(values[values.argmax()])
    weights: FloatArray = best - values
    weights *= gamma / max(abs(best), 1e-12)
    weights += len(values)
    return np.divide(1.0, weights, weights), best


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
    arm, propensity = draw(values, arbitration, unit_interval(*seed, str(first_position)))
    yield arm, propensity
    if count == 1:
        return
    arms = np.arange(len(values))
    place = arm
    for position in range(first_position + 1, first_position + count):
        arms = np.delete(arms, place)
        left = still_open()
        if left is not None:
            arms = arms[left[arms]]
        if not len(arms):
            return
        place, propensity = draw(values[arms], arbitration, unit_interval(*seed, str(position)))
        yield int(arms[place]), propensity
