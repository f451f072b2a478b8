"""Our classifier is a River estimator: it passes the checks that River runs over its own."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from river import datasets
from river.checks import clf, common

from engine.models.adagrad import AdaGradLearner
from engine.models.logit import BayesianLogit

_GENERAL: tuple[Any, ...] = (
    common.check_repr,
    common.check_str,
    common.check_tags,
    common.check_clone_same_class,
    common.check_clone_is_idempotent,
    common.check_init_has_default_params_for_tests,
    common.check_init_default_params_are_not_mutable,
    common.check_doc,
    common.check_clone_changes_memory_addresses,
    common.check_mutate_can_be_idempotent,
    common.check_pickling_supports_roundtrip,
    common.check_repr_roundtrips_clone,
    common.check_clone_with_new_params_applies,
    common.check_get_params_matches_signature,
)
_ON_DATA: tuple[Any, ...] = (
    common.check_learn_one,
    common.check_pickling,
    common.check_shuffle_features_no_impact,
    common.check_emerging_features,
    common.check_disappearing_features,
    common.check_radically_disappearing_features,
    common.check_predict_one_pure,
    common.check_predict_one_before_any_learn,
    common.check_no_state_aliasing_with_input,
    common.check_clone_is_independent,
    common.check_bounded_memory_growth,
    clf.check_predict_proba_one,
    clf.check_classifier_tracks_seen_labels,
    clf.check_predict_proba_one_binary,
)


PAGES = list(datasets.Phishing().take(200))
CHECKS = [
    *(pytest.param(check, id=check.__name__) for check in _GENERAL),
    *(pytest.param(partial(check, dataset=PAGES), id=check.__name__) for check in _ON_DATA),
]


@pytest.mark.parametrize("check", CHECKS)
def test_it_behaves_as_river_asks(check: Callable[[BayesianLogit], None]) -> None:
    check(BayesianLogit())


def test_it_tells_phishing_from_honest_pages() -> None:
    model, right, seen = BayesianLogit(), 0, 0
    for x, y in datasets.Phishing():
        right += model.predict_one(x) == y
        seen += 1
        model.learn_one(x, y)

    assert right / seen > 0.85


@pytest.mark.parametrize("check", _ON_DATA, ids=lambda check: check.__name__)
def test_the_challenger_behaves_as_river_asks(check: Callable[..., None]) -> None:
    check(AdaGradLearner(("rfm.recency",), "f").pipeline, dataset=PAGES)
