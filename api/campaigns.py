"""What each campaign does, live: counts of the shards, money spent beside the budget, and what it adds."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from msgspec import Struct
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from api.insights import Ask, CampaignLift, Sums, lift_answer
from engine.decisioning.catalogue import Catalogue
from engine.decisioning.offers import Campaign
from engine.decisioning.policy import Policy
from engine.decisioning.pools import Pool, budget_of
from engine.errors import StoreUnavailable
from engine.moments import Millis, rfc3339
from engine.shards.campaigns import COUNTS, told
from engine.store import keys
from engine.store.redis_ledger import queue_used
from engine.store.redis_reader import Refused, commands_of

Counts = Mapping[str, Mapping[str, int]]
_NOTHING: Mapping[str, int] = dict.fromkeys(COUNTS, 0)


class BudgetAnswer(Struct, frozen=True):
    """A budget in minor units. `taken_minor` is spent, or set aside for what was promised; `burn` its share of the amount."""

    amount_minor: int
    taken_minor: int
    left_minor: int
    burn: float


class CampaignAnswer(Struct, frozen=True):
    """One campaign. `reached` are customers who saw any of its offers; `spent_minor` is what contacts and redemptions cost."""

    campaign_id: str
    name: str
    goal: str
    status: str
    running: bool
    starts: str | None
    ends: str | None
    channels: tuple[str, ...]
    target: tuple[str, ...]
    offers: tuple[str, ...]
    reached: int
    decided: int
    shown: int
    clicked: int
    redeemed: int
    click_rate: float | None
    redemption_rate: float | None
    spent_minor: int
    budget: BudgetAnswer | None
    lift: CampaignLift


class CampaignsAnswer(Struct, frozen=True):
    """The body of `GET /v1/insights/campaigns`. Amounts are minor units of `currency`."""

    at: str
    currency: str | None
    campaigns: tuple[CampaignAnswer, ...]


class Figures(Struct, frozen=True):
    """What was read: counts by campaign, and what is taken of each budget."""

    counts: Counts = {}
    taken: Mapping[str, int] = {}


async def read_figures(ask: Ask, shards: int, catalogue: Catalogue, now: Millis) -> Figures:
    """The counts of all shards and the budgets of the ledger. Raises `StoreUnavailable`."""
    budgets = budgets_of(catalogue)
    asked = commands_of(*(partial(queue_used, pool=pool, now=now) for pool in budgets.values()))
    answers = await ask([*(("HGETALL", keys.histogram(shard)) for shard in range(shards)), *asked])
    for answer in answers:
        if isinstance(answer, Refused):
            raise StoreUnavailable(str(answer))
    counts = [{name.decode(): int(count) for name, count in zip(one[::2], one[1::2], strict=True)} for one in answers[:shards]]
    return Figures(told(counts), {name: int(used) for name, used in zip(budgets, answers[shards:], strict=True)})


def budgets_of(catalogue: Catalogue) -> dict[str, Pool]:
    """The pool of each campaign that has a budget."""
    pools = {pool.name: pool for taken in catalogue.columns.pools for pool in taken if pool.kind == "budget"}
    return {name: pools[budget_of(name)] for name in catalogue.campaigns if budget_of(name) in pools}


def campaigns_answer(
    figures: Figures, sums: Sums, catalogue: Catalogue, policy: Policy, now: Millis, only: str | None = None
) -> CampaignsAnswer:
    """All campaigns, those that were removed but have figures too, or `only` one."""
    names = campaigns_known(figures, catalogue) if only is None else [only]
    return CampaignsAnswer(
        at=rfc3339(now),
        currency=catalogue.currency or None,
        campaigns=tuple(_campaign(name, figures, sums, catalogue, policy, now) for name in names),
    )


def campaigns_known(figures: Figures, catalogue: Catalogue) -> list[str]:
    """Campaigns that can be asked for: those written first, in order of their files."""
    return [*catalogue.campaigns, *sorted(figures.counts.keys() - catalogue.campaigns.keys())]


def _campaign(name: str, figures: Figures, sums: Sums, catalogue: Catalogue, policy: Policy, now: Millis) -> CampaignAnswer:
    written = catalogue.campaigns.get(name)
    campaign = written or Campaign(id=name, status="paused")
    counts = {**_NOTHING, **figures.counts.get(name, {})}
    shown = counts["shown"]
    (lift,) = lift_answer(sums, catalogue, policy, now, name).campaigns
    offers = tuple(offer.id for offer in catalogue.offers if offer.campaign == name)
    return CampaignAnswer(
        campaign_id=name,
        name=campaign.name or name,
        goal=campaign.goal,
        status=campaign.status if written is not None or offers else "removed",
        running=bool(offers) and campaign.status == "live" and _within(campaign, now),
        starts=rfc3339(campaign.starts) if campaign.starts is not None else None,
        ends=rfc3339(campaign.ends) if campaign.ends is not None else None,
        channels=campaign.channels,
        target=tuple(condition.words() for condition in campaign.target),
        offers=offers,
        reached=counts["reached"],
        decided=counts["decided"],
        shown=shown,
        clicked=counts["clicked"],
        redeemed=counts["redeemed"],
        click_rate=round(counts["clicked"] / shown, 6) if shown else None,
        redemption_rate=round(counts["redeemed"] / shown, 6) if shown else None,
        spent_minor=counts["spent"],
        budget=_budget(campaign, figures.taken.get(name, counts["spent"])),
        lift=lift,
    )


def _within(campaign: Campaign, now: Millis) -> bool:
    return (campaign.starts is None or campaign.starts <= now) and (campaign.ends is None or now < campaign.ends)


def _budget(campaign: Campaign, taken: int) -> BudgetAnswer | None:
    if campaign.budget is None:
        return None
    amount = campaign.budget.minor
    return BudgetAnswer(amount, taken, amount - taken, round(taken / amount, 6) if amount else 1.0)


class CampaignGauges(Collector):
    """The figures as metrics, as of the last look. Labels are campaigns of the catalogue, never what a caller typed."""

    def __init__(self, look: Callable[[], tuple[Figures, Catalogue]]) -> None:
        self._look = look

    def collect(self) -> Iterator[Metric]:
        figures, catalogue = self._look()
        by = ["campaign"]
        reached = GaugeMetricFamily("regulars_campaign_customers_reached", "Customers who saw an offer of it", labels=by)
        offers = GaugeMetricFamily("regulars_campaign_offers", "Its offers by what became of them", labels=[*by, "outcome"])
        spent = GaugeMetricFamily("regulars_campaign_spent_minor", "What contacts and redemptions cost, minor units", labels=by)
        burn = GaugeMetricFamily("regulars_campaign_budget_burn_ratio", "Share of its budget spent or set aside", labels=by)
        for name, campaign in catalogue.campaigns.items():
            counts = {**_NOTHING, **figures.counts.get(name, {})}
            reached.add_metric([name], counts["reached"])
            spent.add_metric([name], counts["spent"])
            for outcome in ("decided", "shown", "clicked", "redeemed"):
                offers.add_metric([name, outcome], counts[outcome])
            budget = _budget(campaign, figures.taken.get(name, counts["spent"]))
            if budget is not None:
                burn.add_metric([name], budget.burn)
        yield from (reached, offers, spent, burn)


CAMPAIGNS_EXAMPLE: dict[str, Any] = {
    "at": "2026-03-02T12:00:00.000Z", "currency": "EUR",
    "campaigns": [
        {"campaign_id": "winback", "name": "We miss you", "goal": "bring back who has fallen silent", "status": "live",
         "running": True, "starts": "2026-03-01T00:00:00.000Z", "ends": None, "channels": ["web"],
         "target": ["lifecycle at_risk or lapsed"], "offers": ["winback-coffee"], "reached": 812, "decided": 1530, "shown": 1204,
         "clicked": 190, "redeemed": 61, "click_rate": 0.157807, "redemption_rate": 0.050664, "spent_minor": 10952,
         "budget": {"amount_minor": 400000, "taken_minor": 11790, "left_minor": 388210, "burn": 0.029475},
         "lift": {"campaign_id": "winback", "name": "We miss you", "arms": [], "comparisons": []}},
    ],
}  # fmt: skip
