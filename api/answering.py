"""The body that answers a decision."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from api.basis import Basis
from api.door import Receipt
from engine.decisioning.decision import Chosen, Decision, Filled
from engine.decisioning.explanation import Explained
from engine.decisioning.quiet import quiet_until
from engine.decisioning.situation import Situation
from engine.moments import rfc3339
from engine.money import exponent, to_major


class Terms(Struct, frozen=True, omit_defaults=True):
    """Why this one: the probability with which it was drawn, what a redemption is worth (major units), the lever, and how
    likely it is clicked, where the model knows."""

    propensity: float
    value: str
    cost: str
    boost: float
    click_probability: float | None = None


class ShownProduct(Struct, frozen=True, omit_defaults=True):
    """A product as a page shows it; `price` is of one unit, in major units."""

    product_id: str
    title: str
    price: str
    currency: str
    image: str = ""
    url: str = ""


class OfferAnswer(Struct, frozen=True, omit_defaults=True):
    """An offer as its caller gets it; pages get no figures. `score` is the expected value in major units."""

    offer_id: str
    campaign_id: str
    position: int
    kind: str
    content: dict[str, str]
    expires_at: str
    reasons: tuple[str, ...]
    score: float | None = None
    probability: float | None = None
    terms: Terms | None = None
    coupon: str = ""
    """The customer's own code."""
    products: tuple[ShownProduct, ...] = ()
    """What the offer shows, where that was found when it was decided."""


class PlacementAnswer(Struct, frozen=True, omit_defaults=True):
    """A placement. `reason` is ok, or why nothing personal is in it; `hint` what would help, `retry_at` when to ask again."""

    name: str
    reason: str
    offers: list[OfferAnswer]
    hint: str = ""
    retry_at: str = ""


class Freshness(Struct, frozen=True):
    """How old the newest event behind the decision is, and which parts are older than they should be."""

    age_ms: int | None
    stale: Sequence[str]


class ExperimentAnswer(Struct, frozen=True):
    """The group that the customer is in."""

    variation: str
    holdout: bool


class DecisionAnswer(Struct, frozen=True, omit_defaults=True):
    """The answer to `POST /v1/decisions` and `GET /v1/offers`."""

    decision_id: str
    took_ms: float
    degraded: tuple[str, ...]
    versions: Mapping[str, str]
    features: Freshness
    experiment: ExperimentAnswer
    placements: list[PlacementAnswer]
    events: Receipt | None = None
    explanation: Sequence[Explained] | None = None


encode = msgspec.json.Encoder().encode


def placement_answers(
    decision: Decision, basis: Basis, to_page: bool, situation: Situation | None = None
) -> list[PlacementAnswer]:
    """The placements of a decision for a page, or for everybody else; what is quiet says until when."""
    answers = [_placement(filled, basis, to_page) for filled in decision.placements]
    if situation is None or all(one.reason != "quiet_hours" for one in answers):
        return answers
    until = rfc3339(quiet_until(situation, basis.loaded.policy))
    return [replace(one, retry_at=until) if one.reason == "quiet_hours" else one for one in answers]


def _placement(filled: Filled, basis: Basis, to_page: bool) -> PlacementAnswer:
    offers = [_for_page(offer) if to_page else _in_full(offer, basis) for offer in filled.offers]
    return PlacementAnswer(filled.name, filled.reason, offers, filled.hint)


def _for_page(offer: Chosen) -> OfferAnswer:
    return OfferAnswer(
        offer.offer_id,
        offer.campaign_id,
        offer.position,
        offer.kind,
        offer.content,
        rfc3339(offer.expires_at),
        (),
        coupon=offer.coupon,
        products=_shown(offer),
    )


def _in_full(offer: Chosen, basis: Basis) -> OfferAnswer:
    currency = offer.currency
    score, probability = (offer.score, offer.probability) if offer.kind == "sell" else (None, None)
    return OfferAnswer(
        offer.offer_id,
        offer.campaign_id,
        offer.position,
        offer.kind,
        offer.content,
        rfc3339(offer.expires_at),
        offer.reasons,
        round(score / _minor_units(currency), 6) if score is not None else None,
        probability,
        Terms(
            offer.propensity,
            _major(offer.value_minor, currency),
            _major(offer.cost_minor, currency),
            basis.loaded.catalogue.offers[offer.row].boost,
            _clicked(offer, basis) if offer.kind == "sell" else None,
        ),
        offer.coupon,
        _shown(offer),
    )


def _shown(offer: Chosen) -> tuple[ShownProduct, ...]:
    if not offer.products:
        return ()
    return tuple(
        ShownProduct(one.product_id, one.title, _major(one.price, one.currency), one.currency, one.image, one.url)
        for one in offer.products
    )


def _clicked(offer: Chosen, basis: Basis) -> float | None:
    learned = basis.scorers.learned
    return None if learned is None else learned.click_probability(offer.placement, offer.probability)


@lru_cache(maxsize=4096)
def _major(minor: float, currency: str) -> str:
    return to_major(round(minor), currency) if currency else str(round(minor))


@lru_cache(maxsize=512)
def _minor_units(currency: str) -> int:
    """How many minor units one major unit has; 1 where no currency is set."""
    return 10 ** exponent(currency) if currency else 1


def stale_parts(lag_ms: int, lag_bound_ms: int, snapshot_age_s: Mapping[str, float], age_bound_s: float) -> tuple[str, ...]:
    """What is older than it should be: profiles behind their events, models long not published."""
    behind = ("profile",) if lag_ms > lag_bound_ms else ()
    return (*behind, *sorted(name for name, age in snapshot_age_s.items() if age > age_bound_s))
