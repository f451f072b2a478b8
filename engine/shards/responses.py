"""What a customer does with an offer that was made to them under another of their identities.

A visitor is shown an offer, logs in and buys: the decision belongs to the part of the browser, the purchase to that of the user.
An offer that is open in any part of a customer is answered by what happens in any other, as it would be in one part. A part, or
an event that is forwarded, takes longer than one that comes straight, so an answer may be there before its offer: what was done
with an offer that nobody knows yet is remembered, and told to it when it comes.
"""

from collections.abc import Callable, Collection
from typing import Final

from msgspec.structs import replace

from engine.events.base import Event
from engine.events.offers import OfferDecided, OfferSeen
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
        "offer_decided",
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
    """After an event of one part: with the offers that it answers in the others, and the answers that came before the offer."""
    handler = _ANSWERS.get(event.type)
    links = profile.links
    if handler is None or not (links.by_key or links.returning or part_key != profile.key):
        return profile
    if isinstance(event, OfferDecided):
        return _caught_up(_told(profile, part_key), part_key)
    changed = _each(profile, part_key, lambda offers: handler(offers, event, at))
    if isinstance(event, OfferSeen):
        for key, part in changed.parts.items():
            if part.offers.open:
                changed = _caught_up(changed, key)
    elif isinstance(event, OrderCompleted | PosTransactionCompleted) and len(changed.parts) > 1:
        now = [one for one in changed.part_of(part_key).purchases.last if one.at == at]
        changed = _each(changed, "", lambda offers: _bought(offers, now))
    links = changed.links
    for awaited in _awaited(changed, part_key, event, at):
        links = links.awaiting(awaited)
    return changed if links is changed.links else replace(changed, links=links)


def caught_up(profile: Profile, key: str) -> Profile:
    """After the part of an identity has come in: what happened meanwhile has answered its offers, and it has answered others'."""
    profile = _caught_up(_told(profile, key), key, tuple(profile.parts))
    for name in profile.parts:
        if name != key:
            profile = _caught_up(profile, name, (key,))
    return profile


def _caught_up(profile: Profile, key: str, others: Collection[str] = ()) -> Profile:
    """Open offers of a part after purchases in other parts; all of them unless told which."""
    part = profile.part_of(key)
    if not part.offers.open:
        return profile
    names = others or tuple(name for name in profile.parts if name != key)
    bought = [one for name in names for one in profile.part_of(name).purchases.last]
    offers = _bought(part.offers, bought)
    return profile if offers is part.offers else profile.with_part(key, replace(part, offers=offers))


def _each(profile: Profile, but: str, change: Callable[[OfferHistory], OfferHistory]) -> Profile:
    for key, part in profile.parts.items():
        if key != but and part.offers.open:
            offers = change(part.offers)
            if offers is not part.offers:
                profile = profile.with_part(key, replace(part, offers=offers))
    return profile


def _awaited(profile: Profile, part_key: str, event: Event, at: int) -> list[Awaited]:
    """What the event says of offers that no part holds."""
    if isinstance(event, OfferSeen):
        offer_id = event.offer_id or str(event.data.get("offer_id", ""))
        decision_id = event.decision_id or str(event.data.get("decision_id", ""))
        held = any(
            (one.decision_id, one.offer_id) == (decision_id, offer_id)
            for part in profile.parts.values()
            for one in part.offers.open
        )
        done = offer_history.done_by(event)
        return [] if held or not decision_id else [Awaited(at, done, decision_id, offer_id, key=part_key)]
    coupons: set[str] = set()
    if isinstance(event, OrderCompleted | PosTransactionCompleted):
        coupons = offer_history.coupons_of(event)
    elif isinstance(event, CouponTried | PosNote):
        coupons = {offer_history.coupon_tried(event)}
    links = profile.links
    unheard = part_key != profile.key and part_key not in links.by_key
    if not (unheard or links.returning or any(one.linked and key not in profile.parts for key, one in links.by_key.items())):
        return []
    return [Awaited(at, "", coupon=coupon, key=part_key) for coupon in sorted(coupons) if coupon]


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
    """Open offers that were seen, after purchases under other identities; the first one that fits has answered, whenever it
    came in."""
    for index, offer in enumerate(offers.open):
        if not offer.viewed_at or offer.redeemed_when != "buys":
            continue
        until = min(offer.closes_at, offer.redeemed_at or offer.closes_at)
        fitting = [one.at for one in purchases if offer.viewed_at <= one.at <= until and not one.taken_back and _fits(offer, one)]
        if fitting and offer.redeemed_at:
            offers = offers.redeemed_earlier(index, min(fitting))
        elif fitting:
            offers = offers.happened(index, "redeemed", min(fitting))
    return offers


def _fits(offer: OpenOffer, purchase: Purchase) -> bool:
    return bool(
        {*purchase.categories} & {*offer_history.names_in(offer.categories)}
        or {*purchase.products} & {*offer_history.names_in(offer.products)}
    )
