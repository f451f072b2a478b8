"""Segment's client for pages, unmodified, in a real Chromium: what a page says lands under the rules of its key."""

import hmac
import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Browser, Page

from tests.browser.pages import Pages, serving
from tests.conformance.segment_world import KEY, PAGE_KEY, SECRET, World, world
from tests.e2e.running import wait_until
from tests.node_clients import package

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOAD = """
async ({key, host, signed, sentTo}) => {
  const settings = sentTo ? {cdnSettings: {integrations: {'Segment.io': {apiKey: key}}}} : {cdnURL: host}
  const options = sentTo ? {integrations: {'Segment.io': sentTo}} : {}
  const analytics = AnalyticsNext.AnalyticsBrowser.load({writeKey: key, ...settings}, options)
  if (signed) {
    analytics.addSourceMiddleware(({payload, next}) => { payload.obj.context.user_hash = signed; next(payload) })
  }
  await analytics.setAnonymousId('a-page')
  window.client = analytics
}
"""
BROWSE = """
async () => {
  const product = {product_id: 'p-1', name: 'Espresso', category: 'coffee', price: 19.99, currency: 'EUR', quantity: 3}
  await client.page('Home')
  await client.track('Product Viewed', product)
  await client.track('Product Added', product)
  await client.track('Checkout Started', {currency: 'EUR', value: 3 * 19.99 + 0.1 + 0.2, products: [product]})
  await client.track('Promotion Viewed', {promotion_id: 'coffee', name: 'Coffee', decision_id: 'd-1'})
}
"""
BUY = """
async () => {
  const product = {product_id: 'p-1', category: 'coffee', price: 19.99, quantity: 3}
  await client.identify('u-page', {plan: 'gold'})
  await client.track('Order Completed', {order_id: 'o-1', currency: 'EUR', total: 3 * 19.99 + 0.1 + 0.2, products: [product]})
}
"""


@pytest.fixture(scope="module")
def pages() -> Iterator[Pages]:
    script = package("@segment/analytics-next") / "dist" / "umd" / "index.js"
    with serving() as served:
        served.bodies["/client.js"] = script.read_text()
        yield served


@pytest.fixture
def here(redis_url: str, pages: Pages) -> Iterator[World]:
    with world(redis_url, cors_origins=pages.origin) as built:
        pages.regulars = built.tap.url
        yield built


@pytest.fixture
def page(browser: Browser, pages: Pages, here: World) -> Iterator[Page]:  # noqa: ARG001 (the doors are open first)
    address = pages.put("/shop", "A shop", '<script src="/client.js"></script>')
    with browser.new_context() as context:
        opened = context.new_page()
        opened.goto(address)
        yield opened


def say(page: Page, here: World, key: str, *scripts: str, signed: str = "", sent_to: dict[str, Any] | None = None) -> None:
    """The page loads its client with a key and lets the scripts speak, until all of it is answered."""
    page.evaluate(LOAD, {"key": key, "host": here.tap.url, "signed": signed, "sentTo": sent_to})
    for script in scripts:
        page.evaluate(script)
    wanted = sum(script.count("await client.") for script in scripts)

    def answered() -> bool:
        page.wait_for_timeout(20)
        return sum(len(json.loads(call.body).get("batch", [0])) for call in here.tap.posts()) >= wanted

    wait_until(answered, what=f"{wanted} messages")


def events(here: World) -> list[dict[str, Any]]:
    return sorted((msgspec.json.decode(event) for _, _, event, _ in here.stored()), key=lambda event: str(event["type"]))


def refused(here: World) -> list[tuple[str, str]]:
    """(code, type of the message) of everything that was not taken."""
    return [
        (one["code"], json.loads(call.body).get("event") or json.loads(call.body)["type"])
        for call in here.tap.posts()
        for one in json.loads(call.answer)["rejected"]
    ]


def test_what_a_page_says_lands_with_the_right_amounts(here: World, page: Page) -> None:
    say(page, here, PAGE_KEY, BROWSE)

    found = events(here)

    assert [event["type"] for event in found] == [
        "checkout_started", "offer_viewed", "page_viewed", "product_added", "product_viewed",
    ]  # fmt: skip
    checkout, offer, viewed, added, _ = found
    assert checkout["data"]["total"] == 6027
    assert (added["data"]["price"], added["data"]["quantity"]) == (1999, 3.0)
    assert (offer["offer_id"], offer["decision_id"]) == ("coffee", "d-1")
    assert viewed["data"]["name"] == "Home"
    assert viewed["context"]["page"]["title"] == "Shop"
    assert {(event["anonymous_id"], event["channel"]) for event in found} == {("a-page", "web")}
    assert {call.path for call in here.tap.posts()} == {"/v1/p", "/v1/t"}
    assert {call.status for call in here.tap.calls} == {200}


def test_a_page_that_says_itself_where_to_send_to_may_send_in_batches(here: World, page: Page) -> None:
    many = {"strategy": "batching", "config": {"size": 3, "timeout": 200}}

    say(page, here, PAGE_KEY, BROWSE, sent_to={"apiHost": f"{here.tap.host}/v1", "protocol": "http", "deliveryStrategy": many})

    assert {call.path for call in here.tap.calls} == {"/v1/b"}
    assert len(here.tap.posts()) < len(events(here)) == 5
    assert refused(here) == []


def test_a_page_with_a_servers_key_may_buy_and_becomes_known(here: World, page: Page) -> None:
    say(page, here, KEY, BROWSE, BUY)

    customer = here.customer("u-page")

    assert customer["identities"]["anonymous"] == ["a-page"]
    assert (customer["purchases"]["count"], customer["purchases"]["spend_minor"]) == (1, 6027)
    assert refused(here) == []


def test_a_page_cannot_claim_to_be_somebody(here: World, page: Page) -> None:
    say(page, here, PAGE_KEY, BROWSE, BUY)

    assert refused(here) == [("key.event_type", "identify"), ("key.event_type", "Order Completed")]
    assert {event.get("user_id") for event in events(here)} == {None}


def test_a_signed_page_speaks_for_its_user(here: World, page: Page) -> None:
    signed = hmac.new(SECRET.encode(), b"u-page", sha256).hexdigest()
    say(page, here, PAGE_KEY, BUY, BROWSE, signed=signed)

    assert {event.get("user_id") for event in events(here) if event["type"] == "product_viewed"} == {"u-page"}


def test_a_recorded_page_replays_to_the_byte(here: World, page: Page) -> None:
    say(page, here, KEY, BROWSE, BUY)
    found, customer = here.stored(), here.customer("u-page")

    here.forget()
    statuses = here.tap.replay()

    assert set(statuses) == {200}
    assert here.stored() == found
    assert here.customer("u-page") == customer


def test_a_page_whose_answer_was_lost_says_it_again_and_it_counts_once(here: World, page: Page) -> None:
    page.evaluate(LOAD, {"key": KEY, "host": here.tap.url, "signed": "", "sentTo": None})
    here.tap.lose = 1
    order = {"order_id": "o-1", "currency": "EUR", "total": 19.99}
    page.evaluate("(order) => { client.track('Order Completed', order, {userId: 'u-page'}) }", order)

    def twice() -> bool:
        page.wait_for_timeout(50)
        return len(here.tap.posts()) == 2

    wait_until(twice, 30, "the second attempt")
    customer = here.customer("u-page")

    assert len(here.stored()) == 2
    assert (customer["purchases"]["count"], customer["purchases"]["spend_minor"]) == (1, 1999)
