"""Groups are assigned by salted hash: for good, evenly, and independently of each other."""

from engine.decisioning.experiment import in_holdout, variation_of
from engine.decisioning.policy import Experiment, Holdout, Ranker, Variation
from tests import shop

UNITS = [f"u:{number}" for number in range(4000)]


def test_holdout_has_its_share_and_nobody_changes_sides() -> None:
    holdout = Holdout(share=0.05, salt="s")

    held = [unit for unit in UNITS if in_holdout(unit, holdout)]

    assert 0.04 < len(held) / len(UNITS) < 0.06
    assert held == [unit for unit in UNITS if in_holdout(unit, holdout)]
    assert set(held) <= {unit for unit in UNITS if in_holdout(unit, Holdout(share=0.1, salt="s"))}


def test_another_salt_picks_others() -> None:
    groups = [{unit for unit in UNITS if in_holdout(unit, Holdout(share=0.5, salt=salt))} for salt in ("a", "b")]

    assert 0.2 < len(groups[0] & groups[1]) / len(UNITS) < 0.3


def test_four_variations_get_equal_groups_independent_of_the_holdout() -> None:
    rankers: tuple[Ranker, ...] = ("learned", "frozen", "popularity", "random")
    arms: dict[str, Variation] = {ranker: Variation(share=0.25, ranker=ranker) for ranker in rankers}
    policy = shop.policy(experiment=Experiment(salt="s", variations=arms))
    held = [unit for unit in UNITS if in_holdout(unit, Holdout(share=0.5, salt="s"))]

    for units in (UNITS, held):
        drawn = [variation_of(unit, policy)[0] for unit in units]
        assert all(0.21 < drawn.count(name) / len(units) < 0.29 for name in arms)
