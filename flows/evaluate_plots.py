"""`regulars evaluate --plots DIR`: what was predicted against what came, and how good the scores were week by week, as PNG.

The library that draws is an extra of its own, and is asked for before anything is computed.
"""

from collections.abc import Mapping
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from engine.errors import RegularsError
from engine.models.evaluation import Curve, Rows, calibration_curve
from engine.moments import DAY, moment
from flows.evaluate_events import Line
from flows.running import WrongUse

COLOURS: Final = ("#1f6f8b", "#d1603d", "#6b8f3c", "#7d5ba6")
_SIZE: Final = (8.0, 5.0)


class ExtraMissing(RegularsError):
    """The library that draws is not installed."""


class Canvas:
    """Draws into a folder. Raises `ExtraMissing` and `WrongUse` when it is made, not when it draws."""

    def __init__(self, folder: Path) -> None:
        try:
            self._figures: Any = import_module("matplotlib.figure")
            self._dates: Any = import_module("matplotlib.dates")
        except ModuleNotFoundError as error:
            raise ExtraMissing(
                f"plots are an extra of their own ({error.name} is missing): pip install 'regulars[evaluate]'"
            ) from None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WrongUse(f"--plots {folder}: {error.strerror}; name a folder that can be made or written") from None
        self._folder = folder

    def calibration(self, name: str, title: str, probabilities: Mapping[str, Rows]) -> Path:
        """Bins of equal mass: where they lie on the diagonal, what was predicted is what came. Below it a histogram of scores."""
        figure = self._figures.Figure(figsize=(_SIZE[0], _SIZE[1] + 2.0), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        curves = {label: calibration_curve(rows.labels, rows.scores) for label, rows in probabilities.items()}
        top = _round_up(max(_highest(curve) for curve in curves.values()))
        upper.plot([0.0, top], [0.0, top], color="#999999", linewidth=1.0, linestyle="--", label="as predicted")
        for (label, curve), colour in zip(curves.items(), COLOURS, strict=False):
            upper.plot(curve.predicted, curve.observed, color=colour, marker="o", markersize=4.5, linewidth=1.2, label=label)
        for (_, rows), colour in zip(probabilities.items(), COLOURS, strict=False):
            lower.hist(rows.scores, bins=60, range=(0.0, top), color=colour, histtype="step", linewidth=1.2)
        upper.set(title=title, ylabel="share that it happened to", xlim=(0.0, top), ylim=(0.0, top))
        lower.set(xlabel="predicted probability", ylabel="scores", yscale="log")
        upper.legend(frameon=False, loc="upper left")
        return self._saved(figure, f"{name}-calibration", (upper, lower))

    def over_time(self, name: str, title: str, measure: str, weekly: Mapping[str, Line]) -> Path:
        """A figure by week; each point is of the scores of its week alone."""
        figure = self._figures.Figure(figsize=_SIZE, layout="constrained")
        axes = figure.subplots()
        for (label, line), colour in zip(weekly.items(), COLOURS, strict=False):
            axes.plot(_days(line), line.values, color=colour, marker="o", markersize=3.5, linewidth=1.2, label=label)
        axes.set(title=title, ylabel=f"{measure} of the week's scores")
        locator = self._dates.AutoDateLocator(maxticks=9)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(self._dates.ConciseDateFormatter(locator))
        axes.legend(frameon=False, loc="best")
        return self._saved(figure, f"{name}-over-time", (axes,))

    def _saved(self, figure: Any, name: str, all_axes: tuple[Any, ...]) -> Path:
        for axes in all_axes:
            axes.grid(color="#dddddd", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        path = self._folder / f"{name}.png"
        try:
            figure.savefig(path, dpi=120)
        except OSError as error:
            raise WrongUse(f"{path} cannot be written: {error.strerror}") from None
        return path


def _highest(curve: Curve) -> float:
    return float(max(curve.predicted.max(), curve.observed.max())) if len(curve.mass) else 1.0


def _round_up(value: float) -> float:
    """A little above the highest point, at most 1."""
    return min(1.0, int(value * 1.05 * 20 + 1) / 20)


def _days(line: Line) -> list[datetime]:
    return [moment(at + 3 * DAY) for at in line.at]
