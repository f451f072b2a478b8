"""In which time zone a customer is: what the request says, else what is known of them, else where they buy, else the shop's."""

from collections.abc import Mapping
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.decisioning.offers import Store
from engine.profiles.profile import Part

TRAIT = "timezone"


def zone_of(asked: str, part: Part | None, stores: Mapping[str, Store], fallback: str) -> str:
    """The name of the zone. A name that is none is passed over, wherever it comes from.

    The store is that of the last purchase whose store is declared.
    """
    if is_zone(asked):
        return asked
    if part is None:
        return fallback
    told = part.identity.trait(TRAIT)
    if isinstance(told, str) and is_zone(told):
        return told
    for purchase in reversed(part.purchases.last) if stores else ():
        if purchase.store in stores:
            return stores[purchase.store].zone
    return fallback


@lru_cache(maxsize=1024)
def is_zone(name: str) -> bool:
    """Whether the zone database knows the name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return bool(name)
