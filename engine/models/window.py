"""The last few thousand predictions with what came of them, kept as plain numbers in a learner's state."""

from typing import Self

import numpy as np

from engine.models.evaluation import auc, calibration_error, log_loss
from engine.models.snapshot import Numbers

SIZE = 4096

LEAST = 50
"""Fewer predictions than this say nothing."""


class Window:
    """A ring of (probability, label), newest over oldest.

    AUC is computed exactly from it when somebody asks, never per example.
    """

    def __init__(self, size: int = SIZE) -> None:
        self.seen = 0
        self._scores = np.zeros(size)
        self._labels = np.zeros(size)

    def add(self, probability: float, label: float) -> None:
        """Take in one prediction made before its label was learned."""
        place = self.seen % len(self._scores)
        self._scores[place] = probability
        self._labels[place] = label
        self.seen += 1

    def __len__(self) -> int:
        return min(self.seen, len(self._scores))

    def log_loss(self) -> float | None:
        """Mean log loss, or None while there is too little."""
        return self._figure(log_loss(self._kept(self._labels), self._kept(self._scores)))

    def auc(self) -> float | None:
        """Exact AUC, or None while there is too little or only one class."""
        return self._figure(auc(self._kept(self._labels), self._kept(self._scores)))

    def calibration_error(self) -> float | None:
        """Expected calibration error, or None while there is too little."""
        return self._figure(calibration_error(self._kept(self._labels), self._kept(self._scores)))

    def base_rate(self) -> float | None:
        """The share of label 1, or None while there is too little."""
        kept = self._kept(self._labels)
        return self._figure(float(kept.mean()) if len(kept) else float("nan"))

    def arrays(self) -> dict[str, Numbers]:
        """The ring as it lies, for the state."""
        return {"window_scores": self._scores[: len(self)].copy(), "window_labels": self._labels[: len(self)].copy()}

    def restored(self, seen: int, scores: Numbers, labels: Numbers) -> Self:
        """This ring filled again from a state."""
        self.seen = seen
        self._scores[: len(scores)] = scores
        self._labels[: len(labels)] = labels
        return self

    def _kept(self, ring: Numbers) -> Numbers:
        return ring[: len(self)]

    def _figure(self, value: float) -> float | None:
        return value if len(self) >= LEAST and value == value else None
