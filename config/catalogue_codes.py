"""`regulars catalogue codes`: the codes of an offer's coupon pool, to load into the till that accepts them.

Codes made of a prefix are worked out from offer, prefix and number alone, so they are the same on every machine, without asking
anybody which have been given.
"""

import sys
from pathlib import Path

from config.catalogue_files import load_catalogue
from config.mistakes import did_you_mean
from config.settings import DEFAULT_CATALOGUE
from engine.decisioning.pools import codes_of
from engine.errors import RegularsError


class NoCoupons(RegularsError):
    """The offer gives no codes, or there is no such offer."""


def main_codes(folder: Path | None, offer: str) -> int:
    """Prints one code a line, in the order in which they are given."""
    offers = {one.id: one for one in load_catalogue(folder or DEFAULT_CATALOGUE).catalogue.offers}
    if offer not in offers:
        raise NoCoupons(f"there is no offer {offer!r}{did_you_mean(offer, offers)}")
    coupons = offers[offer].coupons
    if coupons is None:
        giving = ", ".join(name for name, one in offers.items() if one.coupons is not None)
        raise NoCoupons(f"{offer} gives no coupon codes; {f'those that do: {giving}' if giving else 'no offer does'}")
    sys.stdout.write("".join(f"{code}\n" for code in codes_of(offer, coupons)))
    return 0
