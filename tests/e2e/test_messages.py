"""A cart is left in a running shop, and the customer's phone is told, through a real webhook, by their secret key's leave."""

import time
from pathlib import Path

import httpx

from tests.e2e.messaging import KEY, allowed, said, send, shop_with_messages, written_to
from tests.e2e.running import wait_until

OFFERS = """\
offers:
  - {id: cart, kind: sell, placements: [message], margin: 1.00 EUR, redeemed_when: {event: offer_accepted},
     caps: [{count: 1, window_days: 1}], content: {default: {title: "Still there"}}}
"""
TRIGGERS = """\
cart_abandoned_minutes: 0.02
triggers:
  - {id: cart-left, event: cart_abandoned, placement: message, wait_minutes: 0.01, unless: [order_completed]}
"""


def test_a_cart_that_is_left_is_told_to_who_allowed_it_and_to_nobody_else(tmp_path: Path) -> None:
    with shop_with_messages(tmp_path, OFFERS, TRIGGERS) as (system, receiver):
        send(system, *allowed("ann", "bob"))
        for user in ("ann", "bob", "cem"):
            send(system, said("product_added", f"a-{user}", user, product_id="p-1", category="coffee"))
        send(system, said("order_completed", "o-1", "bob", order_id="o-1", currency="EUR", total=900))

        wait_until(lambda: bool(receiver.requests), within_s=30, what="the message")
        time.sleep(2.0)
        metrics = httpx.get(f"{system.url}/metrics", headers=KEY, timeout=10).text

    (sent,) = receiver.requests
    assert written_to(receiver) == ["ann"]
    assert sent.message["data"]["occasion"]["products"] == ["p-1"]
    assert [one["content"]["title"] for one in sent.message["data"]["offers"]] == ["Still there"]
    assert 'regulars_actions_total{outcome="delivered"} 1.0' in metrics
    assert 'regulars_actions_dropped_total{reason="consent"} 1.0' in metrics
