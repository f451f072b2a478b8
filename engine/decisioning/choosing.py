"""One chosen offer: its figures and words, what it wants of ledger and stock, and how it comes back on a reload."""

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from engine.decisioning.arbitration import Drawn
from engine.decisioning.catalogue import Catalogue, Columns
from engine.decisioning.decision import Chosen, Take
from engine.decisioning.frequency import Scopes, binds
from engine.decisioning.ledger import RESERVED, VIEWED, CapClaim, Claim, Entry, StickyOffer
from engine.decisioning.permission import Proof
from engine.decisioning.policy import Placement, Policy
from engine.decisioning.scoring import Scored, recorded
from engine.decisioning.shelf import NOTHING_FOUND
from engine.decisioning.situation import Situation
from engine.moments import DAY, SECOND, Millis

NEVER_BOUGHT, OFTEN_SHARE = 5, 0.25
"""Column of `affinity.never_bought`, and the share of purchases from which a habit is worth telling."""
SHARE_OF_PURCHASES = 3
"""Column of `affinity.share_56d`."""


class Figures(Struct, frozen=True):
    """What a draw adds to an offer: its figures, why this one, and the readings it was made from."""

    reasons: tuple[str, ...] = ()
    propensity: float = 1.0
    probability: float = 0.0
    score: float = 0.0
    best_score: float = 0.0
    exploration_loss: float = 0.0
    vector: bytes = b""


UNDRAWN = Figures()


def placed(
    row: int,
    name: str,
    position: int,
    placement: Placement,
    situation: Situation,
    catalogue: Catalogue,
    policy: Policy,
    proof: Proof,
    figures: Figures = UNDRAWN,
) -> Chosen:
    """An offer in its place."""
    offer, columns, expansion = catalogue.offers[row], catalogue.columns, situation.expanded.get(row, NOTHING_FOUND)
    span = int(offer.attribution_window_days * DAY)
    if placement.shown_when == "viewed":
        span = policy.reservation_seconds * SECOND
    return Chosen(
        row=row,
        offer_id=offer.id,
        kind=offer.kind,
        placement=name,
        position=position,
        proof=proof,
        campaign_id=offer.campaign or "",
        value_minor=expansion.worth or float(columns.value[row]),
        cost_minor=float(columns.cost[row]),
        currency=catalogue.currency,
        reasons=(*(figures.reasons or (offer.kind,)), *((offer.promotes.expands,) if expansion.products else ())),
        propensity=figures.propensity,
        probability=figures.probability,
        score=figures.score,
        best_score=figures.best_score,
        exploration_loss=figures.exploration_loss,
        learn=bool(figures.vector),
        vector=figures.vector,
        content=catalogue.contents.of(row, situation.locale),
        expires_at=Millis(min(int(columns.ends[row]), situation.now + span)),
        products=expansion.products,
    )


def figures_of(scored: Scored, one: Drawn, position: int, catalogue: Catalogue) -> Figures:
    """What a draw for a place came to."""
    arm = one.arm
    return Figures(
        _reasons(catalogue, scored, arm),
        one.propensity,
        float(scored.probability[arm]),
        float(scored.value[arm]),
        one.best,
        one.loss,
        recorded(scored, arm, position),
    )


def again(offer: Chosen, earlier: StickyOffer, decision_id: str) -> Chosen:
    """With the figures of the earlier decision; nothing is drawn, so nothing is learned a second time."""
    return replace(
        offer,
        propensity=earlier.propensity,
        probability=earlier.probability,
        score=earlier.score,
        reasons=(*offer.reasons, "shown_before"),
        repeats=decision_id,
    )


def _reasons(catalogue: Catalogue, scored: Scored, arm: int) -> tuple[str, ...]:
    """Words that a till or a page may act on: why this one, why this customer."""
    columns, row, cross = catalogue.columns, scored.rows[arm], scored.cross
    why = "best_value" if arm == int(scored.value.argmax()) else "exploration"
    if cross is not None and columns.promoted_categories[row]:
        read = scored.row[scored.places[arm]]
        if cross[read, NEVER_BOUGHT]:
            return (why, "new_to_customer", *columns.reasons[row])
        if cross[read, SHARE_OF_PURCHASES] >= OFTEN_SHARE:
            return (why, "buys_often", *columns.reasons[row])
    return (why, *columns.reasons[row])


def claim(
    offer: Chosen,
    decision_id: str,
    placement: Placement,
    situation: Situation,
    columns: Columns,
    policy: Policy,
    on: Scopes,
    held: bool,
    limit: CapClaim | None = None,
) -> Claim:
    """The entry that an offer wants in the ledger, `on` the channels of its contact, and the caps it must respect there.

    `limit` is the customer's own.
    """
    seen = placement.shown_when == "decided"
    entry = Entry(
        decisions=(decision_id,),
        offer_id=offer.offer_id,
        placement=offer.placement,
        state=VIEWED if seen else RESERVED,
        at=situation.now,
        expires=Millis(situation.now + policy.reservation_seconds * SECOND),
        scopes=columns.scopes[offer.row] + on,
        coupon=offer.coupon,
    )
    joins = held and (bool(columns.pools[offer.row]) or bool(offer.repeats))
    caps = columns.caps[offer.row]
    if any(cap.also for cap in caps):
        caps = tuple([cap for cap in caps if binds(cap, on)])
    if limit is not None and limit.meets(entry.scopes):
        caps = (*caps, limit)
    return Claim(entry=entry, caps=caps, joins=joins)


def takes(offer: Chosen, placement: Placement, situation: Situation, columns: Columns, policy: Policy) -> Iterator[Take]:
    """What an offer wants of stock, coupon codes and budget."""
    expires = Millis(situation.now + policy.reservation_seconds * SECOND)
    keep = placement.shown_when == "decided"
    for pool in columns.pools[offer.row]:
        yield Take(
            offer.offer_id, pool.name, pool.capacity, expires, keep, pool.kind, pool.amount, pool.later, pool.window_ms
        )
