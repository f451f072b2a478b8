"""Conditions compiled to clauses say what the tree of conditions says."""

import re
from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decisioning.clauses import TooManyClauses
from engine.decisioning.conditions import (
    AllOf,
    AnyOf,
    AtHours,
    AtStage,
    Bought,
    Channel,
    Condition,
    Feature,
    HasTrait,
    InCart,
    InCell,
    InSegment,
    InService,
    Not,
    OnWeekday,
    Span,
    Things,
    within,
)
from engine.decisioning.eligibility import Written
from engine.decisioning.situation import CartLine, Situation
from engine.events.identity import CustomerIdentified, Traits
from engine.features.vector import INDEX
from engine.moments import DAY, moment
from engine.profiles.standing import Standing
from tests import shop

leaves: st.SearchStrategy[Condition] = st.one_of(
    st.builds(Feature, feature=st.just("rfm.recency"), below=st.sampled_from([1.0, 5.0, 40.0])),
    st.builds(Feature, feature=st.just("rfm.frequency"), at_least=st.sampled_from([0.0, 1.0, 2.0])),
    st.builds(Feature, feature=st.just("rfm.recency"), between=st.sampled_from([(0.0, 3.0), (3.0, 3650.0)])),
    st.builds(Channel, channel=st.sampled_from([("web",), ("pos", "app")])),
    st.builds(OnWeekday, weekday=st.sampled_from([("mon",), ("tue", "sun")])),
    st.builds(AtHours, hours=st.builds(Span, start=st.integers(0, 1439), end=st.integers(0, 1439))),
    st.builds(InCart, cart=st.sampled_from([Things(categories=("milk",)), Things(products=("p-1",))])),
    st.builds(Bought, bought=st.sampled_from([Things(categories=("coffee",)), Things(products=("p-9",))])),
    st.builds(InSegment, segment=st.sampled_from([("heavy",), ("light", "best")])),
    st.builds(AtStage, lifecycle=st.sampled_from([("new", "active"), ("prospect",)])),
    st.builds(InCell, rfm=st.sampled_from([("5xx",), ("55x", "111")])),
    st.builds(InService, service=st.sampled_from([("follow_up",), ("order_late", "recovery")])),
    st.sampled_from([HasTrait(trait="city", equals="wien"), HasTrait(trait="children", among=("2", "true"))]),
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: AnyOf(any_of=tuple(parts))),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: AllOf(all_of=tuple(parts))),
        inner.map(lambda part: Not(negated=part)),
    ),
    max_leaves=8,
)
LIVES_IN_WIEN = CustomerIdentified(
    id="i",
    type="customer_identified",
    time=moment(shop.NOON - DAY),
    user_id="anna",
    data=Traits(extra={"city": "Wien", "children": 2}),
)


def _states(wronged: bool) -> frozenset[str]:
    return frozenset(("recovery",) if wronged else ())


SITUATIONS = tuple(
    shop.situation(
        shop.customer(*events), channel=channel, cart=cart, standing=standing, states=frozenset(("recovery",) if cart else ())
    )
    for events in ((), (shop.bought(shop.NOON - 2 * DAY, ("p-9", "coffee")), LIVES_IN_WIEN))
    for channel in ("web", "pos")
    for cart, standing in (
        ((), Standing()),
        ((CartLine(product_id="p-1", category="milk"),), Standing("light", "541", True, "active")),
        ((), Standing("heavy", "111", False, "new")),
    )
)


def holds(condition: Condition, situation: Situation) -> bool:
    """The tree read the plain way."""
    assert situation.part is not None
    assert situation.vector is not None
    assert situation.standing is not None
    match condition:
        case AnyOf():
            return any(holds(part, situation) for part in condition.any_of)
        case AllOf():
            return all(holds(part, situation) for part in condition.all_of)
        case Not():
            return not holds(condition.negated, situation)
        case Feature():
            reading = situation.vector[INDEX[condition.feature]]
            low, high = condition.between or (float("-inf"), float("inf"))
            return bool(
                low <= reading <= high
                and (condition.below is None or reading < condition.below)
                and (condition.at_least is None or reading >= condition.at_least)
            )
        case Channel():
            return situation.channel in condition.channel
        case OnWeekday():
            return "mon" in condition.weekday
        case AtHours():
            return within(condition.hours, 12 * 60)
        case InService():
            return bool(situation.states & set(condition.service))
        case InCart():
            return any(
                line.category in condition.cart.categories or line.product_id in condition.cart.products
                for line in situation.cart
            )
        case Bought():
            return any(
                set(purchase.categories) & set(condition.bought.categories)
                or set(purchase.products) & set(condition.bought.products)
                for purchase in situation.part.purchases.last
            )
        case InSegment():
            return bool(set(condition.segment) & set(situation.standing.segments))
        case AtStage():
            return situation.standing.lifecycle in condition.lifecycle
        case InCell():
            return any(re.fullmatch(cell.replace("x", "."), situation.standing.rfm) for cell in condition.rfm)
        case HasTrait():
            told = situation.part.identity.trait(condition.trait)
            return told is not None and str(told).lower() in condition.wanted
        case _:
            raise AssertionError(condition)


@settings(max_examples=60, deadline=None)
@given(written=st.lists(st.lists(trees, max_size=3), min_size=1, max_size=4))
def test_compiled_conditions_hold_where_each_tree_holds(written: Sequence[Sequence[Condition]]) -> None:
    offers = [shop.offer(f"o-{at}", eligible_when=tuple(conditions)) for at, conditions in enumerate(written)]
    try:
        catalogue = shop.catalogue(offers, shop.policy())
    except TooManyClauses:
        return

    masks = np.broadcast_to(Written().mask(catalogue.columns, SITUATIONS), (len(SITUATIONS), len(written)))
    for situation, mask in zip(SITUATIONS, masks, strict=True):
        expected = [all(holds(condition, situation) for condition in conditions) for conditions in written]
        assert mask.tolist() == expected
        for row, fine in enumerate(expected):
            assert fine or Written().words(catalogue, row, situation).startswith("needs ")


@given(churn=st.floats(0, 1), bound=st.floats(0, 1))
def test_a_rule_may_ask_what_models_say_and_nobody_is_guessed(churn: float, bound: float) -> None:
    asks = Feature(feature="churn.probability", at_least=bound)
    catalogue = shop.catalogue(
        [shop.offer("o", eligible_when=(asks,)), shop.offer("p", eligible_when=(Not(negated=asks),))], shop.policy()
    )
    told = shop.situation(derived=np.array([churn, 0.5, 0.9, 3.0, 120.0, 1.0, np.nan, np.nan]))

    mask = Written().mask(catalogue.columns, [told, shop.situation()])

    fits = churn >= float(np.float32(bound))
    assert mask.tolist() == [[fits, not fits], [False, True]]
    assert catalogue.columns.conditions is not None
    assert catalogue.columns.conditions.derived


@given(written=st.lists(trees, min_size=1, max_size=3))
def test_offers_that_read_the_customer_wait_until_there_is_one(written: Sequence[Condition]) -> None:
    try:
        catalogue = shop.catalogue(
            [shop.offer("o", eligible_when=(*written, Feature(feature="rfm.recency", at_least=0.0)))], shop.policy()
        )
    except TooManyClauses:
        return

    assert Written().mask(catalogue.columns, [shop.absent()]).tolist() == [[False]]
