"""What learning one example and ranking many offers costs, in multiples of the arithmetic that they cannot do without.

Learning: the churn learner of the roster takes a closed example as it comes out of the stream (decoding its readings, the bends,
the standardisation, the window of its own figures), beside a plain numpy rank-1 update of the same width and River's logistic
regression on the same readings. Ranking: the probabilities of all offers of a placement for one customer, from readings as they
are, beside a plain numpy dot over the finished inputs of each offer, and River's answer for one offer as often.

Times are CPU microseconds, in turns within one run; a ratio is the median of the rounds'.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from river import linear_model, optim, preprocessing

from engine.decisioning.offer_features import OFFER_NAMES
from engine.errors import InvariantBroken
from engine.features.affinity import CROSS_NAMES, Promotions, cross_all, strange
from engine.features.vector import FINGERPRINT, NAMES
from engine.models.base import Example, recorded
from engine.models.churn import ChurnLearner
from engine.models.expansion import inputs, standardised
from engine.models.next_best_offer import NextBestOfferLearner
from engine.models.scoring import CHURN, NEXT_BEST_OFFER, Known, OfferScorer, arm_fingerprint
from engine.models.snapshot import Numbers
from engine.models.terms import probability_by, probability_of
from engine.moments import DAY, Millis
from engine.profiles.habits import Habits
from engine.profiles.profile import Part
from engine.profiles.purchases import CATEGORY_HALF_LIFE_DAYS, Purchases

KINDS: Final = 300
"""Sets of promoted categories: offers for the same goods share what is read of a customer and them."""

OFFERS: Final = (1_000, 10_000)
BOUGHT: Final = 93
"""In how many categories the customer has bought: the median of a household of the Complete Journey after its year, of 302."""

EXAMPLES: Final = 600
_NEW: Final = ""
_CHANCE: Final = np.random.default_rng(11)

Work = Callable[[], object]


def examples(count: int) -> list[Example]:
    """Closed examples of readings of no shop in particular; about one in eight stays away."""
    vectors = _CHANCE.gamma(1.5, 4.0, (count, len(NAMES)))
    labels = _CHANCE.random(count) < 0.12
    return [
        Example(CHURN, f"e-{place}", f"u:{place}", 0, 1, float(label), FINGERPRINT, recorded(vector))
        for place, (vector, label) in enumerate(zip(vectors, labels, strict=True))
    ]


def learning(told: list[Example]) -> tuple[dict[str, Work], int]:
    """What is done with all examples, by name, and how wide the learner is."""
    learner = ChurnLearner(NAMES, FINGERPRINT)
    learner.learn(told)
    width = learner.logit.layout.width
    inputs, labels = _CHANCE.normal(0.0, 1.0, (len(told), width)), np.array([one.label for one in told])
    named = [dict(zip(NAMES, one.tolist(), strict=True)) for one in _CHANCE.normal(0.0, 1.0, (len(told), len(NAMES)))]
    plain = Plain(width)

    def river(optimiser: optim.base.Optimizer) -> Work:
        model = river_pipeline(optimiser)

        def learn() -> None:
            for readings, label in zip(named, labels, strict=True):
                model.learn_one(readings, bool(label))

        return learn

    def rank_one() -> None:
        for a, label in zip(inputs, labels, strict=True):
            plain.learn(a, label)

    return {
        "ours": lambda: learner.learn(told),
        "numpy rank-1 update": rank_one,
        "River AdaGrad": river(optim.AdaGrad(0.03)),
        "River SGD": river(optim.SGD(0.01)),
    }, width


class Plain:
    """Bayesian logistic regression as a textbook writes it in numpy: one product and one correction of rank one."""

    def __init__(self, width: int) -> None:
        self.weights = np.zeros(width)
        self.covariance = np.eye(width) / 10.0

    def learn(self, a: Numbers, label: float) -> None:
        """One example."""
        s = self.covariance @ a
        p = 1.0 / (1.0 + math.exp(-float(self.weights @ a)))
        h = p * (1.0 - p)
        d = 1.0 + h * float(a @ s)
        self.weights += s * ((label - p) / d)
        self.covariance -= np.outer(s, s * (h / d))


def ranking(count: int) -> dict[str, Work]:
    """What is done for one customer and so many offers, by name; both come to the same probabilities."""
    names = [f"category {place}" for place in range(KINDS)]
    promotions = Promotions(
        [f"o-{place}" for place in range(count)], [[names[kind]] for kind in _CHANCE.integers(0, KINDS, count)]
    )
    crowd = promotions.popularity(dict(zip(names, _CHANCE.beta(0.5, 5.0, KINDS).tolist(), strict=True)))
    crossed = cross_all([shopper(names)], promotions, crowd, [Millis(300 * DAY)])
    customer = _CHANCE.gamma(1.5, 4.0, len(NAMES))
    offers = _CHANCE.random((count, len(OFFER_NAMES)))
    learner = learned()
    scorer = OfferScorer(learner.publish(), learner.fingerprint)
    prepared = scorer.prepare([_NEW] * count, offers)
    known = Known(scorer.strangers(strange(promotions, crowd)), crossed.kind, crossed.known)
    row = crossed.row[0]
    readings = np.hstack([np.tile(customer, (count, 1)), offers, crossed.rows[row]])
    logit = learner.logit
    every = np.ascontiguousarray(inputs(logit.layout, standardised(logit.layout, readings, logit.mean, logit.deviation)))
    weights = logit.weights

    def ours() -> Numbers:
        odds = scorer.odds(customer[None], crossed.rows, crossed.whose, known).take(row)
        odds *= prepared
        return probability_by(odds)

    if not np.allclose(ours(), probability_of(every @ weights), rtol=1e-9, atol=1e-12):
        raise InvariantBroken("the scorer and a plain dot disagree")
    return {
        "ours": ours,
        "numpy dot": lambda: every @ weights,
        "numpy dot, then probabilities": dot_and_probabilities(every, weights),
    }


def dot_and_probabilities(every: Numbers, weights: Numbers) -> Work:
    """The dot, and what it takes to be worth something: an offer's value is its margin times a probability."""
    return lambda: 1.0 / (1.0 + np.exp(-(every @ weights)))


def shopper(names: list[str]) -> Part:
    """A customer who bought in so many of the categories during the last months."""
    habits = Habits()
    for place in sorted(_CHANCE.choice(len(names), BOUGHT, replace=False).tolist()):
        for day in sorted(_CHANCE.uniform(0.0, 300.0, 1 + int(_CHANCE.geometric(0.2))).tolist()):
            habits = habits.seen((names[place],), round(day * DAY), CATEGORY_HALF_LIFE_DAYS)
    return Part(purchases=Purchases(categories=habits))


def learned() -> NextBestOfferLearner:
    """The offer model after some hundred examples."""
    name = arm_fingerprint(FINGERPRINT, OFFER_NAMES, CROSS_NAMES)
    learner = NextBestOfferLearner(NAMES, OFFER_NAMES, CROSS_NAMES, name)
    width = len(NAMES) + len(OFFER_NAMES) + len(CROSS_NAMES)
    learner.learn(
        [
            Example(
                NEXT_BEST_OFFER, f"x-{place}", f"u:{place}", 0, 1, float(_CHANCE.random() < 0.1), name,
                recorded(_CHANCE.normal(0.0, 1.0, width)), offer_id=f"o-{place % 50}",
            )
            for place in range(300)
        ]
    )  # fmt: skip
    return learner


def river_pipeline(optimiser: optim.base.Optimizer) -> Any:
    """River's scaler and logistic regression."""
    return preprocessing.StandardScaler() | linear_model.LogisticRegression(optimiser)


def river_one_offer() -> Work:
    """River's own answer for one offer."""
    model = river_pipeline(optim.AdaGrad(0.03))
    names = (*NAMES, *OFFER_NAMES, *CROSS_NAMES)
    readings = dict(zip(names, _CHANCE.normal(0.0, 1.0, len(names)).tolist(), strict=True))
    model.learn_one(readings, True)
    return lambda: model.predict_proba_one(readings)


def in_turns(works: dict[str, Work], rounds: int, each: int) -> dict[str, list[float]]:
    """CPU microseconds of one call, by name and round; the first round warms up and is not counted."""
    spent: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            began = time.process_time()
            for _ in range(each):
                work()
            if turn:
                spent[name].append((time.process_time() - began) / each * 1e6)
    return spent


def ratio(spent: dict[str, list[float]], name: str, to: str) -> float:
    """The median over rounds of one time divided by another."""
    return median(one / other for one, other in zip(spent[name], spent[to], strict=True))


def measured(rounds: int) -> dict[str, dict[str, float]]:
    """All figures: microseconds by name and ratios."""
    told = examples(EXAMPLES)
    works, width = learning(told)
    spent = in_turns(works, rounds, 1)
    found: dict[str, dict[str, float]] = {
        "learn": {
            "width": float(width),
            **{name: median(times) / len(told) for name, times in spent.items()},
            "ours ÷ numpy": ratio(spent, "ours", "numpy rank-1 update"),
            "ours ÷ River AdaGrad": ratio(spent, "ours", "River AdaGrad"),
        }
    }
    one = median(in_turns({"River": river_one_offer()}, rounds, 50)["River"])
    for count in OFFERS:
        spent = in_turns(ranking(count), rounds, max(200_000 // count, 20))
        found[f"rank {count:,}"] = {
            **{name: median(times) for name, times in spent.items()},
            "River AdaGrad, one by one": one * count,
            "ours ÷ numpy": ratio(spent, "ours", "numpy dot"),
            "ours ÷ numpy with probabilities": ratio(spent, "ours", "numpy dot, then probabilities"),
        }
    return found


def main() -> int:
    """0, or 1 where a ratio to numpy is more than asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--at-most", type=float, default=math.inf, help="the ratio to numpy that is still good")
    asked = parser.parse_args()
    found = measured(asked.rounds)
    for name, figures in found.items():
        print(name)
        for words, value in figures.items():
            unit = "" if "÷" in words or words == "width" else " µs"
            print(f"  {words:36}{value:12,.{0 if words == 'width' else 2}f}{unit}")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    return 0 if all(figures["ours ÷ numpy"] <= asked.at_most for figures in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
