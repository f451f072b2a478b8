"""Whatever bytes and names a commit holds, a store gives them back as they were."""

from typing import Any

from engine.shards.commit import Commit, Needs, ShardRecord
from engine.shards.timeline import MOST_KEPT
from tests.conformance.stores import Held

S = 1
ODD = [b"", b"\0", bytes(range(256)), b"", b"\r\n$5\r\n", b"x" * 100_000, "smörgås|\u2028".encode(), b"\xff" * 300]


def written(held: Held, **what: Any) -> None:
    assert held.store.commit([Commit(S, "0-0", "1-0", ShardRecord(), **what)]) == ["written"]


def test_values_come_back_byte_by_byte_whatever_they_are(held: Held) -> None:
    waiting = {f"c|{at}|u:smörgås\n{at}": raw for at, raw in enumerate(ODD)}

    written(held, waiting=waiting, timeline={"u:ann": ODD}, examples=ODD, decisions=ODD[::-1], baskets=ODD)

    assert held.store.load([Needs(S, (), (), tuple(waiting))])[0].waiting == waiting
    assert held.timeline(S, "u:ann") == held.stream("examples", S) == held.stream("baskets", S) == ODD
    assert held.stream("decisions", S) == ODD[::-1]


def test_times_and_counts_come_back_to_the_unit(held: Held) -> None:
    timers = {f"b|u:{at}": at for at in (0, 1, 1_483_228_800_123, 4_102_444_800_999, 2**53 - 1)}
    histogram = {"": 1, "money:3": 2**31, "smörgås": 2**53 - 1}

    written(held, timers=timers, histogram=histogram)

    opened = held.store.open(S)
    assert (opened.timers, opened.histogram) == (timers, histogram)


def test_values_of_many_lists_do_not_get_mixed_up(held: Held) -> None:
    """Each value says where it belongs; names and values of one list stay together beside those of all others."""
    names = [f"n-{number}" for number in range(5)]
    leads = {name: b"lead " + name.encode() for name in names}
    waiting = {name: b"readings " + name.encode() for name in names}
    timelines = {name: [b"line " + name.encode()] * (1 + at) for at, name in enumerate(names)}
    popularity = {name: (float(at), at) for at, name in enumerate(names)}

    written(held, leads=leads, waiting=waiting, timeline=timelines, popularity=popularity, examples=[b"x"], actions=[b"a"])

    assert held.store.load([Needs(S, (), (), tuple(names))])[0].waiting == waiting
    assert {name: held.timeline(S, name) for name in names} == timelines
    assert held.store.open(S).popularity == popularity
    assert (held.stream("examples", S), held.stream("actions", S)) == ([b"x"], [b"a"])


def test_more_lines_and_fingerprints_than_one_command_takes(held: Held) -> None:
    names = [f"u:{number}" for number in range(4_100)]
    lines = [name.encode() for name in names]

    written(held, timeline={"u:ann": lines}, seen={(name, 3 + at % 2): lines[at] for at, name in enumerate(names)})

    wanted = tuple((name, 3 + at % 2) for at, name in enumerate(names))
    assert held.timeline(S, "u:ann") == lines[-MOST_KEPT:]
    assert list(held.store.load([Needs(S, (), wanted, ())])[0].seen.items()) == list(zip(wanted, lines, strict=True))
