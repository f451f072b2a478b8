"""The ring of the last predictions."""

import pytest

from engine.models.window import LEAST, Window


def test_too_little_says_nothing() -> None:
    window = Window(100)
    for number in range(LEAST - 1):
        window.add(0.5, float(number % 2))

    assert (window.auc(), window.log_loss(), window.base_rate(), window.calibration_error()) == (None, None, None, None)


def test_one_class_has_no_auc_but_a_log_loss() -> None:
    window = Window(100)
    for _ in range(60):
        window.add(0.5, 0.0)

    assert window.auc() is None
    assert window.log_loss() == pytest.approx(0.6931, abs=1e-4)
    assert window.base_rate() == 0.0


def test_the_oldest_predictions_are_forgotten() -> None:
    window = Window(60)
    for _ in range(60):
        window.add(0.9, 0.0)
    for number in range(60):
        window.add(0.8 if number % 2 else 0.2, float(number % 2))

    assert len(window) == 60
    assert window.auc() == 1.0


def test_it_continues_from_its_arrays() -> None:
    window = Window(60)
    for number in range(75):
        window.add(number / 75, float(number % 3 == 0))

    again = Window(60).restored(window.seen, *window.arrays().values())
    for ring in (window, again):
        ring.add(0.5, 1.0)

    assert again.auc() == window.auc()
    assert {name: array.tolist() for name, array in again.arrays().items()} == {
        name: array.tolist() for name, array in window.arrays().items()
    }
