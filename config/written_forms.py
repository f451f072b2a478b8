"""From what a marketer wrote to engine structs, by the types of their fields; every mistake is noted and reading goes on.

A field's type says what may be written. Where the written form differs from what the engine holds (amounts, dates, times
of day, conditions), the field says so in `Meta(extra={"written": …})`, and one function here knows the form.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta, Struct

from config.mistakes import Mistake, did_you_mean, one_of
from engine.decisioning.conditions import COMBINATIONS, KINDS, Feature, HasTrait, Names, plain_text
from engine.decisioning.in_tier import TierWanted
from engine.decisioning.offers import EXPANSIONS, Money
from engine.moments import millis
from engine.money import AmountError, exponent, to_minor

WRONG: Any = object()
"""Stands where a value could not be read; the mistake is noted already."""


class Reader:
    """Reads one file. `zone` dates days without a time; `features` are the readings that conditions may name."""

    def __init__(self, file: str, features: Mapping[str, int], zone: str = "UTC") -> None:
        self.file, self.features, self.zone = file, features, ZoneInfo(zone)
        self.mistakes: list[Mistake] = []
        self._written: dict[str, Callable[[Any, str], Any]] = {
            "instant": lambda node, path: self._instant(node, path, timedelta(0)),
            "instant_end": lambda node, path: self._instant(node, path, timedelta(days=1)),
            "clock": self._clock,
            "zone": self._zone,
            "currency": self._currency,
            "feature": self._feature,
            "condition": self._condition,
            "conditions": self._conditions,
            "content": self._content,
            "plain": self._plain_value,
            "plains": self._plain_values,
            "tier": self._tier,
            "promoted": self._promoted,
        }

    def wrong(self, path: str, what: str) -> Any:
        """Note a mistake."""
        self.mistakes.append(Mistake(self.file, path, what))
        return WRONG

    def struct(self, kind: type[Struct], node: Any, path: str) -> Any:
        """A struct of the kind from a mapping; `WRONG` if any field is."""
        if not isinstance(node, dict):
            return self._expected("a mapping", node, path)
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        clean = True
        for name in node:
            if name not in fields:
                clean = False
                self.wrong(
                    _join(path, str(name)), f"is not known here{did_you_mean(str(name), fields)}; known are {one_of(fields)}"
                )
        values: dict[str, Any] = {}
        for name, field in fields.items():
            if name in node:
                values[field.name] = self.value(field.type, node[name], _join(path, name))
            elif field.required:
                clean = False
                self.wrong(_join(path, name), "is missing")
        if not clean or any(value is WRONG for value in values.values()):
            return WRONG
        return kind(**values)

    def value(self, kind: Any, node: Any, path: str) -> Any:
        """A value of any annotated type that the engine's structs use."""
        limits, written = [], ""
        while get_origin(kind) is Annotated:
            kind, *metas = get_args(kind)
            limits += [meta for meta in metas if isinstance(meta, Meta)]
        for meta in limits:
            written = (meta.extra or {}).get("written", written)
        if isinstance(kind, UnionType) or get_origin(kind) is Union:
            if not written:
                return self._optional(get_args(kind), node, path)
            if node is None and NoneType in get_args(kind):
                return None
        value = self._written[written](node, path) if written else self._plain(kind, node, path)
        return value if value is WRONG else self._within(value, limits, path)

    def _optional(self, kinds: tuple[Any, ...], node: Any, path: str) -> Any:
        if node is None and NoneType in kinds:
            return None
        return self.value(next(kind for kind in kinds if kind is not NoneType), node, path)

    def _plain(self, kind: Any, node: Any, path: str) -> Any:
        origin, arguments = get_origin(kind), get_args(kind)
        if kind is Money:
            return self._money(node, path)
        if isinstance(kind, type) and issubclass(kind, Struct):
            return self.struct(kind, node, path)
        if origin is Literal:
            return self._literal(arguments, node, path)
        if origin is tuple:
            return self._sequence(arguments, node, path)
        if origin is dict:
            return self._mapping(arguments[1], node, path)
        return self._scalar(kind, node, path)

    def _scalar(self, kind: Any, node: Any, path: str) -> Any:
        names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
        if kind is float and isinstance(node, int) and not isinstance(node, bool):
            return float(node)
        if type(node) is kind:
            return node
        return self._expected(names[kind], node, path)

    def _literal(self, allowed: tuple[Any, ...], node: Any, path: str) -> Any:
        if node in allowed:
            return node
        return self.wrong(path, f"expected one of {', '.join(allowed)}, found {_shown(node)}{did_you_mean(str(node), allowed)}")

    def _sequence(self, kinds: tuple[Any, ...], node: Any, path: str) -> Any:
        if kinds[-1] is not Ellipsis:
            if not isinstance(node, list) or len(node) != len(kinds):
                return self._expected(f"a list of {len(kinds)}", node, path)
            items = [self.value(kind, item, f"{path}[{at}]") for at, (kind, item) in enumerate(zip(kinds, node, strict=True))]
        else:
            if isinstance(node, str):
                item = self.value(kinds[0], node, path)
                return WRONG if item is WRONG else (item,)
            if not isinstance(node, list):
                return self._expected("a list", node, path)
            items = [self.value(kinds[0], item, f"{path}[{at}]") for at, item in enumerate(node)]
        return WRONG if any(item is WRONG for item in items) else tuple(items)

    def _mapping(self, kind: Any, node: Any, path: str) -> Any:
        if not isinstance(node, dict):
            return self._expected("a mapping", node, path)
        read = {str(name): self.value(kind, item, _join(path, str(name))) for name, item in node.items()}
        return WRONG if any(item is WRONG for item in read.values()) else read

    def _within(self, value: Any, limits: list[Meta], path: str) -> Any:
        if value is None:
            return value
        for meta in limits:
            try:
                msgspec.convert(value, Annotated[type(value) if not isinstance(value, tuple | dict) else Any, meta])
            except msgspec.ValidationError as error:
                return self.wrong(path, _limit_words(meta, value, str(error)))
            except TypeError:
                if meta.min_length is not None and len(value) < meta.min_length:
                    return self.wrong(path, "must not be empty")
        return value

    def _expected(self, what: str, node: Any, path: str) -> Any:
        quote = ": put it in quotes" if what == "text" and isinstance(node, int | float) else ""
        return self.wrong(path, f"expected {what}, found {_shown(node)}{quote}")

    def _money(self, node: Any, path: str) -> Any:
        form = "an amount with its currency, such as 1.80 EUR"
        amount, _, currency = node.partition(" ") if isinstance(node, str) else ("", "", "")
        if not currency:
            return self._expected(form, node, path)
        try:
            minor = to_minor(amount, currency.strip())
        except AmountError as error:
            return self.wrong(path, f"expected {form}: {error}")
        return Money(minor, currency.strip()) if minor >= 0 else self._expected(f"{form}, not below zero", node, path)

    def _currency(self, node: Any, path: str) -> Any:
        try:
            exponent(str(node))
        except AmountError as error:
            return self.wrong(path, str(error))
        return node

    def _zone(self, node: Any, path: str) -> Any:
        try:
            ZoneInfo(str(node))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return self._expected("a time zone such as Europe/Vienna", node, path)
        return node

    def _instant(self, node: Any, path: str, later: timedelta) -> Any:
        """A day is its first instant in the policy's zone, or the first of the next day where it says when something ends."""
        form = "a date such as 2026-01-31, or a time with an offset such as 2026-01-31T09:00:00+01:00"
        if not isinstance(node, str):
            return self._expected(form, node, path)
        try:
            if len(node) == 10:
                return millis(datetime.combine(date.fromisoformat(node) + later, time(), self.zone))
            at = datetime.fromisoformat(node)
        except (ValueError, OverflowError):
            return self._expected(form, node, path)
        return millis(at) if at.tzinfo is not None else self._expected(form, node, path)

    def _clock(self, node: Any, path: str) -> Any:
        hour, _, minute = node.partition(":") if isinstance(node, str) else ("", "", "")
        if len(minute) != 2 or not (hour + minute).isdecimal() or int(hour) > 24 or int(minute) > 59:
            return self._expected('a time of day such as "21:30"', node, path)
        return (int(hour) * 60 + int(minute)) % 1440

    def _feature(self, node: Any, path: str) -> Any:
        if isinstance(node, str) and node in self.features:
            return node
        return self.wrong(path, f"{_shown(node)} is not a feature{did_you_mean(str(node), self.features)}")

    def _conditions(self, node: Any, path: str) -> Any:
        if not isinstance(node, list):
            return self._expected("a list of conditions", node, path)
        read = tuple(self._condition(item, f"{path}[{at}]") for at, item in enumerate(node))
        return WRONG if any(item is WRONG for item in read) else read

    def _condition(self, node: Any, path: str) -> Any:
        """The kind is told by its key: `feature`, `any`, `cart` …"""
        kinds: dict[str, type[Struct]] = {**{name: kind for name, (kind, _) in KINDS.items()}, **COMBINATIONS}
        if not isinstance(node, dict) or not node:
            return self._expected(f"a condition with one of the keys {one_of(kinds)}", node, path)
        found = [name for name in node if name in kinds]
        if len(found) != 1:
            name = str(next(iter(node)))
            return self.wrong(path, f"expected exactly one of the keys {one_of(kinds)}{did_you_mean(name, kinds)}")
        read = self.struct(kinds[found[0]], node, path)
        if isinstance(read, Feature):
            if not read.bounds():
                return self.wrong(path, "expected above, below, at_least, at_most or between beside the feature")
            if read.between is not None and read.between[0] > read.between[1]:
                return self.wrong(_join(path, "between"), "expected the lower bound first")
        if isinstance(read, HasTrait) and (read.equals is None) is (not read.among):
            return self.wrong(path, "expected either is or in beside the trait, such as {trait: city, in: [Wien, Graz]}")
        return read

    def _plain_value(self, node: Any, path: str) -> Any:
        if isinstance(node, str | bool | int | float):
            return plain_text(node)
        return self._expected("one value: text, a number, true or false", node, path)

    def _plain_values(self, node: Any, path: str) -> Any:
        if not isinstance(node, list) or not node:
            return self._expected("a list of values", node, path)
        items = [self._plain_value(item, f"{path}[{at}]") for at, item in enumerate(node)]
        return WRONG if any(item is WRONG for item in items) else tuple(items)

    def _tier(self, node: Any, path: str) -> Any:
        """One tier, several, or `{at_least: …}`."""
        if isinstance(node, dict):
            if list(node) != ["at_least"] or not isinstance(node["at_least"], str):
                return self._expected("a tier, a list of tiers, or {at_least: …}", node, path)
            return TierWanted(at_least=node["at_least"])
        names = self.value(Names, node, path)
        return WRONG if names is WRONG else TierWanted(among=names)

    def _promoted(self, node: Any, path: str) -> Any:
        """Products by id, or one word for how they are found when it is decided."""
        if isinstance(node, str):
            if node not in EXPANSIONS and (meant := did_you_mean(node, EXPANSIONS)):
                return self.wrong(path, f"expected products by id, {' or '.join(EXPANSIONS)}, found {_shown(node)}{meant}")
            return node if node in EXPANSIONS else (node,)
        if isinstance(node, list) and any(item in EXPANSIONS for item in node if isinstance(item, str)):
            return self.wrong(path, f"{' and '.join(EXPANSIONS)} stand alone: write products: {EXPANSIONS[0]}")
        return self.value(tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...], node, path)

    def _content(self, node: Any, path: str) -> Any:
        """Fields by locale. What a page shows is its own affair: any field of text is passed on, a title there must be."""
        if not isinstance(node, dict) or not all(isinstance(fields, dict) for fields in node.values()):
            return self._expected("fields by locale, such as default: {title: …}", node, path)
        clean = True
        for locale, fields in node.items():
            for name, text in fields.items():
                if not isinstance(text, str):
                    clean = False
                    self._expected("text", text, _join(_join(path, str(locale)), str(name)))
            if "title" not in fields and "title" not in node.get("default", {}):
                clean = False
                self.wrong(_join(_join(path, str(locale)), "title"), "is missing")
        return node if clean else WRONG


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(node: Any) -> str:
    match node:
        case None:
            return "nothing"
        case bool():
            return str(node).lower()
        case int() | float():
            return f"the number {node}"
        case str():
            return repr(node[:60])
        case list():
            return f"a list of {len(node)}"
        case _:
            return "a mapping"


def _limit_words(meta: Meta, value: Any, otherwise: str) -> str:
    shown = _shown(value)
    if meta.pattern is not None:
        return (
            f"expected letters, digits and _ . : - only, found {shown}"
            if "A-Za-z" in meta.pattern
            else f"expected {meta.pattern}, found {shown}"
        )
    bounds = [("at least", meta.ge), ("above", meta.gt), ("at most", meta.le), ("below", meta.lt)]
    words = [f"{name} {bound:g}" for name, bound in bounds if bound is not None]
    if words:
        return f"expected a number {' and '.join(words)}, found {shown}"
    return "must not be empty" if meta.min_length and not value else otherwise
