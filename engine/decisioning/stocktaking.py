"""A catalogue as the shelf stands: offers of named products that cannot be bought are not made, and what such an offer is worth
follows from the margins of its products where it names none itself.

Both change with the shelf and with no customer, so they are worked out when a product changes and cost a decision nothing.
"""

import numpy as np
from msgspec.structs import replace

from engine.decisioning.catalogue import Catalogue
from engine.decisioning.eligibility import RULES
from engine.decisioning.shelf import Shelf, mean_margin


def as_on_shelf(catalogue: Catalogue, shelf: Shelf) -> Catalogue:
    """The catalogue by what is known of its products now; the same one where nothing is different."""
    columns = catalogue.columns
    rows = [row for row, names in enumerate(columns.promoted_products) if names]
    if not rows:
        return catalogue
    gone, value = np.zeros(len(columns.ids), dtype=np.bool_), columns.value.copy()
    for row in rows:
        names, offer = columns.promoted_products[row], catalogue.offers[row]
        known = [shelf.products[name] for name in names if name in shelf.products]
        sold = [facts for facts in known if facts.is_sold]
        gone[row] = len(known) == len(names) and not sold
        if not offer.margin.minor:
            value[row] = offer.boost * mean_margin(sold, catalogue.currency)
    if np.array_equal(gone, columns.gone) and np.array_equal(value, columns.value):
        return catalogue
    valued = any(offer.margin.minor for offer in catalogue.offers if offer.kind == "sell")
    changed = replace(columns, gone=gone, value=value, worth=value if valued else columns.worth)
    return replace(catalogue, columns=changed, rules=tuple(rule for rule in RULES if rule.concerns(changed)))
