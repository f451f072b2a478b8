"""What goes along with what is learned from profiles alone, and starts as the rule."""

import numpy as np
import pytest
from msgspec.structs import replace

from engine.features.affinity import CROSS_NAMES, Promotions, cross_all, read_cross
from engine.features.companions import LONGEST_GROUP, MOST_GROUPS, Companions, companions_from, groups_of
from engine.models.companions import FEWEST, CompanionSums
from engine.moments import DAY, Millis
from engine.profiles.identity import Identity
from engine.profiles.profile import Part
from engine.profiles.purchases import Back, Purchase, Purchases

START = 1_480_000_000_000
SHARES = {"baby food": 0.3, "dog food": 0.3, "leash": 0.2, "nappies": 0.2}
RULE, COMPANION = CROSS_NAMES.index("affinity.rule_logit"), CROSS_NAMES.index("affinity.companion_logit")


def part(*baskets: str) -> Part:
    """Somebody who bought one category a week."""
    bought = Purchases()
    for week, name in enumerate(baskets):
        purchase = Purchase(key=bytes([week]), at=START + week * 7 * DAY, joined_categories=name)
        bought = bought.bought(purchase)
    return Part(purchases=bought)


def learned(times: int) -> CompanionSums:
    sums = CompanionSums()
    for _ in range(times):
        sums.learn([part("nappies", "nappies", "baby food"), part("leash", "leash", "dog food")], SHARES)
    return sums


def read(who: Part, companions: Companions) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Rows for baby food and dog food."""
    promotions = Promotions(["o-1", "o-2"], [["baby food"], ["dog food"]])
    now = Millis(START + 30 * DAY)
    return read_cross(who, promotions, promotions.popularity(SHARES), now, promotions.towards(companions, SHARES))


def test_who_buys_nappies_is_likelier_to_buy_baby_food_for_the_first_time() -> None:
    companions = learned(500).fit()

    parent, owner = read(part("nappies"), companions)[:, COMPANION], read(part("leash"), companions)[:, COMPANION]

    assert parent[0] > parent[1] + 0.5
    assert owner[1] > owner[0] + 0.5


def test_before_enough_is_known_the_reading_is_that_of_the_rule() -> None:
    few = learned(FEWEST // 2 - 1).fit()

    rows = read(part("nappies"), few)

    assert few.names == ()
    assert (rows[:, COMPANION] == rows[:, RULE]).all()


def test_what_is_carried_in_a_snapshot_reads_nearly_as_what_was_fitted() -> None:
    fitted = learned(200).fit()

    carried = companions_from(fitted.carried())

    assert carried.names == fitted.names
    assert carried.weights == pytest.approx(fitted.weights, abs=1e-3)
    assert companions_from(None).names == companions_from({"names": ["tea"]}).names == ()


def test_a_purchase_that_was_given_back_and_a_stranger_teach_nothing() -> None:
    one = part("nappies")
    back = Part(purchases=one.purchases.returned(Back(bytes([0])), ""))
    sums = CompanionSums()

    sums.learn([back, Part()], SHARES)

    assert sums.learned == 0


def test_a_category_that_is_met_later_finds_its_place_and_moves_no_other() -> None:
    sums, few = CompanionSums(), {"nappies": 0.5, "baby food": 0.5}
    for _ in range(200):
        sums.learn([part("nappies", "baby food")], few)
    before = sums.fit()

    sums.learn([part("leash", "dog food")], SHARES)

    after = sums.fit()
    assert after.names[:2] == before.names
    assert after.weights[:3, :2] == pytest.approx(before.weights, abs=0.05)


def told(**traits: object) -> Identity:
    return Identity(traits={name: (value, START) for name, value in traits.items()})


def with_groups(times: int) -> Companions:
    """Young households buy nappies, old ones dog food; both now and then something else."""
    sums = CompanionSums()
    for number in range(times):
        other = ("leash", "baby food")[number % 2]
        young, old = part("leash", "nappies" if number % 5 else other), part("leash", "dog food" if number % 5 else other)
        shown = [replace(young, identity=told(age_band="25-34")), replace(old, identity=told(age_band="65+"))]
        sums.learn(shown, SHARES)
    return sums.fit()


def ahead(who: Part, companions: Companions) -> tuple[float, float]:
    """By how many logits nappies are ahead of dog food: by the rule, and with what is known of others."""
    promotions = Promotions(["o-1", "o-2"], [["nappies"], ["dog food"]])
    now = Millis(START + 30 * DAY)
    rows = read_cross(who, promotions, promotions.popularity(SHARES), now, promotions.towards(companions, SHARES))
    apart = rows[0] - rows[1]
    return float(apart[RULE]), float(apart[COMPANION])


def test_somebody_new_has_the_taste_of_their_group_before_the_rule_knows_anything() -> None:
    companions = with_groups(300)

    stranger, young, old = (
        ahead(Part(identity=one), companions) for one in (Identity(), told(age_band="25-34"), told(age_band="65+"))
    )

    assert stranger[0] == young[0] == old[0]
    assert young[1] > stranger[1] + 1.0
    assert old[1] < stranger[1] - 1.0


def test_what_somebody_buys_soon_says_more_than_their_group() -> None:
    companions = with_groups(300)
    bought = part("dog food", "dog food", "dog food", "dog food", "dog food")

    apart = [
        ahead(replace(who, identity=told(age_band="25-34")), companions)[1] - ahead(who, companions)[1]
        for who in (Part(), bought)
    ]

    assert ahead(replace(bought, identity=told(age_band="25-34")), companions)[1] < 0.0
    assert 0.0 < apart[1] < 0.5 * apart[0]


def test_groups_are_words_that_many_may_share_and_there_are_so_many_of_them() -> None:
    who = told(age_band="65+", birthday="1950-01-01", has_children=True, points=12, note="x" * (LONGEST_GROUP + 1))
    sums = CompanionSums()

    sums.learn([replace(part("leash"), identity=told(town=f"t-{number}")) for number in range(400)], SHARES)

    assert groups_of(replace(who, channels={"web": 3})) == ["age_band=65+", "channel=web", "has_children=True"]
    assert len(sums.fit().groups) == MOST_GROUPS


def test_groups_travel_with_the_snapshot() -> None:
    fitted = with_groups(120)

    carried = companions_from(fitted.carried())

    assert carried.groups == fitted.groups == ("age_band=25-34", "age_band=65+")
    assert carried.leanings == pytest.approx(fitted.leanings, abs=1e-3)


def test_customers_read_together_read_the_same_as_each_alone() -> None:
    companions = with_groups(200)
    promotions = Promotions(["o-1", "o-2"], [["baby food"], ["dog food", "leash"]])
    crowd, towards = promotions.popularity(SHARES), promotions.towards(companions, SHARES)
    parts = [part("nappies"), part("leash", "dog food"), Part(identity=told(age_band="65+")), part("nappies", "leash")]
    nows = [Millis(START + days * DAY) for days in (20, 21, 22, 23)]

    together = cross_all(parts, promotions, crowd, nows, towards)

    for at, (one, now) in enumerate(zip(parts, nows, strict=True)):
        assert (together.rows[together.row[at]] == read_cross(one, promotions, crowd, now, towards)).all()
