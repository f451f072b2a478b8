"""The answer on lift: which arms stand beside which, in which currency, in words, and as metrics with known labels only."""

from collections.abc import Mapping

import msgspec
import pytest

from api.departures import CHURN_EXAMPLE, ChurnAnswer, churn_answer
from api.insights import LIFT_EXAMPLE, LiftAnswer, LiftGauges, lift_answer
from engine.decisioning.offers import Campaign
from engine.decisioning.policy import Experiment, Variation
from engine.models.lift import EVERYTHING, HOLDOUT, ArmSums, Moments
from tests import shop

VARIATIONS = {"learned": Variation(share=0.5, ranker="learned"), "rule": Variation(share=0.5, ranker="rule")}
POLICY = shop.policy(experiment=Experiment(variations=VARIATIONS))
CATALOGUE = shop.catalogue([shop.offer("a", campaign="tea")], POLICY, [Campaign(id="tea", name="Tea weeks")])


def arm(customers: int, mean: float, currency: str = "EUR") -> ArmSums:
    """Half of the customers spend twice the mean, half nothing."""
    squares = customers / 2 * (2 * mean) ** 2
    return ArmSums(customers, customers // 2, money={currency: Moments(customers * mean, squares)})


def answer(sums: Mapping[tuple[str, str], ArmSums], only: str | None = None) -> LiftAnswer:
    return lift_answer(sums, CATALOGUE, POLICY, shop.NOON, only)


def test_arms_stand_beside_the_holdout_and_the_first_beside_the_others() -> None:
    sums = {("tea", "rule"): arm(5_000, 103.0), ("tea", HOLDOUT): arm(5_000, 100.0), ("tea", "learned"): arm(5_000, 130.0)}

    (tea,) = answer(sums, "tea").campaigns

    assert (tea.campaign_id, tea.name) == ("tea", "Tea weeks")
    assert [one.arm for one in tea.arms] == [HOLDOUT, "learned", "rule"]
    found = {(one.arm, one.control): one for one in tea.comparisons}
    assert list(found) == [("personalized", HOLDOUT), ("learned", HOLDOUT), ("rule", HOLDOUT), ("learned", "rule")]
    learned = found["learned", HOLDOUT]
    assert learned.words.startswith("customers of learned spend 30.0% more than those of holdout: between +")
    assert learned.incremental_spend_minor == 150_000
    assert found["rule", HOLDOUT].words.startswith("no difference in spend between rule and holdout is shown so far: +3.0%")
    together = found["personalized", HOLDOUT].spend
    assert together is not None
    assert together.difference == pytest.approx(16.5)


def test_without_a_holdout_the_variations_are_compared_with_each_other() -> None:
    sums = {(EVERYTHING, "learned"): arm(400, 1.0), (EVERYTHING, "rule"): arm(40, 1.0)}

    everything = answer(sums).campaigns[0]

    assert [(one.arm, one.control) for one in everything.comparisons] == [("learned", "rule")]
    assert everything.comparisons[0].words.startswith("nothing can be said yet: the control has 40 customers")


def test_spend_is_told_in_the_currency_of_the_shop_or_else_in_the_one_most_was_paid_in() -> None:
    francs = {(EVERYTHING, "rule"): arm(400, 9.0, "CHF"), ("tea", "rule"): arm(400, 9.0, "CHF")}
    both = {**francs, (EVERYTHING, "learned"): arm(400, 1.0, "EUR")}

    assert answer({}).currency == answer(both).currency == "EUR"
    assert answer(francs).currency == "CHF"
    assert answer(both, "tea").campaigns[0].arms[0].spend_minor == 0


def test_metrics_have_labels_of_the_catalogue_only() -> None:
    sums = {(EVERYTHING, name): arm(2_000, mean) for name, mean in ((HOLDOUT, 100.0), ("learned", 150.0), ("gone", 90.0))}
    gauges = LiftGauges(lambda: answer(sums), lambda: ("learned", "rule"))

    samples = [(one.name, one.labels["arm"], one.value) for metric in gauges.collect() for one in metric.samples]

    assert {arm for _, arm, _ in samples} == {HOLDOUT, "learned", "personalized"}
    assert ("regulars_lift_customers", "learned", 2_000.0) in samples
    assert ("regulars_lift_spend_relative", "learned", 0.5) in samples
    low = next(value for name, arm, value in samples if (name, arm) == ("regulars_lift_spend_relative_low", "learned"))
    assert 0.3 < low < 0.5


def test_the_examples_of_the_documents_have_the_shape_of_the_answers() -> None:
    for example, kind in ((LIFT_EXAMPLE, LiftAnswer), (CHURN_EXAMPLE, ChurnAnswer)):
        assert msgspec.json.decode(msgspec.json.encode(msgspec.convert(example, kind))) == example


def test_before_anything_is_published_the_reasons_are_warming_up() -> None:
    told = churn_answer(None, 28.0, shop.NOON)

    assert (told.status, told.segments, told.horizon_days) == ("warming_up", (), 28)
