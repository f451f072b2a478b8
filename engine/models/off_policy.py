"""What another way of choosing would have brought, from decisions that were drawn with known probabilities.

A decision that the other way would have made more often than the log counts for more: its weight is the probability that
the other way chooses what was chosen, over the propensity with which it was. `snips` needs nothing else and normalises by
the weights themselves. `doubly_robust` starts from a model of the reward and corrects it by what it missed: it is right if
either the model or the propensities are, and its interval is narrower the better the model is.

A verdict is refused where a few decisions would carry it.

Sources: Swaminathan & Joachims (2015), "The self-normalized estimator for counterfactual learning", NIPS; Dudik, Langford & Li
(2011), "Doubly robust policy evaluation and learning", ICML; Kong (1992), "A note on importance sampling using standardized
weights", University of Chicago technical report 348, for the effective sample.
"""

import math

import msgspec
import numpy as np

from engine.models.gate import ALPHA, margin_of_error
from engine.models.snapshot import Numbers

LEAST_EFFECTIVE = 0.10
LEAST_REWARDS = 300


class Verdict(msgspec.Struct, frozen=True):
    """The mean reward of a decision, with an interval that holds at all times at once.

    `effective` is the share of the decisions that the weights leave, `rewards` how many decisions brought anything, and
    `refused` why this is not to be relied on; empty where it is.
    """

    value: float = math.nan
    lower: float = math.nan
    upper: float = math.nan
    decisions: int = 0
    rewards: int = 0
    effective: float = 0.0
    refused: str = ""


def snips(weights: Numbers, rewards: Numbers, alpha: float = ALPHA) -> Verdict:
    """The self-normalised estimate. `weights` are target probability over propensity, one a decision."""
    total = float(weights.sum())
    if total <= 0.0:
        return Verdict(decisions=len(weights), refused="nothing that was decided would have been chosen")
    value = float(weights @ rewards) / total
    missed = weights * (rewards - value) * (len(weights) / total)
    return _verdict(value, missed, weights, rewards, alpha)


def doubly_robust(weights: Numbers, rewards: Numbers, modelled: Numbers, expected: Numbers, alpha: float = ALPHA) -> Verdict:
    """The doubly robust estimate.

    `modelled` is the reward that a model gives the chosen offer, `expected` what it gives the other way of choosing: the mean
    over the eligible offers by their target probabilities.
    """
    each = expected + weights * (rewards - modelled)
    value = float(each.mean()) if len(each) else math.nan
    return _verdict(value, each - value, weights, rewards, alpha)


def _verdict(value: float, missed: Numbers, weights: Numbers, rewards: Numbers, alpha: float) -> Verdict:
    count = len(weights)
    share = float(weights.sum()) ** 2 / float(weights @ weights) / count if count else 0.0
    paid = int(np.count_nonzero(rewards[weights > 0.0]))
    wide = margin_of_error(count, float(missed @ missed) / count, alpha / 2.0) if count else math.nan
    return Verdict(value, value - wide, value + wide, count, paid, share, _refusal(share, paid))


def _refusal(share: float, paid: int) -> str:
    if share < LEAST_EFFECTIVE:
        return f"the effective sample is {share:.1%} of the decisions, at least {LEAST_EFFECTIVE:.0%} is needed"
    if paid < LEAST_REWARDS:
        return f"{paid} decisions brought a reward, at least {LEAST_REWARDS} are needed"
    return ""
