"""What was offered, seen and taken: open offers wait here for their reward.

An offer is open from its decision until its attribution window closes. What happened in between decides its label; a
closed label is never opened again.
"""

from collections.abc import Callable, Container
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from engine.events.base import Event, Product
from engine.events.offers import ChosenOffer, OfferDecided, OfferSeen
from engine.events.orders import CouponTried, OrderCompleted
from engine.events.pos import PosNote, PosTransactionCompleted
from engine.profiles.decay import Block

MOST_OPEN = 64
MOST_OFFERS = 150
MOST_DISMISSED = 32
MOST_CAMPAIGNS = 150
SUMS = Block(("shown", "clicked", "redeemed", "dismissed"), (7.0, 28.0, 112.0))
_SEPARATOR = "\x1f"
What = Literal["shown", "clicked", "redeemed"]
_DONE: dict[str, What] = {"offer_viewed": "shown", "offer_clicked": "clicked"}


class OpenOffer(Struct, frozen=True, gc=False, array_like=True):
    """One offer of one decision; times of 0 have not happened."""

    decision_id: str = ""
    offer_id: str = ""
    placement: str = ""
    decided_at: int = 0
    closes_at: int = 0
    viewed_at: int = 0
    clicked_at: int = 0
    redeemed_at: int = 0
    redeemed_when: Literal["buys", "coupon", "event"] = "buys"
    categories: str = ""
    products: str = ""
    coupon: str = ""
    campaign: str = ""
    learn: bool = True
    cost: int = 0
    redemption_cost: int = 0


class Tally(Struct, frozen=True, gc=False, array_like=True):
    """How one offer did with this customer."""

    shown: int = 0
    clicked: int = 0
    redeemed: int = 0
    dismissed: int = 0
    last_shown_at: int = 0
    last_dismissed_at: int = 0


class OfferHistory(Struct, frozen=True, gc=False, array_like=True):
    """Open offers in order of decision, a tally per offer, exact totals, and when offers were dismissed last."""

    open: tuple[OpenOffer, ...] = ()
    tallies: dict[str, Tally] = {}
    sums: bytes = b""
    sums_at: int = 0
    decided: int = 0
    shown: int = 0
    clicked: int = 0
    redeemed: int = 0
    dismissed: dict[str, int] = {}
    reached: dict[str, int] = {}
    """Campaigns of which something was shown, and when first."""

    def happened(self, index: int, what: What, at: int) -> "OfferHistory":
        """An open offer was shown, clicked or redeemed, once each; a click or a redemption of an offer proves it was shown."""
        offer = self.open[index]
        if at < offer.decided_at or at > offer.closes_at:
            return self
        changed, facet = offer, self
        if what == "shown" and not offer.viewed_at:
            changed = replace(offer, viewed_at=at)
            facet = replace(facet, reached=_reached(facet.reached, {offer.campaign: at} if offer.campaign else {}))
        elif what == "clicked" and not offer.clicked_at:
            if not offer.viewed_at:
                facet = self.happened(index, "shown", at)
            changed = replace(facet.open[index], clicked_at=at)
        elif what == "redeemed" and offer.viewed_at and not offer.redeemed_at:
            changed = replace(offer, redeemed_at=at)
        else:
            return self
        facet = replace(facet, open=(*facet.open[:index], changed, *facet.open[index + 1 :]))
        return facet._tallied(offer.offer_id, what, at)

    def redeemed_earlier(self, index: int, at: int) -> "OfferHistory":
        """Somebody else's word took longer: the offer was redeemed before the purchase that arrived first."""
        offer = self.open[index]
        if not max(offer.viewed_at, offer.decided_at) <= at < offer.redeemed_at:
            return self
        once = tuple(float(name == "redeemed") for name in SUMS.quantities)
        sums, sums_at = SUMS.add(self.sums, self.sums_at, offer.redeemed_at, tuple(-one for one in once))
        sums, sums_at = SUMS.add(sums, sums_at, at, once)
        changed = replace(offer, redeemed_at=at)
        return replace(self, open=(*self.open[:index], changed, *self.open[index + 1 :]), sums=sums, sums_at=sums_at)

    def _tallied(self, offer_id: str, what: str, at: int) -> "OfferHistory":
        tally = self.tallies.get(offer_id, Tally())
        amounts = tuple(float(what == name) for name in SUMS.quantities)
        sums, sums_at = SUMS.add(self.sums, self.sums_at, at, amounts)
        tally = Tally(
            tally.shown + (what == "shown"),
            tally.clicked + (what == "clicked"),
            tally.redeemed + (what == "redeemed"),
            tally.dismissed + (what == "dismissed"),
            max(tally.last_shown_at, at) if what == "shown" else tally.last_shown_at,
            max(tally.last_dismissed_at, at) if what == "dismissed" else tally.last_dismissed_at,
        )
        tallies = {**self.tallies, offer_id: tally}
        if len(tallies) > MOST_OFFERS:
            del tallies[min(tallies, key=lambda name: (tallies[name].last_shown_at, name))]
        return replace(
            self,
            tallies=tallies,
            sums=sums,
            sums_at=sums_at,
            shown=self.shown + (what == "shown"),
            clicked=self.clicked + (what == "clicked"),
            redeemed=self.redeemed + (what == "redeemed"),
        )

    def withdrawn(self, purchased_at: Container[int]) -> "OfferHistory":
        """After purchases of these instants were taken back: an open offer that one of them took is not taken any more."""
        facet = self
        for index, offer in enumerate(self.open):
            if not offer.redeemed_at or offer.redeemed_when == "event" or offer.redeemed_at not in purchased_at:
                continue
            tally = facet.tallies.get(offer.offer_id, Tally())
            sums, sums_at = SUMS.add(facet.sums, facet.sums_at, offer.redeemed_at, (0.0, 0.0, -1.0, 0.0))
            facet = replace(
                facet,
                open=(*facet.open[:index], replace(offer, redeemed_at=0), *facet.open[index + 1 :]),
                tallies={**facet.tallies, offer.offer_id: replace(tally, redeemed=max(tally.redeemed - 1, 0))},
                sums=sums,
                sums_at=sums_at,
                redeemed=facet.redeemed - 1,
            )
        return facet

    def closed(self, decision_id: str, closes_at: int) -> "OfferHistory":
        """Without the offers of one decision whose window has closed."""
        kept = tuple(offer for offer in self.open if offer.decision_id != decision_id or offer.closes_at > closes_at)
        return replace(self, open=kept)

    def merge(self, other: "OfferHistory") -> "OfferHistory":
        """Offers to two identities of one customer."""
        sums, sums_at = SUMS.merge(self.sums, self.sums_at, other.sums, other.sums_at)
        tallies = dict(self.tallies)
        for name, tally in other.tallies.items():
            mine = tallies.get(name, Tally())
            tallies[name] = Tally(
                mine.shown + tally.shown,
                mine.clicked + tally.clicked,
                mine.redeemed + tally.redeemed,
                mine.dismissed + tally.dismissed,
                max(mine.last_shown_at, tally.last_shown_at),
                max(mine.last_dismissed_at, tally.last_dismissed_at),
            )
        both = sorted((*self.open, *other.open), key=lambda offer: (offer.decided_at, offer.decision_id, offer.offer_id))
        return OfferHistory(
            tuple(both[-MOST_OPEN:]),
            dict(sorted(tallies.items())),
            sums,
            sums_at,
            self.decided + other.decided,
            self.shown + other.shown,
            self.clicked + other.clicked,
            self.redeemed + other.redeemed,
            _dismissed(self.dismissed, other.dismissed),
            _reached(self.reached, other.reached),
        )


def _dismissed(mine: dict[str, int], theirs: dict[str, int]) -> dict[str, int]:
    """When each offer was dismissed last, the newest of them."""
    if not mine or not theirs:
        return mine or theirs
    both = {name: max(mine.get(name, 0), theirs.get(name, 0)) for name in {*mine, *theirs}}
    return {name: both[name] for name in sorted(sorted(both, key=lambda name: (both[name], name))[-MOST_DISMISSED:])}


def _reached(mine: dict[str, int], theirs: dict[str, int]) -> dict[str, int]:
    """When something of each campaign was first shown; beyond the most that are kept, the newest."""
    if not mine or not theirs:
        return mine or theirs
    both = {name: min(mine.get(name, at), at) for name, at in theirs.items()}
    both = {**{name: at for name, at in mine.items() if name not in both}, **both}
    return {name: both[name] for name in sorted(sorted(both, key=lambda name: (both[name], name))[-MOST_CAMPAIGNS:])}


def _opened(chosen: ChosenOffer, decision_id: str, at: int) -> OpenOffer:
    return OpenOffer(
        decision_id=decision_id,
        offer_id=chosen.offer_id,
        placement=chosen.placement,
        decided_at=at,
        closes_at=at + chosen.attribution_window_ms,
        redeemed_when=chosen.redeemed_when,
        categories=_SEPARATOR.join(chosen.categories),
        products=_SEPARATOR.join(chosen.products),
        coupon=chosen.coupon,
        campaign=chosen.campaign,
        learn=chosen.learn,
        cost=chosen.cost_minor,
        redemption_cost=chosen.redemption_cost_minor,
    )


def _decided(facet: OfferHistory, event: OfferDecided, at: int) -> OfferHistory:
    decision_id = event.decision_id or event.id
    opened = tuple(_opened(chosen, decision_id, at) for chosen in event.data.offers)
    facet = replace(facet, open=(*facet.open, *opened)[-MOST_OPEN:], decided=facet.decided + len(opened))
    for chosen in event.data.offers:
        if chosen.shown_when == "decided":
            index = _find(facet, decision_id, chosen.offer_id)
            facet = facet.happened(index, "shown", at) if index >= 0 else facet
    return facet


def _find(facet: OfferHistory, decision_id: str, offer_id: str) -> int:
    for index, offer in enumerate(facet.open):
        if offer.decision_id == decision_id and offer.offer_id == offer_id:
            return index
    return -1


def done_by(event: Event) -> What:
    """What an event of an offer says was done with it."""
    return _DONE.get(event.type, "redeemed")


def _seen(facet: OfferHistory, event: OfferSeen, at: int) -> OfferHistory:
    what = done_by(event)
    offer_id = event.offer_id or str(event.data.get("offer_id", ""))
    decision_id = event.decision_id or str(event.data.get("decision_id", ""))
    index = _find(facet, decision_id, offer_id)
    if event.type == "offer_dismissed":
        if not offer_id:
            return facet
        return replace(facet._tallied(offer_id, "dismissed", at), dismissed=_dismissed({offer_id: at}, facet.dismissed))
    return facet.happened(index, what, at) if index >= 0 else facet


def coupons_of(event: OrderCompleted | PosTransactionCompleted) -> set[str]:
    """Coupons used with a purchase."""
    goods: tuple[Product, ...]
    besides: tuple[str | None, ...]
    if isinstance(event, OrderCompleted):
        goods, besides = event.data.products, (event.data.coupon,)
    else:
        goods, besides = event.data.lines, event.data.coupons
    return {coupon for coupon in (*(line.coupon for line in goods), *besides) if coupon}


def names_in(joined: str) -> list[str]:
    """Categories or products of an open offer."""
    return joined.split(_SEPARATOR) if joined else []


def coupon_tried(event: CouponTried | PosNote) -> str:
    """The coupon that an event says was used; empty for none."""
    if isinstance(event, PosNote):
        return str(event.data.get("coupon", event.data.get("coupon_id", "")))
    return event.data.coupon or event.data.coupon_id or ""


def _bought(facet: OfferHistory, event: OrderCompleted | PosTransactionCompleted, at: int) -> OfferHistory:
    if not facet.open:
        return facet
    goods = event.data.products if isinstance(event, OrderCompleted) else event.data.lines
    if isinstance(event, PosTransactionCompleted) and event.data.status != "completed":
        return facet
    categories = {line.category for line in goods if line.category}
    products = {line.product_id for line in goods if line.product_id}
    coupons = coupons_of(event)
    for index, offer in enumerate(facet.open):
        if offer.redeemed_at or not offer.viewed_at:
            continue
        if offer.redeemed_when == "buys":
            taken = bool(
                categories.intersection(offer.categories.split(_SEPARATOR))
                or products.intersection(offer.products.split(_SEPARATOR))
            )
        else:
            taken = offer.redeemed_when == "coupon" and offer.coupon in coupons
        if taken:
            facet = facet.happened(index, "redeemed", at)
    return facet


def _coupon(facet: OfferHistory, event: CouponTried | PosNote, at: int) -> OfferHistory:
    coupon = coupon_tried(event)
    for index, offer in enumerate(facet.open):
        if coupon and offer.redeemed_when == "coupon" and offer.coupon == coupon:
            facet = facet.happened(index, "redeemed", at)
    return facet


HANDLERS: dict[str, Callable[..., OfferHistory]] = {
    "offer_decided": _decided,
    "offer_viewed": _seen,
    "offer_clicked": _seen,
    "offer_accepted": _seen,
    "offer_dismissed": _seen,
    "offer_redeemed": _seen,
    "order_completed": _bought,
    "pos_transaction_completed": _bought,
    "coupon_applied": _coupon,
    "pos_coupon_redeemed": _coupon,
}
