"""Simulated shoppers as a Locust load: `locust -f load_tests/locustfile.py --host http://127.0.0.1:8080`.

Each user is one shopper who visits again and again: browses, asks for the hero offer, sees it, clicks, buys. The key is
taken from `REGULARS_KEY`, the catalogue whose offers they know from `REGULARS_CATALOGUE`.
"""

import os
import time
from itertools import count
from pathlib import Path
from typing import Any, Final

from locust import HttpUser, constant_throughput

from config.settings import DEFAULT_CATALOGUE
from engine.errors import RegularsError
from engine.moments import Millis
from flows.door import JSON, Answer, DoorRefused
from load_tests.shoppers.driver import play, promotions_of
from load_tests.shoppers.world import Arrival, World

SEED: Final = 1
MOST_SHOPPERS: Final = 10_000
VISITS_PER_SECOND: Final = 1.0

_WORLD: Final = World(SEED, promotions_of(Path(os.environ.get("REGULARS_CATALOGUE") or DEFAULT_CATALOGUE)), MOST_SHOPPERS)
_NEXT_SHOPPER: Final = count()
_NEXT_VISIT: Final = count(int(time.time()))
_KEY: Final = os.environ.get("REGULARS_KEY", "")


class LocustDoor:
    """Carries a visit's requests by Locust's own client, which times and counts them."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def post(self, path: str, body: bytes) -> Answer:
        """One attempt: under load a refusal is a result."""
        headers = {"content-type": JSON} | ({"authorization": f"Bearer {_KEY}"} if _KEY else {})
        response = self._client.post(path, data=body, headers=headers)
        if response.status_code >= 400 or not response.status_code:
            raise DoorRefused(int(response.status_code), response.content or b"")
        return Answer(int(response.status_code), response.content, response.elapsed.total_seconds())


def begin(user: Any) -> None:
    """A user takes the part of the next shopper."""
    user.shopper = next(_NEXT_SHOPPER) % MOST_SHOPPERS


def visit_once(user: Any) -> None:
    """One visit, from the door to the till; a refused request ends it, and Locust has counted it."""
    arrival = Arrival(Millis(int(time.time() * 1000)), user.shopper, next(_NEXT_VISIT))
    try:
        play(_WORLD, arrival, LocustDoor(user.client))
    except RegularsError:
        return


# Made by a call, since a class statement would need the types of Locust wherever this file is only checked.
ShopperUser = type(
    "ShopperUser",
    (HttpUser,),
    {
        "__doc__": "A shopper who never tires.",
        "__module__": __name__,
        "wait_time": constant_throughput(VISITS_PER_SECOND),
        "tasks": [visit_once],
        "on_start": begin,
    },
)
