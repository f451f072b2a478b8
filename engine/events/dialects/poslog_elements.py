"""Elements of a POSLog as they come in JSON: scalars or objects with text and attributes, single or repeated."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from engine.events.dialects.exact import major_text

Body = Mapping[str, Any]
NAMES: Final = ("store", "workstation", "business_day", "sequence_number")
_TEXTS: Final = ("value", "Value", "#text", "$", "$t", "_", "content", "text", "Amount")


class Unusable(Exception):
    """A transaction that cannot be told: which element is at fault, and what is wrong with it."""

    def __init__(self, field: str, detail: str, code: str = "schema.missing") -> None:
        super().__init__(detail)
        self.field, self.code = field, code


def all_of(value: object) -> list[Any]:
    """The elements where there may be several."""
    return value if isinstance(value, list) else [] if value is None else [value]


def objects_of(value: object) -> list[Body]:
    """Those of them that have parts of their own."""
    return [one for one in all_of(value) if isinstance(one, Mapping)]


def object_of(value: object) -> Body:
    """The first of them; an empty one where there is none."""
    return next(iter(objects_of(value)), {})


def text_of(body: Body, name: str) -> str:
    """The text of an element; empty where there is none."""
    return plain_text(body.get(name), name)


def plain_text(value: object, name: str = "") -> str:
    """The text of an element that is at hand."""
    value = next(iter(all_of(value)), None)
    if isinstance(value, Mapping):
        value = next((value[key] for key in (*_TEXTS, name) if key in value), None)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip() if isinstance(value, str | int | Decimal) else ""


def flag_of(body: Body, name: str) -> bool:
    return text_of(body, name).lower() in ("true", "1", "yes")


def number_of(value: object) -> Decimal | None:
    """A number from its digits; None where there is none. Raises `Unusable` for what is none."""
    text = plain_text(value)
    if not text:
        return None
    try:
        number = Decimal(text) if len(text) <= 40 else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number.adjusted()) > 20:
        raise Unusable("", f"{text[:40]!r} is no amount", "schema.money")
    return number


def amount_text(amount: Decimal, currency: str) -> str:
    """An amount in major units, as the native dialect says it."""
    return str(major_text(amount, currency))


def named_of(body: Body, day: str = "", path: str = "") -> dict[str, Any]:
    """The key of a transaction. Raises `Unusable` where a part of it is missing."""
    fields = {
        "RetailStoreID": text_of(body, "RetailStoreID") or text_of(object_of(body.get("BusinessUnit")), "UnitID"),
        "WorkstationID": text_of(body, "WorkstationID"),
        "BusinessDayDate": text_of(body, "BusinessDayDate")[:10] or day[:10],
        "SequenceNumber": text_of(body, "SequenceNumber"),
    }
    for name, text in fields.items():
        if not text:
            raise Unusable(f"{path}{name}", f"`{path}{name}` is required: it is part of the transaction's key")
    store, workstation, date, number = fields.values()
    if not number.isdecimal():
        raise Unusable(f"{path}SequenceNumber", f"{number[:40]!r} is no sequence number", "schema.type")
    return {"store": store, "workstation": workstation, "business_day": date, "sequence_number": int(number)}


def linked_of(link: object) -> str:
    """The name of the receipt that a link points to; empty where there is no link."""
    body = object_of(link)
    time = text_of(body, "BeginDateTime") or text_of(body, "EndDateTime")
    return key_of(named_of(body, time, "TransactionLink.")) if body else ""


def key_of(named: Body) -> str:
    return "/".join(str(named[name]) for name in NAMES)
