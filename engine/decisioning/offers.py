"""Offers and campaigns as a marketer declares them; field names are those of the YAML files.

Fields without a default have to be written. How a plain YAML scalar becomes an amount, an instant or a time of day is
said by `Meta(extra={"written": …})`, so that one reader serves every struct.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from engine.decisioning.conditions import Condition

Kind = Literal["sell", "mandatory", "transactional", "service", "thank_you", "fallback"]
KINDS: tuple[Kind, ...] = get_args(Kind)
PRECEDENCE: tuple[Kind, ...] = ("mandatory", "transactional", "service", "thank_you", "sell", "fallback")
"""Who is placed first: duties, then help, then thanks; only `sell` is drawn, a fallback fills what stays empty."""
ASKS_CONSENT: frozenset[Kind] = frozenset({"sell", "thank_you"})
"""Kinds that need a granted purpose and stop at holdout and complaint. The others have a basis of their own."""
SERVICE_RECOVERY = "service_recovery"
"""The tag of an offer that may be made while a complaint is open."""

Stage = Literal["pre_transaction", "in_transaction", "post_transaction"]
"""Where somebody stands in a purchase; each placement belongs to one."""
Identifier = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$")]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Instant = Annotated[int, Meta(extra={"written": "instant"}, description="a date, or an RFC 3339 time with an offset")]
Days = Annotated[float, Meta(gt=0, le=3650)]
ChannelName = Literal["web", "app", "pos", "call_center", "email", "sms", "push", "kiosk"]


class Money(Struct, frozen=True):
    """An amount in minor units; written `1.80 EUR`."""

    minor: int = 0
    currency: str = ""


class Cap(Struct, frozen=True, kw_only=True):
    """At most `count` contacts in any span of `window_days`, sliding.

    With `channel` only contacts on that channel count, and only those are stopped; with `tag` those of offers that carry it.
    """

    count: Annotated[int, Meta(ge=1, le=10_000)]
    window_days: Annotated[float, Meta(gt=0, le=366)]
    channel: ChannelName | None = None
    tag: Identifier | None = None


Expands = Literal["bought_together", "replenishment"]
EXPANSIONS: tuple[str, ...] = get_args(Expands)


class Promotes(Struct, frozen=True, kw_only=True):
    """What the offer is about: features, cold start and "never what was just bought" come from here.

    Products are named, or found when it is decided: `bought_together` is what goes along with the cart, `replenishment` what
    the customer has used up by now; at most `most` of them, only of `categories` where some are named.
    """

    categories: tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...] = ()
    products: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...] | Expands, Meta(extra={"written": "promoted"})
    ] = ()
    most: Annotated[int, Meta(ge=1, le=20)] = 3

    @property
    def named(self) -> tuple[str, ...]:
        """The products that are named."""
        return () if isinstance(self.products, str) else self.products

    @property
    def expands(self) -> str:
        """How products are found; empty where they are named, or where there are none."""
        return self.products if isinstance(self.products, str) else ""


class Redemption(Struct, frozen=True, kw_only=True):
    """What counts as taken: buying something promoted, using a coupon code, or an event that names the offer."""

    buys: Literal["promoted"] | None = None
    coupon: Annotated[str, Meta(max_length=100)] = ""
    event: Literal["offer_accepted", "offer_redeemed"] | None = None


class Price(Struct, frozen=True, kw_only=True):
    """What the customer pays less: a percentage, an amount off, or a fixed price beside the regular one."""

    discount_percent: Annotated[float, Meta(ge=0, le=100)] = 0.0
    discount: Money | None = None
    amount: Money | None = None
    regular: Money | None = None
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")] | None = None


class Coupons(Struct, frozen=True, kw_only=True):
    """Codes of which each contact gets one of its own: written here, one a line of a `file`, or `count` made with a `prefix`."""

    codes: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...], Meta(max_length=100_000)] = ()
    file: Annotated[str, Meta(max_length=200)] = ""
    prefix: Annotated[str, Meta(max_length=50)] = ""
    count: Annotated[int, Meta(ge=0, le=100_000)] = 0


class JustBought(Struct, frozen=True, kw_only=True):
    """How long after a purchase the same thing is not offered: the product, and others of its category. 0 is at once.

    For `returned_days` after it was given back a product is not shown to its customer again.
    """

    days: Annotated[float, Meta(ge=0, le=365)] = 7.0
    category_days: Annotated[float, Meta(ge=0, le=365)] = 1.0
    returned_days: Annotated[float, Meta(ge=0, le=3650)] = 90.0


class Offer(Struct, frozen=True, kw_only=True):
    """One thing that can be said to a customer.

    `attribution_window_days` is how long after the contact a sale still counts to it. `boost` is the marketer's lever
    on the value. `margin` is what a redemption earns and `cost` what a contact costs; what a redemption costs a budget is
    `redemption_cost`, or the discount where the price tells it in money. `purpose` is the consent that is needed; it
    matters for `sell` and `thank_you` only.
    """

    id: Identifier
    kind: Kind
    placements: Annotated[tuple[Identifier, ...], Meta(min_length=1)]
    content: Annotated[dict[str, dict[str, str]], Meta(min_length=1, extra={"written": "content"})]
    campaign: Identifier | None = None
    purpose: Identifier = "marketing"
    status: Literal["draft", "live", "paused"] = "live"
    starts: Instant | None = None
    ends: Annotated[int, Meta(extra={"written": "instant_end"}, description="the last day, or a time")] | None = None
    stages: tuple[Stage, ...] = ()
    """Only in placements of these; without, in all of its placements."""
    channels: tuple[ChannelName, ...] = ()
    locales: tuple[str, ...] = ()
    stock: Annotated[int, Meta(ge=0, le=1_000_000_000)] | None = None
    coupons: Coupons | None = None
    caps: tuple[Cap, ...] = ()
    eligible_when: Annotated[tuple[Condition, ...], Meta(extra={"written": "conditions"})] = ()
    promotes: Promotes = Promotes()
    just_bought: JustBought | None = None
    dismissed_days: Annotated[float, Meta(ge=0, le=3650)] | None = None
    """How long it is not made to who dismissed it; without, as policy.yaml says."""
    redeemed_when: Redemption | None = None
    tags: tuple[Identifier, ...] = ()
    boost: Annotated[float, Meta(ge=0.5, le=2.0)] = 1.0
    price: Price | None = None
    margin: Money = Money()
    cost: Money = Money()
    redemption_cost: Money | None = None
    attribution_window_days: Days = 14.0


class Campaign(Struct, frozen=True, kw_only=True):
    """What binds offers: dates, channels, target, caps and budget hold for each of them as well."""

    id: Identifier
    name: str = ""
    goal: str = ""
    status: Literal["draft", "live", "paused"] = "live"
    starts: Instant | None = None
    ends: Annotated[int, Meta(extra={"written": "instant_end"}, description="the last day, or a time")] | None = None
    channels: tuple[ChannelName, ...] = ()
    target: Annotated[tuple[Condition, ...], Meta(extra={"written": "conditions"})] = ()
    caps: tuple[Cap, ...] = ()
    budget: Money | None = None


class Store(Struct, frozen=True, kw_only=True):
    """A shop: the zone its tills keep, the currency they take, and its name."""

    zone: Annotated[str, Meta(extra={"written": "zone"})] = "UTC"
    currency: Annotated[str, Meta(extra={"written": "currency"})] = "EUR"
    name: str = ""


def default_redemption(offer: Offer) -> Redemption:
    """What counts when nothing is written: buying what is promoted, or accepting an offer that promotes nothing."""
    promoted = offer.promotes.categories or offer.promotes.products
    return offer.redeemed_when or (Redemption(buys="promoted") if promoted else Redemption(event="offer_accepted"))


def localised_content(content: dict[str, dict[str, str]], locale: str) -> dict[str, str]:
    """The content for a locale: `de-AT`, else `de`, else `default`; fields missing there come from the next one."""
    if not locale:
        return content.get("default", {})
    found: dict[str, str] = {}
    for name in reversed(locale_chain(locale)):
        found |= content.get(name, {})
    return found


MOST_REMEMBERED = 4096


class Contents:
    """The content of each offer, remembered by locale."""

    def __init__(self, offers: Sequence[Offer]) -> None:
        self._offers = offers
        self._found: dict[tuple[int, str], dict[str, str]] = {}

    def of(self, row: int, locale: str) -> dict[str, str]:
        found = self._found.get((row, locale))
        if found is None:
            if len(self._found) >= MOST_REMEMBERED:
                self._found.clear()
            found = self._found[row, locale] = localised_content(self._offers[row].content, locale)
        return found


def locale_chain(locale: str) -> tuple[str, ...]:
    """Names under which content for a locale may stand, best first; `_` counts as `-`."""
    tag = locale.replace("_", "-")
    language = tag.split("-", 1)[0]
    return tuple(dict.fromkeys(name for name in (tag, language, "default") if name))
