"""A cart is left in a running shop, and the customer's phone is told, through a real webhook, by their secret key's leave."""

import time
from pathlib import Path
from typing import Any

import httpx

from engine.moments import rfc3339
from tests.e2e.running import Up, up, wait_until
from tests.receiver import Receiver, receiving

POLICY = """\
placements:
  message: {channel: push, shown_when: decided}
"""
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
KEY = {"authorization": "Bearer s-1"}


def said(kind: str, name: str, user: str, **data: Any) -> dict[str, Any]:
    return {"id": name, "type": kind, "user_id": user, "time": rfc3339(int(time.time() * 1000)), "data": data}


def send(system: Up, *events: dict[str, Any]) -> None:
    answer = httpx.post(f"{system.url}/v1/events", json=list(events), headers=KEY, timeout=10)
    assert answer.json()["accepted"] == len(events), answer.text


def written_to(receiver: Receiver) -> list[str]:
    return [one.message["data"]["customer"]["user_id"] for one in receiver.requests]


def told_of_its_triggers(system: Up) -> bool:
    return "the shards are told their triggers" in (system.data / "up.log").read_text()


def test_a_cart_that_is_left_is_told_to_who_allowed_it_and_to_nobody_else(tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    (folder / "offers").mkdir(parents=True)
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "offers" / "all.yaml").write_text(OFFERS)
    (folder / "triggers.yaml").write_text(TRIGGERS)
    with receiving() as receiver:
        environment = {
            "REGULARS_WEBHOOKS": f"default={receiver.url}",
            "REGULARS_WEBHOOK_SECRETS": "default=a secret",
            "REGULARS_SECRET_KEYS": "s-1",
        }
        with up(tmp_path / "data", "--catalogue", str(folder), environment=environment) as system:
            wait_until(lambda: bool(system.line), what="an address")
            wait_until(lambda: told_of_its_triggers(system), what="the triggers in the shards")
            allowed = {"purpose": "marketing", "status": "granted", "channels": ["push"]}
            send(system, said("consent_updated", "c-1", "ann", **allowed), said("consent_updated", "c-2", "bob", **allowed))
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
