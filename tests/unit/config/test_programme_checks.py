"""Mistakes in the loyalty programme and in what asks for its tiers, as a marketer is told them."""

from pathlib import Path

import pytest

from config.catalogue_files import load_catalogue
from config.mistakes import CatalogueError
from tests.integration.api_client import POLICY, write_catalogue

TIERS = "tiers: [{id: silver, from_points: 100}, {id: gold, from_points: 1000}]"
OFFER = """\
offers:
  - {{id: a, kind: sell, placements: [home_hero], margin: 1.80 EUR, content: {{default: {{title: A}}}},
     eligible_when: [{condition}]}}
"""


@pytest.mark.parametrize(
    ("programme", "condition", "where", "what"),
    [
        (TIERS, "{tier: glod}", "offers/all.yaml: offers[0].eligible_when[0].tier", "did you mean 'gold'"),
        (TIERS, "{any: [{tier: gold}, {not: {tier: {at_least: slver}}}]}", "eligible_when[0].any[1].not[0].tier", "silver"),
        (TIERS, "{tier: {minimum: gold}}", "eligible_when[0].tier", "a list of tiers, or {at_least: …}"),
        (TIERS, "{tier: []}", "eligible_when[0].tier", "must not be empty"),
        (TIERS.replace("1000", "100"), "{tier: gold}", "loyalty.tiers[1].from_points", "'silver' asks for 100"),
        (TIERS.replace("gold", "silver"), "{tier: silver}", "loyalty.tiers[1].id", "stands there already"),
        ("tiers: [{id: silver}]", "{tier: silver}", "loyalty.tiers[0]", "from_points or from_spend"),
        ("earn: {per: 0.00 EUR}", "{tier: any}", "loyalty.earn.per", "above zero"),
        ("expire_days: 30", "{tier: any}", "loyalty.expire_days", "expires_days"),
    ],
)
def test_a_slip_is_told_with_its_place_and_what_was_meant(
    tmp_path: Path, programme: str, condition: str, where: str, what: str
) -> None:
    folder = write_catalogue(tmp_path, f"{POLICY}loyalty: {{{programme}}}\n", OFFER.format(condition=condition))

    with pytest.raises(CatalogueError) as raised:
        load_catalogue(folder)

    told = [str(mistake) for mistake in raised.value.mistakes]
    assert any(where in one and what in one for one in told), told


def test_without_tiers_in_the_policy_a_shop_may_ask_for_those_it_tells_itself(tmp_path: Path) -> None:
    loaded = load_catalogue(write_catalogue(tmp_path, POLICY, OFFER.format(condition="{tier: [club, friends]}")))

    assert loaded.catalogue.columns.conditions is not None
    assert loaded.catalogue.columns.conditions.words == (("tier club or friends",),)
