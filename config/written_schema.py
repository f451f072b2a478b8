"""The JSON Schema of the catalogue's files, from the same types that read them: an editor completes and checks as one types."""

from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from engine.decisioning.conditions import COMBINATIONS, KINDS
from engine.decisioning.offers import EXPANSIONS, Money

_WRITTEN: Mapping[str, dict[str, Any]] = {
    "instant": {"type": "string", "description": "a date, or a time with an offset"},
    "instant_end": {"type": "string", "description": "the last day, or a time with an offset"},
    "clock": {"type": "string", "pattern": "^[0-9]{1,2}:[0-9]{2}$"},
    "zone": {"type": "string", "description": "a time zone such as Europe/Vienna"},
    "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
    "feature": {"$ref": "#/$defs/feature_name"},
    "condition": {"$ref": "#/$defs/condition"},
    "tier": {
        "anyOf": [
            {"type": "string"},
            {"type": "array", "items": {"type": "string"}, "minItems": 1},
            {
                "type": "object",
                "properties": {"at_least": {"type": "string"}},
                "required": ["at_least"],
                "additionalProperties": False,
            },
        ]
    },
    "promoted": {
        "anyOf": [
            {"enum": list(EXPANSIONS), "description": "found when it is decided"},
            {"type": "array", "items": {"type": "string"}},
            {"type": "string"},
        ]
    },
    "conditions": {"type": "array", "items": {"$ref": "#/$defs/condition"}},
    "plain": {"type": ["string", "number", "boolean"]},
    "plains": {"type": "array", "items": {"type": ["string", "number", "boolean"]}, "minItems": 1},
    "content": {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
_MONEY = {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)? [A-Z]{3}$", "examples": ["1.80 EUR"]}
_SCALARS: Mapping[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_LIMITS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "pattern": "pattern",
    "description": "description",
}


def schema_of(files: Mapping[str, Any], feature_names: Sequence[str]) -> dict[str, Any]:
    """A definition for each kind of file, given as a struct or as a mapping of its only key to a type."""
    defs: dict[str, Any] = {"feature_name": {"enum": list(feature_names)}, "condition": {}}
    kinds: list[type[Any]] = [*(kind for kind, _ in KINDS.values()), *COMBINATIONS.values()]
    defs["condition"] = {"oneOf": [_schema(kind, defs) for kind in kinds]}
    for name, content in files.items():
        if isinstance(content, Mapping):
            properties = {key: _schema(kind, defs) for key, kind in content.items()}
            defs[name] = {"type": "object", "properties": properties, "additionalProperties": False}
        else:
            defs[name] = _schema(content, defs)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A catalogue of Regulars",
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in files],
        "$defs": defs,
    }


def _schema(kind: Any, defs: dict[str, Any]) -> dict[str, Any]:
    metas: list[Meta] = []
    while get_origin(kind) is Annotated:
        kind, *more = get_args(kind)
        metas += [meta for meta in more if isinstance(meta, Meta)]
    written = next((meta.extra["written"] for meta in metas if meta.extra and "written" in meta.extra), None)
    if written is None and (isinstance(kind, UnionType) or get_origin(kind) is Union):
        return _schema(next(part for part in get_args(kind) if part is not NoneType), defs)
    schema = dict(_WRITTEN[written]) if written else _plain(kind, defs)
    for meta in metas:
        schema |= {word: getattr(meta, name) for name, word in _LIMITS.items() if getattr(meta, name) is not None}
        if meta.min_length and schema.get("type") in ("string", "array"):
            schema["minLength" if schema["type"] == "string" else "minItems"] = meta.min_length
    return schema


def _plain(kind: Any, defs: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Money:
        return dict(_MONEY)
    if isinstance(kind, type) and issubclass(kind, Struct):
        return _reference(kind, defs)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1], defs)}
    if origin is tuple and arguments[-1] is Ellipsis:
        items = _schema(arguments[0], defs)
        listed = {"type": "array", "items": items}
        return {"anyOf": [listed, items]} if items.get("type") == "string" or "enum" in items else listed
    if origin is tuple:
        return {"type": "array", "prefixItems": [_schema(part, defs) for part in arguments], "items": False}
    return {"type": _SCALARS[kind]}


def _reference(kind: type[Struct], defs: dict[str, Any]) -> dict[str, Any]:
    name = kind.__name__
    if name not in defs:
        defs[name] = {}
        fields = msgspec.structs.fields(kind)
        defs[name] = {
            "type": "object",
            "description": " ".join((kind.__doc__ or "").split()),
            "properties": {field.encode_name: _schema(field.type, defs) for field in fields},
            "required": [field.encode_name for field in fields if field.required],
            "additionalProperties": False,
        }
    return {"$ref": f"#/$defs/{name}"}
