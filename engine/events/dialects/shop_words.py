"""What other people call the things of a shop: the e-commerce spec of Segment, its first edition, and Google Analytics 4.

One table of event names, one of property names. Whatever is in neither keeps its own name.
"""

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from engine.events.dialects.exact import major_text, plain
from engine.events.roster import TYPES

EVENTS: Final[Mapping[str, str]] = {
    # Segment, beside the names that are those of the vocabulary already.
    "product_list_filtered": "product_list_viewed",
    "product_added_to_wishlist": "wishlist_added",
    "wishlist_product_added_to_cart": "product_added",
    "payment_info_entered": "checkout_step_completed",
    "order_canceled": "order_cancelled",
    "promotion_viewed": "offer_viewed",
    "promotion_clicked": "offer_clicked",
    "application_opened": "session_started",
    "email_delivered": "message_delivered",
    "email_opened": "message_opened",
    "email_link_clicked": "message_clicked",
    "email_bounced": "message_bounced",
    "unsubscribed": "message_unsubscribed",
    # Its first edition said it the other way round.
    "searched_products": "products_searched",
    "viewed_product": "product_viewed",
    "clicked_product": "product_clicked",
    "viewed_product_category": "product_list_viewed",
    "added_product": "product_added",
    "removed_product": "product_removed",
    "viewed_cart": "cart_viewed",
    "started_checkout": "checkout_started",
    "completed_checkout_step": "checkout_step_completed",
    "completed_order": "order_completed",
    "updated_order": "order_updated",
    "refunded_order": "order_refunded",
    "cancelled_order": "order_cancelled",
    "viewed_promotion": "offer_viewed",
    "clicked_promotion": "offer_clicked",
    # Google Analytics 4.
    "page_view": "page_viewed",
    "screen_view": "page_viewed",
    "session_start": "session_started",
    "search": "products_searched",
    "view_search_results": "products_searched",
    "view_item_list": "product_list_viewed",
    "select_item": "product_clicked",
    "view_item": "product_viewed",
    "add_to_wishlist": "wishlist_added",
    "add_to_cart": "product_added",
    "remove_from_cart": "product_removed",
    "view_cart": "cart_viewed",
    "begin_checkout": "checkout_started",
    "add_shipping_info": "checkout_step_completed",
    "add_payment_info": "checkout_step_completed",
    "purchase": "order_completed",
    "refund": "order_refunded",
    "view_promotion": "offer_viewed",
    "select_promotion": "offer_clicked",
}

ONE_PRODUCT: Final = frozenset(
    {"product_clicked", "product_viewed", "wishlist_added", "product_reviewed", "product_added", "product_removed"}
)
"""Types that are of one product; said of several, they are several events."""
OFFERS: Final = frozenset({"offer_viewed", "offer_clicked"})
MESSAGES: Final = frozenset(name for name in EVENTS.values() if name.startswith("message_"))

_PROPERTIES: Final[Mapping[str, str]] = {
    "items": "products",
    "transaction_id": "order_id",
    "item_id": "product_id",
    "item_name": "name",
    "item_brand": "brand",
    "item_category": "category",
    "item_variant": "variant",
    "item_list_id": "list_id",
    "index": "position",
    "search_term": "query",
    "recommendation_id": "decision_id",
    "attribution_token": "decision_id",
    "wishlist_id": "list_id",
}
_ATTRIBUTION: Final = frozenset({"decision_id", "recommendation_id", "attribution_token", "offer_id", "placement"})
_TOTALS: Final = ("total", "revenue", "value", "amount")
"""The first of them that is there is what an order comes to: `revenue` leaves out shipping and tax, `value` is Google's."""
_AMOUNTS: Final = frozenset({"total", "subtotal", "price", "discount", "shipping", "tax", "amount"})
_TAKEN_BACK: Final = frozenset({"order_completed", "order_refunded", "pos_transaction_completed", "pos_return_completed"})
"""Where an amount is the point: without a currency the event is refused, not stripped of it."""
_LISTED: Final = ("products", "lines")


@lru_cache(maxsize=4096)
def snake(name: str) -> str:
    """A name as the vocabulary writes names: "Product Viewed", `productViewed` and `product-viewed` are `product_viewed`."""
    spelled = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^\w]+", "_", spelled.lower()).strip("_")


def event_type(name: str) -> str:
    """The type of an event that somebody calls so; empty where nothing is left of the name."""
    said = snake(name) if len(name) <= 200 else name
    return EVENTS.get(said, said)


def body_of(kind: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Properties as the body of a native event: the vocabulary's names, and amounts as decimal text of major units."""
    if kind not in TYPES:
        return dict(plain(dict(properties)))
    told = _named(properties)
    for name in _LISTED:
        if name in told:
            told[name] = [_line(line) for line in _lines(told, name)] or told[name]
    currency = _currency(told)
    if currency:
        told["currency"] = currency
    if kind.startswith("order_") or kind in ("cart_viewed", "checkout_started", "checkout_step_completed"):
        _pick_total(told)
    if kind not in OFFERS:
        _say_counts(told)
    _say_amounts(told, currency, currency == "" and kind not in _TAKEN_BACK)
    return {name: plain(value) for name, value in told.items()}


def attribution(properties: Mapping[str, Any]) -> dict[str, str | int]:
    """Which decision, offer and placement something is said of, by whatever names."""
    told = _named({name: value for name, value in properties.items() if snake(name[:100]) in _ATTRIBUTION})
    return {name: value for name, value in told.items() if is_name(value)}


def is_name(value: object) -> bool:
    """Whether it can be an identifier: other people use the same words for other things."""
    return (isinstance(value, str) and 0 < len(value) <= 100) or (isinstance(value, int) and not isinstance(value, bool))


def _named(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Under the vocabulary's names. Where two names mean one, the vocabulary's own wins."""
    told: dict[str, Any] = {}
    borrowed: dict[str, Any] = {}
    for name, value in properties.items():
        if value is None:
            continue
        said = snake(name) if len(name) <= 200 else name
        if said in _PROPERTIES:
            borrowed.setdefault(_PROPERTIES[said], value)
        else:
            told.setdefault(said, value)
    return {**borrowed, **told}


def _lines(told: Mapping[str, Any], name: str) -> list[Any]:
    said = told.get(name)
    return said if isinstance(said, list) else []


def _line(line: object) -> object:
    if not isinstance(line, dict):
        return line
    told = _named(line)
    if "item_id" in line:
        told.pop("discount", None)  # Google's price has its discount taken off already
    if "id" in told:
        told.setdefault("product_id", told.pop("id"))
    _say_counts(told)
    return told


def _say_counts(told: dict[str, Any]) -> None:
    """Quantities as numbers, also where somebody wrote text; places as whole ones, or not at all."""
    if "quantity" in told:
        told["quantity"] = _counted(told["quantity"])
    if "position" in told:
        place = _counted(told.pop("position"))
        if isinstance(place, int) and not isinstance(place, bool):
            told["position"] = place


def _counted(said: object) -> object:
    try:
        number = float(said) if isinstance(said, str | Decimal) else math.nan
    except ValueError:
        return said
    if not math.isfinite(number):
        return said
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def _currency(told: Mapping[str, Any]) -> str:
    """Of the whole, else of its first line; in capitals."""
    lines = [line for name in _LISTED for line in _lines(told, name)[:1]]
    for holder in (told, *lines):
        said = holder.get("currency") if isinstance(holder, dict) else None
        if isinstance(said, str) and said.strip():
            return said.strip().upper()
    return ""


def _pick_total(told: dict[str, Any]) -> None:
    found = [told.pop(name) for name in _TOTALS if name in told]
    if found:
        told["total"] = found[0]


def _say_amounts(told: dict[str, Any], currency: str, strip: bool) -> None:
    for holder in (told, *(line for name in _LISTED for line in _lines(told, name))):
        if not isinstance(holder, dict):
            continue
        for name in _AMOUNTS & holder.keys():
            if strip:
                del holder[name]
            else:
                holder[name] = major_text(holder[name], currency)
