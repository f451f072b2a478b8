"""A customer under several names reads like one under a single name, whatever is interleaved, repeated or taken up again."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.profiles.profile import Profile
from tests.identities import CARD, LAPTOP, TABLET, folded_alone, key_of, lives, readings, run, said_at_last

LIMITED = settings(max_examples=60, deadline=None)
ANN, BOB, CARDS = "u:ann", "u:bob", key_of(CARD)


def holders(profiles: dict[str, Profile]) -> dict[str, str]:
    """By identity the customer that holds its part."""
    return {key: holder for holder, profile in profiles.items() for key in profile.parts}


def assert_reads_as_one(log: list[dict[str, Any]], profiles: dict[str, Profile]) -> None:
    """Every customer against one who did all that under a single name."""
    held = holders(profiles)
    for holder, profile in profiles.items():
        if profile.moved_to:
            assert not profile.parts
            continue
        alone = folded_alone(log, {key for key in held if held[key] == holder}, holder)
        np.testing.assert_allclose(readings(profile.whole), readings(alone.whole), rtol=1e-9, atol=1e-9)
        assert profile.purchases.spend == alone.purchases.spend
        assert profile.purchases.last == alone.purchases.last
        assert profile.service.open.keys() == alone.service.open.keys()
        assert profile.whole.loyalty.balance == alone.whole.loyalty.balance


@pytest.mark.slow
@LIMITED
@given(lives(unlinks=False), st.integers(0, 2**32))
def test_a_customer_reads_like_one_who_did_it_all_under_a_single_name(log: list[dict[str, Any]], seed: int) -> None:
    assert_reads_as_one(log, run(log, seed).profiles())


@LIMITED
@given(lives(crossing=False), st.integers(0, 2**32))
def test_who_was_taken_apart_again_reads_as_if_they_had_never_been_joined(log: list[dict[str, Any]], seed: int) -> None:
    assert_reads_as_one(log, run(log, seed).profiles())


@LIMITED
@given(lives(), st.integers(0, 2**32))
def test_an_identity_is_where_it_was_said_to_belong(log: list[dict[str, Any]], seed: int) -> None:
    profiles = run(log, seed).profiles()
    held = holders(profiles)
    said = {user: said_at_last(log, user) for user in (ANN, BOB, CARDS)}

    for key in map(key_of, (TABLET, LAPTOP, CARD)):
        claimed = {user for user in said if said[user].get(key)}
        claimed |= {held.get(CARDS, CARDS)} if CARDS in claimed else set()
        assert [key in profile.parts for profile in profiles.values()].count(True) <= 1
        never_parted = len(claimed) == 1 and not any(said[user].get(key) is False for user in said)
        if never_parted or held.get(key, key) != key:
            assert held[key] in claimed
