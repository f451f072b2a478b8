"""From offers as written to the columns of a catalogue, once, when the files are loaded."""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from engine.decisioning.catalogue import FOR_EVER, Arms, Catalogue, Columns, Conditions, Silences
from engine.decisioning.clauses import Literals, clauses, literal_words
from engine.decisioning.conditions import (
    ABOUT_CUSTOMER,
    KINDS,
    BoolArray,
    Feature,
    Table,
)
from engine.decisioning.eligibility import RULES
from engine.decisioning.ledger import LATE_VIEW, CapClaim, channel_scopes
from engine.decisioning.offer_features import offer_features
from engine.decisioning.offers import (
    ASKS_CONSENT,
    PRECEDENCE,
    SERVICE_RECOVERY,
    Campaign,
    Cap,
    Contents,
    JustBought,
    Offer,
    Store,
    default_redemption,
)
from engine.decisioning.policy import Placement, Policy, content_hash, policy_version
from engine.decisioning.pools import Pool, codes_of, pools_of
from engine.features.affinity import Promotions
from engine.features.derived import DERIVED_NAMES
from engine.moments import DAY, SECOND, WEEK


def compile_catalogue(
    offers: Sequence[Offer],
    policy: Policy,
    feature_names: Sequence[str],
    campaigns: Sequence[Campaign] = (),
    stores: Mapping[str, Store] | None = None,
) -> Catalogue:
    """Columns of checked offers. What they refer to must exist: the reader of the files sees to it."""
    offers = tuple(offers)
    by_id = {campaign.id: campaign for campaign in campaigns}
    columns = _columns(offers, policy, by_id, feature_names)
    windows = [cap.window_ms for claims in columns.caps for cap in claims]
    sticky = [placement.sticky_seconds * SECOND for placement in policy.placements.values()]
    return Catalogue(
        version="c-" + content_hash(offers, tuple(campaigns), stores or {}),
        policy_version=policy_version(policy),
        offers=offers,
        campaigns=by_id,
        stores=stores or {},
        columns=columns,
        rules=tuple(rule for rule in RULES if rule.concerns(columns)),
        redemptions=tuple(default_redemption(offer) for offer in offers),
        contents=Contents(offers),
        codes={offer.id: codes_of(offer.id, offer.coupons) for offer in offers if offer.coupons is not None},
        currency=next((offer.margin.currency for offer in offers if offer.margin.currency), ""),
        longest_window_ms=max(policy.reservation_seconds * SECOND + LATE_VIEW, WEEK, *windows, *sticky),
    )


def _columns(
    offers: tuple[Offer, ...], policy: Policy, campaigns: Mapping[str, Campaign], feature_names: Sequence[str]
) -> Columns:
    def mask(values: Sequence[bool]) -> BoolArray:
        return _frozen(np.array(values, dtype=np.bool_))

    of = [campaigns.get(offer.campaign or "", Campaign(id="-")) for offer in offers]
    channels = [_both(offer.channels, campaign.channels) for offer, campaign in zip(offers, of, strict=True)]
    named = sorted({name for allowed in channels for name in allowed or ()})
    caps = tuple(_caps(offer, campaign, policy) for offer, campaign in zip(offers, of, strict=True))
    pools = tuple(pools_of(offer, campaigns) for offer in offers)
    valued = any(offer.margin.minor for offer in offers if offer.kind == "sell")
    products = _silenced(offers, policy.just_bought, by_category=False)
    categories = _silenced(offers, policy.just_bought, by_category=True)
    named_campaigns = tuple(sorted({o.campaign for o in offers if o.campaign and o.kind in ASKS_CONSENT}))
    place = {name: index for index, name in enumerate(named_campaigns)}
    purposes = tuple(dict.fromkeys(offer.purpose for offer in offers if offer.kind in ASKS_CONSENT))
    return Columns(
        ids=tuple(offer.id for offer in offers),
        row={offer.id: row for row, offer in enumerate(offers)},
        precedence=np.array([PRECEDENCE.index(offer.kind) for offer in offers], dtype=np.int8),
        sell=mask([offer.kind == "sell" for offer in offers]),
        personal=mask([offer.kind in ASKS_CONSENT for offer in offers]),
        campaign_names=named_campaigns,
        campaign=np.array([place.get(offer.campaign or "", len(place)) for offer in offers], dtype=np.intp),
        fallback=mask([offer.kind == "fallback" for offer in offers]),
        with_duties=frozenset(name for offer in offers if offer.kind not in ("sell", "fallback") for name in offer.placements),
        duty=mask([offer.kind not in ("sell", "fallback") for offer in offers]),
        recovery=mask([offer.kind not in ASKS_CONSENT or SERVICE_RECOVERY in offer.tags for offer in offers]),
        value=np.array([offer.margin.minor * offer.boost for offer in offers], dtype=np.float64),
        worth=np.array([(offer.margin.minor if valued else 1) * offer.boost for offer in offers], dtype=np.float64),
        cost=np.array([offer.cost.minor for offer in offers], dtype=np.float64),
        live=mask([o.status == c.status == "live" for o, c in zip(offers, of, strict=True)]),
        starts=np.array([max(o.starts or 0, c.starts or 0) for o, c in zip(offers, of, strict=True)], dtype=np.int64),
        ends=np.array([min(o.ends or FOR_EVER, c.ends or FOR_EVER) for o, c in zip(offers, of, strict=True)], dtype=np.int64),
        purposes=purposes,
        purpose_mask=tuple(
            mask([offer.kind in ASKS_CONSENT and offer.purpose == purpose for offer in offers]) for purpose in purposes
        ),
        placement={name: mask([_stands(offer, name, place) for offer in offers]) for name, place in policy.placements.items()},
        channel={name: mask([allowed is None or name in allowed for allowed in channels]) for name in named},
        any_channel=mask([allowed is None for allowed in channels]),
        promoted_categories=tuple(offer.promotes.categories for offer in offers),
        promoted_products=tuple(offer.promotes.named for offer in offers),
        gone=mask([False] * len(offers)),
        expanding={
            name: tuple(row for row, o in enumerate(offers) if o.promotes.expands and _stands(o, name, place))
            for name, place in policy.placements.items()
            if any(o.promotes.expands and _stands(o, name, place) for o in offers)
        },
        arms={name: _arms(name, placement, offers, campaigns) for name, placement in policy.placements.items()},
        bought_products=products,
        bought_categories=categories,
        silences=_silences(categories),
        silence_ms=max((span for rows in products.values() for _, span in rows), default=0),
        dismissed_ms={
            offer.id: int((policy.service.dismissed_days if offer.dismissed_days is None else offer.dismissed_days) * DAY)
            for offer in offers
            if offer.kind in ASKS_CONSENT
        },
        bound_to={
            name: mask([name in offer.locales for offer in offers])
            for name in {name: None for offer in offers for name in offer.locales}
        },
        unbound=mask([not offer.locales for offer in offers]),
        content_in={
            name: mask([name in offer.content for offer in offers])
            for name in {name: None for offer in offers for name in offer.content}
        },
        conditions=_conditions(offers, campaigns, feature_names),
        caps=caps,
        reasons=tuple(_reasons(offer) for offer in offers),
        scopes=tuple(_scopes(offer) for offer in offers),
        capped=_capped(caps),
        counted=mask([o.kind == "sell" or bool(c or p) for o, c, p in zip(offers, caps, pools, strict=True)]),
        shared_caps=mask([any(not cap.scope.startswith("o:") for cap in claims) for claims in caps]),
        pools=pools,
        taken_of=_taken_of(pools),
        stocked=mask([bool(taken) for taken in pools]),
        everything=mask([True] * len(offers)),
        nothing=mask([False] * len(offers)),
    )


def _stands(offer: Offer, name: str, placement: Placement) -> bool:
    """Whether an offer is made in a placement: it names it, and the stage that the placement belongs to."""
    return name in offer.placements and (not offer.stages or placement.stage in offer.stages)


def _arms(name: str, placement: Placement, offers: Sequence[Offer], campaigns: Mapping[str, Campaign]) -> Arms:
    def is_arm(offer: Offer) -> bool:
        campaign = campaigns.get(offer.campaign or "")
        live = offer.status == "live" and (campaign is None or campaign.status == "live")
        return live and offer.kind == "sell" and _stands(offer, name, placement)

    rows = [row for row, offer in enumerate(offers) if is_arm(offer)]
    arms = [offers[row] for row in rows]
    place = np.full(len(offers), -1, dtype=np.intp)
    place[rows] = np.arange(len(rows))
    return Arms(
        rows=np.array(rows, dtype=np.intp),
        place=place,
        promotions=Promotions([arm.id for arm in arms], [arm.promotes.categories for arm in arms]),
        features=offer_features(arms, placement),
    )


def _frozen(values: BoolArray) -> BoolArray:
    values.flags.writeable = False
    return values


def _both(one: tuple[str, ...], other: tuple[str, ...]) -> frozenset[str] | None:
    """Channels that both allow; None is all of them."""
    if one and other:
        return frozenset(one) & frozenset(other)
    return frozenset(one or other) or None


def _scopes(offer: Offer) -> tuple[str, ...]:
    campaign = (f"c:{offer.campaign}",) if offer.campaign else ()
    every = ("sell",) if offer.kind == "sell" else ()
    return (f"o:{offer.id}", *campaign, *(f"t:{tag}" for tag in offer.tags), *every)


def _reasons(offer: Offer) -> tuple[str, ...]:
    features = (condition for condition in offer.eligible_when if isinstance(condition, Feature))
    return tuple(f"{feature.feature.replace('.', '_')}_{feature.bounds()[0]}" for feature in features)


def _caps(offer: Offer, campaign: Campaign, policy: Policy) -> tuple[CapClaim, ...]:
    sells = offer.kind == "sell"
    own = offer.caps or (policy.caps.each_offer if sells else ())
    written: list[tuple[str, Cap]] = [(f"o:{offer.id}", cap) for cap in own]
    written += [(f"c:{campaign.id}", cap) for cap in campaign.caps]
    written += [(f"t:{group.tag}", cap) for group in policy.caps.tags if group.tag in offer.tags for cap in group.caps]
    written += [("sell", cap) for cap in policy.caps.all_offers if sells]
    written += [("sell", replace(cap, channel=by.channel)) for by in policy.caps.channels if sells for cap in by.caps]
    return tuple(_cap(scope, cap) for scope, cap in written if cap.tag is None or cap.tag in offer.tags)


def _cap(scope: str, cap: Cap) -> CapClaim:
    also = (f"t:{cap.tag}",) if cap.tag else ()
    return CapClaim(scope, cap.count, int(cap.window_days * DAY), (*also, *channel_scopes((cap.channel or "",))))


def _capped(caps: Sequence[tuple[CapClaim, ...]]) -> dict[str, tuple[tuple[CapClaim, NDArray[np.intp]], ...]]:
    stopped: dict[CapClaim, list[int]] = {}
    for row, claims in enumerate(caps):
        for cap in dict.fromkeys(claims):
            stopped.setdefault(cap, []).append(row)
    found: dict[str, list[tuple[CapClaim, NDArray[np.intp]]]] = {}
    for cap, rows in stopped.items():
        found.setdefault(cap.scope, []).append((cap, np.array(rows, dtype=np.intp)))
    return {scope: tuple(group) for scope, group in found.items()}


def _taken_of(pools: Sequence[tuple[Pool, ...]]) -> dict[str, NDArray[np.int64]]:
    taken: dict[str, NDArray[np.int64]] = {}
    for row, some in enumerate(pools):
        for pool in some:
            taken.setdefault(pool.name, np.zeros(len(pools), dtype=np.int64))[row] = pool.amount + pool.later
    return taken


def _silenced(offers: Sequence[Offer], default: JustBought, by_category: bool) -> dict[str, tuple[tuple[int, int], ...]]:
    found: dict[str, list[tuple[int, int]]] = {}
    for row, offer in enumerate(offers):
        rule = offer.just_bought or default
        days = rule.category_days if by_category else rule.days
        names = offer.promotes.categories if by_category else offer.promotes.named
        # What is found when it is decided is judged product by product then.
        if offer.kind == "sell" and days > 0 and not offer.promotes.expands:
            for name in names:
                found.setdefault(name, []).append((row, int(days * DAY)))
    return {name: tuple(rows) for name, rows in found.items()}


def _silences(categories: Mapping[str, tuple[tuple[int, int], ...]]) -> Silences:
    flat = sorted((row, place, span) for place, silenced in enumerate(categories.values()) for row, span in silenced)
    rows, start = np.unique(np.array([row for row, _, _ in flat], dtype=np.intp), return_index=True)
    return Silences(
        names=tuple(categories),
        name=np.array([place for _, place, _ in flat], dtype=np.intp),
        span_ms=np.array([span for _, _, span in flat], dtype=np.float64),
        start=start,
        rows=rows,
        longest_ms=max((span for _, _, span in flat), default=-np.inf),
    )


def _conditions(offers: Sequence[Offer], campaigns: Mapping[str, Campaign], feature_names: Sequence[str]) -> Conditions | None:
    written: list[tuple[int, list[Literals]]] = []
    for row, offer in enumerate(offers):
        campaign = campaigns.get(offer.campaign or "")
        together = clauses((*offer.eligible_when, *(campaign.target if campaign else ())))
        if together:
            written.append((row, together))
    if not written:
        return None
    uses = list(dict.fromkeys(use for _, together in written for clause in together for use, _ in clause))
    tables: list[Table] = []
    place: dict[object, int] = {}
    for kind, table in KINDS.values():
        mine = [use for use in uses if isinstance(use, kind)]
        if mine:
            place |= {use: len(place) + index for index, use in enumerate(mine)}
            tables.append(table(mine, feature_names))
    literals = [sorted(clause, key=lambda one: place[one[0]]) for _, together in written for clause in together]
    sizes = np.array([len(clause) for clause in literals])
    counts = np.array([len(together) for _, together in written])
    about_customer = {
        row for row, together in written for clause in together for use, _ in clause if isinstance(use, ABOUT_CUSTOMER)
    }
    return Conditions(
        tables=tuple(tables),
        literal=np.array([place[use] for clause in literals for use, _ in clause], dtype=np.intp),
        negated=np.array([negated for clause in literals for _, negated in clause], dtype=np.bool_),
        any_negated=any(negated for clause in literals for _, negated in clause),
        single=bool((sizes == 1).all()),
        one_each=bool((counts == 1).all()),
        clause_start=np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.intp),
        row_start=np.concatenate(([0], np.cumsum(counts)[:-1])).astype(np.intp),
        rows=np.array([row for row, _ in written], dtype=np.intp),
        derived=any(isinstance(use, Feature) and use.feature in DERIVED_NAMES for use in uses),
        reads_profile=np.array([row in about_customer for row in range(len(offers))], dtype=np.bool_),
        words=tuple(
            tuple(" or ".join(literal_words(use, negated) for use, negated in sorted(clause, key=str)) for clause in together)
            for _, together in written
        ),
    )
