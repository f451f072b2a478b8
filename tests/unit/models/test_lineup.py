"""A challenger takes the champion's place when it has proven better, and not while labels cannot be trusted."""

from collections.abc import Mapping

import numpy as np

from engine.models.base import Example, Learner, recorded
from engine.models.churn import ChurnLearner
from engine.models.guard import DRIFT
from engine.models.journal import encode_example
from engine.models.lineup import Command, Lineup, challenged_by, encode_command, unknown
from engine.models.roster import LISTENS, Inputs, Line
from engine.models.scoring import ChurnScorer
from engine.models.snapshot import encode_state

NAMES = ("rfm.recency", "rfm.trips_56d", "rfm.tenure", "rfm.spend_28d")
INPUTS = Inputs(NAMES, "f")


def stiff(inputs: Inputs) -> Learner:
    """A champion that hardly learns anything."""
    return ChurnLearner(inputs.customer_names, inputs.customer_fingerprint, prior_precision=1e6)


def supple(inputs: Inputs) -> Learner:
    return ChurnLearner(inputs.customer_names, inputs.customer_fingerprint, prior_precision=1.0)


ROSTER: Mapping[str, Line] = {"churn": Line(stiff), "churn.supple": Line(supple, listens="churn")}


def lineup() -> Lineup:
    return Lineup(lambda: {name: line(INPUTS) for name, line in ROSTER.items()}, ROSTER)


def encoded(seed: int, count: int, flipped: bool = False) -> list[bytes]:
    chance = np.random.default_rng(seed)
    readings = chance.lognormal(size=(count, len(NAMES)))
    p = 1.0 / (1.0 + np.exp(1.0 - 1.5 * np.log(readings[:, 0])))
    labels = (chance.random(count) < p) != flipped
    return [
        encode_example(Example("churn", f"{seed}-{place}", "u:1", 0, 0, float(label), "f", recorded(vector)))
        for place, (vector, label) in enumerate(zip(readings, labels, strict=True))
    ]


def taught(course: Lineup, examples: list[bytes], at: int = 1) -> Lineup:
    for start in range(0, len(examples), 50):
        course.take(examples[start : start + 50])
        course.settle(at)
    return course


def test_a_challenger_that_proves_better_is_served_under_the_name_of_the_model() -> None:
    course = taught(lineup(), encoded(1, 6000))

    guard, snapshot = course.guards["churn"], course.published("churn")

    assert (guard.source, guard.promotions) == ("churn.supple", 1)
    assert snapshot is not None
    assert (snapshot.name, snapshot.version) == ("churn", 6000)
    assert ChurnScorer(NAMES, snapshot).status == "ready"
    assert snapshot.checksum() == course.learners["churn.supple"].publish().checksum()


def test_the_champion_stays_while_nothing_is_proven() -> None:
    course = taught(lineup(), encoded(2, 900))

    assert course.guards["churn"].source == "churn"
    assert "at least 1000" in course.objection("churn.supple")


def test_what_has_not_proven_better_is_promoted_by_force_alone() -> None:
    course = taught(lineup(), encoded(3, 700))

    course.obey(encode_command(Command("promote", "churn.supple", id="1")))
    course.obey(encode_command(Command("promote", "churn.supple", force=True, id="2")))
    course.obey(encode_command(Command("promote", "churn", force=True, id="3")))

    refused, promoted, back = course.guards["churn"].notes
    assert (refused.refused, promoted.refused, back.refused) == (True, False, False)
    assert "at least 1000" in refused.why
    assert course.guards["churn"].source == "churn"


def test_nobody_is_promoted_on_poisoned_labels() -> None:
    course = taught(lineup(), encoded(4, 700))

    taught(course, encoded(5, 3000, flipped=True))

    guard = course.guards["churn"]
    assert (guard.frozen, guard.source, guard.promotions, guard.rollbacks) == (DRIFT, "churn", 0, 1)
    assert "frozen" in course.objection("churn.supple")


def test_a_challenger_with_broken_numbers_begins_afresh_and_the_champion_does_not_notice() -> None:
    course = taught(lineup(), encoded(6, 300))
    alone = taught(lineup(), encoded(6, 300))
    challenger = course.learners["churn.supple"]
    assert isinstance(challenger, ChurnLearner)
    challenger.logit._weights[1] = np.nan

    course.settle(2)

    assert course.learners["churn.supple"].version == 0
    assert encode_state(course.learners["churn"].state()) == encode_state(alone.learners["churn"].state())


def test_only_a_model_that_listens_to_the_same_examples_challenges_another() -> None:
    listens = {"churn": "churn", "churn.fast": "churn", "churn.clicks": "clicks", "purchase": "purchase"}

    assert [challenged_by(name, listens) for name in listens] == ["churn", "churn", "churn.clicks", "purchase"]
    assert challenged_by("churn.adagrad", LISTENS) == "churn"


def test_a_name_that_is_not_known_is_answered_with_the_nearest() -> None:
    assert unknown("chrun", ["churn", "purchase"]) == "there is no model 'chrun': did you mean 'churn'?"
    assert unknown("zzz", ["churn", "purchase"]) == "there is no model 'zzz'; there are churn, purchase"
