"""Plots: real pictures of what was found, and a plain word where the library that draws is not installed."""

import sys
from pathlib import Path

import numpy as np
import pytest

from engine.models.evaluation import Rows
from engine.moments import WEEK
from flows.evaluate_events import Line
from flows.evaluate_plots import Canvas, ExtraMissing
from flows.running import WrongUse

PNG = b"\x89PNG\r\n\x1a\n"


def rows(seed: int) -> Rows:
    chance = np.random.default_rng(seed)
    scores = chance.beta(1.0, 6.0, 3000)
    labels = (chance.random(3000) < scores).astype(np.float64)
    return Rows(labels, scores, chance.integers(0, 200, 3000).astype(np.intp), chance.integers(0, 20, 3000) * WEEK)


@pytest.mark.slow
def test_both_plots_are_pictures(tmp_path: Path) -> None:
    canvas = Canvas(tmp_path / "plots")
    weekly = {"active": Line(tuple(week * WEEK for week in range(2450, 2470)), tuple([0.8] * 20))}

    paths = [
        canvas.calibration("churn", "churn", {"active": rows(1), "everybody": rows(2)}),
        canvas.over_time("churn", "churn", "AUC", weekly),
    ]

    assert [path.name for path in paths] == ["churn-calibration.png", "churn-over-time.png"]
    assert all(path.read_bytes().startswith(PNG) for path in paths)


def test_without_the_library_the_extra_is_named_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    with pytest.raises(ExtraMissing, match=r"pip install 'regulars\[evaluate\]'"):
        Canvas(tmp_path)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(WrongUse, match=r"--plots .*/file/plots: Not a directory"):
        Canvas(tmp_path / "file" / "plots")
