"""POSLog transactions as native events: what each flag, line and link of a till comes to."""

from typing import Any

import orjson
import pytest

from engine.errors import Rejected
from engine.events.decode import Store, decode_value
from engine.events.dialects import poslog
from engine.events.pos import PosDayClosed, PosReturnCompleted, PosTransactionCompleted, PosTransactionVoided
from engine.events.routing import route
from engine.moments import Millis, rfc3339

STORES = {"48": Store("Europe/Vienna", "EUR"), "t": Store("Asia/Tokyo", "JPY")}
ARRIVAL = Millis(1_800_000_000_000)


def sale(item: str = "p-1", amount: Any = "19.90", **more: Any) -> dict[str, Any]:
    category = {"Level": "Category", "value": "coffee"}
    return {"Sale": {"ItemID": item, "ExtendedAmount": amount, "MerchandiseHierarchy": category, **more}}


def transaction(*lines: dict[str, Any], retail: dict[str, Any] | None = None, **head: Any) -> dict[str, Any]:
    return {
        "RetailStoreID": 48, "WorkstationID": "6", "SequenceNumber": "0073", "BusinessDayDate": "2026-03-02",
        "BeginDateTime": "2026-03-02T17:59:14", "EndDateTime": "2026-03-02T18:01:20",
        "OperatorID": {"OperatorName": "x", "value": 12}, "CurrencyCode": "EUR", **head,
        "RetailTransaction": {"LineItem": list(lines), **(retail or {})},
    }  # fmt: skip


def natives(*transactions: dict[str, Any]) -> list[Any]:
    return [part.native for part in poslog.told(orjson.dumps(list(transactions)))]


def events(*transactions: dict[str, Any]) -> list[Any]:
    return [decode_value(native, ARRIVAL, STORES) if isinstance(native, dict) else native for native in natives(*transactions)]


def one(body: dict[str, Any]) -> Any:
    (event,) = events(body)
    return event


LINK = {"RetailStoreID": "48", "WorkstationID": "2", "BusinessDayDate": "2026-01-31", "SequenceNumber": 9}
CARD = {"LoyaltyAccount": [{"LoyaltyAccountID": "c-9"}]}


@pytest.mark.parametrize(
    "document",
    [
        {"POSLog": {"Transaction": [transaction(sale())]}},
        {"POSLog": {"Transaction": transaction(sale())}},
        {"POSLog": [transaction(sale())]},
        [transaction(sale())],
        transaction(sale()),
    ],
)
def test_every_shape_of_a_document_holds_the_same_sale(document: Any) -> None:
    (part,) = poslog.told(orjson.dumps(document))

    event = decode_value(part.native, ARRIVAL, STORES)
    assert isinstance(event, PosTransactionCompleted)
    assert (event.data.key, event.data.amount_minor, event.id) == (
        "48/6/2026-03-02/73", 1990, "pos_transaction_completed/48/6/2026-03-02/73",
    )  # fmt: skip
    assert orjson.loads(part.raw) == transaction(sale())


def test_a_sale_carries_its_goods_tenders_and_card() -> None:
    net, grand = ({"TotalType": f"Transaction{kind}Amount", "Amount": text} for kind, text in (("Net", "15"), ("Grand", "18.40")))
    total = {"Total": [net, grand]}
    line = sale(Quantity=2, RegularSalesUnitPrice="9.95", Description="Beans", POSIdentity={"POSItemID": "4006381333931"})
    tender = {"Tender": {"TenderType": "Cash", "Amount": "20.00", "TenderChange": {"Amount": "1.60"}}}

    event = one(transaction(line, {"Discount": {"Amount": "1.50"}}, tender, retail=CARD | total))

    goods, discount = event.data.lines
    assert (goods.product_id, goods.gtin, goods.name, goods.category) == ("p-1", "4006381333931", "Beans", "coffee")
    assert (goods.price, goods.quantity, goods.amount) == (995, 2.0, 1990)
    assert (discount.kind, discount.amount) == ("discount", 150)
    assert (event.data.total, event.data.tenders[0].kind, event.data.tenders[0].amount) == (1840, "Cash", 1840)
    assert (event.loyalty_id, route(event), event.channel, event.data.operator) == ("c-9", "l:c-9", "pos", "12")
    assert rfc3339(int(event.time.timestamp() * 1000)) == "2026-03-02T17:01:20.000Z"


@pytest.mark.parametrize(
    ("amount", "minor"),
    [("19.90", 1990), (19.9, 1990), (19, 1900), (0.1 + 0.2, 30), ("1999.99", 199_999), ({"value": "7.05", "Unit": "EUR"}, 705)],
)
def test_amounts_are_major_units_read_from_their_digits(amount: Any, minor: int) -> None:
    assert one(transaction(sale(amount=amount))).data.amount_minor == minor


def test_a_currency_without_decimals_has_none() -> None:
    body = transaction(sale(amount=1990), RetailStoreID="t", CurrencyCode="JPY")

    assert one(body).data.amount_minor == 1990


def test_discounts_of_a_line_are_taken_off_once() -> None:
    off = [{"Amount": {"Action": "Subtract", "value": "2.00"}, "CouponID": "C10"}]
    before = sale(Quantity=2, RegularSalesUnitPrice="9.95", ExtendedAmount="19.90", RetailPriceModifier=off)
    after = {"Sale": {**before["Sale"], "ExtendedAmount": "17.90", "ActualSalesUnitPrice": "8.95"}}
    alone = sale(Quantity=2, RegularSalesUnitPrice="9.95", ExtendedAmount=None, ExtendedDiscountAmount="2.00")

    for line in (before, after, alone):
        event = one(transaction(line))
        assert event.data.amount_minor == 1790
        assert event.data.lines[0].discount == 200
    assert one(transaction(before)).data.coupons == ("C10",)


def test_lines_that_were_voided_are_not_there_and_taxes_count_where_nothing_says_the_total() -> None:
    event = one(transaction(sale(), {**sale("p-2"), "VoidFlag": "true"}, {"Tax": {"Amount": "1.10"}}))

    assert [line.product_id for line in event.data.lines] == ["p-1"]
    assert event.data.amount_minor == 2100


def test_points_stand_on_the_receipt() -> None:
    programme = {"LoyaltyProgram": {"Points": [{"Type": "PointsEarned", "value": 20}, {"Type": "PointsRedeemed", "value": 5}]}}
    account = {"LoyaltyAccount": {"LoyaltyAccountID": 9, **programme}}

    event = one(transaction(sale(), {"LoyaltyReward": {"PointsAwarded": "3"}}, retail=account))

    assert [line.points for line in event.data.lines if line.kind == "loyalty"] == [3, 20, -5]
    assert event.loyalty_id == "9"


@pytest.mark.parametrize("where", ["transaction", "goods", "line", "a return of what stands as sold"])
def test_a_return_names_the_receipt_it_takes_back(where: str) -> None:
    line: dict[str, Any] = {"Return": {**sale()["Sale"], **({"TransactionLink": LINK} if where == "goods" else {})}}
    line |= {"TransactionLink": LINK} if where == "line" else {}
    retail: dict[str, Any] = {"TransactionLink": {**LINK, "ReasonCode": "Return"}} if where[0] in "ta" else {}
    line = sale() if where.startswith("a return") else line

    event = one(transaction(line, retail=retail | {"Total": "19.90"}))

    assert isinstance(event, PosReturnCompleted)
    assert (event.data.original, event.data.returned_minor) == ("48/2/2026-01-31/9", 1990)
    assert event.data.key == "48/6/2026-03-02/73"


def test_a_customer_named_by_number_is_a_card() -> None:
    assert one(transaction(sale(), retail={"Customer": {"CustomerID": 42}})).loyalty_id == "42"


def test_an_exchange_is_a_return_and_a_sale_of_one_number() -> None:
    back = {"Return": {**sale("p-9", "5.00")["Sale"], "TransactionLink": LINK}}

    bought, returned = events(transaction(sale(), back, retail={"Total": {"Amount": "14.90"}}))

    assert (bought.data.amount_minor, [line.product_id for line in bought.data.lines]) == (1990, ["p-1"])
    assert (returned.data.returned_minor, returned.data.original) == (500, "48/2/2026-01-31/9")
    assert bought.data.key == returned.data.key


def test_goods_without_a_receipt_are_given_back_in_the_sum() -> None:
    event = one(transaction({"Return": sale()["Sale"]}, retail={"Total": "19.90"}))

    assert isinstance(event, PosTransactionCompleted)
    assert (event.data.amount_minor, event.data.only_gives_back) == (-1990, True)


def test_a_cancelled_transaction_never_happened() -> None:
    event = one(transaction(sale(), CancelFlag=True, retail=CARD))

    assert isinstance(event, PosTransactionVoided)
    assert (event.data.key, event.loyalty_id) == ("48/6/2026-03-02/73", "c-9")


def test_a_later_transaction_voids_the_one_it_links_to_and_takes_a_number_itself() -> None:
    event = one(transaction(retail={"TransactionLink": {**LINK, "ReasonCode": "PostVoid"}, "Total": "-19.90"}))

    assert isinstance(event, PosTransactionVoided)
    assert (event.data.key, event.data.voided_on, event.data.total) == ("48/2/2026-01-31/9", "48/6/2026-03-02/73", 1990)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (transaction(sale(), TrainingModeFlag="true", CancelFlag=True), "training"),
        (transaction(sale(), retail={"TransactionStatus": "Suspended"}), "suspended"),
        ({**transaction(), "RetailTransaction": None, "ControlTransaction": {"NoSale": {}}}, "control"),
    ],
)
def test_what_counts_nowhere_is_taken_under_a_name_of_its_own(body: dict[str, Any], status: str) -> None:
    event = one(body)

    assert (event.data.status, event.id) == (status, f"pos_transaction_completed/48/6/2026-03-02/73/{status}")


def test_the_end_of_a_day_tells_the_last_number() -> None:
    closing = {"POSEOD": {"TransactionCount": 73, "NetSalesAmount": "1200.50"}}

    number, closed = events({**transaction(), "RetailTransaction": None, "ControlTransaction": closing})

    assert isinstance(closed, PosDayClosed)
    assert (closed.data.last_sequence, closed.data.count, closed.data.total) == (73, 73, 120_050)
    assert number.data.status == "control"


@pytest.mark.parametrize(
    ("wall", "utc"),
    [
        ("2026-03-29T01:59:59", "2026-03-29T00:59:59.000Z"),
        ("2026-03-29T02:30:00", "2026-03-29T01:30:00.000Z"),
        ("2026-10-25T02:30:00", "2026-10-25T00:30:00.000Z"),
        ("2026-10-25T03:00:00", "2026-10-25T02:00:00.000Z"),
        ("2026-07-01T12:00:00+01:00", "2026-07-01T11:00:00.000Z"),
    ],
)
def test_wall_clocks_are_read_in_the_zone_of_the_store_also_when_clocks_change(wall: str, utc: str) -> None:
    event = one(transaction(sale(), BeginDateTime=None, EndDateTime=wall))

    assert rfc3339(int(event.time.timestamp() * 1000)) == utc


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (transaction(sale(), RetailStoreID="77"), "store.unknown", "data.store"),
        (transaction(sale(), RetailStoreID="77", CurrencyCode=None), "store.unknown", "data.store"),
        (transaction(sale(), WorkstationID=None), "schema.missing", "WorkstationID"),
        (transaction(sale(), SequenceNumber="7a"), "schema.type", "SequenceNumber"),
        (transaction(sale(amount="ten")), "schema.money", ""),
        (transaction(sale(amount="1.999")), "schema.money", "data.lines[0].amount"),
        ({**transaction(), "RetailTransaction": None}, "schema.missing", "RetailTransaction"),
        (transaction({"Return": {"TransactionLink": {"RetailStoreID": 48}}}), "schema.missing", "TransactionLink.WorkstationID"),
    ],
)
def test_what_cannot_be_told_is_refused_with_its_reason(body: dict[str, Any], code: str, field: str) -> None:
    refused = one(body)

    assert isinstance(refused, Rejected)
    assert (refused.code, refused.field) == (code, field)


def test_a_transaction_of_an_unknown_store_is_taken_where_it_says_zone_and_currency_itself() -> None:
    times: dict[str, Any] = {"BeginDateTime": None, "EndDateTime": "2026-03-02T18:01:20Z"}

    assert one(transaction(sale(), RetailStoreID="77", **times)).data.store == "77"


def test_each_transaction_is_answered_for_by_itself() -> None:
    three: list[dict[str, Any]] = [transaction(sale()), {"RetailTransaction": 3}, transaction(sale())]

    parts = poslog.told(orjson.dumps({"POSLog": {"Transaction": three}}))

    assert [part.place for part in parts] == [0, 1, 2]
    assert [isinstance(part.native, Rejected) for part in parts] == [False, True, False]
