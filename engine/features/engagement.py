"""What a customer does between purchases: browsing, the cart, offers, complaints, the channel of the moment."""

from collections.abc import Sequence
from itertools import repeat

from engine.features.base import Reading, Request, group
from engine.features.rfm import NEVER_DAYS
from engine.moments import DAY, Millis
from engine.profiles.browsing import SUMS as BROWSING
from engine.profiles.offer_history import SUMS as OFFERS
from engine.profiles.profile import Part

_VISITS = BROWSING.picked(
    ("views", 1.0),
    *((name, 7.0) for name in ("sessions", "views", "adds", "searches", "checkouts")),
    ("sessions", 28.0),
)
_NEVER_SEEN = (*repeat(0.0, 7), NEVER_DAYS, 0.0, NEVER_DAYS)


@group(
    Reading("engagement.sessions_7d", "sessions", 0, 1e3, "visits lately"),
    Reading("engagement.sessions_28d", "sessions", 0, 1e3, "visits"),
    Reading("engagement.views_1d", "views", 0, 1e3, "products viewed today"),
    Reading("engagement.views_7d", "views", 0, 1e3, "products viewed lately"),
    Reading("engagement.adds_7d", "products", 0, 1e3, "products put in the cart lately"),
    Reading("engagement.searches_7d", "searches", 0, 1e3, "searches lately"),
    Reading("engagement.checkouts_7d", "checkouts", 0, 1e3, "checkouts started lately"),
    Reading("engagement.last_seen", "days", 0, NEVER_DAYS, "days since the last visit"),
    Reading("engagement.cart_items", "products", 0, 30, "products in the cart"),
    Reading("engagement.cart_age", "days", 0, NEVER_DAYS, "days since the cart was touched"),
)
def BROWSED(part: Part, request: Request, now: Millis) -> Sequence[float]:
    """Visits and the cart; who was never seen online reads as ten years ago."""
    seen = part.browsing
    if not seen.events:
        return _NEVER_SEEN
    views_1d, sessions, views, adds, searches, checkouts, sessions_28d = _VISITS.read(seen.sums, seen.sums_at, now)
    return (
        sessions,
        sessions_28d,
        views_1d,
        views,
        adds,
        searches,
        checkouts,
        (now - seen.last_at) / DAY,
        len(seen.cart),
        (now - seen.cart_at) / DAY if seen.cart else NEVER_DAYS,
    )


_ANSWERS = OFFERS.picked(
    ("shown", 7.0),
    *((name, 28.0) for name in ("shown", "clicked", "redeemed", "dismissed")),
    *((name, 112.0) for name in ("shown", "redeemed")),
)
_NEVER_OFFERED = (0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.0)


@group(
    Reading("offers.shown_7d", "offers", 0, 1e3, "offers shown lately"),
    Reading("offers.shown_28d", "offers", 0, 1e3, "offers shown"),
    Reading("offers.clicked_28d", "offers", 0, 1e3, "offers clicked"),
    Reading("offers.redeemed_28d", "offers", 0, 1e3, "offers taken lately"),
    Reading("offers.redeemed_112d", "offers", 0, 1e3, "offers taken"),
    Reading("offers.response_rate", "share", 0, 1, "share of shown offers taken"),
    Reading("offers.dismissed_28d", "offers", 0, 1e3, "offers dismissed"),
)
def OFFERED(part: Part, request: Request, now: Millis) -> Sequence[float]:
    """How the customer took earlier offers; the rate is shrunk towards one in ten."""
    offers = part.offers
    if not offers.sums:
        return _NEVER_OFFERED
    shown_7d, shown, clicked, redeemed, dismissed, shown_112d, redeemed_112d = _ANSWERS.read(offers.sums, offers.sums_at, now)
    return (shown_7d, shown, clicked, redeemed, redeemed_112d, (redeemed_112d + 1.0) / (shown_112d + 10.0), dismissed)


@group(
    Reading("service.open_complaints", "complaints", 0, 50, "open complaints"),
    Reading("service.complaints", "complaints", 0, 1e3, "complaints in all"),
    Reading("service.last_complaint", "days", 0, NEVER_DAYS, "days since the last complaint"),
    Reading("engagement.channels", "channels", 0, 7, "channels used"),
    Reading("engagement.introduced", "yes or no", 0, 1, "told something of themselves"),
    Reading("request.web", "yes or no", 0, 1, "asked on the web or in the app"),
    Reading("request.pos", "yes or no", 0, 1, "asked at the till"),
)
def SERVED(part: Part, request: Request, now: Millis) -> Sequence[float]:
    """Complaints, whether the customer has ever told anything of themselves (a trait), and where they are right now."""
    service = part.service
    return (
        service.open_complaints if service.complaints else 0.0,
        service.filed,
        (now - service.last_filed_at) / DAY if service.last_filed_at else NEVER_DAYS,
        len(part.identity.channels),
        float(bool(part.identity.traits)),
        float(request.channel in ("web", "app")),
        float(request.channel == "pos"),
    )
