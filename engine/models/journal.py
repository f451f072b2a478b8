"""Which examples a model has learned, in which order: enough to learn it again to the last bit.

A learner takes consecutive entries from one stream after another, so what it took is a list of runs: "from this stream,
everything after where it stood, up to this id". One journal entry belongs to one model commit.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b

import msgspec

from engine.models.base import Example, Learner


class Run(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive entries of one shard's examples: `count` of them, the last of which is `last`."""

    shard: int
    last: str
    count: int


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What one model commit learned. `afresh` names models that began anew before it, since their make had changed."""

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


def learn_all(learners: Mapping[str, Learner], encoded: Iterable[bytes]) -> Counter[str]:
    """Give each example to the learner it names, in this order; returns how many each was given, "" for nobody.

    Consecutive examples of one model go to its learner together, which changes nothing but the time it takes.
    """
    given: Counter[str] = Counter()
    waiting: list[Example] = []
    for example in map(_decoded, encoded):
        model = example.model if example and example.model in learners else ""
        given[model] += 1
        if example is None or not model:
            continue
        if waiting and waiting[-1].model != model:
            learners[waiting[-1].model].learn(waiting)
            waiting = []
        waiting.append(example)
    if waiting:
        learners[waiting[-1].model].learn(waiting)
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
        for model in entry.afresh:
            learners[model] = make()[model]
        for run in entry.runs:
            learn_all(learners, fetch(run.shard, stands.get(run.shard, "0-0"), run.last))
            stands[run.shard] = run.last
    return learners
