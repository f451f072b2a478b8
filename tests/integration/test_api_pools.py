"""Coupon codes and budgets over HTTP: everybody's own code, and no minor unit beyond the budget."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx import Client
from redis import Redis

from engine.store import keys
from engine.store.redis_writer import RedisStore
from tests.integration.api_client import SHARDS, api_client, consent, fold, write_catalogue

POLICY = """\
placements:
  hero: {channel: web, sticky_seconds: 600}
  window: {channel: web}
  side: {channel: web}
  shelf: {channel: web}
  till: {channel: pos, shown_when: decided}
reservation_seconds: 3
"""
OFFERS = """\
offers:
  - {id: ten, kind: sell, placements: [hero], coupons: {codes: [A1, B2]}, promotes: {categories: [tea]},
     content: {default: {title: Ten percent}}}
  - {id: dear, kind: sell, placements: [side, till], campaign: weeks, cost: 0.30 EUR, redemption_cost: 2.00 EUR,
     content: {default: {title: Two euros}}, redeemed_when: {event: offer_accepted}}
  - {id: few, kind: sell, placements: [window], stock: 2, content: {default: {title: The last two}}}
  - {id: bread-off, kind: sell, placements: [shelf], campaign: autumn, cost: 0.10 EUR, promotes: {categories: [bread]},
     price: {discount: 0.50 EUR, currency: EUR}, attribution_window_days: 14, content: {default: {title: Bread}}}
"""
CAMPAIGNS = "campaigns:\n  - {id: weeks, budget: 5.00 EUR}\n  - {id: autumn, budget: 9.00 EUR}\n"


@pytest.fixture
def client(redis_url: str, tmp_path: Path) -> Iterator[Client]:
    (tmp_path / "campaigns").mkdir()
    (tmp_path / "campaigns" / "all.yaml").write_text(CAMPAIGNS)
    with api_client(redis_url, catalogue=write_catalogue(tmp_path, POLICY, OFFERS), decision_deadline_ms=2000) as client:
        yield client


@pytest.fixture
def redis(redis_url: str) -> Iterator[Any]:
    with Redis.from_url(redis_url) as client:
        yield client


def decided(client: Client, user: str, place: str = "hero", **fields: Any) -> dict[str, Any]:
    client.post("/v1/events", json=consent(name=f"c-{user}", user_id=user))
    body = {"user_id": user, "placements": [{"name": place}], **fields}
    answer: dict[str, Any] = client.post("/v1/decisions", json=body).json()
    return answer


def offers(answer: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer["placements"][0]["offers"]
    return found


def told(client: Client, user: str, what: str, answer: dict[str, Any]) -> None:
    offer = offers(answer)[0]["offer_id"]
    event = {"id": f"{what}-{user}", "type": what, "user_id": user, "decision_id": answer["decision_id"], "offer_id": offer}
    assert client.post("/v1/events", json=event).json()["accepted"] == 1


def set_aside(redis: Any) -> int:
    """Minor units that the budget has promised or spent, of which nothing is over."""
    return int(redis.hget(keys.budget("campaign:weeks", "amounts"), "=") or 0)


def test_everybody_gets_a_code_of_their_own_and_a_reload_shows_it_again(client: Client) -> None:
    answers = {user: [decided(client, user) for _ in range(2)] for user in ("u-1", "u-2", "u-3")}

    codes = {user: [[offer["coupon"] for offer in offers(one)] for one in both] for user, both in answers.items()}

    assert sorted(codes["u-1"][0] + codes["u-2"][0]) == ["A1", "B2"]
    assert codes["u-1"][0] == codes["u-1"][1]
    assert codes["u-3"] == [[], []]
    assert answers["u-3"][0]["placements"][0]["reason"] == "capped"


def test_a_repeated_request_and_a_dry_run_take_no_second_code(client: Client, redis: Any) -> None:
    first, again = (decided(client, "u-1", request_id="r-1") for _ in range(2))
    dry = decided(client, "u-2", dry_run=True)

    assert offers(first) == offers(again)
    assert "coupon" not in offers(dry)[0]
    assert redis.hlen(keys.codes("ten", "given")) == 1


def test_an_order_with_the_customers_own_code_redeems_the_offer(client: Client, redis_url: str) -> None:
    mine, other = decided(client, "u-1"), decided(client, "u-2")
    told(client, "u-1", "offer_viewed", mine)
    for order, coupon in (("o-1", offers(other)[0]["coupon"]), ("o-2", offers(mine)[0]["coupon"])):
        lines = [{"product_id": "p", "category": "bread", "price": 100}]
        data = {"order_id": order, "currency": "EUR", "coupon": coupon, "products": lines}
        client.post("/v1/events", json={"id": order, "type": "order_completed", "user_id": "u-1", "data": data})
        fold(redis_url)
        outcome = client.get(f"/v1/decisions/{mine['decision_id']}").json()["placements"][0]["offers"][0]["outcome"]
        assert outcome["redeemed"] is (order == "o-2")


def test_a_code_that_nobody_looked_at_comes_back_and_one_that_was_seen_does_not(client: Client, redis: Any) -> None:
    seen, unseen = decided(client, "u-1"), decided(client, "u-2")
    told(client, "u-1", "offer_viewed", seen)
    redis.zadd(keys.codes("ten", "ends"), {unseen["decision_id"]: 1}, xx=True)

    later = [offers(decided(client, user, at="2030-01-01T00:00:00Z")) for user in ("u-3", "u-4")]

    assert [[offer["coupon"] for offer in one] for one in later] == [[offers(unseen)[0]["coupon"]], []]


def test_a_budget_is_spent_by_views_and_redemptions_and_never_beyond(client: Client, redis: Any) -> None:
    first, second, third = (decided(client, f"u-{n}", "side") for n in range(3))
    assert [len(offers(one)) for one in (first, second, third)] == [1, 1, 0]
    assert set_aside(redis) == 460

    told(client, "u-0", "offer_viewed", first)
    told(client, "u-0", "offer_accepted", first)
    until = time.monotonic() + 10
    while not offers(decided(client, "u-3", "side")):
        assert time.monotonic() < until, "what nobody looked at has to come back"
        time.sleep(0.1)

    assert set_aside(redis) == 230 + 230
    assert redis.zscore(keys.budget("campaign:weeks", "ends"), f"{first['decision_id']}|dear|redeemed") == float("inf")


def test_a_late_view_takes_again_what_is_left_and_takes_nothing_where_nothing_is(client: Client, redis: Any) -> None:
    in_time, late, resold = (decided(client, "u-1", "window"), decided(client, "u-2", "window"), keys.stock("few"))
    told(client, "u-1", "offer_viewed", in_time)
    redis.zadd(resold, {late["decision_id"]: 1}, xx=True)
    other = decided(client, "u-3", "window")
    assert redis.zscore(resold, late["decision_id"]) is None

    told(client, "u-2", "offer_viewed", late)
    told(client, "u-3", "offer_viewed", other)

    assert redis.zrange(resold, 0, -1) == sorted(one["decision_id"].encode() for one in (in_time, other))
    redis.zrem(resold, other["decision_id"])
    told(client, "u-2", "offer_clicked", late)
    assert redis.zscore(resold, late["decision_id"]) == float("inf")
    assert offers(decided(client, "u-4", "window")) == []


def test_a_late_view_is_paid_from_what_is_left_of_the_budget(client: Client, redis: Any) -> None:
    late = decided(client, "u-1", "side")
    names = keys.budget("campaign:weeks", "ends"), f"{late['decision_id']}|dear"
    redis.zadd(names[0], {names[1]: 1, names[1] + "|redeemed": 1}, xx=True)
    decided(client, "u-2", "side")
    assert (set_aside(redis), redis.zscore(*names)) == (230, None)

    told(client, "u-1", "offer_viewed", late)

    assert (set_aside(redis), redis.zscore(*names)) == (460, float("inf"))
    assert offers(decided(client, "u-3", "side")) == []


def test_where_the_decision_is_the_contact_it_is_spent_at_once(client: Client, redis: Any) -> None:
    answer = decided(client, "u-1", "till", channel="pos")

    name = f"{answer['decision_id']}|dear"
    ends = (
        redis.zscore(keys.budget("campaign:weeks", "ends"), name),
        redis.zscore(keys.budget("campaign:weeks", "ends"), name + "|redeemed"),
    )
    assert ends[0] == float("inf") > ends[1] > 0
    assert set_aside(redis) == 230


def test_a_redemption_that_only_the_purchase_tells_is_spent_for_good_and_once(client: Client, redis: Any, redis_url: str) -> None:
    answer, other = decided(client, "u-1", "shelf"), decided(client, "u-2", "shelf")
    for user, one in (("u-1", answer), ("u-2", other)):
        told(client, user, "offer_viewed", one)
    lines = [{"product_id": "p", "category": "bread", "price": 300}]
    order = {
        "id": "o-1",
        "type": "order_completed",
        "user_id": "u-1",
        "data": {"order_id": "o-1", "currency": "EUR", "products": lines},
    }

    for _ in range(2):
        client.post("/v1/events", json=order)
        fold(redis_url)
        relayed = [RedisStore(redis_url).relay(shard) for shard in range(SHARDS)]
        assert sum(relayed) <= 2

    ends = dict(redis.zrange(keys.budget("campaign:autumn", "ends"), 0, -1, withscores=True))
    names = [f"{one['decision_id']}|bread-off".encode() for one in (answer, other)]
    assert {name: ends[name] for name in names} == dict.fromkeys(names, float("inf"))
    assert ends[names[0] + b"|redeemed"] == float("inf") > ends[names[1] + b"|redeemed"]
    assert redis.hget(keys.budget("campaign:autumn", "amounts"), "=") == b"120"
