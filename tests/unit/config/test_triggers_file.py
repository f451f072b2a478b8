"""Triggers as a marketer writes them, and what is said of each mistake."""

from pathlib import Path

import pytest

from config.catalogue_files import load_catalogue
from config.mistakes import CatalogueError
from config.settings import DEFAULT_CATALOGUE
from engine.decisioning.conditions import Feature
from engine.decisioning.triggers import Rule, Trigger, rules_of
from engine.moments import DAY, MINUTE

POLICY = """
placements:
  home_hero: {channel: web}
  message: {channel: email, shown_when: decided}
"""
OFFERS = """
offers:
  - {id: hello, kind: service, placements: [message], content: {default: {title: Hello}}}
"""
CART = """
cart_abandoned_minutes: 45
triggers:
  - id: cart-left
    event: cart_abandoned
    placement: message
    wait_minutes: 30
    unless: [order_completed]
    eligible_when: [{feature: churn.probability, above: 0.2}]
    max_age_minutes: 120
    every_days: 3
    webhook: mail
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "offers").mkdir()
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "offers" / "all.yaml").write_text(OFFERS)
    (tmp_path / "triggers.yaml").write_text(CART)
    return tmp_path


def told(folder: Path, text: str) -> list[str]:
    (folder / "triggers.yaml").write_text(text)
    with pytest.raises(CatalogueError) as caught:
        load_catalogue(folder)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_a_trigger_is_read_as_it_is_written(folder: Path) -> None:
    loaded = load_catalogue(folder)

    (trigger,) = loaded.triggers
    assert (trigger.id, trigger.webhook, trigger.offers) == ("cart-left", "mail", 1)
    assert trigger.eligible_when == (Feature(feature="churn.probability", above=0.2),)
    assert loaded.cart_abandoned_minutes == 45.0
    assert loaded.occasions is not None


def test_shards_follow_the_live_triggers_alone() -> None:
    live = Trigger(id="a", event="birthday", placement="message", wait_minutes=2, every_days=1, unless=("order_completed",))
    rules = rules_of([live, Trigger(id="b", event="birthday", placement="message", status="paused")], 30, "Europe/Vienna")

    assert rules.triggers == (Rule(id="a", event="birthday", wait_ms=2 * MINUTE, unless=("order_completed",), every_ms=DAY),)
    assert (rules.cart_idle_ms, rules.zone) == (30 * MINUTE, "Europe/Vienna")


def test_the_catalogue_that_comes_along_has_a_trigger_for_each_occasion() -> None:
    triggers = {one.id: one for one in load_catalogue(DEFAULT_CATALOGUE).triggers}

    named = {"cart-left", "winback", "birthday", "price-dropped", "service-due", "complaint-follow-up", "tier-near"}
    assert named == set(triggers)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- id: a", "triggers.yaml: expected a list under the key triggers:"),
        (
            "trigers: []",
            "triggers.yaml: trigers: is not known here (did you mean 'triggers'?); known are cart_abandoned_minutes, triggers",
        ),
        ("triggers: {a: b}", "triggers.yaml: triggers: expected a list"),
        ("cart_abandoned_minutes: 0", "triggers.yaml: cart_abandoned_minutes: expected a number above 0 and at most 43200"),
        ("triggers: [{event: birthday, placement: message}]", "triggers.yaml: triggers[0].id: is missing"),
        ("triggers: [{id: a, event: birthday, placement: mesage}]", "(did you mean 'message'?)"),
        (
            "triggers: [{id: a, event: birthday, placement: home_hero}]",
            "triggers[0].placement: no offer is made in 'home_hero', so there is nothing to send",
        ),
        ("triggers: [{id: a, event: cart_abandonned, placement: message}]", "(did you mean 'cart_abandoned'?)"),
        (
            "triggers: [{id: a, event: offer_decided, placement: message}]",
            "triggers[0].event: offer_decided is written by the engine and starts nothing",
        ),
        (
            "triggers: [{id: a, event: birthday, placement: message, wait_minutes: 5, unless: [order_complete]}]",
            "triggers[0].unless[0]: no event and no occasion has the type 'order_complete' (did you mean 'order_completed'?)",
        ),
        (
            "triggers: [{id: a, event: birthday, placement: message, unless: [order_completed]}]",
            "triggers.yaml: triggers[0].unless: nothing can happen in no time: give wait_minutes, or leave unless out",
        ),
        ("triggers: [{id: a, event: birthday, placement: message, wait_minuts: 5}]", "(did you mean 'wait_minutes'?)"),
        ("triggers: [{id: a, event: birthday, placement: message, wait_minutes: soon}]", "expected a number, found 'soon'"),
        (
            "triggers: [{id: a, event: birthday, placement: message, status: on}]",
            "triggers[0].status: expected one of draft, live, paused",
        ),
        (
            "triggers: [{id: a, event: birthday, placement: message, eligible_when: [{feature: chrun.probability, above: 1}]}]",
            "(did you mean 'churn.probability'?)",
        ),
        (
            "triggers: [{id: a, event: birthday, placement: message}, {id: a, event: birthday, placement: message}]",
            "triggers[1].id: the trigger 'a' stands already at triggers.yaml: triggers[0]",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_file_path_and_what_was_meant(folder: Path, text: str, expected: str) -> None:
    found = told(folder, text)

    assert len(found) == 1
    assert expected in found[0]
