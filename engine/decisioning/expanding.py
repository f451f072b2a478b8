"""From a rule to products, at the moment of a decision: what goes along with the cart, or what is used up by now.

An offer that promotes `bought_together` shows what is bought along with what lies in the cart, or else with the newest purchase;
one that promotes `replenishment` shows what the customer buys again and again and is due. Neither ever shows what lies in the
cart, what was given back lately, or what cannot be bought; the first nothing that was just bought. Where nothing is left the
offer is not made, and the rule says why.

How long a product lasts is the mean of the customer's own gaps and one more: what the shop declares, else what customers make
of it. Without either it takes two gaps of their own.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from engine.decisioning.catalogue import Catalogue
from engine.decisioning.offers import JustBought, Offer
from engine.decisioning.policy import Policy
from engine.decisioning.shelf import Expansion, Shelf, Suggested, mean_margin
from engine.decisioning.situation import CartLine, PlacementRequest
from engine.events.products import ProductFacts
from engine.moments import DAY
from engine.profiles.goods import day_of, days_of, name_of, returned_of
from engine.profiles.profile import Part

LAST_BASKET_DAYS = 28
"""Without a cart, what a purchase of so many days ago goes along with is worth showing."""
DUE_FROM, DUE_UNTIL = 0.9, 3.0
"""From which share of its interval on a product is due, and when it is given up."""
MOST_NAMED = 3
NO_PRODUCTS = Expansion(words="no products are known: tell them with POST /v1/products")


def expanded(
    catalogue: Catalogue,
    policy: Policy,
    shelf: Shelf,
    placements: Sequence[PlacementRequest],
    part: Part,
    cart: Sequence[CartLine],
    now: int,
) -> dict[int, Expansion]:
    """The products of each offer that is found at decision time and asked for, by row of the catalogue."""
    columns, found = catalogue.columns, dict[int, Expansion]()
    if not any(wanted.name in columns.expanding for wanted in placements):
        return found
    if not shelf.products:
        return {row: NO_PRODUCTS for wanted in placements for row in columns.expanding.get(wanted.name, ())}
    customer = _Customer(part, cart, now)
    for wanted in placements:
        for row in columns.expanding.get(wanted.name, ()):
            if row not in found:
                found[row] = _expansion(catalogue.offers[row], catalogue, policy, shelf, customer)
    return found


class _Customer:
    """What a customer has, had and gave back."""

    def __init__(self, part: Part, cart: Sequence[CartLine], now: int) -> None:
        self.now, self.today = now, day_of(now)
        asked = [line.product_id for line in cart if line.product_id]
        held = [line.product_id for line in part.browsing.cart if line.product_id]
        self.cart = tuple(dict.fromkeys(asked or held))
        self.lying = frozenset((*asked, *held))
        self.days = days_of(part.goods, part.purchases)
        self.given_back = returned_of(part.goods)
        self.last: dict[str, int] = {}
        """When each product of the newest purchases was bought last, taken back or not."""
        self.basket: tuple[str, ...] = ()
        for purchase in part.purchases.last:
            self.last |= dict.fromkeys(purchase.products, purchase.at)
            if purchase.taken_back:
                self.given_back |= {name_of(name): day_of(purchase.at) for name in purchase.products}
            elif purchase.joined_products and purchase.at > now - LAST_BASKET_DAYS * DAY:
                self.basket = purchase.products

    def lately(self, product: str, rule: JustBought) -> bool:
        """Whether it was bought within the days of the rule, or given back within those for returns."""
        name = name_of(product)
        bought = self.today - self.days[name][-1] if name in self.days else None
        return (
            (bought is not None and rule.days > 0 and bought <= rule.days)
            or (product in self.last and self.now - self.last[product] < rule.days * DAY)
            or self.returned(name, rule)
        )

    def returned(self, name: int, rule: JustBought) -> bool:
        """Whether it was given back within the days that returns are remembered for."""
        back = self.given_back.get(name)
        return back is not None and self.today - back <= rule.returned_days


def _expansion(offer: Offer, catalogue: Catalogue, policy: Policy, shelf: Shelf, customer: _Customer) -> Expansion:
    rule, promotes = offer.just_bought or policy.just_bought, offer.promotes
    along = promotes.expands == "bought_together"
    chosen = _along(shelf, customer, rule) if along else _due(shelf, customer, rule)
    shown: list[Suggested] = []
    found: list[ProductFacts] = []
    for facts, because in chosen:
        if promotes.categories and facts.category not in promotes.categories:
            continue
        shown.append(Suggested(facts.product_id, facts.title, facts.price, facts.currency, facts.image, facts.url, because))
        found.append(facts)
        if len(shown) == promotes.most:
            break
    if not shown:
        why = _nothing_along(customer) if along else _nothing_due(shelf, customer, rule)
        return Expansion(words=why + (f" in {' or '.join(promotes.categories)}" if promotes.categories else ""))
    worth = 0.0 if offer.margin.minor else offer.boost * mean_margin(found, catalogue.currency)
    return Expansion(tuple(shown), worth)


def _along(shelf: Shelf, customer: _Customer, rule: JustBought) -> Iterator[tuple[ProductFacts, str]]:
    basis = customer.cart or customer.basket
    for product, goes_with in shelf.together.ranked(basis):
        facts = shelf.sold(product)
        if facts is None or product in customer.lying or customer.lately(product, rule):
            continue
        along = shelf.together.along_with(goes_with)
        yield facts, f"bought along with {goes_with} in {along.counts[product]} of {along.baskets} baskets"


def _nothing_along(customer: _Customer) -> str:
    basis = customer.cart or customer.basket
    if not basis:
        return "nothing lies in the cart or was bought lately that something could go along with"
    where = "in the cart" if customer.cart else "bought lately"
    return f"nothing goes along with {' and '.join(basis[:MOST_NAMED])} ({where}) that is available and neither had nor returned"


def _due(shelf: Shelf, customer: _Customer, rule: JustBought) -> list[tuple[ProductFacts, str]]:
    found: list[tuple[int, float, ProductFacts, str]] = []
    for facts, since, interval, times in _used_up(shelf, customer, rule):
        if DUE_FROM * interval <= since <= DUE_UNTIL * interval:
            because = f"lasts {interval:.0f} days, and was bought {since} days ago"
            found.append((times, since / interval, facts, because))
    found.sort(key=lambda one: (-one[0], -one[1], one[2].product_id))
    return [(facts, because) for _, _, facts, because in found]


def _used_up(shelf: Shelf, customer: _Customer, rule: JustBought) -> Iterator[tuple[ProductFacts, int, float, int]]:
    """What the customer buys and could buy again: days since, how long it lasts, and on how many days it was bought."""
    for name, days in customer.days.items():
        product = shelf.names.get(name)
        facts = shelf.sold(product) if product is not None else None
        interval = lasts(shelf, facts, days) if facts is not None else None
        since = customer.today - days[-1]
        if facts is None or interval is None or since < 1 or facts.product_id in customer.lying:
            continue
        if not customer.returned(name, rule):
            yield facts, since, interval, len(days)


def lasts(shelf: Shelf, facts: ProductFacts, days: Sequence[int]) -> float | None:
    """How long a product lasts, in days, with a customer who bought it on these; None where nobody knows."""
    gaps = [later - earlier for earlier, later in pairwise(days)]
    usual = facts.replenish_days or shelf.together.usual_days(facts.product_id)
    if usual is not None:
        return (sum(gaps) + usual) / (len(gaps) + 1)
    return sum(gaps) / len(gaps) if len(gaps) > 1 else None


def _nothing_due(shelf: Shelf, customer: _Customer, rule: JustBought) -> str:
    waiting = [
        (interval * DUE_FROM - since, facts.product_id)
        for facts, since, interval, _ in _used_up(shelf, customer, rule)
        if since < DUE_FROM * interval
    ]
    if not waiting:
        return "nothing is known to be bought again and again"
    days, product = min(waiting)
    return f"nothing is used up by now: {product} is the first to be, in {max(days, 1):.0f} days"
