"""Laws of reading a customer: numbers taken out of fading sums are the sums' own, and company changes nobody's readings."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.features.base import Request
from engine.features.vector import read_all_packed, read_packed
from engine.moments import DAY, Millis
from engine.profiles.decay import Block
from engine.profiles.profile import Profile
from tests.builders import START, bodies, taken

LIMITED = settings(max_examples=30, deadline=None)
BLOCK = Block(("visits", "spend", "units"), (7.0, 28.0, 112.0))
NAMES = [(quantity, half_life) for half_life in BLOCK.half_life_days for quantity in BLOCK.quantities]
AMOUNTS = st.floats(-1e6, 1e6, allow_nan=False)
HAPPENED = st.lists(st.tuples(st.integers(0, 400 * DAY), st.tuples(AMOUNTS, AMOUNTS, AMOUNTS)), max_size=6)


@given(happened=HAPPENED, chosen=st.sets(st.sampled_from(NAMES), min_size=2), later=st.integers(-30 * DAY, 400 * DAY))
def test_numbers_picked_out_of_fading_sums_are_those_of_all_of_them(
    happened: list[tuple[int, tuple[float, ...]]], chosen: set[tuple[str, float]], later: int
) -> None:
    sums, at = b"", 0
    for when, amounts in happened:
        sums, at = BLOCK.add(sums, at, when, amounts)
    wanted = [name for name in NAMES if name in chosen]

    picked = BLOCK.picked(*wanted)

    every = dict(zip(NAMES, (number for row in BLOCK.read(sums, at, at + later) for number in row), strict=True))
    assert list(picked.read(sums, at, at + later)) == [every[name] for name in wanted]
    assert list(picked.held(sums)) == list(picked.read(sums, at, at))


def test_numbers_are_picked_in_the_order_in_which_they_are_held() -> None:
    with pytest.raises(ValueError, match="order"):
        BLOCK.picked(("spend", 7.0), ("visits", 7.0))


@given(log=bodies(), day=st.integers(0, 500))
@LIMITED
def test_who_is_read_together_with_others_reads_the_same_alone(log: list[Any], day: int) -> None:
    customers = {"a:nobody": Profile("a:nobody")}
    for one in map(taken, log):
        customers[one.key] = customers.get(one.key, Profile(one.key)).after(one.event)
    moments = [(Request("web" if place % 2 else "pos"), Millis(START + (day + place) * DAY)) for place in range(len(customers))]

    together = read_all_packed([(one.whole, *moment) for one, moment in zip(customers.values(), moments, strict=True)])

    assert together == [read_packed(one, *moment) for one, moment in zip(customers.values(), moments, strict=True)]
