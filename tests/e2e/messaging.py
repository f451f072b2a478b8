"""A running shop whose triggers go to a real webhook, and what its customers do."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from engine.moments import rfc3339
from tests.e2e.running import Up, up, wait_until
from tests.receiver import Receiver, receiving

KEY = {"authorization": "Bearer s-1"}
POLICY = """\
placements:
  message: {channel: push, shown_when: decided}
"""


@contextmanager
def shop_with_messages(folder: Path, offers: str, triggers: str) -> Iterator[tuple[Up, Receiver]]:
    """The shop, whose shards know its triggers, and what receives its messages."""
    catalogue = folder / "catalogue"
    (catalogue / "offers").mkdir(parents=True)
    (catalogue / "policy.yaml").write_text(POLICY)
    (catalogue / "offers" / "all.yaml").write_text(offers)
    (catalogue / "triggers.yaml").write_text(triggers)
    with receiving() as receiver:
        environment = {
            "REGULARS_WEBHOOKS": f"default={receiver.url}",
            "REGULARS_WEBHOOK_SECRETS": "default=a secret",
            "REGULARS_SECRET_KEYS": "s-1",
        }
        with up(folder / "data", "--catalogue", str(catalogue), environment=environment) as system:
            wait_until(lambda: _told_of_its_triggers(system), what="the triggers in the shards")
            yield system, receiver


def _told_of_its_triggers(system: Up) -> bool:
    return "the shards are told their triggers" in (system.data / "up.log").read_text()


def said(kind: str, name: str, user: str, **data: Any) -> dict[str, Any]:
    """An event of a customer, now."""
    return {"id": name, "type": kind, "user_id": user, "time": rfc3339(int(time.time() * 1000)), "data": data}


def allowed(*users: str) -> list[dict[str, Any]]:
    """Each allows messages on their phone."""
    said_yes = {"purpose": "marketing", "status": "granted", "channels": ["push"]}
    return [said("consent_updated", f"c-{user}", user, **said_yes) for user in users]


def send(system: Up, *events: dict[str, Any]) -> None:
    """Through the HTTP door, which takes them all."""
    answer = httpx.post(f"{system.url}/v1/events", json=list(events), headers=KEY, timeout=10)
    assert answer.json()["accepted"] == len(events), answer.text


def written_to(receiver: Receiver) -> list[str]:
    """The customers who got a message, in order."""
    return [one.message["data"]["customer"]["user_id"] for one in receiver.requests]
