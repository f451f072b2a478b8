"""Shoppers through the HTTP doors: each step of a visit is one request."""

from pathlib import Path
from typing import Any

import orjson
from msgspec import Struct

from config.catalogue_files import load_catalogue
from engine.errors import InvariantBroken
from flows.door import Door
from load_tests.shoppers.visit import PLACEMENT, Ask, Outcome, Shown, Tell, visit
from load_tests.shoppers.world import Arrival, Promotion, World


class Played(Struct, frozen=True):
    """A visit that took place: what came of it, in which arm, what was sent, and how the decision went.

    `reason` is why the place stayed empty, or "ok". `took_ms` is the server's own time for the decision.
    """

    arrival: Arrival
    outcome: Outcome
    variation: str = ""
    reason: str = ""
    events: int = 0
    rejected: int = 0
    took_ms: float = 0.0


class Answered(Struct, frozen=True):
    """What a decision says of one placement, and of itself."""

    shown: Shown | None
    variation: str
    reason: str
    took_ms: float
    degraded: tuple[str, ...] = ()


def play(world: World, arrival: Arrival, door: Door) -> Played:
    """Plays one visit to its end. Raises `DoorClosed` and `DoorRefused`."""
    steps = visit(world, arrival)
    step = next(steps)
    events = rejected = 0
    answered = Answered(None, "", "", 0.0)
    while True:
        reply: Shown | None = None
        match step:
            case Tell(sent):
                body = door.post("/v1/events", orjson.dumps(sent)).json()
                events, rejected = events + len(sent), rejected + len(body["rejected"])
            case Ask(request):
                body = door.post("/v1/decisions", orjson.dumps(request)).json()
                answered = answer_of(body, PLACEMENT)
                reply = answered.shown
        try:
            step = steps.send(reply)
        except StopIteration as end:
            if not isinstance(end.value, Outcome):
                raise InvariantBroken("a visit ends with its outcome") from None
            return Played(arrival, end.value, answered.variation, answered.reason, events, rejected, answered.took_ms)


def answer_of(body: dict[str, Any], placement: str) -> Answered:
    """The first offer of a placement in a decision's answer."""
    variation, took = str(body.get("experiment", {}).get("variation", "")), float(body.get("took_ms", 0.0))
    degraded = tuple(str(what) for what in body.get("degraded", ()))
    for place in body.get("placements", []):
        if place.get("name") == placement:
            shown = [Shown(str(body.get("decision_id", "")), str(offer["offer_id"])) for offer in place["offers"]]
            return Answered(shown[0] if shown else None, variation, str(place.get("reason", "")), took, degraded)
    return Answered(None, variation, "missing", took, degraded)


def promotions_of(folder: Path, placement: str = PLACEMENT) -> list[Promotion]:
    """The offers of a catalogue folder that sell something in a placement, as shoppers meet them."""
    offers = load_catalogue(folder).catalogue.offers
    return [
        Promotion(offer.id, offer.promotes.categories, offer.margin.minor)
        for offer in offers
        if offer.kind == "sell" and placement in offer.placements and offer.promotes.categories
    ]
