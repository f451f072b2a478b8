"""What offers use up: units of a stock, codes of a coupon pool, money of a campaign's budget.

A stock gives a unit and a coupon pool a code to each contact. A budget gives money, in minor units: what the contact costs
and, in case it is redeemed, what the redemption costs. Both are set aside when the offer is chosen, so that everything that
was promised can be paid whatever happens. The contact is spent when it was seen, the redemption when it happens; what does
not happen in time comes back.
"""

from base64 import b32encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Literal

from msgspec import Struct

from engine.decisioning.offers import Campaign, Coupons, Offer, Price
from engine.moments import DAY

Kind = Literal["units", "codes", "budget"]
_CODE_LETTERS = 8


class Pool(Struct, frozen=True):
    """What one offer takes of one pool: `amount` at the contact, `later` at the redemption within `window_ms` of it."""

    name: str
    kind: Kind
    capacity: int
    amount: int = 1
    later: int = 0
    window_ms: int = 0


def pools_of(offer: Offer, campaigns: Mapping[str, Campaign]) -> tuple[Pool, ...]:
    """The pools that an offer takes from."""
    found = []
    if offer.coupons is not None:
        found.append(Pool(offer.id, "codes", len(codes_of(offer.id, offer.coupons))))
    elif offer.stock is not None:
        found.append(Pool(offer.id, "units", offer.stock))
    campaign = campaigns.get(offer.campaign or "")
    later = redemption_cost(offer)
    if campaign is not None and campaign.budget is not None and offer.cost.minor + later > 0:
        window = int(offer.attribution_window_days * DAY)
        found.append(Pool(budget_of(campaign.id), "budget", campaign.budget.minor, offer.cost.minor, later, window))
    return tuple(found)


def budget_of(campaign: str) -> str:
    """The name of a campaign's budget among the pools."""
    return f"campaign:{campaign}"


def redemption_cost(offer: Offer) -> int:
    """What a redemption costs in minor units: as it is written, else the discount as far as the price tells it."""
    if offer.redemption_cost is not None:
        return offer.redemption_cost.minor
    return _discount(offer.price) if offer.price is not None else 0


def _discount(price: Price) -> int:
    """A percentage without a regular price is not known in money."""
    if price.discount is not None:
        return price.discount.minor
    if price.regular is None:
        return 0
    if price.amount is not None:
        return max(0, price.regular.minor - price.amount.minor)
    # Half a minor unit counts as a whole one: a budget is not exceeded by rounding.
    return int(price.regular.minor * round(price.discount_percent * 10_000) + 500_000) // 1_000_000


def codes_of(offer_id: str, coupons: Coupons) -> tuple[str, ...]:
    """The codes of a pool, each once: those written, then those made of the prefix, which are equal on every machine."""
    return tuple(dict.fromkeys((*coupons.codes, *_made(offer_id, coupons))))


def _made(offer_id: str, coupons: Coupons) -> Iterator[str]:
    seen: set[str] = set()
    number = 0
    while len(seen) < coupons.count:
        digest = blake2b(f"{offer_id}/{coupons.prefix}/{number}".encode(), digest_size=5).digest()
        code = coupons.prefix + b32encode(digest).decode()[:_CODE_LETTERS]
        number += 1
        if code not in seen:
            seen.add(code)
            yield code


def codes_digest(codes: Sequence[str]) -> str:
    """Changes when a list of codes does."""
    return blake2b("\n".join(codes).encode(), digest_size=12).hexdigest()
