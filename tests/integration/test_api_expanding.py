"""From a feed and baskets to products in an offer, from a sale to its profit: over HTTP, through the engine, on a real Redis."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx import Client

from engine.moments import DAY, rfc3339
from flows.simulate import main
from tests.integration.api_client import api_client, consent, fold, write_catalogue

POLICY = """\
timezone: UTC
placements:
  cart: {channel: web, stage: in_transaction, max: 3, shown_when: viewed}
  hero: {channel: web, max: 3, shown_when: viewed}
holdout: {share: 0.0, salt: none}
just_bought: {days: 7}
cost_to_serve: {order_refunded: 0.50 EUR, support_case_opened: 2.00 EUR}
"""
OFFERS = """\
offers:
  - {id: along, kind: sell, placements: [cart], promotes: {products: bought_together, most: 2},
     content: {default: {title: Along}}}
  - {id: again, kind: sell, placements: [cart], promotes: {products: replenishment}, content: {default: {title: Again}}}
  - {id: boil, kind: sell, placements: [hero], promotes: {products: [kettle]}, content: {default: {title: Boil}}}
  - {id: good-customers, kind: sell, placements: [hero], eligible_when: [{feature: value.profit, above: 5}], margin: 1.00 EUR,
     content: {default: {title: Thanks}}}
"""
FEED = """\
product_id,title,category,price,currency,unit_cost,margin_rate,availability,image,url
kettle,Kettle,kitchen,39.00,EUR,30.00,,in_stock,/i/k.jpg,/p/k
filters,Filters,coffee,2.50,EUR,1.00,,in_stock,/i/f.jpg,/p/f
beans,Beans,coffee,8.00,EUR,,0.25,in_stock,,
mug,Mug,kitchen,5.00,EUR,,,out_of_stock,,
"""
NOW = int(time.time() * 1000)


@pytest.fixture
def client(redis_url: str, tmp_path: Path) -> Iterator[Client]:
    folder = write_catalogue(tmp_path, POLICY, OFFERS)
    with api_client(redis_url, catalogue=folder, decision_deadline_ms=2000) as client:
        answer = client.post("/v1/products", content=FEED, headers={"content-type": "text/csv"})
        assert answer.json() == {"accepted": 4, "rejected": []}
        until(lambda: client.get("/v1/products").json()["costed"] == 3)
        yield client


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def order(name: str, user: str, *goods: tuple[str, str], ago: float = 0.0, kind: str = "order_completed") -> dict[str, Any]:
    lines = [{"product_id": product, "price": price} for product, price in goods]
    return {
        "id": f"{kind}-{name}", "type": kind, "user_id": user, "time": rfc3339(NOW - int(ago * DAY)),
        "data": {"order_id": name, "currency": "EUR", "products": lines},
    }  # fmt: skip


def baskets(client: Client, redis_url: str) -> None:
    """Three customers buy kettle and filters, two of them a mug as well, one beans."""
    goods = [("kettle", "39.00"), ("filters", "2.50"), ("mug", "5.00"), ("beans", "8.00")]
    sent = [order(f"b-{number}", f"b-{number}", *goods[: 2 + (number < 2)], ago=20) for number in range(3)]
    sent += [order(f"c-{number}", f"b-{number}", goods[0], goods[3], ago=15) for number in range(2)]
    assert client.post("/v1/events", json=[*sent, consent()]).json()["accepted"] == 6
    fold(redis_url)
    until(lambda: client.get("/v1/products").json()["baskets"] == 5)


def asked(client: Client, *lying: str, placement: str = "cart", user: str = "u-1", **more: Any) -> dict[str, Any]:
    body = {"user_id": user, "channel": "web", "placements": [{"name": placement, "count": 3}], **more}
    if lying:
        body["context"] = {"cart": [{"product_id": name} for name in lying]}
    answer = client.post("/v1/decisions", json=body)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def offers(told: dict[str, Any]) -> dict[str, Any]:
    return {one["offer_id"]: one for one in told["placements"][0]["offers"]}


def products(told: dict[str, Any]) -> dict[str, list[str]]:
    return {name: [one["product_id"] for one in offer["products"]] for name, offer in offers(told).items()}


def test_the_offer_carries_what_goes_along_with_the_cart(client: Client, redis_url: str) -> None:
    baskets(client, redis_url)
    told = asked(client, "kettle")

    assert products(told) == {"along": ["filters", "beans"]}
    assert offers(told)["along"]["products"][0] == {
        "product_id": "filters", "title": "Filters", "price": "2.50", "currency": "EUR", "image": "/i/f.jpg", "url": "/p/f",
    }  # fmt: skip
    assert "bought_together" in offers(told)["along"]["reasons"]
    along = client.get("/v1/products/kettle").json()["bought_together"]
    assert [(one["product_id"], one["together"], one["baskets"]) for one in along] == [
        ("filters", 3, 5),
        ("beans", 2, 5),
        ("mug", 2, 5),
    ]


def test_what_is_bought_of_it_is_a_redemption_and_not_shown_again(client: Client, redis_url: str) -> None:
    baskets(client, redis_url)
    decision = asked(client, "kettle")["decision_id"]
    seen = {
        "id": "v", "type": "offer_viewed", "user_id": "u-1", "time": rfc3339(int(time.time() * 1000)),
        "decision_id": decision, "offer_id": "along",
    }  # fmt: skip
    bought = {**order("mine", "u-1", ("kettle", "39.00"), ("filters", "2.50")), "time": rfc3339(int(time.time() * 1000) + 5)}
    client.post("/v1/events", json=[seen, bought])
    fold(redis_url)

    (recalled,) = client.get(f"/v1/decisions/{decision}").json()["placements"][0]["offers"]
    assert (recalled["products"], recalled["outcome"]["redeemed"]) == (["filters", "beans"], True)
    assert products(asked(client, "kettle")) == {"along": ["beans"]}


def test_what_is_sold_out_is_gone_from_the_next_decision_on_and_explain_says_why(client: Client, redis_url: str) -> None:
    baskets(client, redis_url)
    for name in ("filters", "beans"):
        facts = {"product_id": name, "title": name, "price": "2.50", "currency": "EUR", "availability": "out_of_stock"}
        client.post("/v1/products", json=facts)
    until(lambda: client.get("/v1/products").json()["available"] == 1)
    told = asked(client, "kettle", explain=True)
    dropped = {one["offer_id"]: (one["stage"], one["rule"]) for one in told["explanation"]}

    assert products(told) == {}
    assert dropped["along"][0] == dropped["again"][0] == "eligibility"
    assert dropped["along"][1].startswith("nothing goes along with kettle (in the cart) that is available")
    assert dropped["again"][1] == "nothing is known to be bought again and again"


def test_what_is_used_up_by_now_is_shown_again(client: Client, redis_url: str) -> None:
    mine = [order(f"m-{ago}", "u-1", ("beans", "8.00"), ago=ago) for ago in (63, 42, 21)]
    client.post("/v1/events", json=[consent(), *mine])
    fold(redis_url)
    told = asked(client, explain=True)
    rule = next(one["rule"] for one in told["explanation"] if one["offer_id"] == "again")

    assert products(told) == {"again": ["beans"]}
    assert "shows beans (lasts 21 days, and was bought 21 days ago)" in rule


def test_sales_carry_their_costs_and_profit_follows_returns_and_service(client: Client, redis_url: str) -> None:
    sold = order("s", "u-1", ("kettle", "39.00"), ("beans", "7.00"))
    client.post("/v1/events", json=[consent(), sold, sold])
    fold(redis_url)
    first = client.get("/v1/customers/u-1").json()["value"]
    hero = offers(asked(client, placement="hero"))
    opened = {"id": "k", "type": "support_case_opened", "user_id": "u-1", "time": rfc3339(NOW), "data": {"case_id": "k"}}
    client.post("/v1/events", json=[order("s", "u-1", ("kettle", "39.00"), kind="order_refunded"), opened])
    fold(redis_url)
    second = client.get("/v1/customers/u-1").json()["value"]

    assert (first["profit_minor"], first["costed_share"]) == (4600 - 3000 - 600, 1.0)
    assert set(hero) == {"good-customers"}  # nobody is offered the kettle they have just bought
    assert second["margin_to_date_minor"] == 700 - 600
    assert second["cost_to_serve_minor"] == 50 + 200
    assert second["profit_minor"] == second["profit_to_date_minor"] == 100 - 250
    assert offers(asked(client, placement="hero")) == {}


def test_a_named_product_is_worth_its_margin_and_goes_when_it_is_sold_out(client: Client, redis_url: str) -> None:
    client.post("/v1/events", json=[consent()])
    fold(redis_url)
    until(lambda: "boil" in offers(asked(client, placement="hero")))
    boil = offers(asked(client, placement="hero"))["boil"]
    gone = {"product_id": "kettle", "title": "Kettle", "price": "39.00", "currency": "EUR", "availability": "discontinued"}
    client.post("/v1/products", json=gone)
    until(lambda: "boil" not in offers(asked(client, placement="hero")))
    explained = asked(client, placement="hero", explain=True)["explanation"]

    assert boil["terms"]["value"] == "9.00"
    assert next(one["rule"] for one in explained if one["offer_id"] == "boil") == "kettle is not available"


def test_a_page_sees_products_and_no_figures(redis_url: str, tmp_path: Path) -> None:
    keys: dict[str, Any] = {"web_keys": ("w",), "secret_keys": ("s",), "catalogue": write_catalogue(tmp_path, POLICY, OFFERS)}
    with api_client(redis_url, **keys) as client:
        client.headers["authorization"] = "Bearer s"
        client.post("/v1/products", content=FEED, headers={"content-type": "text/csv"})
        baskets(client, redis_url)
        allowed = {**consent(name="page"), "anonymous_id": "a-1"}
        allowed.pop("user_id")
        client.post("/v1/events", json=allowed)
        body = {
            "anonymous_id": "a-1", "channel": "web", "placements": [{"name": "cart"}],
            "context": {"cart": [{"product_id": "kettle"}]},
        }  # fmt: skip
        (offer,) = client.post("/v1/decisions", json=body, headers={"authorization": "Bearer w"}).json()["placements"][0][
            "offers"
        ]

    assert [one["product_id"] for one in offer["products"]] == ["filters", "beans"]
    assert offer["reasons"] == []
    assert not {"score", "probability", "terms"} & offer.keys()


def test_a_rehearsal_finds_the_products_that_were_found(client: Client, redis_url: str, tmp_path: Path) -> None:
    baskets(client, redis_url)
    assert products(asked(client, "kettle")) == {"along": ["filters", "beans"]}
    fold(redis_url)
    written = tmp_path / "out.json"
    told: dict[str, Any] = {"folder": tmp_path, "current": tmp_path, "days": 30, "customers": 0, "json_file": written}
    assert main(redis_url=redis_url, data=tmp_path, **told) == 0

    played = json.loads(written.read_text())["catalogues"]
    assert [played[which]["served"] for which in ("current", "proposed")] == [1, 1]
