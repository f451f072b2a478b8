"""The customers of CDNOW, whom everybody measures BG/NBD on: checked wherever the package that brings them is installed."""

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from engine.models import bgnbd
from engine.models.bgnbd import BgNbd
from engine.models.lifetime_value import BUYING, bgnbd_of, fitted_buying
from engine.models.snapshot import Numbers

PUBLISHED = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)


def samples() -> list[tuple[Numbers, Numbers, Numbers]]:
    """Repeats, last and age in weeks of 2,357 customers; none where the data are not installed."""
    found = importlib.util.find_spec("lifetimes")
    if found is None or found.origin is None:
        return []
    with (Path(found.origin).parent / "datasets" / "cdnow_customers_summary.csv").open() as lines:
        rows = np.array([[float(cell) for cell in row[1:]] for row in list(csv.reader(lines))[1:]])
    return [(rows[:, 0], rows[:, 1], rows[:, 2])]


def test_the_fit_is_the_published_one() -> None:
    for known in samples():
        fitted = bgnbd_of(fitted_buying(BUYING, *known))

        assert (fitted.r, fitted.alpha, fitted.a, fitted.b) == pytest.approx((0.243, 4.414, 0.793, 2.426), abs=6e-4)
        assert bgnbd.log_likelihood(fitted, *known).sum() == pytest.approx(-9582.4256, abs=1e-3)
        away = np.abs(bgnbd.alive_many(fitted, *known) - bgnbd.alive_many(PUBLISHED, *known))
        assert away.mean() < 1e-4
        assert away.max() < 2e-4
