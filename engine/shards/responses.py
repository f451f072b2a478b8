"""What a customer does with an offer that was made to them under another of their identities.

A visitor is shown an offer, logs in and buys: the decision belongs to the part of the browser, the purchase to that of the user.
An offer that is open in any part of a customer is answered by what happens in any other, as it would be in one part. While a part
is on its way, what may answer its offers is remembered, and told to them when they come.
"""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from engine.events.base import Event
from engine.events.offers import OfferSeen
from engine.events.orders import CouponTried, OrderCompleted
from engine.events.pos import PosNote, PosTransactionCompleted
from engine.profiles import offer_history
from engine.profiles.links import Awaited
from engine.profiles.offer_history import OfferHistory, OpenOffer
from engine.profiles.profile import Profile
from engine.profiles.purchases import Purchase

_ANSWERS: Final = {
    name: offer_history.HANDLERS[name]
    for name in (
        "offer_viewed",
        "offer_clicked",
        "offer_accepted",
        "offer_redeemed",
        "order_completed",
        "pos_transaction_completed",
        "coupon_applied",
        "pos_coupon_redeemed",
    )
}


def answered(profile: Profile, part_key: str, event: Event, at: int) -> Profile:
    """After an event of one part: with the offers that it answers in the others."""
    handler = _ANSWERS.get(event.type)
    if handler is None or (len(profile.parts) < 2 and not profile.links.by_key):
        return profile
    changed = _each(profile, part_key, lambda offers: handler(offers, event, at))
    if any(one.linked and key not in profile.parts for key, one in profile.links.by_key.items()):
        links = profile.links
        for awaited in _awaited(changed, event, at):
            links = links.awaiting(awaited)
        changed = replace(changed, links=links)
    return changed


def caught_up(profile: Profile, key: str) -> Profile:
    """After the part of an identity has come in: what happened meanwhile has answered its offers, and it has answered others'."""
    profile = _told(profile, key)
    for name in profile.parts:
        others = [name_ for name_ in profile.parts if name_ != name] if name == key else [key]
        bought = [one for other in others for one in profile.parts[other].purchases.last]
        offers = _bought(profile.parts[name].offers, bought)
        if offers is not profile.parts[name].offers:
            profile = profile.with_part(name, replace(profile.parts[name], offers=offers))
    return profile


def _each(profile: Profile, but: str, change: Callable[[OfferHistory], OfferHistory]) -> Profile:
    for key, part in profile.parts.items():
        if key != but and part.offers.open:
            offers = change(part.offers)
            if offers is not part.offers:
                profile = profile.with_part(key, replace(part, offers=offers))
    return profile


def _awaited(profile: Profile, event: Event, at: int) -> list[Awaited]:
    """What the event says of offers that no part holds."""
    if isinstance(event, OfferSeen):
        offer_id = event.offer_id or str(event.data.get("offer_id", ""))
        decision_id = event.decision_id or str(event.data.get("decision_id", ""))
        held = any(
            (one.decision_id, one.offer_id) == (decision_id, offer_id)
            for part in profile.parts.values()
            for one in part.offers.open
        )
        return [] if held or not decision_id else [Awaited(at, offer_history.done_by(event), decision_id, offer_id)]
    coupons: set[str] = set()
    if isinstance(event, OrderCompleted | PosTransactionCompleted):
        coupons = offer_history.coupons_of(event)
    elif isinstance(event, CouponTried | PosNote):
        coupons = {offer_history.coupon_tried(event)}
    return [Awaited(at, "", coupon=coupon) for coupon in sorted(coupons) if coupon]


def _told(profile: Profile, key: str) -> Profile:
    """What was waiting is told to the offers of a part that has come in."""
    if not profile.links.awaited:
        return profile
    part, left = profile.part_of(key), []
    offers = part.offers
    for one in profile.links.awaited:
        before = offers
        for index, held in enumerate(offers.open):
            if one.what and (held.decision_id, held.offer_id) == (one.decision_id, one.offer_id):
                offers = offers.happened(index, one.what, one.at)
            elif not one.what and held.redeemed_when == "coupon" and held.coupon == one.coupon:
                offers = offers.happened(index, "redeemed", one.at)
        if offers is before:
            left.append(one)
    profile = profile.with_part(key, replace(part, offers=offers))
    return replace(profile, links=replace(profile.links, awaited=tuple(left)))


def _bought(offers: OfferHistory, purchases: list[Purchase]) -> OfferHistory:
    """Open offers that were seen, after purchases under other identities; the first one that fits answers."""
    for index, offer in enumerate(offers.open):
        if offer.redeemed_at or not offer.viewed_at or offer.redeemed_when != "buys":
            continue
        fitting = [one.at for one in purchases if offer.viewed_at <= one.at <= offer.closes_at and _fits(offer, one)]
        if fitting:
            offers = offers.happened(index, "redeemed", min(fitting))
    return offers


def _fits(offer: OpenOffer, purchase: Purchase) -> bool:
    return bool(
        {*purchase.categories} & {*offer_history.names_in(offer.categories)}
        or {*purchase.products} & {*offer_history.names_in(offer.products)}
    )
