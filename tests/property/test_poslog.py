"""Laws of POSLog: whatever a till sends is told or refused, exactly, and the sum of what is told is the sum of what was sent."""

from decimal import Decimal
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import Rejected
from engine.events.decode import Store, decode_value
from engine.events.dialects import poslog
from engine.events.pos import PosReturnCompleted, PosTransactionCompleted
from engine.moments import Millis

STORES = {"48": Store("Europe/Vienna", "EUR")}
ARRIVAL = Millis(1_800_000_000_000)
NAMES = st.sampled_from(
    """POSLog Transaction RetailTransaction ControlTransaction RetailStoreID WorkstationID SequenceNumber BusinessDayDate LineItem
    Sale Return Tender Discount LoyaltyAccount LoyaltyAccountID TransactionLink Total Amount ExtendedAmount Quantity CancelFlag
    TrainingModeFlag EndDateTime RetailPriceModifier MerchandiseHierarchy Points POSEOD value""".split()  # noqa: SIM905
)
SCALARS = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | st.text(max_size=12)
ANYTHING = st.recursive(
    SCALARS | st.sampled_from(["48", "2026-03-02", "2026-03-02T18:00:00", "19.90", "true", 73]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=25,
)
CENTS = st.integers(1, 10**7)


@settings(max_examples=150, deadline=None)
@given(ANYTHING)
def test_any_json_at_all_is_told_or_refused(document: Any) -> None:
    try:
        raw = orjson.dumps(document)
    except orjson.JSONEncodeError:
        return

    for part in poslog.told(raw):
        event = part.native if isinstance(part.native, Rejected) else decode_value(part.native, ARRIVAL, STORES)
        assert not isinstance(event, Rejected) or event.code


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_at_all_are_told_or_refused(raw: bytes) -> None:
    assert all(isinstance(part.native, Rejected | dict) for part in poslog.told(raw))


def major(cents: int, as_number: bool) -> str | float:
    text = str(Decimal(cents) / 100)
    return float(text) if as_number else text


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(CENTS, st.booleans()), min_size=1, max_size=6), st.lists(CENTS, max_size=3), st.booleans())
def test_what_is_told_comes_to_what_was_sent_to_the_cent(
    sold: list[tuple[int, bool]], back: list[int], linked: bool
) -> None:
    lines: list[dict[str, Any]] = [{"Sale": {"ItemID": "p", "ExtendedAmount": major(*each)}} for each in sold]
    link = {"RetailStoreID": "48", "WorkstationID": "1", "BusinessDayDate": "2026-01-31", "SequenceNumber": 9}
    of = {"TransactionLink": link} if linked else {}
    lines += [{"Return": {"ItemID": "p", "ExtendedAmount": major(each, True), **of}} for each in back]
    head = {"RetailStoreID": 48, "WorkstationID": "6", "SequenceNumber": 73, "BusinessDayDate": "2026-03-02"}
    whole = sum(cents for cents, _ in sold) - sum(back)

    for retail in ({"LineItem": lines}, {"LineItem": lines, "Total": str(Decimal(whole) / 100)}):
        body = {**head, "EndDateTime": "2026-03-02T18:00:00", "RetailTransaction": retail}
        total = 0
        for part in poslog.told(orjson.dumps(body)):
            event = decode_value(part.native, ARRIVAL, STORES)
            assert isinstance(event, PosTransactionCompleted | PosReturnCompleted), event
            total += event.data.amount_minor if isinstance(event, PosTransactionCompleted) else -event.data.returned_minor
        assert total == whole
