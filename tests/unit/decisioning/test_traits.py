"""Traits that a shop tells: what of them is kept, and rules that ask for them."""

import json
from pathlib import Path

import pytest

from config.catalogue_files import load_catalogue
from config.mistakes import CatalogueError
from engine.decisioning.conditions import HasTrait
from engine.decisioning.eligibility import Written
from engine.events.base import Event
from engine.events.decode import decode, decode_canonical, encode_canonical
from tests import shop
from tests.integration.api_client import OFFERS, write_catalogue


def told(**data: object) -> Event:
    body = {"type": "customer_identified", "id": "i", "time": "2026-03-01T00:00:00Z", "user_id": "anna", "data": data}
    event = decode(json.dumps(body).encode())
    assert isinstance(event, Event)
    stored = decode_canonical(encode_canonical(event))
    assert stored == event
    return event


def allowed(event: Event, rule: HasTrait) -> bool:
    catalogue = shop.catalogue([shop.offer("a", eligible_when=(rule,))], shop.policy())
    return bool(Written().mask(catalogue.columns, [shop.situation(shop.customer(event))])[0, 0])


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        (HasTrait(trait="city", equals="wien"), True),
        (HasTrait(trait="city", among=("Graz", "Wien")), True),
        (HasTrait(trait="city", equals="Graz"), False),
        (HasTrait(trait="children", equals="2"), True),
        (HasTrait(trait="vegetarian", equals="true"), True),
        (HasTrait(trait="has_children", equals="true"), True),
        (HasTrait(trait="never_told", equals="none"), False),
    ],
)
def test_a_rule_holds_for_whom_the_trait_was_told(rule: HasTrait, fits: bool) -> None:
    assert allowed(told(city="Wien", children=2.0, vegetarian=True, has_children=True), rule) is fits


def test_what_names_or_reaches_a_person_is_not_kept_nor_is_anything_large() -> None:
    event = told(city="Wien", email="a@b.example", firstName="A", phone="1", Address={"street": "x"}, note="x" * 101, many=[1])

    assert b"Wien" in encode_canonical(event)
    assert shop.customer(event).whole.identity.traits.keys() == {"city"}
    for personal in (b"a@b.example", b"firstName", b"phone", b"street"):
        assert personal not in encode_canonical(event)


def test_a_trait_needs_exactly_one_of_is_and_in(tmp_path: Path) -> None:
    rules = "[{trait: city}, {trait: city, is: Wien, in: [Graz]}, {trait: city, in: []}, {trait: city, is: Wien}]"
    folder = write_catalogue(tmp_path, offers=OFFERS.replace("margin: 1.80 EUR", f"margin: 1.80 EUR, eligible_when: {rules}", 1))

    with pytest.raises(CatalogueError) as caught:
        load_catalogue(folder)

    assert [mistake.path for mistake in caught.value.mistakes] == [
        "offers[0].eligible_when[0]",
        "offers[0].eligible_when[1]",
        "offers[0].eligible_when[2].in",
    ]
