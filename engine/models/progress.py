"""What a learner keeps about its own course: counts, and how well it predicted each example just before learning it."""

from collections import deque

import msgspec
import numpy as np

from engine.models.base import Report
from engine.models.snapshot import Fact, Numbers, State
from engine.models.window import SIZE, Window


class _Counts(msgspec.Struct, frozen=True):
    positives: int = 0
    foreign: int = 0
    ignored: int = 0
    seen: int = 0


class Progress:
    """Counts and the window of predictions. Part of the complete state, since the figures must survive a restart."""

    def __init__(self) -> None:
        self.positives = 0
        self.foreign = 0
        self.ignored = 0
        self.window = Window()
        self._reported_at: tuple[str, int, int, int, int, int] | None = None
        self._reported = Report("")
        self._told: deque[tuple[float, float]] = deque(maxlen=SIZE)

    def learned(self, probability: float, label: float, watched: bool = True) -> None:
        """An example was learned that had been predicted so; `watched` ones enter the window."""
        self.positives += int(label == 1.0)
        self._told.append((probability, label))
        if watched:
            self.window.add(probability, label)

    def told(self) -> tuple[Numbers, Numbers]:
        """Probabilities and labels of what was learned since the last time this was asked, the last few thousand of them.

        It tells whoever watches the learner, once, and is no part of the state.
        """
        pairs = np.array(self._told).reshape(len(self._told), 2)
        self._told.clear()
        return pairs[:, 0], pairs[:, 1]

    def base_rate(self, learned: int) -> float:
        """The share of label 1 among so many that were learned."""
        return self.positives / max(1, learned)

    def report(self, model: str, version: int, unlearnable: int) -> Report:
        """The figures of this moment; worked out once while nothing is learned."""
        key = (model, version, unlearnable, self.foreign, self.ignored, self.window.seen)
        if key != self._reported_at:
            self._reported_at, self._reported = key, self._report(model, version, unlearnable)
        return self._reported

    def _report(self, model: str, version: int, unlearnable: int) -> Report:
        return Report(
            model=model,
            version=version,
            positives=self.positives,
            unlearnable=unlearnable,
            foreign=self.foreign,
            ignored=self.ignored,
            window=len(self.window),
            log_loss=self.window.log_loss(),
            auc=self.window.auc(),
            base_rate=self.window.base_rate(),
            calibration_error=self.window.calibration_error(),
        )

    def facts(self) -> dict[str, Fact]:
        """The counts, for the state."""
        return {
            "positives": self.positives,
            "foreign": self.foreign,
            "ignored": self.ignored,
            "seen": self.window.seen,
        }

    def arrays(self) -> dict[str, Numbers]:
        """The window, for the state."""
        return self.window.arrays()

    @classmethod
    def from_state(cls, state: State) -> "Progress":
        """Progress that continues from a state."""
        counts = msgspec.convert(dict(state.facts), _Counts)
        progress = cls()
        progress.positives, progress.foreign, progress.ignored = counts.positives, counts.foreign, counts.ignored
        progress.window.restored(counts.seen, state.arrays["window_scores"], state.arrays["window_labels"])
        return progress
