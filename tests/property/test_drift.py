"""The drift alarm: a bet that nobody can expect to win while nothing is wrong, and that is won soon when something is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.models.drift import BLOCK, TOLERANCE, WAYS, Alarm, Drift, log_odds
from engine.models.guard import BEFORE_TROUBLE
from engine.models.snapshot import Numbers

YEAR = 6000
STREAMS = 50
RATES = st.floats(0.001, 0.999)


def predicted(seed: int, count: int = YEAR) -> tuple[Numbers, np.random.Generator]:
    """Probabilities as a churn model gives them: most low, some high."""
    chance = np.random.default_rng(seed)
    return chance.beta(0.8, 4.0, count), chance


def drawn(p: Numbers, chance: np.random.Generator) -> Numbers:
    return (chance.random(len(p)) < p).astype(np.float64)


def shifted(p: Numbers, factor: Numbers | float) -> Numbers:
    """The probabilities whose odds are greater by a factor."""
    return np.asarray(p * factor / (1.0 - p + p * factor))


def first_alarm(p: Numbers, labels: Numbers, watch: Drift | None = None) -> Alarm | None:
    return (watch or Drift()).take(p, labels, float(p.mean()))


@given(p=RATES, base_rate=RATES, within=st.floats(-1.0, 1.0), tolerance=st.floats(1.0, 4.0))
def test_no_bet_is_worth_more_than_its_stake_whatever_is_true_within_the_tolerance(
    p: float, base_rate: float, within: float, tolerance: float
) -> None:
    true = float(shifted(np.array([p]), tolerance**within)[0])

    won = np.exp(log_odds(np.array([p, p]), np.array([1.0, 0.0]), tolerance, base_rate))

    assert (true * won[0] + (1.0 - true) * won[1]).max() <= 1.0 + 1e-9


@pytest.mark.slow
def test_fifty_clean_years_with_seasons_raise_no_alarm() -> None:
    alarms = []
    for seed in range(STREAMS):
        p, chance = predicted(seed)
        season = TOLERANCE ** np.sin(np.linspace(0.0, 2.0 * np.pi * (1 + seed % 4), YEAR))
        alarms.append(first_alarm(p, drawn(shifted(p, season), chance)))

    assert alarms == [None] * STREAMS


@pytest.mark.parametrize("way", ["flipped", "some flipped", "all 1", "all 0", "a coin", "another's"])
def test_poison_is_certain_within_500_labels_and_no_version_is_good_that_has_learned_it(way: str) -> None:
    for seed in range(STREAMS):
        p, chance = predicted(seed, 2500)
        labels = drawn(p, chance)
        bad = labels[2000:]
        labels[2000:] = {
            "flipped": 1.0 - bad,
            "some flipped": np.abs(bad - (chance.random(500) < 0.3)),
            "all 1": np.ones(500),
            "all 0": np.zeros(500),
            "a coin": drawn(np.full(500, 0.5), chance),
            "another's": chance.permutation(bad),
        }[way]

        alarm = first_alarm(p, labels)

        assert alarm is not None, seed
        assert 2000 < alarm.at <= 2500
        assert 1000 < alarm.began < 2000 + BEFORE_TROUBLE, (seed, alarm)


@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(0, 400), max_size=6))
def test_where_batches_are_cut_and_where_it_is_restored_changes_nothing(seed: int, cuts: list[int]) -> None:
    p, chance = predicted(seed, 400)
    labels = drawn(shifted(p, 2.5), chance)
    whole = Drift(seen=7)
    expected = whole.take(p, labels, 0.2)
    watch, alarm = Drift(seen=7), None

    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 400], strict=True):
        if alarm is None:
            alarm = watch.take(p[start:stop], labels[start:stop], 0.2)
            watch = Drift().restored(watch.arrays(), watch.seen)

    assert alarm == expected
    if alarm is None:
        assert watch.level == whole.level
        assert watch.seen == whole.seen == 7 + 400 // BLOCK * BLOCK


def test_a_watch_that_knew_other_ways_begins_anew() -> None:
    p, _ = predicted(1, 320)
    watch = Drift()
    watch.take(p[:32], (p[:32] > 0.1).astype(np.float64), 0.2)
    arrays = watch.arrays() | {"drift_fortunes": np.zeros(len(WAYS) + 1)}

    assert watch.level > 0.0
    assert Drift().restored(arrays, 320).level == 0.0
