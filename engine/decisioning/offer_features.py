"""Readings of an offer itself, the part of a model's input that no customer changes: one row an offer."""

from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

from engine.decisioning.offers import Offer, Price
from engine.decisioning.policy import Placement

OFFER_NAMES: tuple[str, ...] = (
    "offer.discount_share",
    "offer.has_discount",
    "offer.margin",
    "offer.cost",
    "offer.is_sell",
    "offer.is_stocked",
    "offer.needs_coupon",
    "offer.promotes_products",
    "offer.categories_promoted",
    "offer.window_days",
    "offer.in_transaction",
    "offer.post_transaction",
    "offer.at_till",
    "offer.examination",
)
EXAMINATION = OFFER_NAMES.index("offer.examination")
"""Offers are judged as in the first place; what is recorded of one is the place it got. So a model learns how much less is
looked at further down apart from how good an offer is, and an offer is not worse for having been shown there."""


def examination(position: int) -> float:
    """The reading of a place: 0 for the first, lower further down."""
    return -log(position)


def offer_features(offers: Sequence[Offer], placement: Placement) -> NDArray[np.float64]:
    """(K, P) readings of the offers in one placement, in the order of `OFFER_NAMES`, rounded to float32.

    Money is in major units as a model sees it (a hundredth of a minor unit's number), shares lie in 0..1, flags are 0
    or 1. Whatever a marketer may change while it runs (boost, caps, words) is left out.
    """
    stage = (
        float(placement.stage == "in_transaction"),
        float(placement.stage == "post_transaction"),
        float(placement.channel == "pos"),
    )
    rows = [(*_readings(offer), *stage, examination(1)) for offer in offers]
    return np.array(rows, dtype=np.float32).astype(np.float64).reshape(len(offers), len(OFFER_NAMES))


def _readings(offer: Offer) -> tuple[float, ...]:
    depth = discount_share(offer.price)
    return (
        depth,
        float(depth > 0),
        offer.margin.minor / 100,
        offer.cost.minor / 100,
        float(offer.kind == "sell"),
        float(offer.stock is not None),
        float(offer.coupons is not None or (offer.redeemed_when is not None and bool(offer.redeemed_when.coupon))),
        float(bool(offer.promotes.products)),
        float(len(offer.promotes.categories)),
        offer.attribution_window_days,
    )


def discount_share(price: Price | None) -> float:
    """How much less is paid, as a share of the regular price; 0 where the written price does not say."""
    if price is None:
        return 0.0
    if price.discount_percent:
        return price.discount_percent / 100
    regular = price.regular.minor if price.regular else 0
    if regular <= 0:
        return 0.0
    if price.discount is not None:
        return min(1.0, price.discount.minor / regular)
    return max(0.0, 1 - price.amount.minor / regular) if price.amount is not None else 0.0
