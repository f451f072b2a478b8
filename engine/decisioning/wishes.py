"""What the customer's own wishes leave: topics, how often, and when not.

A topic is a tag of an offer or a category that it promotes. Where the policy lists topics only those count, since a shop uses
tags for much that a customer never sees.
"""

from functools import lru_cache

import numpy as np

from engine.decisioning.catalogue import Catalogue
from engine.decisioning.conditions import BoolArray, Span
from engine.decisioning.ledger import CapClaim
from engine.decisioning.policy import Policy
from engine.profiles.profile import Part

EVERY_SALE = "sell"
"""The scope that every contact with a `sell` offer is under."""


@lru_cache(maxsize=8)
def topics_of(catalogue: Catalogue, listed: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The topics of each offer that a customer can decline."""
    found = []
    for offer, personal in zip(catalogue.offers, catalogue.columns.personal, strict=True):
        about = dict.fromkeys((*offer.tags, *offer.promotes.categories)) if personal else {}
        found.append(tuple(name for name in about if not listed or name in listed))
    return tuple(found)


def welcome(part: Part, catalogue: Catalogue, policy: Policy) -> BoolArray:
    """Offers about which the customer has not said that they are unwanted. May be shared: copy before writing."""
    wished = part.preferences
    if not wished.topics:
        return catalogue.columns.everything
    return np.array([not wished.declines(about) for about in topics_of(catalogue, policy.preferences.topics)], dtype=np.bool_)


def limit_of(part: Part | None) -> CapClaim | None:
    """The cap that the customer set over all sales; None where they set none."""
    limit = part.preferences.limit if part is not None else None
    return CapClaim(EVERY_SALE, limit.count, limit.window_ms) if limit is not None and limit.count is not None else None


def quiet_span(part: Part | None, policy: Policy) -> Span | None:
    """When messages rest: as the customer chose, else as the policy says."""
    chosen = part.preferences.quiet.span if part is not None else None
    return Span(start=chosen[0], end=chosen[1]) if chosen is not None else policy.quiet_hours.span
