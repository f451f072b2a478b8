"""What a shop would use instead, on the rows and features of our own models: the anchors of `bench_models`.

Each anchor sees what our learner sees: at a boundary it may learn the examples that had closed by then and scores those
that were opened. What it is good at is granted to it: LightGBM is trained anew each week on everything so far, BG/NBD is fitted
to the purchases as they are at the boundary, AdaGrad gets its readings pulled by a logarithm and standardised.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from river import linear_model, optim, preprocessing

from engine.features.vector import INDEX, NAMES
from engine.models.base import Example, numbers_of
from engine.models.bgnbd import BgNbd, buys_within_many
from engine.models.expansion import pulled
from engine.models.snapshot import Numbers

TREES: Final[Mapping[str, Any]] = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 15,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "num_threads": 1,
    "deterministic": True,
    "force_col_wise": True,
    "verbosity": -1,
}
ROUNDS: Final = 125
"""Trees of a model. Fewer and more, deeper and shallower ones were no better on the rows of Complete Journey."""

ACTIVE_DAYS: Final = 28.0
"""Who bought within so many days is active; to foretell the others is easy."""

LEAST_LABELS: Final = 500
"""Before so many labels have closed trees are not grown; the rate so far is answered instead."""

BGNBD_EVERY: Final = 4
"""Boundaries between two fits of BG/NBD: its four numbers move little."""


class Rows(Struct, frozen=True, eq=False):
    """Examples in the order in which they were opened: readings as recorded, labels, and when each was opened and closed."""

    vectors: Numbers
    labels: Numbers
    opened_at: NDArray[np.int64]
    closed_at: NDArray[np.int64]

    def boundaries(self) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """At each boundary: the places of what had closed by then, and of what was opened."""
        for at in np.unique(self.opened_at):
            yield np.flatnonzero(self.closed_at <= at), np.flatnonzero(self.opened_at == at)


def rows_of(examples: Sequence[Example]) -> Rows:
    """Examples as arrays."""
    return Rows(
        np.array([numbers_of(one) for one in examples]),
        np.array([one.label for one in examples]),
        np.array([one.opened_at for one in examples], dtype=np.int64),
        np.array([one.closed_at for one in examples], dtype=np.int64),
    )


def recency_rule(rows: Rows) -> Numbers:
    """Days since the last purchase: no probability, only an order."""
    return np.asarray(rows.vectors[:, INDEX["rfm.recency"]])


def bg_nbd(rows: Rows, span_days: float, every: int = BGNBD_EVERY) -> Numbers:
    """The probability of no purchase within the span, by BG/NBD as `lifetimes` fits it to everybody at the boundary."""
    frequency, recency, tenure = (rows.vectors[:, INDEX[f"rfm.{name}"]] for name in ("frequency", "recency", "tenure"))
    repeats, last = np.maximum(frequency - 1.0, 0.0), np.maximum(tenure - recency, 0.0)
    last = np.where(repeats > 0, last, 0.0)
    scores = np.empty(len(rows.labels))
    fitted = BgNbd()
    for turn, (_, opened) in enumerate(rows.boundaries()):
        if turn % every == 0:
            fitted = _fitted(repeats[opened], last[opened], tenure[opened]) or fitted
        scores[opened] = 1.0 - buys_within_many(fitted, repeats[opened], last[opened], tenure[opened], span_days)
    return scores


def weekly_trees(rows: Rows, every: int = 1) -> Numbers:
    """LightGBM, trained at each boundary (or each `every`-th) on everything that had closed."""
    trees = quiet_import("lightgbm")
    scores = np.empty(len(rows.labels))
    model: Any = None
    for turn, (closed, opened) in enumerate(rows.boundaries()):
        if len(closed) >= LEAST_LABELS and (model is None or turn % every == 0) and 0 < rows.labels[closed].mean() < 1:
            model = trees.train(dict(TREES), trees.Dataset(rows.vectors[closed], rows.labels[closed]), ROUNDS)
        rate = float(rows.labels[closed].mean()) if len(closed) else 0.5
        scores[opened] = model.predict(rows.vectors[opened]) if model is not None else rate
    return scores


def river_adagrad(rows: Rows, step: float = 0.03) -> Numbers:
    """River's StandardScaler and LogisticRegression with AdaGrad, one example after the other in the order of closing."""
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.AdaGrad(step))
    readings = pulled(rows.vectors)
    scores = np.empty(len(rows.labels))
    order, learned = np.argsort(rows.closed_at, kind="stable"), 0
    for closed, opened in rows.boundaries():
        for place in order[learned : len(closed)]:
            model.learn_one(_named(readings[place]), bool(rows.labels[place]))
        learned = len(closed)
        scores[opened] = [model.predict_proba_one(_named(readings[place]))[True] for place in opened]
    return scores


ANCHORS: Final[Mapping[str, Callable[[Rows, float], Numbers]]] = {
    "recency rule": lambda rows, _: recency_rule(rows),
    "BG/NBD (lifetimes)": bg_nbd,
    "LightGBM, weekly": lambda rows, _: weekly_trees(rows),
    "River AdaGrad": lambda rows, _: river_adagrad(rows),
}
ORDER_ONLY: Final = frozenset({"recency rule"})


def _named(readings: Numbers) -> dict[str, float]:
    return dict(zip(NAMES, readings.tolist(), strict=True))


def _fitted(repeats: Numbers, last: Numbers, age: Numbers) -> BgNbd | None:
    """None where the fit does not converge."""
    known = age > 0.0
    fitters = quiet_import("lifetimes")
    fitter = fitters.BetaGeoFitter(penalizer_coef=0.001)
    # What it says of a fit that does not converge goes to standard output.
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        try:
            fitter.fit(repeats[known], last[known], age[known])
        except (fitters.utils.ConvergenceError, ValueError):
            return None
    told = fitter.params_
    return BgNbd(*(float(told[name]) for name in ("r", "alpha", "a", "b")))


def quiet_import(name: str) -> Any:
    """A package that is not for every day, without the warnings of its import: one sets an option of pandas that will go."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(name)
