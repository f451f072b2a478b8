"""What only the whole folder can tell of the loyalty programme: tiers in order, and rules that ask for tiers there are."""

from collections.abc import Iterator, Sequence

from config.mistakes import Mistake, did_you_mean, one_of
from engine.decisioning.conditions import AllOf, AnyOf, Condition, Not
from engine.decisioning.in_tier import InTier
from engine.decisioning.offers import Campaign, Offer
from engine.decisioning.policy import Policy
from engine.decisioning.triggers import Trigger

POLICY = "policy.yaml"
Written = tuple[str, str, Offer] | tuple[str, str, Campaign] | tuple[str, str, Trigger]


def check_programme(policy: Policy, items: Sequence[Written]) -> Iterator[Mistake]:
    """Mistakes in the programme, and in what asks for its tiers. Without any tier in the policy a shop tells its own by event,
    so that any name may be meant."""
    yield from _tiers(policy)
    known = [tier.id for tier in policy.loyalty.tiers]
    if not known:
        return
    for at, rule in enumerate(policy.leads.rules):
        yield from _unknown(POLICY, f"leads.rules[{at}].when", rule.when, known)
    for file, path, item in items:
        field, conditions = ("target", item.target) if isinstance(item, Campaign) else ("eligible_when", item.eligible_when)
        yield from _unknown(file, f"{path}.{field}", conditions, known)


def _unknown(file: str, path: str, conditions: Sequence[Condition], known: Sequence[str]) -> Iterator[Mistake]:
    for at, condition in enumerate(conditions):
        where = f"{path}[{at}]"
        match condition:
            case InTier():
                for name in condition.tier.names:
                    if name not in known:
                        said = f"there is no tier {name!r} in {POLICY}{did_you_mean(name, known)}; there are {one_of(known)}"
                        yield Mistake(file, f"{where}.tier", said)
            case AnyOf():
                yield from _unknown(file, f"{where}.any", condition.any_of, known)
            case AllOf():
                yield from _unknown(file, f"{where}.all", condition.all_of, known)
            case Not():
                yield from _unknown(file, f"{where}.not", (condition.negated,), known)
            case _:
                pass


def _tiers(policy: Policy) -> Iterator[Mistake]:
    programme = policy.loyalty
    if programme.earn is not None and not programme.earn.per.minor:
        yield Mistake(POLICY, "loyalty.earn.per", "expected an amount above zero")
    seen: set[str] = set()
    for at, tier in enumerate(programme.tiers):
        path = f"loyalty.tiers[{at}]"
        if tier.id in seen:
            yield Mistake(POLICY, f"{path}.id", f"the tier {tier.id!r} stands there already")
        seen.add(tier.id)
        if tier.from_points is None and tier.from_spend is None:
            yield Mistake(POLICY, path, "expected from_points or from_spend: what reaches the tier")
        below = programme.tiers[at - 1] if at else None
        if below is not None and tier.from_points is not None and (below.from_points or 0) >= tier.from_points:
            yield Mistake(POLICY, f"{path}.from_points", f"tiers go from low to high: {below.id!r} asks for {below.from_points}")
