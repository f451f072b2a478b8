"""Corrected traits: a merge patch of what is held under each name (RFC 7396). Values are plain, so a patch is flat."""

from collections.abc import Mapping
from typing import Any

import orjson

from api.problems import Problem
from engine.events.identity import MOST_TRAIT_TEXT, NEVER_KEPT, Traits
from engine.profiles.identity import MOST_TRAITS

MOST_NAME = 100
_OWN = frozenset({"extra", "removed", "reached_by"})
_FOUND_BY = frozenset({"email", "phone"})
"""Held as keyed hashes alone."""


def patch_of(body: bytes) -> dict[str, Any]:
    """The patch in a body. Raises 400 where that is no JSON, 422 for anything that cannot be held."""
    try:
        patch = orjson.loads(body)
    except ValueError as error:
        raise Problem(400, "body.not_json", f"the body is not JSON: {error}") from None
    if not isinstance(patch, dict):
        raise Problem(422, "schema.type", 'a patch is an object of traits, such as {"locale": "de-AT", "has_children": null}')
    if len(patch) > MOST_TRAITS:
        raise Problem(422, "schema.type", f"at most {MOST_TRAITS} traits are held")
    for name, value in patch.items():
        _check(name, value)
    return patch


def patched(held: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """What is held once the patch has been folded."""
    both = {**held, **{name: value for name, value in patch.items() if name not in _FOUND_BY}}
    return {name: both[name] for name in sorted(both) if both[name] is not None}


def _check(name: str, value: object) -> None:
    if not name or len(name) > MOST_NAME or name in _OWN:
        raise Problem(422, "trait.name", f"{name[:MOST_NAME]!r} is not the name of a trait", name[:MOST_NAME])
    if value is None or name in _FOUND_BY:
        return
    if name in NEVER_KEPT:
        raise Problem(422, "trait.not_kept", f"{name} names or reaches a person and is not kept", name)
    if not isinstance(value, bool | int | float | str) or (isinstance(value, str) and len(value) > MOST_TRAIT_TEXT):
        raise Problem(422, "schema.type", f"a trait is true, false, a number, or text of at most {MOST_TRAIT_TEXT} letters", name)
    declared = Traits.__annotations__.get(name)
    if declared is not None and not isinstance(value, str if "str" in str(declared) else bool):
        wanted = "text" if "str" in str(declared) else "true or false"
        raise Problem(422, "schema.type", f"{name} is {wanted}", name)
