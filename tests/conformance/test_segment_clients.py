"""Segment's own clients for servers, unmodified: what they send lands, counts once, and replays to the byte."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from segment.analytics.client import Client
from segment.analytics.request import _session

from tests.conformance.segment_world import KEY, World, world
from tests.node_clients import package, run_script

AT = datetime(2026, 3, 1, 10, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture
def here(redis_url: str) -> Iterator[World]:
    with world(redis_url) as built:
        yield built


def python_session(host: str) -> None:
    """A made-up shop's server, in Python; packed."""
    client = Client(KEY, host=host, gzip=True, upload_size=4, upload_interval=0.05, max_retries=5)
    failures: list[object] = []
    client.on_error = lambda error, _: failures.append(error)
    for consumer in client.consumers:
        consumer.on_error = client.on_error
    client.page(None, None, "Home", {"path": "/"}, anonymous_id="a-python", timestamp=AT)
    viewed = {"product_id": "p-1", "name": "Espresso", "category": "coffee", "price": 19.99, "currency": "EUR"}
    client.track(None, "Product Viewed", viewed, anonymous_id="a-python", timestamp=AT)
    traits = {"plan": "gold", "email": "python@shop.example", "visits": 3}
    client.identify("u-python", traits, anonymous_id="a-python", timestamp=AT)
    order = {
        "order_id": "o-python-1", "currency": "EUR", "total": 3 * 19.99 + 0.1 + 0.2, "shipping": 0.1 + 0.2,
        "products": [{"product_id": "p-1", "category": "coffee", "price": 19.99, "quantity": 3}],
    }  # fmt: skip
    client.track("u-python", "Order Completed", order, anonymous_id="a-python", timestamp=AT)
    bought = {"transaction_id": "o-python-2", "currency": "JPY", "value": 1500, "items": [{"item_id": "p-2", "price": 1500}]}
    client.track("u-python", "purchase", bought, timestamp=AT)
    client.track("u-python", "Gift Wrapped", {"paper": "blue", "metres": 1.5}, timestamp=AT)
    client.alias("a-old", "u-python", timestamp=AT)
    client.group("u-python", "g-1", {"plan": "team"}, timestamp=AT)
    client.screen("u-python", None, "Cart", timestamp=AT)
    client.shutdown()
    _session.close()
    assert failures == []


def node_session(host: str) -> None:
    """The same, in Node."""
    package("@segment/analytics-node")
    run_script("shop.mjs", host, KEY)


CLIENTS = [pytest.param(python_session, "python", id="python"), pytest.param(node_session, "node", id="node")]
MESSAGES = 9


def types(here: World) -> list[str]:
    return sorted(msgspec.json.decode(event)["type"] for _, _, event, _ in here.stored())


def bodies(here: World, kind: str) -> list[dict[str, Any]]:
    events = [msgspec.json.decode(event) for _, _, event, _ in here.stored()]
    return sorted((event for event in events if event["type"] == kind), key=lambda event: str(event["data"]))


@pytest.mark.parametrize(("session", "name"), CLIENTS)
def test_everything_that_a_client_says_lands(here: World, session: Callable[[str], None], name: str) -> None:
    session(here.tap.url)

    assert types(here) == [
        "customer_identified", "gift_wrapped", "group_joined", "identity_linked", "order_completed", "order_completed",
        "page_viewed", "page_viewed", "product_viewed",
    ]  # fmt: skip
    euros, yen = bodies(here, "order_completed")
    assert (euros["data"]["total"], euros["data"]["shipping"], euros["data"]["currency"]) == (6027, 30, "EUR")
    assert euros["data"]["products"][0] | {"product_id": "p-1", "price": 1999, "quantity": 3.0} == euros["data"]["products"][0]
    assert (yen["data"]["order_id"], yen["data"]["total"], yen["data"]["currency"]) == (f"o-{name}-2", 1500, "JPY")
    assert bodies(here, "product_viewed")[0]["data"]["price"] == 1999
    assert bodies(here, "gift_wrapped")[0]["data"] == {"paper": "blue", "metres": 1.5}
    told = bodies(here, "customer_identified")[0]["data"]
    assert told["extra"] == {"plan": "gold", "visits": 3}
    assert set(told["reached_by"]) == {"email"}
    customer = here.customer(f"u-{name}")
    assert set(customer["identities"]["anonymous"]) == {f"a-{name}", "a-old"}
    assert {one["currency"]: one["spend_minor"] for one in customer["purchases_by_currency"]} == {"EUR": 6027, "JPY": 1500}
    assert here.metric('regulars_dialect_events_total{dialect="segment"}') == MESSAGES


@pytest.mark.parametrize(("session", "name"), CLIENTS)
def test_a_client_whose_answer_was_lost_sends_again_and_it_counts_once(
    here: World, session: Callable[[str], None], name: str
) -> None:
    here.tap.lose = 1

    session(here.tap.url)

    assert here.metric('regulars_dialect_events_total{dialect="segment"}') > MESSAGES
    customer = here.customer(f"u-{name}")
    assert {one["currency"]: one["spend_minor"] for one in customer["purchases_by_currency"]} == {"EUR": 6027, "JPY": 1500}
    assert customer["purchases"]["count"] == 2


@pytest.mark.parametrize(("session", "name"), CLIENTS)
def test_a_recorded_session_replays_to_the_byte(here: World, session: Callable[[str], None], name: str) -> None:
    session(here.tap.url)
    events, customer = here.stored(), here.customer(f"u-{name}")

    here.forget()
    statuses = here.tap.replay()

    assert set(statuses) == {200}
    assert here.stored() == events
    assert here.customer(f"u-{name}") == customer


@pytest.mark.parametrize(("session", "name"), CLIENTS)
def test_a_session_that_is_replayed_on_top_of_itself_changes_nothing(
    here: World, session: Callable[[str], None], name: str
) -> None:
    session(here.tap.url)
    customer = here.customer(f"u-{name}")

    here.tap.replay()

    assert len(here.stored()) >= 2 * MESSAGES
    again = here.customer(f"u-{name}")
    assert again["purchases_by_currency"] == customer["purchases_by_currency"]
    assert again["features"] == customer["features"]


@pytest.mark.parametrize(("session", "name"), CLIENTS)
def test_a_clock_that_is_wrong_is_put_right_by_when_it_says_it_sends(
    here: World, session: Callable[[str], None], name: str
) -> None:
    session(here.tap.url)

    sent = [msgspec.json.decode(event) for _, _, event, _ in here.stored()]
    for event in sent:
        corrected = datetime.fromisoformat(event["time"]) + (
            datetime.fromisoformat(event["sent_at"]) - datetime.fromisoformat(event["received_at"])
        )
        assert corrected == AT
    assert {event["user_id"] for event in sent if "user_id" in event} == {f"u-{name}"}


@pytest.mark.slow
@pytest.mark.parametrize(("session", "name"), CLIENTS)
def test_a_client_that_is_too_fast_waits_as_it_is_told(redis_url: str, session: Callable[[str], None], name: str) -> None:
    with world(redis_url, rate_limit_per_s=1) as here:
        session(here.tap.url)

        assert 429 in {call.status for call in here.tap.posts()}
        assert len(types(here)) == MESSAGES
        assert name in here.customer(f"u-{name}")["user_id"]
