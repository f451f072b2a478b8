"""Shoppers through the HTTP doors: each step of a visit is one request."""

from pathlib import Path
from typing import Any, Protocol

import orjson
from msgspec import Struct

from config.catalogue_files import load_catalogue
from engine.errors import InvariantBroken
from flows.door import Answer
from load_tests.shoppers.visit import PLACEMENT, Ask, Outcome, Shown, Tell, visit
from load_tests.shoppers.world import Arrival, Promotion, World


class Poster(Protocol):
    """Whoever carries a request to the server: a `flows.door.Door`, or a load test's own client."""

    def post(self, path: str, body: bytes) -> Answer: ...


class Played(Struct, frozen=True):
    """A visit that took place: what came of it, in which arm, what was sent, and how the decision went.

    `reason` is why the place stayed empty, or "ok". `waited_ms` is how long the page waited for the decision, which was
    asked for at the simulated `asked_at`.
    """

    arrival: Arrival
    outcome: Outcome
    variation: str = ""
    reason: str = ""
    events: int = 0
    rejected: int = 0
    degraded: tuple[str, ...] = ()
    asked_at: int = 0
    waited_ms: float = 0.0


class Answered(Struct, frozen=True):
    """What a decision says of one placement, and of itself; `offer` is the answer's own object for it."""

    shown: Shown | None = None
    variation: str = ""
    reason: str = ""
    degraded: tuple[str, ...] = ()
    offer: dict[str, Any] = {}


def play(world: World, arrival: Arrival, door: Poster) -> Played:
    """Plays one visit to its end. Raises `DoorClosed` and `DoorRefused`."""
    steps = visit(world, arrival)
    step = next(steps)
    events = rejected = 0
    answered = Answered()
    asked_at, waited_ms = 0, 0.0
    while True:
        reply: Shown | None = None
        match step:
            case Tell(sent):
                body = door.post("/v1/events", orjson.dumps(sent)).json()
                events, rejected = events + len(sent), rejected + len(body["rejected"])
            case Ask(request, at):
                answer = door.post("/v1/decisions", orjson.dumps(request))
                asked_at, waited_ms = at, 1000.0 * answer.seconds
                answered = answer_of(answer.json(), PLACEMENT)
                reply = answered.shown
        try:
            step = steps.send(reply)
        except StopIteration as end:
            if not isinstance(end.value, Outcome):
                raise InvariantBroken("a visit ends with its outcome") from None
            told = (answered.variation, answered.reason, events, rejected, answered.degraded, asked_at, waited_ms)
            return Played(arrival, end.value, *told)


def answer_of(body: dict[str, Any], placement: str) -> Answered:
    """The first offer of a placement in a decision's answer."""
    variation = str(body.get("experiment", {}).get("variation", ""))
    degraded = tuple(str(what) for what in body.get("degraded", ()))
    for place in body.get("placements", []):
        if place.get("name") == placement:
            offer = place["offers"][0] if place["offers"] else {}
            shown = Shown(str(body.get("decision_id", "")), str(offer["offer_id"])) if offer else None
            return Answered(shown, variation, str(place.get("reason", "")), degraded, offer)
    return Answered(None, variation, "missing", degraded)


def promotions_of(folder: Path, placement: str = PLACEMENT) -> list[Promotion]:
    """The offers of a catalogue folder that sell something in a placement, as shoppers meet them."""
    offers = load_catalogue(folder).catalogue.offers
    return [
        Promotion(offer.id, offer.promotes.categories, offer.margin.minor)
        for offer in offers
        if offer.kind == "sell" and placement in offer.placements and offer.promotes.categories
    ]
