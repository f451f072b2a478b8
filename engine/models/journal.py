"""Which examples a model has learned, in which order: enough to learn it again to the last bit.

A learner takes consecutive entries from one stream after another, so what it took is a list of runs: "from this stream,
everything after where it stood, up to this id". One journal entry belongs to one model commit.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b

import msgspec

from engine.models.base import Example, Learner
from engine.models.roster import LISTENS


class Run(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive entries of one shard's examples: `count` of them, the last of which is `last`."""

    shard: int
    last: str
    count: int


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What one model commit learned. `afresh` names models that began anew before it: new ones, and those
    whose make had changed."""

    number: int
    runs: tuple[Run, ...] = ()
    afresh: tuple[str, ...] = ()


Fetch = Callable[[int, str, str], Sequence[bytes]]
"""The encoded examples of a shard after one id and up to another, both as in the stream."""

_ENCODER = msgspec.msgpack.Encoder()
_ENTRY = msgspec.msgpack.Decoder(Entry)
_EXAMPLE = msgspec.msgpack.Decoder(Example)


def encode_entry(entry: Entry) -> bytes:
    """A journal entry as bytes."""
    return _ENCODER.encode(entry)


def decode_entry(raw: bytes) -> Entry:
    """The journal entry in bytes."""
    return _ENTRY.decode(raw)


def encode_example(example: Example) -> bytes:
    """An example as the streams hold it."""
    return _ENCODER.encode(example)


def head_after(head: str, entry: bytes) -> str:
    """The name of a model commit: it stands for the whole chain before it, so equal names mean equal histories."""
    return blake2b(head.encode() + b"\n" + entry, digest_size=12).hexdigest()


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


def relearn(entries: Iterable[Entry], fetch: Fetch, make: Callable[[], dict[str, Learner]]) -> dict[str, Learner]:
    """Learn a journal again from its first entry: the same numbers, bit by bit, as the learner that wrote it."""
    learners = make()
    stands: dict[int, str] = {}
    for entry in entries:
        for model in set(entry.afresh) & set(learners):
            learners[model] = make()[model]
        for run in entry.runs:
            learn_all(learners, fetch(run.shard, stands.get(run.shard, "0-0"), run.last))
            stands[run.shard] = run.last
    return learners
