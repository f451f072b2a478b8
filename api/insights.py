"""What personalization adds: the sums of all shards, compared and put into words.

Everything here may be read as often as one likes: the intervals hold at all looks together.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from engine.decisioning.catalogue import Catalogue
from engine.decisioning.policy import Policy
from engine.errors import StoreUnavailable
from engine.models.lift import ALPHA, EVERYTHING, HOLDOUT, PERSONALIZED, ArmSums, Effect, Lift, Moments, added, lift
from engine.moments import Millis, rfc3339
from engine.store import keys
from engine.store.codec import arm_of, decode_sums
from engine.store.redis_reader import Refused

Ask = Callable[..., Awaitable[list[Any]]]
Sums = Mapping[tuple[str, str], ArmSums]


class ArmAnswer(Struct, frozen=True):
    """One arm: customers whose time is over, and what they did in it. `mixed` met decisions of another arm as well."""

    arm: str
    customers: int
    buyers: int
    exposed: int
    redemptions: int
    mixed: int
    spend_minor: int
    spend_per_customer_minor: float | None


class EffectAnswer(Struct, frozen=True):
    """A mean of both arms, after what spend before explains was taken out; the difference, and its share of the control.

    `relative_interval` is null while the control's mean may be as low as nothing.
    """

    mean: float
    control_mean: float
    difference: float
    interval: tuple[float, float]
    relative: float | None
    relative_interval: tuple[float, float] | None
    significant: bool


class ComparisonAnswer(Struct, frozen=True):
    """An arm beside a control. Where `refused` says why nothing can be said yet, the numbers are null.

    `incremental_spend_minor` is the difference times the arm's customers.
    """

    arm: str
    control: str
    words: str
    refused: str | None = None
    spend: EffectAnswer | None = None
    buyers: EffectAnswer | None = None
    incremental_spend_minor: int | None = None


class CampaignLift(Struct, frozen=True):
    """A campaign; null stands for all of them together, and for everybody for whom anything personal was in place."""

    campaign_id: str | None
    name: str
    arms: tuple[ArmAnswer, ...]
    comparisons: tuple[ComparisonAnswer, ...]


class LiftAnswer(Struct, frozen=True):
    """The body of `GET /v1/insights/lift`. Amounts are minor units of `currency`; a customer counts `outcome_days` after
    their first decision, for the arm of that decision, whether an offer reached them or not."""

    at: str
    currency: str | None
    confidence: float
    outcome_days: int
    campaigns: tuple[CampaignLift, ...]


async def read_sums(ask: Ask, shards: int) -> dict[tuple[str, str], ArmSums]:
    """The sums of all shards together. Raises `StoreUnavailable`."""
    answers = await ask([("HGETALL", keys.lift(shard)) for shard in range(shards)])
    found: dict[tuple[str, str], list[ArmSums]] = {}
    for answer in answers:
        if isinstance(answer, Refused):
            raise StoreUnavailable(str(answer))
        for name, raw in zip(answer[::2], answer[1::2], strict=True):
            found.setdefault(arm_of(name), []).append(decode_sums(raw))
    return {arm: added(some) for arm, some in found.items()}


def lift_answer(sums: Sums, catalogue: Catalogue, policy: Policy, now: Millis, only: str | None = None) -> LiftAnswer:
    """All campaigns of the catalogue and those that have sums, or `only` one of them."""
    known = campaigns_with(sums, catalogue)
    currency = _currency(sums, catalogue)
    names = [EVERYTHING, *known] if only is None else [only]
    return LiftAnswer(
        at=rfc3339(now),
        currency=currency or None,
        confidence=1.0 - ALPHA,
        outcome_days=policy.experiment.outcome_days,
        campaigns=tuple(_campaign(name, sums, catalogue, policy, currency) for name in names),
    )


def campaigns_with(sums: Sums, catalogue: Catalogue) -> list[str]:
    """Campaigns that can be asked for."""
    return sorted({*catalogue.campaigns, *(name for name, _ in sums if name != EVERYTHING)})


def _currency(sums: Sums, catalogue: Catalogue) -> str:
    """The shop's, where anything was paid in it; else the one that most was paid in."""
    paid: dict[str, float] = {}
    for (name, _), arm in sums.items():
        for currency, held in arm.money.items() if name == EVERYTHING else ():
            paid[currency] = paid.get(currency, 0.0) + held.y
    if catalogue.currency in paid or not paid:
        return catalogue.currency
    return max(sorted(paid), key=lambda currency: paid[currency])


def _campaign(name: str, sums: Sums, catalogue: Catalogue, policy: Policy, currency: str) -> CampaignLift:
    arms = _arms(name, sums, policy)
    written = catalogue.campaigns.get(name)
    title = "all campaigns together" if name == EVERYTHING else (written.name if written is not None else "") or name
    return CampaignLift(
        campaign_id=None if name == EVERYTHING else name,
        name=title,
        arms=tuple(_arm(arm, held, currency) for arm, held in arms.items()),
        comparisons=tuple(_told(arm, control, found) for arm, control, found in _compared(arms, currency)),
    )


def _arms(name: str, sums: Sums, policy: Policy) -> dict[str, ArmSums]:
    """Holdout first, then the policy's variations in its order, then those of earlier policies."""
    there = {arm: held for (campaign, arm), held in sums.items() if campaign == name}
    order = [HOLDOUT, *policy.experiment.variations, *sorted(there)]
    return {arm: there[arm] for arm in dict.fromkeys(order) if arm in there}


def _compared(arms: Mapping[str, ArmSums], currency: str) -> list[tuple[str, str, Lift]]:
    """Each arm and all of them beside the holdout, and the first beside the others."""
    treated = [arm for arm in arms if arm != HOLDOUT]
    pairs: list[tuple[str, str, Lift]] = []
    if HOLDOUT in arms:
        if len(treated) > 1:
            together = added(arms[arm] for arm in treated)
            pairs.append((PERSONALIZED, HOLDOUT, lift(together, arms[HOLDOUT], currency)))
        pairs += [(arm, HOLDOUT, lift(arms[arm], arms[HOLDOUT], currency)) for arm in treated]
    return pairs + [(treated[0], arm, lift(arms[treated[0]], arms[arm], currency)) for arm in treated[1:]]


def _arm(name: str, held: ArmSums, currency: str) -> ArmAnswer:
    spend = held.money.get(currency, Moments()).y
    each = round(spend / held.customers, 2) if held.customers else None
    counts = (held.customers, held.buyers, held.exposed, held.redemptions, held.mixed)
    return ArmAnswer(name, *counts, round(spend), each)


def _told(arm: str, control: str, found: Lift) -> ComparisonAnswer:
    words = f"nothing can be said yet: {found.refused}" if found.refused else _words(arm, control, found)
    return ComparisonAnswer(
        arm=arm,
        control=control,
        words=words,
        refused=found.refused or None,
        spend=_effect(found.spend),
        buyers=_effect(found.buyers),
        incremental_spend_minor=round(found.spend.difference * found.arm.customers) if found.spend is not None else None,
    )


def _effect(effect: Effect | None) -> EffectAnswer | None:
    if effect is None:
        return None
    ends = effect.relative_low, effect.relative_high
    return EffectAnswer(
        mean=round(effect.mean, 4),
        control_mean=round(effect.control_mean, 4),
        difference=round(effect.difference, 4),
        interval=(round(effect.low, 4), round(effect.high, 4)),
        relative=round(effect.relative, 4) if effect.relative is not None else None,
        relative_interval=(round(ends[0], 4), round(ends[1], 4)) if ends[0] is not None and ends[1] is not None else None,
        significant=effect.significant,
    )


def _words(arm: str, control: str, found: Lift) -> str:
    """One sentence on spend. What is not shown is not said."""
    spend = found.spend
    if spend is None or spend.relative is None or spend.relative_low is None or spend.relative_high is None:
        return f"what customers of {control} spend is too little to compare with"
    between = f"between {spend.relative_low:+.1%} and {spend.relative_high:+.1%}"
    if not spend.significant:
        return f"no difference in spend between {arm} and {control} is shown so far: {spend.relative:+.1%} a customer, {between}"
    more = "more" if spend.difference > 0 else "less"
    return f"customers of {arm} spend {abs(spend.relative):.1%} {more} than those of {control}: {between}"


LIFT_EXAMPLE: dict[str, Any] = {
    "at": "2026-03-02T12:00:00.000Z", "currency": "EUR", "confidence": 0.95, "outcome_days": 28,
    "campaigns": [
        {
            "campaign_id": "winback", "name": "We miss you",
            "arms": [
                {"arm": "holdout", "customers": 600, "buyers": 131, "exposed": 0, "redemptions": 0, "mixed": 1,
                 "spend_minor": 812400, "spend_per_customer_minor": 1354.0},
                {"arm": "treatment", "customers": 11400, "buyers": 3079, "exposed": 9230, "redemptions": 1204, "mixed": 9,
                 "spend_minor": 19288800, "spend_per_customer_minor": 1692.0},
            ],
            "comparisons": [
                {"arm": "treatment", "control": "holdout", "refused": None,
                 "words": "customers of treatment spend 24.4% more than those of holdout: between +3.1% and +49.8%",
                 "spend": {"mean": 1691.2, "control_mean": 1359.5, "difference": 331.7, "interval": [48.3, 615.1],
                           "relative": 0.244, "relative_interval": [0.031, 0.498], "significant": True},
                 "buyers": {"mean": 0.2701, "control_mean": 0.2183, "difference": 0.0518, "interval": [-0.0015, 0.1051],
                            "relative": 0.2371, "relative_interval": [-0.0063, 0.5482], "significant": False},
                 "incremental_spend_minor": 3781380},
            ],
        }
    ],
}  # fmt: skip


class LiftGauges(Collector):
    """The lift as metrics, as of the last look. Labels come from the catalogue: its campaigns, `*` for all, its variations."""

    def __init__(self, answer: Callable[[], LiftAnswer], arms: Callable[[], Sequence[str]]) -> None:
        self._answer, self._arms = answer, arms

    def collect(self) -> Iterator[Metric]:
        labels = ["campaign", "arm"]
        customers = GaugeMetricFamily("regulars_lift_customers", "Customers whose time is over, by arm", labels=labels)
        mixed = GaugeMetricFamily("regulars_lift_mixed_customers", "Of those, who met another arm as well", labels=labels)
        relative = GaugeMetricFamily(
            "regulars_lift_spend_relative", "Spend a customer against the holdout, as a share of it", labels=labels
        )
        low = GaugeMetricFamily("regulars_lift_spend_relative_low", "Lower end of what it may be, at all looks", labels=labels)
        high = GaugeMetricFamily("regulars_lift_spend_relative_high", "Upper end of what it may be", labels=labels)
        known = {HOLDOUT, PERSONALIZED, *self._arms()}
        for campaign in self._answer().campaigns:
            name = campaign.campaign_id or EVERYTHING
            for arm in campaign.arms:
                if arm.arm in known:
                    customers.add_metric([name, arm.arm], arm.customers)
                    mixed.add_metric([name, arm.arm], arm.mixed)
            for one in campaign.comparisons:
                if one.control != HOLDOUT or one.arm not in known or one.spend is None or one.spend.relative is None:
                    continue
                relative.add_metric([name, one.arm], one.spend.relative)
                if one.spend.relative_interval is not None:
                    low.add_metric([name, one.arm], one.spend.relative_interval[0])
                    high.add_metric([name, one.arm], one.spend.relative_interval[1])
        yield from (customers, mixed, relative, low, high)
