"""ARTS POSLog in JSON: what a till writes down of each transaction, as RetailTransaction and its neighbours.

A document is `{"POSLog": {"Transaction": [...]}}`, a list of transactions, or one transaction by itself. Element names are those of
the XML schema; an element may be a scalar or an object with its text and attributes, and what may repeat may be single.

Money in POSLog is in major units, as text or as a number, and is read from its digits. Times carry no zone; the store's is put on
later, by `engine.events.decode`. What one transaction is depends on its flags, in this order: training and suspended ones are told
as such and count nowhere; a cancelled one, or one whose status says voided, never happened; one that links to another for a void
undoes that one; goods with a link to the receipt they were bought on are a return of that receipt, also beside goods that are sold.

Source: ARTS XML POSLog 2.2.1 and 6.0, NRF Association for Retail Technology Standards.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from engine.errors import Rejected
from engine.events.dialects.base import Dialect, Part
from engine.events.dialects.exact import plain, read_exactly
from engine.events.dialects.poslog_lines import Goods, amount_text, goods_of, number_of

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])
_KINDS: Final = ("RetailTransaction", "ControlTransaction", "TenderControlTransaction", "InventoryControlTransaction")
_TEXTS: Final = ("value", "Value", "#text", "$", "$t", "_", "content", "text")
_CLOSES: Final = ("POSEOD", "BusinessEOD", "PeriodClose")
_TOTALS: Final = ("TransactionGrandAmount", "TransactionNetAmount", "TransactionTotalAmount", "TransactionPurchaseAmount")
Body = Mapping[str, Any]


def told(raw: bytes) -> list[Part]:
    """The native events of a document; a transaction may be several, all of one place."""
    try:
        transactions = list(_transactions(raw))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return [Part(raw, Rejected("json.invalid", f"the POSLog cannot be read: {error}"[:300]))]
    return [Part(one, native, place) for place, one in enumerate(transactions) for native in _told(one)]


def is_poslog(value: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a POSLog or one of its transactions."""
    return "POSLog" in value or any(kind in value for kind in _KINDS)


DIALECT: Final = Dialect("poslog", is_poslog, told)


def _transactions(raw: bytes) -> Iterator[bytes]:
    if raw.lstrip()[:1] == b"[":
        for one in _LIST.decode(raw):
            yield from _transactions(bytes(one))
        return
    if raw.lstrip()[:1] != b"{":
        yield raw
        return
    held = _OBJECT.decode(raw)
    if "POSLog" in held:
        yield from _transactions(bytes(held["POSLog"]))
    elif "Transaction" in held and not any(kind in held for kind in _KINDS):
        yield from _transactions(bytes(held["Transaction"]))
    else:
        yield raw


def _told(raw: bytes) -> list[dict[str, Any] | Rejected]:
    try:
        body = read_exactly(raw)
        if not isinstance(body, dict):
            return [Rejected("schema.type", "a POSLog transaction is a JSON object")]
        return [plain(native) for native in _natives(body)]
    except _Unusable as error:
        return [Rejected(error.code, str(error), error.field)]
    except (ValueError, RecursionError, OverflowError, InvalidOperation) as error:
        return [Rejected("schema.type", str(error)[:300])]


class _Unusable(Exception):
    def __init__(self, field: str, detail: str, code: str = "schema.missing") -> None:
        super().__init__(detail)
        self.field, self.code = field, code


def _natives(body: Body) -> list[dict[str, Any]]:
    head = _head(body)
    retail = body.get("RetailTransaction")
    if not isinstance(retail, Mapping):
        if not any(kind in body for kind in _KINDS):
            raise _Unusable("RetailTransaction", "a transaction holds a RetailTransaction, or what else the till did")
        return _control(body, head)
    currency = head["currency"]
    goods = goods_of(retail, currency)
    who = _loyalty(retail)
    flags = {"training" if _flag(body, "TrainingModeFlag") else "", _status(body, retail)}
    for aside in ("training", "suspended"):
        if aside in flags:
            return [_event("pos_transaction_completed", aside, head, who, {"status": aside, "lines": goods.lines})]
    total = _total(retail, goods, currency)
    linked, reason = _link(retail)
    if _flag(body, "CancelFlag") or "voided" in flags:
        worth = {"total": amount_text(total, currency)} if total is not None else {}
        return [_event("pos_transaction_voided", "", head, who, worth)]
    if linked is not None and "void" in reason:
        own = "/".join(str(head["named"][name]) for name in _NAMES)
        worth = {"total": amount_text(abs(total), currency)} if total is not None else {}
        return [_event("pos_transaction_voided", "", {**head, "named": linked}, who, {**worth, "voided_on": own})]
    return _sold(head, who, goods, total, _key(linked) if linked is not None else "")


def _sold(head: Body, who: str, goods: Goods, total: Decimal | None, original: str) -> list[dict[str, Any]]:
    """A sale, and a return for each receipt that goods came back from."""
    currency = head["currency"]
    backs = goods.backs(original)
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
    control = body.get("ControlTransaction")
    for name in _CLOSES if isinstance(control, Mapping) else ():
        if name in control:
            closing = control[name] if isinstance(control[name], Mapping) else {}
            data = {"last_sequence": head["named"]["sequence_number"]}
            count = _text(closing, "TransactionCount")
            total = number_of(closing.get("NetSalesAmount", closing.get("TotalNetSalesAmount")))
            data |= {"count": int(count)} if count.isdecimal() else {}
            data |= {"total": amount_text(total, head["currency"])} if total is not None else {}
            named = {key: value for key, value in head["named"].items() if key != "sequence_number"}
            events.append(_event("pos_day_closed", "", {**head, "named": named}, "", data))
            break
    return events


_NAMES: Final = ("store", "workstation", "business_day", "sequence_number")


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
    begin, end = _text(body, "BeginDateTime"), _text(body, "EndDateTime")
    retail = body.get("RetailTransaction")
    receipt = _text(retail, "ReceiptDateTime") if isinstance(retail, Mapping) else ""
    time = end or receipt or begin or _text(body, "POSLogDateTime")
    day = _text(body, "BusinessDayDate")[:10] or time[:10]
    unit = _first(body.get("BusinessUnit"))
    store = _text(body, "RetailStoreID") or (_text(unit, "UnitID") if isinstance(unit, Mapping) else "")
    named = _named(store, _text(body, "WorkstationID"), day, _text(body, "SequenceNumber"), "")
    currency = _text(body, "CurrencyCode")
    said = {"currency": currency, "till": _text(body, "TillID"), "operator": _text(body, "OperatorID"), "begin": begin, "end": end}
    said = {name: text for name, text in said.items() if text}
    return {"named": named, "said": said, "currency": currency, "time": time}


def _named(store: str, workstation: str, day: str, number: str, path: str) -> dict[str, Any]:
    fields = {"RetailStoreID": store, "WorkstationID": workstation, "BusinessDayDate": day, "SequenceNumber": number}
    for name, text in fields.items():
        if not text:
            raise _Unusable(f"{path}{name}", f"`{path}{name}` is required: it is part of the transaction's key")
    if not number.isdecimal():
        raise _Unusable(f"{path}SequenceNumber", f"{number[:40]!r} is no sequence number", "schema.type")
    return {"store": store, "workstation": workstation, "business_day": day, "sequence_number": int(number)}


def _link(retail: Body) -> tuple[dict[str, Any] | None, str]:
    """The transaction that this one is about, and why, in lower case."""
    link = _first(retail.get("TransactionLink"))
    if not isinstance(link, Mapping):
        return None, ""
    return _linked(link), (_text(link, "ReasonCode") or _text(link, "TypeCode") or "return").lower()


def _linked(link: Body) -> dict[str, Any]:
    unit = _first(link.get("BusinessUnit"))
    store = _text(link, "RetailStoreID") or (_text(unit, "UnitID") if isinstance(unit, Mapping) else "")
    day = _text(link, "BusinessDayDate")[:10] or _text(link, "BeginDateTime")[:10] or _text(link, "EndDateTime")[:10]
    return _named(store, _text(link, "WorkstationID"), day, _text(link, "SequenceNumber"), "TransactionLink.")


def _key(named: Body) -> str:
    return "/".join(str(named[name]) for name in _NAMES)


def link_key(link: object) -> str:
    """The name of the receipt that a link of a line points to; empty where there is none."""
    found = _first(link)
    return _key(_linked(found)) if isinstance(found, Mapping) else ""


def _status(body: Body, retail: Body) -> str:
    said = (_text(retail, "TransactionStatus") or _text(retail, "Status") or _text(body, "TransactionStatus")).lower()
    if "suspend" in said or _flag(retail, "SuspendedFlag") or _flag(body, "SuspendedFlag"):
        return "suspended"
    return "voided" if "void" in said or said in ("cancelled", "canceled") else ""


def _loyalty(retail: Body) -> str:
    for account in _all(retail.get("LoyaltyAccount")):
        if isinstance(account, Mapping):
            named = _text(account, "LoyaltyAccountID") or _text(account, "LoyaltyID") or _text(account, "CustomerID")
            if named:
                return named
    customer = _first(retail.get("Customer"))
    return _text(customer, "CustomerID") if isinstance(customer, Mapping) else ""


def _total(retail: Body, goods: Goods, currency: str) -> Decimal | None:
    """What the till says it came to; without that, lines and taxes, where there are taxes beside the lines."""
    said: dict[str, Decimal] = {}
    for one in _all(retail.get("Total")):
        number = number_of(one)
        if number is not None:
            kind = _text(one, "TotalType") or _text(one, "TypeCode") if isinstance(one, Mapping) else ""
            said.setdefault(kind, number)
    for kind in (*_TOTALS, ""):
        if kind in said:
            return said[kind]
    if len(said) == 1:
        return next(iter(said.values()))
    return goods.sum_with_taxes() if goods.taxes else None


def _flag(body: Body, name: str) -> bool:
    return _text(body, name).lower() in ("true", "1", "yes")


def _all(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _first(value: object) -> Any:
    found = _all(value)
    return found[0] if found else None


def _text(body: Body, name: str) -> str:
    """The text of an element, whatever way it is written; empty where there is none."""
    value = _first(body.get(name))
    if isinstance(value, Mapping):
        value = next((value[key] for key in (*_TEXTS, name) if key in value), None)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip() if isinstance(value, str | int | Decimal) else ""
