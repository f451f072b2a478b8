"""What a Segment message means, example by example."""

import json
from typing import Any

import pytest

from engine.errors import Rejected
from engine.events.base import Event
from engine.events.clickstream import ListViewed, ProductAdded, ProductViewed
from engine.events.decode import decode_value, time_of
from engine.events.dialects import segment
from engine.events.identity import CustomerIdentified
from engine.events.offers import OfferSeen
from engine.events.orders import CouponTried, OrderCompleted, OrderRefunded
from engine.moments import Millis, rfc3339

NOW = Millis(1_772_359_200_000)


def heard(message: dict[str, Any]) -> list[Event | Rejected]:
    said = {"type": "track", "messageId": "m-1", "userId": "u-1", **message}
    parts = segment.told(json.dumps(said).encode())
    return [part.native if isinstance(part.native, Rejected) else decode_value(part.native, NOW) for part in parts]


def one(message: dict[str, Any]) -> Event:
    (found,) = heard(message)
    assert isinstance(found, Event), found
    return found


def track(event: str, **properties: Any) -> Event:
    return one({"event": event, "properties": properties})


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Products Searched", "products_searched"), ("Product List Viewed", "product_list_viewed"),
        ("Product Clicked", "product_clicked"),
        ("Product Viewed", "product_viewed"), ("Product Added", "product_added"), ("Product Removed", "product_removed"),
        ("Cart Viewed", "cart_viewed"), ("Checkout Started", "checkout_started"),
        ("Payment Info Entered", "checkout_step_completed"),
        ("Order Shipped", "order_shipped"), ("Coupon Applied", "coupon_applied"), ("Coupon Denied", "coupon_denied"),
        ("Product Added to Wishlist", "wishlist_added"), ("Product Reviewed", "product_reviewed"),
        ("Viewed Product", "product_viewed"),
        ("view_item_list", "product_list_viewed"), ("select_item", "product_clicked"), ("begin_checkout", "checkout_started"),
        ("search", "products_searched"), ("Coupon Removed", "coupon_removed"), ("Trial Started", "trial_started"),
        ("complaintFiled", "complaint_filed"),
    ],
)  # fmt: skip
def test_names_of_other_people_are_names_of_the_vocabulary(name: str, kind: str) -> None:
    body = {"order_id": "1", "complaint_id": "c"} if kind in ("order_shipped", "complaint_filed") else {}

    assert track(name, **body).type == kind


def test_an_order_comes_to_its_total_else_to_its_revenue_else_to_its_lines() -> None:
    lines = [{"product_id": "p-1", "price": 4.5, "quantity": 2}, {"sku": "s-2", "price": "1.25"}]
    said = {"order_id": 7, "currency": "eur", "products": lines}

    whole = track("Order Completed", **said, revenue=9.99, total=12.49, value=1)
    without = track("Order Completed", **said, revenue=9.99)
    lines_only = track("Order Completed", **said)

    assert isinstance(whole, OrderCompleted)
    assert isinstance(without, OrderCompleted)
    assert isinstance(lines_only, OrderCompleted)
    assert [each.data.amount_minor for each in (whole, without, lines_only)] == [1249, 999, 1025]
    assert (whole.data.order_id, whole.data.currency) == ("7", "EUR")


def test_google_takes_the_discount_off_the_price_by_itself() -> None:
    line = {
        "item_id": "p-1",
        "item_name": "Espresso",
        "item_category": "coffee",
        "price": 8,
        "discount": 2,
        "quantity": 3,
        "index": 1,
    }

    bought = track("purchase", transaction_id="t-1", currency="EUR", items=[line])
    refunded = track("refund", transaction_id="t-1", currency="EUR", value=8)

    assert isinstance(bought, OrderCompleted)
    assert bought.data.amount_minor == 2400
    assert (bought.data.products[0].product_id, bought.data.products[0].category) == ("p-1", "coffee")
    assert isinstance(refunded, OrderRefunded)
    assert (refunded.data.order_id, refunded.data.amount_minor) == ("t-1", 800)


def test_a_price_without_a_currency_is_left_out_and_an_order_without_one_is_refused() -> None:
    viewed = track("Product Viewed", product_id="p-1", price=19.99, position="3")
    (order,) = heard({"event": "Order Completed", "properties": {"order_id": "1", "total": 19.99}})

    assert isinstance(viewed, ProductViewed)
    assert (viewed.data.product_id, viewed.data.price, viewed.data.position) == ("p-1", None, 3)
    assert isinstance(order, Rejected)
    assert (order.code, order.field, order.id) == ("schema.missing", "data.currency", "m-1")


def test_what_is_of_one_product_and_said_of_several_is_several_events() -> None:
    items = [{"item_id": "p-1", "price": 1.1}, {"item_id": "p-2", "price": 2.2, "quantity": 4}]
    added = heard({"event": "add_to_cart", "properties": {"currency": "EUR", "items": items}})

    assert [(each.id, each.data.product_id, each.data.price) for each in added if isinstance(each, ProductAdded)] == [
        ("m-1", "p-1", 110), ("m-1/2", "p-2", 220),
    ]  # fmt: skip


def test_a_list_keeps_its_products_and_a_coupon_its_discount() -> None:
    cart = track("Cart Viewed", currency="EUR", value=3.3, products=[{"product_id": "p-1", "price": 1.1, "quantity": "3"}])
    coupon = track("Coupon Applied", coupon_id="c-1", discount=5, currency="USD")

    assert isinstance(cart, ListViewed)
    assert (cart.data.total, cart.data.products[0].price, cart.data.products[0].quantity) == (330, 110, 3)
    assert isinstance(coupon, CouponTried)
    assert coupon.data.discount == 500


def test_a_promotion_is_an_offer_wherever_its_decision_is_named() -> None:
    seen = track("Promotion Clicked", promotion_id="coffee", recommendationId="d-1", placement="home_hero", position="top")

    assert isinstance(seen, OfferSeen)
    assert (seen.type, seen.offer_id, seen.decision_id, seen.placement) == ("offer_clicked", "coffee", "d-1", "home_hero")


def test_traits_are_kept_as_far_as_they_name_nobody() -> None:
    traits = {
        "email": "somebody@shop.example", "firstName": "X", "address": {"city": "Graz"}, "birthday": "1990-05-04T00:00:00.000Z",
        "householdSize": 3, "has_children": "yes", "plan": "gold", "old": None, "reached_by": {"email": "00"},
    }  # fmt: skip
    found = one({"type": "identify", "anonymousId": "a-1", "traits": traits})

    assert isinstance(found, CustomerIdentified)
    assert (found.data.household_size, found.data.has_children, found.data.removed) == ("3", None, ("old",))
    assert (found.data.extra, found.data.reached_by) == ({"plan": "gold"}, {})
    assert found.data.birthday == "1990-05-04T00:00:00.000Z"
    assert (found.user_id, found.anonymous_id) == ("u-1", "a-1")


@pytest.mark.parametrize(
    ("message", "channel"),
    [
        ({"context": {"library": {"name": "analytics.js", "version": "next-1"}}}, "web"),
        ({"context": {"library": {"name": "analytics-kotlin"}}}, "app"),
        ({"context": {"library": {"name": "analytics-python"}}}, None),
        ({"channel": "server", "context": {"library": {"name": "RudderLabs JavaScript SDK"}}}, None),
        ({"channel": "browser"}, "web"),
        ({"channel": "mobile"}, "app"),
        ({"channel": "pos"}, "pos"),
        ({"type": "screen"}, "app"),
    ],
)
def test_the_channel_is_told_by_who_speaks(message: dict[str, Any], channel: str | None) -> None:
    assert one({"event": "Left", **message}).channel == channel


def test_of_the_context_only_what_reaches_nobody_is_kept() -> None:
    context = {
        "ip": "192.0.2.7", "locale": "de-AT", "timezone": "Europe/Vienna", "userAgent": "Browser/1", "traits": {"email": "x"},
        "page": {"path": "/", "url": "https://shop.example/", "other": 1}, "campaign": {"source": "mail"}, "sessionId": 17,
        "device": {"id": "serial", "advertisingId": "x", "type": "ios"}, "consent": {"categoryPreferences": {"ads": False}},
    }  # fmt: skip
    found = one({"event": "Left", "context": context})

    assert found.session_id == "17"
    assert found.context == {
        "locale": "de-AT", "timezone": "Europe/Vienna", "campaign": {"source": "mail"}, "device": {"type": "ios"},
        "consent": {"categoryPreferences": {"ads": False}}, "page": {"path": "/", "url": "https://shop.example/"},
        "user_agent": "Browser/1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("times", "at"),
    [
        ({"timestamp": "2026-03-01T09:00:00Z"}, "2026-03-01T09:00:00.000Z"),
        ({"timestamp": "2026-03-01T09:00:00"}, "2026-03-01T09:00:00.000Z"),
        ({"timestamp": "2026-03-01T10:00:00+0100", "sentAt": None}, "2026-03-01T09:00:00.000Z"),
        ({"originalTimestamp": "2026-03-01T11:00:00Z", "sentAt": "2026-03-01T11:30:00Z"}, "2026-03-01T09:30:00.000Z"),
        ({"sentAt": "1999-01-01T00:00:00Z"}, "2026-03-01T10:00:00.000Z"),
    ],
)
def test_times_are_put_right_by_when_the_sender_says_that_it_sends(times: dict[str, Any], at: str) -> None:
    assert rfc3339(time_of(one({"event": "Left", **times}))) == at


def test_what_a_batch_says_once_is_said_of_each_of_its_messages() -> None:
    own = {"type": "track", "event": "Left", "messageId": "m-2", "userId": "u", "context": {"locale": "fr"}}
    bare = {"type": "track", "event": "Left", "messageId": "m-1", "userId": "u", "timestamp": "2026-03-01T11:00:00Z"}
    batch = {"batch": [bare, own], "context": {"locale": "de", "timezone": "UTC"}, "sentAt": "2026-03-01T11:00:01Z"}

    found = [decode_value(part.native, NOW) for part in segment.told(json.dumps(batch).encode())]

    assert [each.context for each in found if isinstance(each, Event)] == [
        {"locale": "de", "timezone": "UTC"}, {"locale": "fr", "timezone": "UTC"},
    ]  # fmt: skip
    first = found[0]
    assert isinstance(first, Event)
    assert rfc3339(time_of(first)) == "2026-03-01T09:59:59.000Z"


@pytest.mark.parametrize(
    ("message", "code", "field"),
    [
        ({"event": ""}, "schema.missing", "event"),
        ({"event": "!!!"}, "schema.missing", "event"),
        ({"event": 5}, "schema.missing", "event"),
        ({"type": "alias"}, "schema.missing", "previousId"),
        ({"type": "alias", "previousId": "a", "userId": None}, "schema.missing", "userId"),
        ({"type": "page", "userId": ""}, "schema.missing", "user_id"),
        ({"type": "dance"}, "schema.type", "type"),
        ({"event": "Offer Decided"}, "type.reserved", "type"),
        ({"event": "Left", "timestamp": "yesterday"}, "schema.time", "time"),
        ({"event": "Left", "messageId": "x" * 101}, "schema.type", "id"),
        ({"event": "purchase", "properties": {"currency": "EUR", "value": 1}}, "schema.missing", "data.order_id"),
    ],
)
def test_what_cannot_be_used_says_why(message: dict[str, Any], code: str, field: str) -> None:
    (found,) = heard(message)

    assert isinstance(found, Rejected)
    assert (found.code, found.field) == (code, field)


def test_a_message_without_id_and_time_is_known_by_what_it_says() -> None:
    said = {"messageId": None, "event": "Left", "properties": {"door": "north"}}

    first, again = one({**said, "sentAt": "2026-03-01T09:00:00Z"}), one(said)
    other = one({**said, "properties": {"door": "south"}})

    assert first.id == again.id != other.id
    assert rfc3339(time_of(first)) == "2026-03-01T10:00:00.000Z"
