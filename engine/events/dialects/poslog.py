"""ARTS POSLog in JSON: what a till writes down of each transaction, as RetailTransaction and its neighbours.

A document is `{"POSLog": {"Transaction": [...]}}`, a list of transactions, or one transaction by itself. Element names are those
of the XML schema; an element may be a scalar or an object with its text and attributes, and what may repeat may be single.

Money in POSLog is in major units, as text or as a number, and is read from its digits. Times carry no zone; the store's is put
on later, by `engine.events.decode`. What one transaction is depends on its flags, in this order: training and suspended ones are
told as such and count nowhere; a cancelled one, or one whose status says voided, never happened; one that links to another for a
void undoes that one; goods with a link to the receipt they were bought on are a return of that receipt, also beside goods that
are sold.

Source: ARTS XML POSLog 2.2.1 and 6.0, NRF Association for Retail Technology Standards.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from engine.errors import Rejected
from engine.events.dialects.base import Dialect, Part
from engine.events.dialects.exact import plain, read_exactly
from engine.events.dialects.poslog_elements import (
    Body,
    Unusable,
    all_of,
    amount_text,
    flag_of,
    key_of,
    linked_of,
    named_of,
    number_of,
    object_of,
    objects_of,
    text_of,
)
from engine.events.dialects.poslog_lines import Goods, goods_of

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])
_KINDS: Final = ("RetailTransaction", "ControlTransaction", "TenderControlTransaction", "InventoryControlTransaction")
_CLOSES: Final = ("POSEOD", "BusinessEOD", "PeriodClose")
_TOTALS: Final = ("TransactionGrandAmount", "TransactionNetAmount", "TransactionTotalAmount", "TransactionPurchaseAmount")


def told(raw: bytes) -> list[Part]:
    """The native events of a document; a transaction may be several, all of one place."""
    try:
        transactions = list(transactions_in(raw))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return [Part(raw, Rejected("json.invalid", f"the POSLog cannot be read: {error}"[:300]))]
    return [Part(one, native, place) for place, one in enumerate(transactions) for native in _told(one)]


def is_poslog(value: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a POSLog or one of its transactions."""
    return "POSLog" in value or any(kind in value for kind in _KINDS)


DIALECT: Final = Dialect("poslog", frozenset({"POSLog", *_KINDS}), is_poslog, told)


def transactions_in(raw: bytes) -> Iterator[bytes]:
    """The bytes of each transaction of a document, whatever its shape. Raises ValueError where it is no JSON."""
    if raw.lstrip()[:1] == b"[":
        for one in _LIST.decode(raw):
            yield from transactions_in(bytes(one))
        return
    if raw.lstrip()[:1] != b"{":
        yield raw
        return
    held = _OBJECT.decode(raw)
    if "POSLog" in held:
        yield from transactions_in(bytes(held["POSLog"]))
    elif "Transaction" in held and not any(kind in held for kind in _KINDS):
        yield from transactions_in(bytes(held["Transaction"]))
    else:
        yield raw


def _told(raw: bytes) -> list[dict[str, Any] | Rejected]:
    try:
        body = read_exactly(raw)
        if not isinstance(body, dict):
            return [Rejected("schema.type", "a POSLog transaction is a JSON object")]
        return [plain(native) for native in _natives(body)]
    except Unusable as error:
        return [Rejected(error.code, str(error), error.field)]
    except (ValueError, RecursionError, OverflowError) as error:
        return [Rejected("schema.type", str(error)[:300])]


def _natives(body: Body) -> list[dict[str, Any]]:
    head = _head(body)
    retail = body.get("RetailTransaction")
    if not isinstance(retail, Mapping):
        if all(body.get(kind) is None for kind in _KINDS[1:]):
            raise Unusable("RetailTransaction", "a transaction holds a RetailTransaction, or what else the till did")
        return _control(body, head)
    currency = head["currency"]
    goods = goods_of(retail, currency)
    who = _loyalty(retail)
    flags = {"training" if flag_of(body, "TrainingModeFlag") else "", _status(body, retail)}
    for aside in ("training", "suspended"):
        if aside in flags:
            return [_event("pos_transaction_completed", aside, head, who, {"status": aside, "lines": goods.lines})]
    linked = linked_of(retail.get("TransactionLink"))
    if linked and "return" in _why(retail) and not goods.returned:
        goods.came_back()
    total = _total(retail, goods)
    if flag_of(body, "CancelFlag") or "voided" in flags:
        worth = {"total": amount_text(total, currency)} if total is not None else {}
        return [_event("pos_transaction_voided", "", head, who, worth)]
    if linked and "void" in _why(retail):
        link = object_of(retail.get("TransactionLink"))
        worth = {"total": amount_text(abs(total), currency)} if total is not None else {}
        undone = {**head, "named": named_of(link, head["time"], "TransactionLink.")}
        own = key_of(head["named"])
        event = _event("pos_transaction_voided", "", undone, who, {**worth, "voided_on": own})
        # One receipt may be voided twice; each void is a transaction of its own.
        return [{**event, "id": f"pos_transaction_voided/{own}"[:100]}]
    return _sold(head, who, goods, total, linked)


def _sold(head: Body, who: str, goods: Goods, total: Decimal | None, original: str) -> list[dict[str, Any]]:
    """A sale, and a return for each receipt that goods came back from."""
    currency = head["currency"]
    backs = goods.backs(original)
    if total is not None and goods.returned and not any(line["kind"] == "sale" for line in goods.lines):
        total = -abs(total)
    events = []
    returned = sum((back.amount for back in backs.values()), Decimal(0))
    kept = goods.kept(backs)
    if kept or not backs:
        whole = total + returned if total is not None else None
        data = {"lines": kept, "tenders": goods.tenders, "coupons": goods.coupons}
        data |= {"total": amount_text(whole, currency)} if whole is not None else {}
        events.append(_event("pos_transaction_completed", "", head, who, data))
    alone = len(backs) == 1 and not events
    for place, (of, back) in enumerate(backs.items()):
        amount = abs(total) if alone and total is not None else back.amount
        data = {"lines": back.lines, "original": of, "total": amount_text(amount, currency)}
        data |= {"tenders": goods.tenders} if alone else {}
        events.append(_event("pos_return_completed", str(place + 1) if place else "", head, who, data))
    return events


def _control(body: Body, head: Body) -> list[dict[str, Any]]:
    """Something that took a number and sold nothing; a day that was closed says so."""
    events = [_event("pos_transaction_completed", "control", head, "", {"status": "control"})]
    control = object_of(body.get("ControlTransaction"))
    for name in _CLOSES:
        if name in control:
            closing = object_of(control[name])
            data = {"last_sequence": head["named"]["sequence_number"]}
            count = text_of(closing, "TransactionCount")
            total = number_of(closing.get("NetSalesAmount", closing.get("TotalNetSalesAmount")))
            data |= {"count": int(count)} if count.isdecimal() else {}
            data |= {"total": amount_text(total, head["currency"])} if total is not None else {}
            named = {key: value for key, value in head["named"].items() if key != "sequence_number"}
            events.append(_event("pos_day_closed", "", {**head, "named": named}, "", data))
            break
    return events


def _event(kind: str, variant: str, head: Body, who: str, data: Mapping[str, Any]) -> dict[str, Any]:
    named = head["named"]
    names = "/".join(str(part) for part in named.values())
    event: dict[str, Any] = {
        "type": kind,
        "id": f"{kind}/{names}{'/' + variant if variant else ''}"[:100],
        "source": f"pos://{named['store']}/{named['workstation']}",
        "channel": "pos",
        "data": {**named, **head["said"], **{name: value for name, value in data.items() if value not in ([], None)}},
    }
    if kind == "pos_day_closed":
        del event["id"]
    if who:
        event["loyalty_id"] = who
    if head["time"]:
        event["time"] = head["time"]
    return event


def _head(body: Body) -> dict[str, Any]:
    begin, end = text_of(body, "BeginDateTime"), text_of(body, "EndDateTime")
    time = end or text_of(object_of(body.get("RetailTransaction")), "ReceiptDateTime") or begin or text_of(body, "POSLogDateTime")
    currency = text_of(body, "CurrencyCode")
    said = {"till": text_of(body, "TillID"), "operator": text_of(body, "OperatorID"), "begin": begin, "end": end}
    said = {name: text for name, text in {"currency": currency, **said}.items() if text}
    return {"named": named_of(body, time), "said": said, "currency": currency, "time": time}


def _why(retail: Body) -> str:
    """Why this transaction is about another, in lower case."""
    link = object_of(retail.get("TransactionLink"))
    return (text_of(link, "ReasonCode") or text_of(link, "TypeCode") or "return").lower() if link else ""


def _status(body: Body, retail: Body) -> str:
    said = (text_of(retail, "TransactionStatus") or text_of(retail, "Status") or text_of(body, "TransactionStatus")).lower()
    if "suspend" in said or flag_of(retail, "SuspendedFlag") or flag_of(body, "SuspendedFlag"):
        return "suspended"
    return "voided" if "void" in said or said in ("cancelled", "canceled") else ""


def _loyalty(retail: Body) -> str:
    for account in objects_of(retail.get("LoyaltyAccount")):
        for name in ("LoyaltyAccountID", "LoyaltyID", "CustomerID"):
            if text_of(account, name):
                return text_of(account, name)
    return text_of(object_of(retail.get("Customer")), "CustomerID")


def _total(retail: Body, goods: Goods) -> Decimal | None:
    """What the till says it came to; without that, lines and taxes, where there are taxes beside the lines."""
    said: dict[str, Decimal] = {}
    for one in all_of(retail.get("Total")):
        number = number_of(one)
        if number is not None:
            kind = text_of(one, "TotalType") or text_of(one, "TypeCode") if isinstance(one, Mapping) else ""
            said.setdefault(kind, number)
    for kind in (*_TOTALS, ""):
        if kind in said:
            return said[kind]
    if len(said) == 1:
        return next(iter(said.values()))
    return goods.sum_with_taxes if goods.taxes else None
