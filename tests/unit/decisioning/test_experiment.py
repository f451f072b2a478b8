"""Groups are assigned by salted hash: for good, evenly, and independently of each other."""

from msgspec.structs import replace

from engine.decisioning.decide import decide
from engine.decisioning.experiment import in_holdout, variation_of
from engine.decisioning.offers import Campaign, Cap
from engine.decisioning.policy import Experiment, Holdout, Placement, Ranker, Variation
from engine.decisioning.record import decided
from engine.moments import DAY
from tests import shop

UNITS = [f"u:{number}" for number in range(4000)]


def test_holdout_has_its_share_and_nobody_changes_sides() -> None:
    holdout = Holdout(share=0.05, salt="s")

    held = [unit for unit in UNITS if in_holdout(unit, holdout)]

    assert 0.04 < len(held) / len(UNITS) < 0.06
    assert held == [unit for unit in UNITS if in_holdout(unit, holdout)]
    assert set(held) <= {unit for unit in UNITS if in_holdout(unit, Holdout(share=0.1, salt="s"))}


def test_another_salt_picks_others() -> None:
    groups = [{unit for unit in UNITS if in_holdout(unit, Holdout(share=0.5, salt=salt))} for salt in ("a", "b")]

    assert 0.2 < len(groups[0] & groups[1]) / len(UNITS) < 0.3


def test_four_variations_get_equal_groups_independent_of_the_holdout() -> None:
    rankers: tuple[Ranker, ...] = ("learned", "frozen", "popularity", "random")
    arms: dict[str, Variation] = {ranker: Variation(share=0.25, ranker=ranker) for ranker in rankers}
    policy = shop.policy(experiment=Experiment(salt="s", variations=arms))
    held = [unit for unit in UNITS if in_holdout(unit, Holdout(share=0.5, salt="s"))]

    for units in (UNITS, held):
        drawn = [variation_of(unit, policy)[0] for unit in units]
        assert all(0.21 < drawn.count(name) / len(units) < 0.29 for name in arms)


def test_a_campaign_is_in_place_for_those_held_out_as_for_everybody_else() -> None:
    offers = [
        shop.offer("a", campaign="tea"),
        shop.offer("b", campaign="soup", eligible_when=shop.RECENT),
        shop.offer("c", campaign="late", status="paused"),
        shop.offer("d", "service", campaign="help"),
        shop.offer("e"),
    ]
    campaigns = [Campaign(id=name) for name in ("tea", "soup", "late", "help")]
    found = []
    for share in (0.0, 1.0):
        policy = shop.policy(holdout=Holdout(share=share))
        catalogue = shop.catalogue(offers, policy, campaigns)
        found.append(decide(shop.situation(shop.customer()), catalogue, shop.scorers(catalogue), policy))

    free, held_out = found

    assert free.campaigns == held_out.campaigns == ("*", "tea")
    assert (free.holdout, held_out.holdout) == (False, True)
    assert [offer.offer_id for offer in held_out.offers] == ["d"]
    assert decided(held_out, catalogue, policy).outcome_ms == 28 * DAY


def test_caps_have_no_say_in_who_counts_and_consent_has() -> None:
    policy = shop.policy(placements={"hero": Placement(shown_when="decided")})
    capped = shop.offer("a", campaign="tea", caps=(Cap(count=1, window_days=7),))
    catalogue = shop.catalogue([capped], policy, [Campaign(id="tea")])
    scorers = shop.scorers(catalogue)
    first = shop.situation(shop.customer())
    used_up = shop.situation(shop.customer(), ledger=shop.admitted(first, catalogue, scorers, policy), decision_id="d-2")

    again = decide(used_up, catalogue, scorers, policy)

    assert again.offers == ()
    assert again.campaigns == ("*", "tea")
    assert decide(shop.situation(shop.customer(consent=False)), catalogue, scorers, policy).campaigns == ()
    assert decide(replace(first, dry_run=True), catalogue, scorers, policy).campaigns == ()
