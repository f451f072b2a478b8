"""What only the whole folder can tell: names that refer to something, and rules between offers, campaigns and policy."""

from collections.abc import Iterator, Sequence

from config.loyalty_checks import check_programme
from config.mistakes import Mistake, did_you_mean, one_of
from engine.decisioning.clauses import TooManyClauses, clauses
from engine.decisioning.offers import EXPANSIONS, Campaign, Coupons, Money, Offer, Price, Promotes
from engine.decisioning.policy import Policy
from engine.decisioning.pools import redemption_cost
from engine.decisioning.triggers import OCCASIONS, Trigger
from engine.events.offers import OURS
from engine.events.roster import TYPES
from engine.models.lift import HOLDOUT, PERSONALIZED
from engine.profiles.serving import SERVING

Where = tuple[str, str]
HEARD = frozenset({"segment_changed", "tier_changed", "service_due", "case_past_due"})
"""What the engine writes and a trigger may start from."""
EVENT_NAMES = frozenset(TYPES) - OURS | HEARD | frozenset(OCCASIONS)
"""Names that a trigger is likely to mean. A shop's own types of events start triggers as well."""


def check_references(
    offers: Sequence[tuple[str, str, Offer]],
    campaigns: Sequence[tuple[str, str, Campaign]],
    triggers: Sequence[tuple[str, str, Trigger]],
    policy: Policy,
    complete: bool,
) -> list[Mistake]:
    """All mistakes between the parts. With `complete` false some could not be read: then nobody is called missing.

    In a folder without any campaign the name of one is a label and needs no declaration.
    """
    names = {campaign.id for _, _, campaign in campaigns}
    found = [*_doubled("offer", offers), *_doubled("campaign", campaigns), *_policy(policy)]
    for file, path, offer in offers:
        found += [Mistake(file, f"{path}.{where}", what) for where, what in _offer(offer, policy)]
        if complete and campaigns and offer.campaign is not None and offer.campaign not in names:
            what = f"there is no campaign {offer.campaign!r}{did_you_mean(offer.campaign, names)}"
            found.append(Mistake(file, f"{path}.campaign", what))
    for file, path, campaign in campaigns:
        mine = [offer for _, _, offer in offers if offer.campaign == campaign.id]
        found += [Mistake(file, f"{path}.{where}", what) for where, what in _campaign(campaign, mine)]
    found += _doubled("trigger", triggers)
    for file, path, trigger in triggers:
        found += [Mistake(file, f"{path}.{where}", what) for where, what in _trigger(trigger, offers, policy, complete)]
    found += check_programme(policy, [*offers, *campaigns, *triggers])
    return [*found, *_currencies(offers, campaigns)]


def _doubled(
    kind: str,
    items: Sequence[tuple[str, str, Offer]] | Sequence[tuple[str, str, Campaign]] | Sequence[tuple[str, str, Trigger]],
) -> Iterator[Mistake]:
    first: dict[str, Where] = {}
    for file, path, item in items:
        if item.id in first:
            there = "{}: {}".format(*first[item.id])
            yield Mistake(file, f"{path}.id", f"the {kind} {item.id!r} stands already at {there}")
        first.setdefault(item.id, (file, path))


def _offer(offer: Offer, policy: Policy) -> Iterator[tuple[str, str]]:
    for at, name in enumerate(offer.placements):
        if name not in policy.placements:
            yield f"placements[{at}]", _no_placement(name, policy)
    there = {policy.placements[name].stage for name in offer.placements if name in policy.placements}
    if offer.stages and there and there.isdisjoint(offer.stages):
        yield "stages", f"none of its placements is {' or '.join(offer.stages)}: they are {' or '.join(sorted(there))}"
    if offer.kind == "fallback" and (offer.stock is not None or offer.coupons is not None or offer.caps):
        yield "kind", "a fallback always has to be there: it cannot have stock or caps"
    if offer.coupons is not None:
        yield from _coupons(offer, offer.coupons)
    if offer.starts is not None and offer.ends is not None and offer.starts >= offer.ends:
        yield "ends", "ends before it starts"
    taken = offer.redeemed_when
    if taken is not None:
        ways = [way for way in (taken.buys, taken.coupon, taken.event) if way]
        if len(ways) != 1:
            yield "redeemed_when", "expected exactly one of buys, coupon and event"
        if taken.buys and not (offer.promotes.categories or offer.promotes.products):
            yield "redeemed_when.buys", "nothing is promoted: name categories or products under promotes"
    if offer.promotes.most != Promotes().most and not offer.promotes.expands:
        yield "promotes.most", f"is for products that are found when it is decided: write products: {' or '.join(EXPANSIONS)}"
    if offer.price is not None:
        yield from _price(offer.price)
    yield from _too_many("eligible_when", offer)


def _coupons(offer: Offer, coupons: Coupons) -> Iterator[tuple[str, str]]:
    if offer.stock is not None:
        yield "coupons", "there are as many contacts as codes: write no stock beside them"
    if not (coupons.codes or coupons.count or coupons.file):
        yield "coupons", "expected codes, a file of them, or a count with a prefix"
    if coupons.prefix and not coupons.count:
        yield "coupons.count", "is missing: how many codes are made with the prefix"
    if offer.redeemed_when is not None:
        yield "redeemed_when", "an offer with coupon codes is redeemed with the customer's own one: leave it out"


def _price(price: Price) -> Iterator[tuple[str, str]]:
    if price.currency is None:
        return
    for name in ("discount", "amount", "regular"):
        money = getattr(price, name)
        if isinstance(money, Money) and money.currency != price.currency:
            yield f"price.{name}", f"is in {money.currency}, but the price is in {price.currency}"


def _campaign(campaign: Campaign, offers: Sequence[Offer]) -> Iterator[tuple[str, str]]:
    if campaign.starts is not None and campaign.ends is not None and campaign.starts >= campaign.ends:
        yield "ends", "ends before it starts"
    free = [offer.id for offer in offers if not offer.cost.minor + redemption_cost(offer)]
    if campaign.budget is not None and free:
        yield "budget", f"a budget is spent by what its offers cost: no cost is written for {one_of(free)}"
    yield from _too_many("target", campaign)


def _trigger(
    trigger: Trigger, offers: Sequence[tuple[str, str, Offer]], policy: Policy, complete: bool
) -> Iterator[tuple[str, str]]:
    if trigger.placement not in policy.placements:
        yield "placement", _no_placement(trigger.placement, policy)
    elif complete and not any(trigger.placement in offer.placements for _, _, offer in offers):
        yield "placement", f"no offer is made in {trigger.placement!r}, so there is nothing to send"
    named = [("event", trigger.event), *((f"unless[{at}]", name) for at, name in enumerate(trigger.unless))]
    for where, name in named:
        if name in OCCASIONS:
            if where != "event":
                yield where, f"{name} is noticed by the engine and no event: name what a customer does"
        elif name in OURS - HEARD:
            yield where, f"{name} is written by the engine and starts nothing"
        elif name not in EVENT_NAMES and (meant := did_you_mean(name, EVENT_NAMES)):
            yield where, f"no event and no occasion has the type {name!r}{meant}"
    if trigger.wait_minutes == 0 and trigger.unless:
        yield "unless", "nothing can happen in no time: give wait_minutes, or leave unless out"
    yield from _too_many("eligible_when", trigger)


def _too_many(where: str, written: Offer | Campaign | Trigger) -> Iterator[tuple[str, str]]:
    try:
        clauses(written.target if isinstance(written, Campaign) else written.eligible_when)
    except TooManyClauses:
        yield where, "alternatives are nested too deep: write several offers instead"


def _policy(policy: Policy) -> Iterator[Mistake]:
    total = sum(variation.share for variation in policy.experiment.variations.values())
    if abs(total - 1.0) > 1e-9:
        yield Mistake("policy.yaml", "experiment.variations", f"the shares have to sum to 1, found {total:g}")
    for name in (HOLDOUT, PERSONALIZED):
        if name in policy.experiment.variations:
            yield Mistake("policy.yaml", f"experiment.variations.{name}", "this name is taken: the lift tells groups by it")
    for name, cost in policy.cost_to_serve.items():
        if name not in SERVING:
            what = f"serving is counted for {', '.join(SERVING)}; not for {name!r}{did_you_mean(name, SERVING)}"
            yield Mistake("policy.yaml", f"cost_to_serve.{name}", what)
        first = next(iter(policy.cost_to_serve.values())).currency
        if cost.currency != first:
            yield Mistake("policy.yaml", f"cost_to_serve.{name}", f"is in {cost.currency}, but the others are in {first}")
    value = policy.value
    if value.heavy_share + value.light_share > 1.0:
        yield Mistake("policy.yaml", "value.light_share", "heavy_share and light_share are more than everybody together")
    for earlier, later in (("at_risk_days", "lapsed_days"), ("lapsed_days", "lost_days")):
        if getattr(value, earlier) >= getattr(value, later):
            yield Mistake("policy.yaml", f"value.{later}", f"has to be more than {earlier}, which is {getattr(value, earlier):g}")


def _no_placement(name: str, policy: Policy) -> str:
    return f"there is no placement {name!r} in policy.yaml{did_you_mean(name, policy.placements)}"


def _currencies(offers: Sequence[tuple[str, str, Offer]], campaigns: Sequence[tuple[str, str, Campaign]]) -> Iterator[Mistake]:
    """Values are compared with each other, so what they are counted in is one currency."""
    amounts = [
        (file, f"{path}.{name}", money.currency)
        for file, path, offer in offers
        for name, money in (("margin", offer.margin), ("cost", offer.cost), ("redemption_cost", offer.redemption_cost))
        if money is not None and money.currency
    ]
    amounts += [
        (file, f"{path}.budget", campaign.budget.currency) for file, path, campaign in campaigns if campaign.budget is not None
    ]
    for file, path, currency in amounts[1:]:
        if currency != amounts[0][2]:
            yield Mistake(file, path, f"is in {currency}, but {amounts[0][0]}: {amounts[0][1]} is in {amounts[0][2]}")
