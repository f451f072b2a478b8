"""Before, in and after a purchase: what is said follows the stage, through HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx import Client

from tests.integration.api_client import api_client, consent, fold, write_catalogue

POLICY = """\
placements:
  home: {channel: web, stage: pre_transaction, max: 3}
  cart: {channel: web, stage: in_transaction, max: 3}
  thanks_page: {channel: web, stage: post_transaction, max: 3}
"""
PLACES = ("home", "cart", "thanks_page")
_EVERYWHERE = "placements: [home, cart, thanks_page]"
OFFERS = f"""\
offers:
  - {{id: coffee, kind: sell, {_EVERYWHERE}, stages: [pre_transaction], margin: 1.80 EUR,
     content: {{default: {{title: Coffee}}}}}}
  - {{id: filters, kind: sell, {_EVERYWHERE}, stages: [in_transaction], margin: 0.90 EUR,
     content: {{default: {{title: Filters}}}}}}
  - {{id: well-chosen, kind: thank_you, {_EVERYWHERE}, stages: [post_transaction],
     eligible_when: [{{feature: rfm.recency, below: 1}}], content: {{default: {{title: Well chosen}}}}}}
  - {{id: on-its-way, kind: transactional, placements: [home, thanks_page], eligible_when: [{{service: [order_underway]}}],
     content: {{default: {{title: On its way}}}}}}
  - {{id: arrived, kind: transactional, placements: [home, thanks_page], eligible_when: [{{service: [order_delivered]}}],
     content: {{default: {{title: Did it arrive well}}}}}}
  - {{id: money-back, kind: transactional, placements: [home, thanks_page], eligible_when: [{{service: [order_returned]}}],
     content: {{default: {{title: Your money is on its way back}}}}}}
"""


@pytest.fixture
def client(redis_url: str, tmp_path: Path) -> Iterator[Client]:
    with api_client(redis_url, catalogue=write_catalogue(tmp_path, POLICY, OFFERS), decision_deadline_ms=2000) as client:
        client.post("/v1/events", json=consent())
        yield client


def shown(client: Client, place: str, **more: Any) -> list[str]:
    """The offers of a placement."""
    answer = client.post(
        "/v1/decisions", json={"user_id": "u-1", "placements": [{"name": place, "count": 3}], "dry_run": True, **more}
    )
    return [offer["offer_id"] for offer in answer.json()["placements"][0]["offers"]]


def happened(kind: str, **data: Any) -> dict[str, Any]:
    return {"type": kind, "id": kind, "user_id": "u-1", "data": {"order_id": "o-1", **data}}


BOUGHT = happened("order_completed", currency="EUR", total=900, products=[{"product_id": "p-1", "category": "tea", "price": 900}])


def test_an_offer_is_made_at_its_stages_only_and_the_explanation_says_so(client: Client) -> None:
    body = {"user_id": "u-1", "placements": [{"name": "cart"}], "explain": True, "dry_run": True}
    told = {one["offer_id"]: (one["stage"], one["rule"]) for one in client.post("/v1/decisions", json=body).json()["explanation"]}

    assert {place: shown(client, place) for place in PLACES} == {"home": ["coffee"], "cart": ["filters"], "thanks_page": []}
    assert told["coffee"] == ("placement", "not at this stage of a purchase, only pre_transaction")


def test_a_purchase_that_comes_with_the_question_is_thanked_for_at_once(client: Client) -> None:
    assert shown(client, "thanks_page") == []

    assert shown(client, "thanks_page", events=[BOUGHT]) == ["well-chosen"]


def test_after_the_purchase_come_thanks_delivery_and_returns(client: Client, redis_url: str) -> None:
    told = {}
    for event in (BOUGHT, happened("order_shipped"), happened("order_delivered"), happened("order_refunded", currency="EUR")):
        client.post("/v1/events", json=event)
        fold(redis_url)
        told[event["type"]] = [*shown(client, "thanks_page"), "|", *shown(client, "home")]

    assert told == {
        "order_completed": ["well-chosen", "|", "coffee"],
        "order_shipped": ["on-its-way", "well-chosen", "|", "on-its-way", "coffee"],
        "order_delivered": ["arrived", "well-chosen", "|", "arrived", "coffee"],
        "order_refunded": ["arrived", "money-back", "|", "arrived", "money-back", "coffee"],
    }
