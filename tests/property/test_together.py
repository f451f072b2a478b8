"""What is counted as baskets come in is what a recount of those baskets gives."""

from collections import Counter
from collections.abc import Sequence
from statistics import median

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.models.together import FEWEST_GAPS, MOST_GAPS, Together

NAMES = ("a", "b", "c", "d", "e", "f")
baskets = st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5), max_size=60)


def recounted(kept: Sequence[Sequence[str]], product: str, holding: int) -> tuple[int, dict[str, int]]:
    """Over the newest baskets of several products, as a batch would."""
    held = [set(basket) for basket in kept if product in basket][-holding:]
    counts = Counter(name for basket in held for name in basket if name != product)
    return len(held), dict(counts)


@given(baskets, st.integers(1, 40), st.integers(1, 12), st.integers(0, 60))
@settings(max_examples=200, deadline=None)
def test_counts_kept_up_are_those_of_a_recount(told: list[list[str]], most: int, holding: int, looked_at: int) -> None:
    together = Together(most, holding)
    for number, basket in enumerate(told):
        together.add(basket)
        if number == looked_at:
            together.ranked(NAMES)
    window = [basket for basket in told if len(set(basket)) > 1][-most:]

    assert together.baskets == len(window)
    for name in NAMES:
        along = together.along_with(name)
        assert (along.baskets, dict(along.counts)) == recounted(window, name, holding)


@given(baskets)
@settings(max_examples=100, deadline=None)
def test_what_is_ranked_never_holds_what_was_asked_and_goes_along_twice_at_least(told: list[list[str]]) -> None:
    together = Together()
    for basket in told:
        together.add(basket)

    for name, because in together.ranked(("a", "b")):
        assert name not in ("a", "b")
        assert together.along_with(because).counts[name] >= 2


@given(st.lists(st.integers(0, 90), max_size=300))
def test_how_long_a_product_lasts_is_the_median_of_the_newest_gaps(gaps: list[int]) -> None:
    together = Together()
    for gap in gaps:
        together.add(["a"], [gap])
    known = [gap for gap in gaps if gap][-MOST_GAPS:]

    assert together.usual_days("a") == (median(known) if len(known) >= FEWEST_GAPS else None)
    assert together.baskets == 0


def test_a_popular_product_does_not_go_along_with_everything() -> None:
    together = Together()
    for _ in range(20):
        together.add(["bag", "milk"])
        together.add(["bag", "bread"])
    for _ in range(8):
        together.add(["bag", "filter", "coffee"])

    assert [name for name, _ in together.ranked(["coffee"])] == ["filter", "bag"]


@given(baskets, st.lists(st.integers(0, 59), max_size=20))
@settings(max_examples=100, deadline=None)
def test_what_is_taken_back_is_as_if_it_had_never_been_told(told: list[list[str]], back: list[int]) -> None:
    together, window = Together(), [tuple(dict.fromkeys(basket)) for basket in told if len(set(basket)) > 1]
    for basket in told:
        together.add(basket)
    for place in back:
        basket_back = tuple(dict.fromkeys(told[place])) if place < len(told) else ("a", "z")
        together.take_back(basket_back)
        if basket_back in window:
            window.remove(basket_back)

    assert together.baskets == len(window)
    for name in NAMES:
        along = together.along_with(name)
        assert (along.baskets, dict(along.counts)) == recounted(window, name, 256)
