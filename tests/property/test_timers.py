"""Laws of alarms: what is coming is what goes off."""

from hypothesis import given
from hypothesis import strategies as st

from engine.shards.timers import Timers

TAGS = st.sampled_from(["b|u:ann", "c|5|u:ann", "p|5|u:bob", "o|9|d-1|u:ann", "v|shoe|u:bob", "a|u:c|d"])
SET = st.lists(st.tuples(TAGS, st.integers(0, 30), st.booleans()), max_size=24)


@given(moves=SET, until=st.integers(0, 30))
def test_alarms_that_are_coming_are_those_that_go_off_in_their_order(moves: list[tuple[str, int, bool]], until: int) -> None:
    timers = Timers({})
    for tag, at, stays in moves:
        timers.set(tag, at)
        if not stays:
            timers.drop(tag)

    coming = timers.coming(until)

    # An alarm that was set twice for one instant is named twice, and goes off once.
    assert list(dict.fromkeys(coming)) == [tag for tag, _ in timers.due(until)]


@given(moves=SET)
def test_setting_an_alarm_tells_whether_there_was_none(moves: list[tuple[str, int, bool]]) -> None:
    timers = Timers({})
    held: set[str] = set()

    for tag, at, stays in moves:
        assert timers.set(tag, at) is (tag not in held)
        held.add(tag)
        if not stays:
            timers.drop(tag)
            held.discard(tag)
