"""A price falls in a feed, and who looked at the product is told through a webhook: API, engine and sender for real."""

import time
from pathlib import Path

import httpx

from tests.e2e.messaging import KEY, allowed, said, send, shop_with_messages, written_to
from tests.e2e.running import Up, wait_until

OFFERS = """\
offers:
  - {id: cheaper, kind: sell, placements: [message], margin: 1.00 EUR, redeemed_when: {event: offer_accepted},
     content: {default: {title: "Less than before"}}}
"""
TRIGGERS = "triggers: [{id: price-dropped, event: price_dropped, placement: message}]\n"
HEADER = "product_id,title,price,currency\n"


def feed(system: Up, *lines: str) -> None:
    """Products as a shop's nightly file tells them."""
    body = HEADER + "\n".join(lines)
    answer = httpx.post(f"{system.url}/v1/products", content=body, headers={**KEY, "content-type": "text/csv"}, timeout=10)
    assert answer.json() == {"accepted": len(lines), "rejected": []}, answer.text


def test_who_looked_at_a_product_is_told_once_that_it_became_cheaper(tmp_path: Path) -> None:
    with shop_with_messages(tmp_path, OFFERS, TRIGGERS) as (system, receiver):
        feed(system, "p-1,Kettle,39.00,EUR", "p-2,Toaster,20.00,EUR", "p-3,Mixer,50.00,EUR")
        send(system, *allowed("ann", "bob"))
        send(system, said("product_viewed", "v-1", "ann", product_id="p-1"))
        send(system, said("product_viewed", "v-2", "bob", product_id="p-2"))
        time.sleep(1.0)

        feed(system, "p-1,Kettle,29.00,EUR", "p-2,Toaster,21.00,EUR", "p-3,Mixer,10.00,EUR")
        wait_until(lambda: bool(receiver.requests), within_s=30, what="the message")
        feed(system, "p-1,Kettle,29.00,EUR")
        time.sleep(2.0)

    (sent,) = receiver.requests
    assert written_to(receiver) == ["ann"]
    assert sent.message["data"]["occasion"]["product_id"] == "p-1"
    assert (sent.message["data"]["occasion"]["was"], sent.message["data"]["occasion"]["price"]) == (3900, 2900)
    assert [one["content"]["title"] for one in sent.message["data"]["offers"]] == ["Less than before"]
