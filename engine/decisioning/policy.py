"""The rules of the house that hold for all offers: placements, arbitration, holdout, experiment, churn, value, quiet hours."""

from hashlib import blake2b
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from engine.decisioning.conditions import Span
from engine.decisioning.leads import LeadRules
from engine.decisioning.loyalty import Programme
from engine.decisioning.offers import Cap, ChannelName, Identifier, JustBought, Money, Share, Stage
from engine.decisioning.service import ServiceRule
from engine.models.segments import SegmentRule

Ranker = Literal["learned", "frozen", "rule", "popularity", "random"]


class Placement(Struct, frozen=True, kw_only=True):
    """A place where offers appear. `shown_when: decided` means that the decision itself is the contact.

    `loss_budget` is the place's own instead of the one of `arbitration`.
    """

    channel: ChannelName | None = None
    stage: Stage = "pre_transaction"
    max: Annotated[int, Meta(ge=1, le=50)] = 1
    shown_when: Literal["viewed", "decided"] = "viewed"
    sticky_seconds: Annotated[int, Meta(ge=0, le=86_400 * 30)] = 0
    loss_budget: Annotated[float, Meta(gt=0.0, le=1.0)] | None = None


class Arbitration(Struct, frozen=True, kw_only=True):
    """How one of the eligible offers is drawn.

    `inverse_gap` draws an arm the less the further its value lies behind the best (SquareCB); `gamma` is how sharply,
    with gaps as shares of the best value; `epsilon` is the share spread evenly over all arms. `uniform` draws evenly.

    `loss_budget` is what exploring may cost: the share of the best offer's expected value that a draw may be expected to
    give up. It holds for each draw, so it holds for every placement, day and campaign; 1 sets no bound.
    """

    kind: Literal["inverse_gap", "uniform"] = "inverse_gap"
    epsilon: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.01
    gamma: Annotated[float, Meta(ge=0.0, le=1e6)] = 1000.0
    loss_budget: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.01


class Holdout(Struct, frozen=True, kw_only=True):
    """The share of customers who are kept without personal offers, and the salt that picks them."""

    share: Share = 0.0
    salt: Annotated[str, Meta(min_length=1)] = "holdout"


class Variation(Struct, frozen=True, kw_only=True):
    """One arm of the experiment: how many customers get it and who ranks for them."""

    share: Share
    ranker: Ranker


class Experiment(Struct, frozen=True, kw_only=True):
    """Variations of the ranking, on customers assigned by salted hash.

    `outcome_days` is how long after their first decision what customers do counts for their arm; then it is in the lift.
    Another number holds for customers who enter from then on.
    """

    salt: Annotated[str, Meta(min_length=1)] = "experiment"
    variations: dict[str, Variation] = field(default_factory=lambda: {"treatment": Variation(share=1.0, ranker="learned")})
    outcome_days: Annotated[int, Meta(ge=1, le=365)] = 28


class Churn(Struct, frozen=True, kw_only=True):
    """What churn means here: no event of `events` for `horizon_days`, asked of customers active in `activity_days`."""

    events: tuple[Identifier, ...] = ("order_completed", "pos_transaction_completed")
    horizon_days: Annotated[int, Meta(ge=1, le=365)] = 28
    activity_days: Annotated[int, Meta(ge=1, le=365)] = 28


class Value(Struct, frozen=True, kw_only=True):
    """What customers are worth, and where segments and lifecycle stages begin (`engine.models.segments` says it in words).

    `margin_rate` is what is left of a sale once its costs are paid, for goods of which nobody told the cost.
    Winning a customer costs `acquire_retain_ratio` times what keeping one does.
    """

    margin_rate: Annotated[float, Meta(gt=0.0, le=1.0)] | None = None
    acquire_retain_ratio: Annotated[float, Meta(ge=1.0, le=1000.0)] = 5.0
    heavy_share: Annotated[float, Meta(gt=0.0, lt=1.0)] = 1 / 3
    light_share: Annotated[float, Meta(gt=0.0, lt=1.0)] = 1 / 3
    best_share: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.1
    new_days: Annotated[float, Meta(gt=0.0, le=3650.0)] = 30.0
    at_risk_gaps: Annotated[float, Meta(ge=1.0, le=100.0)] = 2.5
    at_risk_days: Annotated[float, Meta(ge=0.0, le=3650.0)] = 14.0
    lapsed_days: Annotated[float, Meta(gt=0.0, le=3650.0)] = 90.0
    lost_days: Annotated[float, Meta(gt=0.0, le=3650.0)] = 182.0

    @property
    def segments(self) -> SegmentRule:
        """The thresholds by themselves, as shards and the learner take them."""
        return SegmentRule(**{name: getattr(self, name) for name in SegmentRule.__struct_fields__})


class QuietHours(Struct, frozen=True, kw_only=True):
    """When push channels stay silent, in the customer's own time (`zones` says which that is)."""

    span: Span | None = None
    channels: tuple[ChannelName, ...] = ("email", "sms", "push")


class ConsentRule(Struct, frozen=True, kw_only=True):
    """What holds where a customer has said nothing. Marketing is denied then, whatever is written here.

    `profiling_default` is whether what customers do may be read to choose among the offers that they allow.
    """

    profiling_default: Literal["allowed", "denied"] = "allowed"

    @property
    def profiling_by_default(self) -> bool:
        return self.profiling_default == "allowed"


class PreferencePage(Struct, frozen=True, kw_only=True):
    """What customers choose themselves: topics are tags of offers or categories that they promote; none lists all.

    `text_version` names the words under which consent is given there; `link_days` is how long a link to the page works.
    """

    topics: Annotated[tuple[Identifier, ...], Meta(max_length=100)] = ()
    text_version: Annotated[str, Meta(min_length=1, max_length=100)] = "preferences-1"
    link_days: Annotated[float, Meta(gt=0, le=366)] = 30.0


class TagCaps(Struct, frozen=True, kw_only=True):
    """Caps over all offers that carry a tag."""

    tag: Identifier
    caps: tuple[Cap, ...]


class ChannelCaps(Struct, frozen=True, kw_only=True):
    """Caps over all `sell` offers on one channel."""

    channel: ChannelName
    caps: tuple[Cap, ...]


class Caps(Struct, frozen=True, kw_only=True):
    """Caps beyond an offer's own: for every `sell` offer without caps, over all of them together, by tag and by channel."""

    each_offer: tuple[Cap, ...] = ()
    all_offers: tuple[Cap, ...] = ()
    tags: tuple[TagCaps, ...] = ()
    channels: tuple[ChannelCaps, ...] = ()


class Policy(Struct, frozen=True, kw_only=True):
    """The whole of policy.yaml. `reservation_seconds` is how long a decision holds caps and stock without a view."""

    placements: Annotated[dict[str, Placement], Meta(min_length=1)]
    arbitration: Arbitration = Arbitration()
    holdout: Holdout = Holdout()
    experiment: Experiment = Experiment()
    churn: Churn = Churn()
    value: Value = Value()
    quiet_hours: QuietHours = QuietHours()
    consent: ConsentRule = ConsentRule()
    preferences: PreferencePage = PreferencePage()
    caps: Caps = Caps()
    just_bought: JustBought = JustBought()
    cost_to_serve: dict[str, Money] = {}
    """What one event of a type costs beside the goods; `engine.profiles.serving.SERVING` are the types that count."""
    service: ServiceRule = ServiceRule()
    loyalty: Programme = Programme()
    leads: LeadRules = LeadRules()
    reservation_seconds: Annotated[int, Meta(ge=1, le=86_400 * 30)] = 1800
    timezone: Annotated[str, Meta(extra={"written": "zone"})] = "UTC"


def arbitration_of(policy: Policy, placement: str) -> Arbitration:
    """How offers are drawn in a placement."""
    own = policy.placements[placement].loss_budget
    return policy.arbitration if own is None else msgspec.structs.replace(policy.arbitration, loss_budget=own)


def policy_version(policy: Policy) -> str:
    """`p-` and eight hex digits of the content: equal policies have equal names on every machine."""
    return "p-" + content_hash(policy)


def content_hash(*contents: object) -> str:
    """Eight hex digits that change with the content of structs and not with the order of keys in their mappings."""
    written = msgspec.json.encode(contents, order="deterministic")
    return blake2b(written, digest_size=4).hexdigest()
