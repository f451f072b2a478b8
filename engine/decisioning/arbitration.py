"""Which one of the eligible offers: drawn, so that it can be learned from, and with the exact probability of the draw.

Inverse-gap weighting: with K arms, values v and the best value b, an arm other than the best has the weight
1 / (K + γ · (b − v) / |b|) and the best one the rest; equally good ones share it. Gaps are shares of the best value, so
γ means the same whatever a margin is. Of the result 1 − ε is kept and ε is spread evenly.

What drawing costs is known before it is done: the expected loss against always taking the best arm is the sum of
propensity × (b − v), by the same values that are drawn by. A budget bounds it, as a share of b: where the draw would cost
more, it is made only in a share λ of the cases (budget ÷ loss) and the best arm is taken in the others. So no arm is ever
less likely than λε/K. The bound holds for every single draw, hence for any number of them, in any placement and period and
however many processes draw: there is no account to keep, to share or to overdraw. Lower places of a slate are bound in
the same way among the arms that are left, and since the best one left is never worse than what taking the best throughout
would put there, the whole slate is expected to lose no more than that share either.

A slate is drawn without replacement from the top; each propensity is conditional on what stands above. The draw is the
last thing that happens: nothing after it drops or moves an offer. It is a hash of decision, attempt, placement and
position, so the same decision draws the same offers in any process and for ever.

A model explores less the more it has learned: its γ grows with the square root of the labels behind it, which is the
schedule under which the cost of exploring stays of the order of √(K · labels). Who never learns keeps the γ of the policy.

Source: Foster & Rakhlin (2020), "Beyond UCB: optimal and efficient contextual bandits with regression oracles", ICML.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import sqrt
from typing import assert_never

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from engine.decisioning.policy import Arbitration
from engine.ids import unit_interval

FloatArray = NDArray[np.float64]


LEAST_UNIT = 1e-12
LABELS_TO_SHARPEN = 1_000
"""At so many labels the γ of a learning model has grown by √2."""


def sharpened(arbitration: Arbitration, labels: int) -> Arbitration:
    """The arbitration of a model that has learned from so many labels."""
    return replace(arbitration, gamma=arbitration.gamma * sqrt(1.0 + labels / LABELS_TO_SHARPEN)) if labels else arbitration


def propensities(values: FloatArray, arbitration: Arbitration) -> FloatArray:
    """The probability of each arm; they sum to one and none is below λε/K. At least one arm."""
    weights, gaps = _weights(values, arbitration)
    leaders = gaps == 0.0
    weights[leaders] += (1.0 - weights.sum()) / np.count_nonzero(leaders)
    epsilon = _evenly(arbitration)
    drawn = weights * (1.0 - epsilon) + epsilon / len(values)
    share = _affordable(float(drawn @ gaps), arbitration.loss_budget)
    return np.asarray(drawn * share + leaders * ((1.0 - share) / np.count_nonzero(leaders)))


def expected_loss(values: FloatArray, arbitration: Arbitration) -> float:
    """What a draw is expected to give up against the best arm, in the unit of the values."""
    return float(propensities(values, arbitration) @ (values.max() - values))


class Drawn(Struct, frozen=True):
    """An arm with its propensity, what the draw was expected to lose against the best arm, and what that is worth."""

    arm: int
    propensity: float
    loss: float = 0.0
    best: float = 0.0


def draw(values: FloatArray, arbitration: Arbitration, point: float) -> Drawn:
    """The arm on which a point of [0, 1] falls.

    Equal to laying `propensities` end to end in another order, but nothing is computed for arms that are not drawn: of the
    points that the budget affords a share ε is spread evenly, the others fall on the weights, and what the weights
    leave, like all that the budget does not afford, is the leaders'.
    """
    weights, gaps = _weights(values, arbitration)
    leaders = (gaps == 0.0).nonzero()[0].tolist()
    return _falls_on(values, weights, _sums(weights, gaps), leaders, arbitration, point)


def draw_all(values: FloatArray, starts: Sequence[int], arbitration: Arbitration, points: Sequence[float]) -> list[Drawn]:
    """`draw` for several, whose values lie one behind the other and begin at `starts`; for each what it would be alone."""
    ends = [*starts[1:], len(values)]
    sizes = np.subtract(ends, starts)
    best = np.maximum.reduceat(values, starts)
    gaps: FloatArray = best.repeat(sizes) - values
    gaps /= np.maximum(np.abs(best), LEAST_UNIT).repeat(sizes)
    weights = _weighted(gaps, sizes.repeat(sizes), arbitration)
    leading = (gaps == 0.0).nonzero()[0]
    bounds = [*leading.searchsorted(starts).tolist(), len(leading)]
    leaders = (leading - np.array(starts).repeat(np.diff(bounds))).tolist()
    if sizes.min() == sizes.max():
        sums = _sums_of_rows(weights.reshape(len(starts), -1), gaps.reshape(len(starts), -1))
    else:
        sums = [_sums(weights[start:end], gaps[start:end]) for start, end in zip(starts, ends, strict=True)]
    drawn = []
    for at, (start, end, own, point) in enumerate(zip(starts, ends, sums, points, strict=True)):
        ahead = leaders[bounds[at] : bounds[at + 1]]
        drawn.append(_falls_on(values[start:end], weights[start:end], own, ahead, arbitration, point))
    return drawn


Sums = tuple[float, float, FloatArray]
"""Of all arms: weights × gaps, gaps, and how far the weights reach, arm by arm."""


def _sums(weights: FloatArray, gaps: FloatArray) -> Sums:
    return float(weights @ gaps), float(np.add.reduce(gaps)), np.add.accumulate(weights)


def _sums_of_rows(weights: FloatArray, gaps: FloatArray) -> Iterable[Sums]:
    """`_sums` of each row, to the last bit."""
    return zip(
        np.vecdot(weights, gaps).tolist(),
        np.add.reduce(gaps, axis=1).tolist(),
        np.add.accumulate(weights, axis=1),
        strict=True,
    )


def _falls_on(
    values: FloatArray, weights: FloatArray, sums: Sums, leaders: Sequence[int], arbitration: Arbitration, point: float
) -> Drawn:
    size = len(values)
    epsilon = _evenly(arbitration)
    weighted, gaps, reached = sums
    loss = (1.0 - epsilon) * weighted + epsilon * gaps / size
    share = _affordable(loss, arbitration.loss_budget)
    total = float(reached[-1])
    if point >= share:
        arm = _one_of(leaders, (point - share) / (1.0 - share) if share < 1.0 else 0.0)
    elif point < epsilon * share:
        arm = min(int(point / (epsilon * share) * size), size - 1)
    else:
        point = (point / share - epsilon) / (1.0 - epsilon)
        if point < total:
            arm = min(int(reached.searchsorted(point, side="right")), size - 1)
        else:
            arm = _one_of(leaders, (point - total) / (1.0 - total) if total < 1.0 else 0.0)
    own = float(weights[arm])
    left = 0.0
    if arm in leaders:
        own += (1.0 - total) / len(leaders)
        left = (1.0 - share) / len(leaders)
    best = float(values[leaders[0]])
    return Drawn(arm, (own * (1.0 - epsilon) + epsilon / size) * share + left, share * loss * _unit(best), best)


def _one_of(leaders: Sequence[int], share: float) -> int:
    return leaders[min(int(share * len(leaders)), len(leaders) - 1)]


def _weights(values: FloatArray, arbitration: Arbitration) -> tuple[FloatArray, FloatArray]:
    """1 / (K + γ · gap) for every arm, which sums to at most one, and the gaps as shares of the best value."""
    best = float(values[values.argmax()])
    gaps: FloatArray = best - values
    gaps /= _unit(best)
    return _weighted(gaps, len(values), arbitration), gaps


def _weighted(gaps: FloatArray, arms: NDArray[np.intp] | int, arbitration: Arbitration) -> FloatArray:
    weights = gaps * arbitration.gamma
    weights += arms
    return np.divide(1.0, weights, weights)


def _unit(best: float) -> float:
    """What gaps are shares of."""
    return max(abs(best), LEAST_UNIT)


def _evenly(arbitration: Arbitration) -> float:
    """The share of draws that is spread evenly."""
    match arbitration.kind:
        case "uniform":
            return 1.0
        case "inverse_gap":
            return arbitration.epsilon
        case other:
            assert_never(other)


def _affordable(loss: float, budget: float) -> float:
    """In which share of the cases a draw may be made that loses so much; a budget of 1 sets no bound."""
    return budget / loss if loss > budget and budget < 1.0 else 1.0


def point_of(seed: tuple[str, ...], position: int) -> float:
    """Where the draw for a place falls; `seed` is decision, attempt and placement."""
    return unit_interval(*seed, str(position))


def slate(
    values: FloatArray,
    count: int,
    arbitration: Arbitration,
    seed: tuple[str, ...],
    first_position: int,
    still_open: Callable[[], NDArray[np.bool_] | None],
    drawn: Drawn | None = None,
) -> Iterator[Drawn]:
    """Arms with their conditional propensities, best place first.

    There is at least one arm. `still_open` is asked after each choice which arms it leaves open; None is all the others.
    `drawn` is the first one where it has been drawn already, by `draw_all`.
    """
    drawn = drawn or draw(values, arbitration, point_of(seed, first_position))
    yield drawn
    if count == 1:
        return
    arms = np.arange(len(values))
    place = drawn.arm
    for position in range(first_position + 1, first_position + count):
        arms = np.delete(arms, place)
        left = still_open()
        if left is not None:
            arms = arms[left[arms]]
        if not len(arms):
            return
        drawn = draw(values[arms], arbitration, point_of(seed, position))
        place = drawn.arm
        yield replace(drawn, arm=int(arms[place]))
