"""What a learner keeps about its own course: counts, and how well it predicted each example just before learning it."""

import msgspec

from engine.models.base import Report
from engine.models.snapshot import Fact, Numbers, State
from engine.models.window import Window


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

    def learned(self, probability: float, label: float, watched: bool = True) -> None:
        """An example was learned that had been predicted so; `watched` ones enter the window."""
        self.positives += int(label == 1.0)
        if watched:
            self.window.add(probability, label)

    def report(self, model: str, version: int, unlearnable: int) -> Report:
        """The figures of this moment."""
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
