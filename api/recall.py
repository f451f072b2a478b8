"""A decision that was made, read back: as it was logged, and what came of it so far.

There is no index. The name of a decision tells its shard and when it was made, so its entry is looked for in a short stretch
of the shard's events; where those are gone, in the log of decisions, which stays longer.
"""

from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct

from api.customer_state import Known
from api.decision_ids import origin_of
from api.decision_log import ARM_FINGERPRINT
from api.privacy import read_customer
from engine.decisioning.ledger import REDEEMED, VIEWED
from engine.decisioning.offer_features import OFFER_NAMES
from engine.decisioning.record import eligible_in
from engine.events.decode import decode_canonical, time_of
from engine.events.offers import ChosenOffer, OfferDecided
from engine.events.routing import route
from engine.features.affinity import CROSS_NAMES
from engine.features.vector import NAMES
from engine.ids import CustomerKey
from engine.models.base import Example
from engine.moments import DAY, MINUTE, rfc3339
from engine.profiles.offer_history import OpenOffer
from engine.store import keys
from engine.store.codec import decode_names

Ask = Callable[[Sequence[Any]], Awaitable[list[Any]]]
NEARBY_MS: Final = MINUTE
"""How far the clocks of API and store may be apart, with the deadline of a decision between them."""
FOLDED_WITHIN_MS: Final = 7 * DAY
"""How much later a decision may have been folded."""
LABELLED_WITHIN_MS: Final = 3 * DAY
_PAGE: Final = 500
_READINGS: Final = (*NAMES, *OFFER_NAMES, *CROSS_NAMES)
_EXAMPLE = msgspec.msgpack.Decoder(Example)


class Outcome(Struct, frozen=True, omit_defaults=True):
    """What came of an offer. `closed` says that its attribution window is over; None is not known any more."""

    shown: bool | None
    clicked: bool | None
    redeemed: bool | None
    closed: bool
    shown_at: str = ""
    clicked_at: str = ""
    redeemed_at: str = ""


class RecalledOffer(Struct, frozen=True, omit_defaults=True):
    """A chosen offer. `features` are the readings that it was judged by, by name; `score_minor` its expected value."""

    offer_id: str
    position: int
    kind: str
    propensity: float
    score_minor: float
    outcome: Outcome
    campaign_id: str = ""
    coupon: str = ""
    products: tuple[str, ...] = ()
    features: dict[str, float] = {}


class RecalledPlacement(Struct, frozen=True):
    """A placement: the catalogue by the stage that each offer reached, what could have been chosen, and what was."""

    name: str
    stages: dict[str, int]
    eligible: tuple[str, ...]
    offers: list[RecalledOffer]


class Recalled(Struct, frozen=True):
    """The answer to `GET /v1/decisions/{id}`. `features` are the customer's readings, where no offer was judged by them."""

    decision_id: str
    at: str
    user_id: str | None
    anonymous_id: str | None
    loyalty_id: str | None
    channel: str | None
    request_id: str
    variation: str
    ranker: str
    holdout: bool
    attempt: int
    seed: str
    versions: dict[str, str]
    degraded: tuple[str, ...]
    campaigns: tuple[str, ...]
    features: dict[str, float]
    placements: list[RecalledPlacement]


async def recalled(ask: Ask, shards: int, name: str) -> Recalled | None:
    """The decision of this name, or None. Raises `Erased` where its customer asked to be forgotten."""
    origin = origin_of(name)
    event = await _logged(ask, *origin, name) if origin is not None and origin[1] < shards else None
    if origin is None or event is None:
        return None
    customer = await read_customer(ask, shards, CustomerKey(route(event)))
    version = event.data.versions.get("catalogue", "")
    (held,) = await ask([("GET", keys.offers(version))]) if event.data.eligible_bits else [None]
    eligible = eligible_in(event.data, decode_names(held) if held else ())
    labels = await _labels(ask, origin[1], event)
    said = event.data
    placements = [
        RecalledPlacement(
            place,
            stages,
            eligible.get(place, ()),
            [_offer(one, event, customer, labels) for one in said.offers if one.placement == place],
        )
        for place, stages in said.stages.items()
    ]
    return Recalled(
        decision_id=name,
        at=rfc3339(time_of(event)),
        user_id=event.user_id,
        anonymous_id=event.anonymous_id,
        loyalty_id=event.loyalty_id,
        channel=event.channel,
        request_id=said.request_id,
        variation=said.variation,
        ranker=said.ranker,
        holdout=said.holdout,
        attempt=said.attempt,
        seed=said.seed,
        versions=said.versions,
        degraded=said.degraded,
        campaigns=said.campaigns,
        features=_readings(said.readings, said.fingerprint),
        placements=placements,
    )


async def _logged(ask: Ask, made_at: int, shard: int, name: str) -> OfferDecided | None:
    nearby = (keys.events(shard), b"e", made_at + NEARBY_MS)
    for stream, field, until in (nearby, (keys.decisions(shard), b"d", made_at + FOLDED_WITHIN_MS)):
        async for raw in _between(ask, stream, field, made_at - NEARBY_MS, until):
            if name.encode() in raw:
                event = decode_canonical(raw)
                if isinstance(event, OfferDecided) and event.decision_id == name:
                    return event
    return None


async def _between(ask: Ask, stream: str, field: bytes, start_ms: int, end_ms: int) -> AsyncIterator[bytes]:
    start = str(max(0, start_ms))
    while True:
        (page,) = await ask([("XRANGE", stream, start, str(end_ms), "COUNT", _PAGE)])
        for _, fields in page:
            found = dict(zip(fields[::2], fields[1::2], strict=True)).get(field)
            if found is not None:
                yield found
        if len(page) < _PAGE:
            return
        start = f"({page[-1][0].decode()}"


async def _labels(ask: Ask, shard: int, event: OfferDecided) -> dict[str, Example]:
    """Labels of the decision's offers, by their names; looked for where windows that are over left them."""
    found: dict[str, Example] = {}
    mine = event.decision_id or event.id
    for window in {one.attribution_window_ms for one in event.data.offers if one.learn}:
        closes = time_of(event) + window
        async for raw in _between(ask, keys.examples(shard), b"x", closes - NEARBY_MS, closes + LABELLED_WITHIN_MS):
            if mine.encode() in raw:
                example = _EXAMPLE.decode(raw)
                found[example.id] = example
    return found


def _offer(one: ChosenOffer, event: OfferDecided, customer: Known | None, labels: dict[str, Example]) -> RecalledOffer:
    return RecalledOffer(
        offer_id=one.offer_id,
        position=one.position,
        kind=one.kind,
        propensity=one.propensity,
        score_minor=one.score,
        outcome=_outcome(one, event.decision_id or event.id, customer, labels),
        campaign_id=one.campaign,
        coupon=one.coupon,
        products=one.products,
        features=_readings(one.vector, event.data.fingerprint),
    )


def _outcome(one: ChosenOffer, decision_id: str, customer: Known | None, labels: dict[str, Example]) -> Outcome:
    """From the open offers of the customer, else from the label, else from the ledger, which tells of views alone."""
    label = labels.get(f"{decision_id}|{one.offer_id}|{one.placement}")
    if label is not None:
        return Outcome(True, label.clicked, label.label > 0, True)
    if customer is None:
        return Outcome(None, None, None, closed=False)
    for held in customer.profile.whole.offers.open:
        if (held.decision_id, held.offer_id, held.placement) == (decision_id, one.offer_id, one.placement):
            return _open(held)
    for entry in customer.ledger.entries:
        if entry.offer_id == one.offer_id and decision_id in entry.decisions:
            return Outcome(entry.state >= VIEWED, None, True if entry.state == REDEEMED else None, closed=False)
    return Outcome(None, None, None, closed=True)


def _open(held: OpenOffer) -> Outcome:
    times = [rfc3339(at) if at else "" for at in (held.viewed_at, held.clicked_at, held.redeemed_at)]
    return Outcome(held.viewed_at > 0, held.clicked_at > 0, held.redeemed_at > 0, False, *times)


def _readings(packed: str, fingerprint: str) -> dict[str, float]:
    """Readings by name; none where they were recorded under other names."""
    if not packed or fingerprint != ARM_FINGERPRINT:
        return {}
    values = np.frombuffer(b64decode(packed), "<f4").tolist()
    return {name: round(value, 6) for name, value in zip(_READINGS, values, strict=False)}
