"""What a rehearsal foretells of campaigns that never ran, beside what they do when they run."""

import pytest

from load_tests.shoppers.rehearsed import Foretold, proposed, rehearsed


@pytest.fixture(scope="module")
def found() -> list[Foretold]:
    return rehearsed(customers=250, seed=11)


@pytest.mark.slow
def test_all_twenty_campaigns_are_foretold_and_none_of_them_is_in_the_log(found: list[Foretold]) -> None:
    assert len(found) == len(proposed().catalogue.campaigns) == 20
    assert all(one.true >= 15 for one in found)


def test_reach_is_foretold_within_five_hundredths(found: list[Foretold]) -> None:
    wrong = [one for one in found if abs(one.error) > 0.05]

    assert wrong == []


def test_together_they_are_foretold_within_one_hundredth(found: list[Foretold]) -> None:
    foretold, true = sum(one.foretold for one in found), sum(one.true for one in found)

    assert abs(foretold - true) / true < 0.01
