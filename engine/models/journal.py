"""Which examples a model has learned, in which order: enough to learn it again to the last bit.

A learner takes consecutive entries from the streams, so what it took is a list of runs: "from this stream, everything after
where it stood, up to this id". What one read brought from several streams is one mini-batch and is learned in the order in
which the labels closed, as if there were one stream. One journal entry belongs to one model commit.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b

import msgspec

from engine.models.base import Example, Learner
from engine.models.lineup import Lineup


class Run(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive entries of one shard's examples: `count` of them, the last of which is `last`.

    `joined` says that they were learned together with those of the run before.
    """

    shard: int
    last: str
    count: int
    joined: bool = False


COMMANDS = -1
"""The shard, so to speak, of what operators ask: their commands take their place among the examples."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What one model commit learned. `afresh` names models that began anew before it: new ones, and those
    whose make had changed. `at` is the
    time of the commit, epoch milliseconds."""

    number: int
    runs: tuple[Run, ...] = ()
    afresh: tuple[str, ...] = ()
    at: int = 0


Fetch = Callable[[int, str, str], Sequence[bytes]]
"""The encoded examples of a shard after one id and up to another, both as in the stream."""

_ENCODER = msgspec.msgpack.Encoder()
_ENTRY = msgspec.msgpack.Decoder(Entry)


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


def relearn(entries: Iterable[Entry], fetch: Fetch, make: Callable[[], dict[str, Learner]]) -> dict[str, Learner]:
    """Learn a journal again from its first entry: the same numbers, bit by bit, as the learner that wrote it."""
    return relearn_lineup(entries, fetch, make).learners


def relearn_lineup(entries: Iterable[Entry], fetch: Fetch, make: Callable[[], dict[str, Learner]]) -> Lineup:
    """The same, with what is served and why: the same decisions at the same labels."""
    lineup = Lineup(make)
    stands: dict[int, str] = {}
    for entry in entries:
        for model in entry.afresh:
            lineup.begin_afresh(model)
        for batch in _batches(entry.runs):
            take(lineup, [(run.shard, fetch(run.shard, stands.get(run.shard, "0-0"), run.last)) for run in batch])
            stands.update({run.shard: run.last for run in batch})
        lineup.settle(entry.at)
        lineup.touched.clear()
    return lineup


def _batches(runs: Iterable[Run]) -> list[list[Run]]:
    batches: list[list[Run]] = []
    for run in runs:
        if run.joined and batches:
            batches[-1].append(run)
        else:
            batches.append([run])
    return batches


class _Closing(msgspec.Struct, frozen=True, array_like=True):
    """The front of an example, up to when it closed."""

    model: str = ""
    id: str = ""
    customer: str = ""
    opened_at: int = 0
    closed_at: int = 0


_CLOSING = msgspec.msgpack.Decoder(_Closing)


def take(lineup: Lineup, taken: Sequence[tuple[int, Sequence[bytes]]]) -> Counter[str]:
    """Obey commands, then learn the examples of all shards; returns how many each learner was given."""
    for shard, encoded in taken:
        if shard == COMMANDS:
            for raw in encoded:
                lineup.obey(raw)
    examples = [encoded for shard, encoded in taken if shard != COMMANDS]
    return lineup.take(by_close(examples)) if examples else Counter()


def by_close(shards: Sequence[Sequence[bytes]]) -> list[bytes]:
    """The examples of several shards as one stream, by when they closed; what closed at one instant stays as it was.

    Examples of one shard alone are in that order already, except where a late event closed something of earlier times:
    they are left as they are.
    """
    if len(shards) == 1:
        return list(shards[0])
    return sorted((raw for encoded in shards for raw in encoded), key=_closed_at)


def _closed_at(raw: bytes) -> int:
    """What cannot be read comes first; nobody learns it."""
    try:
        return _CLOSING.decode(raw).closed_at
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return 0
