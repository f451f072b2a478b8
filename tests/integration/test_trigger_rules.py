"""A decision for an action: the trigger's own rules hold beside those of offers, and quiet hours say when they end."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.api_client import api_client, consent, shown, write_catalogue

QUIET = """\
timezone: UTC
placements:
  message: {channel: email, shown_when: decided}
  till: {channel: pos, shown_when: decided}
quiet_hours: {span: {start: "21:00", end: "08:00"}, channels: [email]}
holdout: {share: 0.0, salt: none}
"""
OFFERS = """\
offers:
  - {id: hello, kind: service, placements: [message], content: {default: {title: Hello}}}
  - {id: coffee, kind: sell, placements: [till, message], promotes: {categories: [coffee]}, margin: 1.80 EUR,
     content: {default: {title: Coffee}}}
"""
TRIGGERS = """\
triggers:
  - {id: anybody, event: birthday, placement: message}
  - {id: buyers, event: birthday, placement: message, eligible_when: [{feature: rfm.frequency, above: 0}]}
  - {id: others, event: birthday, placement: message, eligible_when: [{not: {feature: rfm.frequency, above: 0}}]}
"""
DAY, NIGHT = "2026-01-10T12:00:00Z", "2026-01-10T23:30:00Z"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = write_catalogue(tmp_path, QUIET, OFFERS)
    (folder / "triggers.yaml").write_text(TRIGGERS)
    return folder


@pytest.mark.parametrize(("trigger", "expected"), [("anybody", 1), ("buyers", 0), ("others", 1), ("gone", 1)])
def test_where_the_rules_of_the_trigger_do_not_hold_nothing_is_said(
    redis_url: str, shop: Path, trigger: str, expected: int
) -> None:
    wanted = {"user_id": "u-1", "placements": [{"name": "message"}], "trigger": trigger, "at": DAY}
    with api_client(redis_url, catalogue=shop) as client:
        answer = client.post("/v1/decisions", json=wanted)

        assert len(shown(answer)) == expected
        assert answer.json()["placements"][0]["reason"] in ("ok", "consent", "no_eligible")


def test_in_quiet_hours_a_message_is_told_when_to_ask_again(redis_url: str, shop: Path) -> None:
    allowed = consent() | {"time": "2026-01-01T00:00:00Z"}
    with api_client(redis_url, catalogue=shop) as client:
        client.post("/v1/events", json=allowed)

        night = client.post("/v1/decisions", json={"user_id": "u-1", "placements": [{"name": "message"}], "at": NIGHT})
        day = client.post("/v1/decisions", json={"user_id": "u-1", "placements": [{"name": "message"}], "at": DAY})

    told = night.json()["placements"][0]
    assert (told["reason"], told["retry_at"]) == ("quiet_hours", "2026-01-11T08:00:00.000Z")
    assert "retry_at" not in day.json()["placements"][0]


def test_only_a_secret_key_asks_for_a_trigger(redis_url: str, shop: Path) -> None:
    keys: dict[str, Any] = {"secret_keys": ("s-1",), "write_keys": ("w-1",)}
    wanted = {"user_id": "u-1", "placements": [{"name": "message"}], "trigger": "anybody"}
    with api_client(redis_url, catalogue=shop, **keys) as client:
        refused = client.post("/v1/decisions", json=wanted, headers={"authorization": "Bearer w-1"})
        allowed = client.post("/v1/decisions", json=wanted, headers={"authorization": "Bearer s-1"})

    assert (refused.status_code, refused.json()["field"], allowed.status_code) == (403, "trigger", 200)
