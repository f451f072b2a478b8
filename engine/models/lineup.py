"""All learners together with what is served of them: who is given which examples, and whose numbers go out.

A model named `model.kind` challenges `model`: it learns from the same examples, and the gate compares the two on each of
them. Whoever proves better is served under the model's name.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches

import msgspec
import numpy as np

from engine.errors import RegularsError
from engine.models.base import Example, Learner
from engine.models.gate import Evidence, objection
from engine.models.guard import LEAST_LABELS, Guard, Refused, finite
from engine.models.progress import Progress
from engine.models.roster import LISTENS, ROSTER, Line
from engine.models.snapshot import Numbers, Snapshot

Make = Callable[[], dict[str, Learner]]

_EXAMPLE = msgspec.msgpack.Decoder(Example)
_NOTHING = (np.zeros(0), np.zeros(0))
_SUSPECT = 0.5
"""From this level of suspicion on, nobody is promoted: labels that have gone wrong prove nothing."""


class Command(msgspec.Struct, frozen=True):
    """What an operator asks of a model: freeze, thaw, rollback or promote. It takes its place among the examples."""

    action: str
    model: str
    version: int = -1
    why: str = ""
    force: bool = False
    from_served: bool = False
    id: str = ""


_COMMAND = msgspec.msgpack.Decoder(Command)
_ENCODER = msgspec.msgpack.Encoder()


def encode_command(command: Command) -> bytes:
    """A command as its stream holds it."""
    return _ENCODER.encode(command)


def challenged_by(name: str, listens: Mapping[str, str]) -> str:
    """The model that this one challenges, or itself: `churn.adagrad` challenges `churn` if it listens to the same examples."""
    champion = name.partition(".")[0]
    return champion if listens.get(name, name) == listens.get(champion) else name


def learn_all(learners: Mapping[str, Learner], encoded: Iterable[bytes], listens: Mapping[str, str] = LISTENS) -> Counter[str]:
    """Give each example to all who listen to its kind, in this order; returns how many each was given, "" for nobody.

    A learner takes all of its examples together, which changes nothing but the time it takes: no learner looks at
    another.
    """
    listeners: dict[str, list[str]] = {}
    for name in learners:
        listeners.setdefault(listens.get(name, name), []).append(name)
    heard: dict[str, list[Example]] = {}
    nobody = 0
    for example in map(_decoded, encoded):
        if example is None or example.model not in listeners:
            nobody += 1
        else:
            heard.setdefault(example.model, []).append(example)
    given = Counter({"": nobody}) if nobody else Counter[str]()
    for kind, examples in heard.items():
        for name in listeners[kind]:
            learners[name].learn(examples)
            given[name] += len(examples)
    return given


def _decoded(raw: bytes) -> Example | None:
    try:
        return _EXAMPLE.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


class Lineup:
    """The learners of a roster and their guards. Every change comes through `take`, `obey`, `settle` and `begin_afresh`."""

    def __init__(self, make: Make, roster: Mapping[str, Line] = ROSTER) -> None:
        self._make = make
        self._roster = roster
        self._listens = {name: line.listens or name for name, line in roster.items()}
        self.learners = make()
        self.challenges = {name: challenged_by(name, self._listens) for name in self.learners}
        self.guards = {name: self._guard(name) for name, model in self.challenges.items() if model == name}
        self.touched = set(self.learners)

    def _guard(self, name: str) -> Guard:
        return Guard(name, self._roster[name].tolerance)

    def take(self, encoded: Iterable[bytes]) -> Counter[str]:
        """Learn these examples; returns how many each learner was given."""
        given = learn_all(self.learners, encoded, self._listens)
        told = {}
        for name in given:
            if name:
                self.touched |= {name, self.challenges[name]}
                told[name] = _told(self.learners[name])
        for model, guard in self.guards.items():
            if given[guard.source]:
                learner = self.learners[guard.source]
                guard.watch(learner, *told[guard.source], base_rate=_base_rate(learner))
                for challenger in self._challengers(model, guard):
                    if given[challenger]:
                        self._compare(guard, challenger, told[guard.source], told[challenger])
        return given

    def _challengers(self, model: str, guard: Guard) -> list[str]:
        return [name for name, challenged in self.challenges.items() if challenged == model and name != guard.source]

    def _compare(self, guard: Guard, name: str, ours: tuple[Numbers, Numbers], theirs: tuple[Numbers, Numbers]) -> None:
        """Count labels that both learned. Where one passed an example over, the batch says nothing."""
        same = len(ours[1]) > 0 and np.array_equal(ours[1], theirs[1])
        ready = min(self.learners[guard.source].version, self.learners[name].version) >= LEAST_LABELS
        if same and ready and not guard.frozen and guard.drift.level < _SUSPECT:
            guard.evidence[name] = guard.evidence.get(name, Evidence()).and_(ours[0], theirs[0], ours[1])

    def obey(self, raw: bytes) -> None:
        """Do what an operator asked; what cannot be done is noted with its reason."""
        try:
            command = _COMMAND.decode(raw)
            guard = self.guards[self.challenges[command.model]]
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError):
            return
        self.touched |= {guard.model, guard.source}
        try:
            done = self._done(guard, command)
        except RegularsError as refused:
            guard.note(command.action, str(refused), id=command.id, refused=True)
        else:
            guard.note(done, command.why, self.served_version(guard), id=command.id)

    def _done(self, guard: Guard, command: Command) -> str:
        learner = self.learners[guard.source]
        match command.action:
            case "freeze":
                guard.freeze(learner, command.why)
                return "frozen"
            case "rollback":
                guard.roll_back(learner, command.version, command.why)
                return "rolled back"
            case "thaw":
                self.learners[guard.source] = guard.thaw(learner, command.from_served)
                return "thawed"
            case "promote":
                if command.model == guard.source:
                    raise Refused(f"{command.model} is what is served")
                against = self.objection(command.model)
                if against and not command.force:
                    raise Refused(f"{command.model}: {against}")
                guard.promote(command.model, self.learners[command.model].version)
                return f"promoted {command.model}"
        raise Refused(f"{command.action!r} is not known")

    def objection(self, name: str) -> str:
        """Why this learner does not take the place of what is served; empty if it may."""
        guard = self.guards[self.challenges[name]]
        if guard.frozen:
            return f"{guard.model} is frozen: {guard.why}"
        return objection(guard.evidence.get(name, Evidence()), self.learners[name].report(), self._roster[guard.model].overlap)

    def settle(self, at: int) -> None:
        """End one model commit at a time in epoch milliseconds: nothing that is not finite goes on."""
        for model, guard in self.guards.items():
            if {model, guard.source} & self.touched:
                self.learners[guard.source] = guard.settle(self.learners[guard.source], self._begun, at)
                for name in self._challengers(model, guard):
                    if guard.evidence.get(name, Evidence()).labels and not self.objection(name):
                        guard.promote(name, self.learners[name].version)
                        guard.note(f"promoted {name}", "its lower 95 % bound clears the margin", self.learners[name].version)

        for name in self.touched - set(self.guards):
            if not finite(self.learners[name].state()):
                self.learners[name] = self._begun(name)

    def _begun(self, name: str) -> Learner:
        """A learner that knows nothing yet."""
        return self._make()[name]

    def begin_afresh(self, name: str) -> None:
        """A model of another make than before learns from here on."""
        if name not in self.learners:
            return
        self.learners[name] = self._begun(name)
        if name in self.guards:
            self.guards[name] = self._guard(name)
        self.touched |= {name, self.challenges[name]}

    def served_version(self, guard: Guard) -> int:
        """The version that is served under the model's name."""
        return guard.pinned.version if guard.pinned else self.learners[guard.source].version

    def published(self, name: str) -> Snapshot | None:
        """What goes out under a name: of a model what is served, of a challenger its newest numbers. None if they are broken."""
        guard = self.guards.get(name)
        snapshot = guard.published(self.learners[guard.source]) if guard else self.learners[name].publish()
        return snapshot if all(np.isfinite(array).all() for array in snapshot.arrays.values()) else None


def _told(learner: Learner) -> tuple[Numbers, Numbers]:
    progress = getattr(learner, "progress", None)
    return progress.told() if isinstance(progress, Progress) else _NOTHING


def _base_rate(learner: Learner) -> float:
    progress = getattr(learner, "progress", None)
    return progress.base_rate(learner.version) if isinstance(progress, Progress) else 0.5


def unknown(name: str, names: Iterable[str]) -> str:
    """What to say about a model that does not exist."""
    held = sorted(names)
    near = get_close_matches(name, held, 1)
    return f"there is no model {name!r}" + (f": did you mean {near[0]!r}?" if near else f"; there are {', '.join(held)}")
