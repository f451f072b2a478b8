"""What of a model is served: the newest numbers, or a good version that they were rolled back to.

A guard stands between a learner and what is published of it. It keeps versions that were good when they were made, watches
the labels for drift, and freezes what is served when something is wrong. Learning goes on in the shadow meanwhile: what
comes out of a frozen model is thrown away only if an operator says so.

Only an operator thaws. Labels that went wrong and a world that changed look the same from here: in both the learner in the
shadow soon predicts the new labels better than the version that is served, so a guard that trusted this would let poisoned
numbers out again by itself.

Everything here is a function of the examples and commands in the journal's order, so relearning a journal makes the same
decisions.
"""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import msgspec
import numpy as np

from engine.errors import RegularsError
from engine.models.base import Learner, Report
from engine.models.drift import TOLERANCE, Alarm, Drift
from engine.models.gate import Evidence
from engine.models.snapshot import (
    Numbers,
    Snapshot,
    State,
    decode_snapshot,
    decode_state,
    encode_snapshot,
    encode_state,
)

LEAST_LABELS = 500
"""Nothing is watched or kept before this many labels: nothing is good yet."""

SPACING = 250
SPACING_SHARE = 50
"""A version is kept every so many labels, or every fiftieth part of all, whichever is more."""

MOST_KEPT = 20
MOST_NOTES = 20
BEFORE_TROUBLE = 128
"""A version is good if it was kept at least so many labels before the trouble seems to have begun."""

DRIFT, NON_FINITE, OPERATOR = "drift", "non_finite", "operator"


class Kept(msgspec.Struct, frozen=True):
    """A version that was good when it was kept: whose numbers, when (epoch milliseconds), and how well it did then."""

    version: int
    source: str
    at: int = 0
    log_loss: float | None = None
    auc: float | None = None
    calibration_error: float | None = None


class Numbered(msgspec.Struct, frozen=True, array_like=True):
    """The numbers of a kept version: what is served, and from what learning could go on."""

    snapshot: bytes
    state: bytes


class Note(msgspec.Struct, frozen=True):
    """Something that happened to what is served; `id` is that of the command that asked for it."""

    what: str
    why: str = ""
    version: int = 0
    at: int = 0
    id: str = ""
    refused: bool = False


class Record(msgspec.Struct, frozen=True):
    """What is served of a model and why: the legible part of a guard.

    `served_at` is when the numbers that are served were made; `report` is about the newest ones, in the shadow or not.
    """

    model: str
    source: str = ""
    served: int = -1
    frozen: str = ""
    why: str = ""
    since: int = 0
    rollbacks: int = 0
    alarms: int = 0
    promotions: int = 0
    kept: tuple[Kept, ...] = ()
    notes: tuple[Note, ...] = ()
    evidence: dict[str, Evidence] = {}
    level: float = 0.0
    drift_seen: int = 0
    served_at: int = 0
    report: Report | None = None


class Refused(RegularsError):
    """A command that cannot be obeyed, with the reason in words."""


@runtime_checkable
class Loosening(Protocol):
    """A learner that can be made readier to follow."""

    def loosen(self) -> None:
        """Take back some certainty, once."""


class Guard:
    """The guard of one model. `source` is the learner whose numbers are served: the model's own, or a challenger's."""

    def __init__(self, model: str, tolerance: float = TOLERANCE) -> None:
        self.model = model
        self.source = model
        self.frozen = ""
        self.why = ""
        self.since = 0
        self.pinned: Kept | None = None
        self.rollbacks = 0
        self.alarms = 0
        self.promotions = 0
        self.kept: list[Kept] = []
        self.numbers: dict[tuple[str, int], Numbered] = {}
        self.notes: list[Note] = []
        self.evidence: dict[str, Evidence] = {}
        self.drift = Drift(tolerance)
        self.served_at = 0
        self._dated = (model, -1)
        self._served: Snapshot | None = None

    # --- labels ------------------------------------------------------------------------------------------------------

    def watch(self, learner: Learner, probabilities: Numbers, labels: Numbers, base_rate: float) -> None:
        """The source has learned these labels, to which it had given these probabilities."""
        if self.frozen or learner.version < LEAST_LABELS:
            return
        if not self.kept:
            self.drift.restart(learner.version)
            self._keep(learner)
            return
        alarm = self.drift.take(probabilities, labels, base_rate)
        if alarm is not None:
            self._alarmed(alarm, learner)
        elif learner.version - self.kept[-1].version >= max(SPACING, learner.version // SPACING_SHARE) and self.drift.level < 0.5:
            self._keep(learner)

    def _alarmed(self, alarm: Alarm, learner: Learner) -> None:
        good = [one for one in self.kept if one.version + BEFORE_TROUBLE <= alarm.began] or self.kept[:1]
        self._drop_after(good[-1])
        self.alarms += 1
        self._pin(good[-1], DRIFT, f"labels stopped being what the model said they were, from label {alarm.began} on")
        self.rollbacks += 1
        self.note("rolled back", self.why, good[-1].version)
        if isinstance(learner, Loosening):
            learner.loosen()

    def _keep(self, learner: Learner) -> Kept | None:
        state = learner.state()
        if not finite(state):
            return None
        report = learner.report()
        one = Kept(learner.version, self.source, 0, report.log_loss, report.auc, report.calibration_error)
        self.numbers[one.source, one.version] = Numbered(encode_snapshot(learner.publish()), encode_state(state))
        self.kept = [old for old in self.kept if (old.source, old.version) != (one.source, one.version)] + [one]
        if len(self.kept) > MOST_KEPT:
            self._forget(self._least_missed())
        return one

    def _least_missed(self) -> Kept:
        """The one whose absence leaves the smallest gap, as a share of how long ago it is: recent ones stay dense."""
        newest = self.kept[-1].version
        gaps = [
            (abs(after.version - before.version) / (newest - one.version + SPACING), place)
            for place, (before, one, after) in enumerate(zip(self.kept, self.kept[1:], self.kept[2:], strict=False), start=1)
            if one != self.pinned
        ]
        return self.kept[min(gaps)[1]]

    def _forget(self, one: Kept) -> None:
        self.kept.remove(one)
        del self.numbers[one.source, one.version]

    def _drop_after(self, good: Kept) -> None:
        for one in self.kept[self.kept.index(good) + 1 :]:
            self._forget(one)

    # --- what an operator may ask --------------------------------------------------------------------------------------

    def freeze(self, learner: Learner, why: str) -> None:
        """Serve what is served now until thawed."""
        if self.frozen:
            raise Refused(f"{self.model} is frozen already: {self.why}")
        one = self._keep(learner)
        if one is None:
            raise Refused(f"{self.model} holds a number that is not finite")
        self._pin(one, OPERATOR, why)

    def roll_back(self, learner: Learner, version: int, why: str) -> None:
        """Serve a kept version, by default the one before that which is served now; frozen until thawed."""
        before = self.pinned.version if self.pinned else learner.version
        if version < 0:
            found = [one for one in self.kept if one.version < before]
        else:
            found = [one for one in self.kept if one.version == version]
        if not found:
            held = ", ".join(str(one.version) for one in self.kept) or "none yet"
            asked = f"no version {version} of {self.model} is kept" if version >= 0 else f"no version before {before} is kept"
            raise Refused(f"{asked}: {held}")
        self._pin(found[-1], OPERATOR, why or f"rolled back to {found[-1].version}")
        self.rollbacks += 1

    def thaw(self, learner: Learner, from_served: bool) -> Learner:
        """Serve the newest numbers again. With `from_served`, learning itself goes on from the version that was served.

        Returns the learner that goes on.
        """
        if not self.frozen or self.pinned is None:
            raise Refused(f"{self.model} is not frozen")
        if from_served:
            learner = learner.from_state(decode_state(self.numbers[self.pinned.source, self.pinned.version].state))
            self._drop_after(self.pinned)
        if not finite(learner.state()):
            raise Refused(f"{self.model} holds a number that is not finite; thaw it from the version that is served")
        self.frozen, self.why, self.since = "", "", 0
        self.pinned = self._served = None
        self.drift.restart(learner.version)
        self.evidence = {}
        return learner

    def promote(self, source: str, version: int) -> None:
        """Serve another learner's numbers from now on."""
        self.source = source
        self.promotions += 1
        self.evidence = {}
        self.drift.restart(version)

    def _pin(self, one: Kept, kind: str, why: str) -> None:
        self.pinned, self.frozen, self.why, self.since = one, kind, why, 0
        self._served = None
        self.evidence = {}

    def note(self, what: str, why: str = "", version: int = 0, id: str = "", refused: bool = False) -> None:
        """Remember what happened."""
        self.notes = [*self.notes, Note(what, why, version, 0, id, refused)][-MOST_NOTES:]

    # --- at a commit ---------------------------------------------------------------------------------------------------

    def settle(self, learner: Learner, begin: Callable[[str], Learner], at: int) -> Learner:
        """Date what happened since the last commit, and look for numbers that are not finite.

        A learner that holds one can learn no more: it goes on from the last good version, or begins anew if none is kept.
        Returns the learner that goes on.
        """
        if not finite(learner.state()):
            learner = self._broken(learner, begin)
        self.kept = [msgspec.structs.replace(one, at=one.at or at) for one in self.kept]
        self.notes = [msgspec.structs.replace(one, at=one.at or at) for one in self.notes]
        if self.pinned:
            self.since = self.since or at
            self.pinned = msgspec.structs.replace(self.pinned, at=self.pinned.at or at)
            self.served_at = self.pinned.at
        elif (self.source, learner.version) != self._dated:
            self.served_at = at
        self._dated = (self.source, -1 if self.pinned else learner.version)
        return learner

    def _broken(self, learner: Learner, begin: Callable[[str], Learner]) -> Learner:
        own = [one for one in self.kept if one.source == self.source]
        if not own:
            self.note("began afresh", "a number was not finite, and no good version is kept")
            return begin(self.source)
        if not self.frozen:
            self._pin(own[-1], NON_FINITE, "a number was not finite; learning goes on from the version that is served")
            self.rollbacks += 1
            self.note("rolled back", self.why, own[-1].version)
        return learner.from_state(decode_state(self.numbers[own[-1].source, own[-1].version].state))

    def published(self, learner: Learner) -> Snapshot:
        """What is to be served, under the name of this model; `learner` is the source."""
        if self.pinned is None:
            snapshot = learner.publish()
        else:
            if self._served is None:
                self._served = decode_snapshot(self.numbers[self.pinned.source, self.pinned.version].snapshot)
            snapshot = self._served
        return snapshot if snapshot.name == self.model else msgspec.structs.replace(snapshot, name=self.model)

    # --- state ---------------------------------------------------------------------------------------------------------

    def record(self, report: Report) -> Record:
        """What is served and why; `report` is the source's."""
        return Record(
            model=self.model,
            source=self.source,
            served=self.pinned.version if self.pinned else report.version,
            frozen=self.frozen,
            why=self.why,
            since=self.since,
            rollbacks=self.rollbacks,
            alarms=self.alarms,
            promotions=self.promotions,
            kept=tuple(self.kept),
            notes=tuple(self.notes),
            evidence=dict(self.evidence),
            level=self.drift.level,
            drift_seen=self.drift.seen,
            served_at=self.served_at,
            report=report,
        )

    def state(self, report: Report) -> State:
        """Everything but the numbers of the kept versions, which are stored one by one."""
        return State(self.drift.arrays(), msgspec.to_builtins(self.record(report)))

    def restored(self, state: State, numbers: Mapping[tuple[str, int], Numbered]) -> None:
        """Go on from a state; a kept version whose numbers are gone is no longer kept."""
        record = record_of(state)
        for name in ("source", "frozen", "why", "since", "rollbacks", "alarms", "promotions", "served_at"):
            setattr(self, name, getattr(record, name))
        self.kept = [one for one in record.kept if (one.source, one.version) in numbers]
        self.numbers = {(one.source, one.version): numbers[one.source, one.version] for one in self.kept}
        self.notes, self.evidence = list(record.notes), dict(record.evidence)
        self.drift.restored(state.arrays, record.drift_seen)
        if record.frozen:
            self.pinned = next((one for one in self.kept if one.version == record.served), None)
            self.frozen = self.frozen if self.pinned else ""
        self._dated = (self.source, -1 if self.pinned else record.served)


def record_of(state: State) -> Record:
    """The legible part of a guard's state."""
    return msgspec.convert(dict(state.facts), Record)


def finite(state: State) -> bool:
    """Whether every number of a state is finite."""
    return all(np.isfinite(array).all() for array in state.arrays.values())
