"""Why each offer of the catalogue was or was not shown, in words, from the same masks that decided.

Nothing is written and nothing is drawn that was not drawn anyway: an explained decision equals the plain one.
"""

from collections.abc import Iterator

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from engine.decisioning.catalogue import Catalogue
from engine.decisioning.conditions import clock
from engine.decisioning.decide import decide
from engine.decisioning.decision import Chosen, Decision, Filled
from engine.decisioning.eligibility import Eligibility, on
from engine.decisioning.frequency import after_taking, binds
from engine.decisioning.gates import CAP, CONSENT, ELIGIBILITY, HOLDOUT, PLACEMENT, SERVICE, STAGES, STOCK, Gates, Masks
from engine.decisioning.ledger import EMPTY, CapClaim, channel_scopes, count
from engine.decisioning.policy import Policy
from engine.decisioning.pools import Pool
from engine.decisioning.profiling import permitted
from engine.decisioning.scoring import Readings, Scored, Scorers
from engine.decisioning.service import STOPS
from engine.decisioning.situation import Situation
from engine.decisioning.wishes import quiet_span
from engine.moments import DAY
from engine.money import to_major


class Explained(Struct, frozen=True, kw_only=True):
    """What became of one offer in one placement: the stage it reached and, in words, the rule that ended its way.

    `contributions` are signed, in log odds against an average case, for offers that were scored.
    """

    placement: str
    offer_id: str
    stage: str
    rule: str
    contributions: dict[str, float] = {}


def explain(
    situation: Situation, catalogue: Catalogue, scorers: Scorers, policy: Policy
) -> tuple[Decision, tuple[Explained, ...]]:
    """The decision as a dry run, with one entry for every offer of the catalogue and placement asked for."""
    situation = permitted(replace(situation, dry_run=True), policy)
    decision = decide(situation, catalogue, scorers, policy)
    gates = Gates(situation, catalogue, policy, Eligibility([situation], catalogue), 0)
    return decision, tuple(one for filled in decision.placements for one in _Teller(gates, scorers, decision, filled).entries())


class _Teller:
    """Tells one placement."""

    def __init__(self, gates: Gates, scorers: Scorers, decision: Decision, filled: Filled) -> None:
        self.gates, self.scorers, self.decision, self.filled = gates, scorers, decision, filled
        self.situation, self.catalogue, self.columns = gates.situation, gates.catalogue, gates.columns
        self.chosen = {offer.row: offer for offer in filled.offers}
        self.on = channel_scopes(gates.channels(filled.name))
        masks, _ = gates.masks(filled.name)
        self.masks: Masks = masks
        self.scored = self._scored()

    def entries(self) -> Iterator[Explained]:
        for row, offer_id in enumerate(self.columns.ids):
            stage = next((at for at, mask in enumerate(self.masks) if not mask[row]), len(STAGES))
            if stage < len(STAGES):
                yield self._entry(offer_id, STAGES[stage], self._dropped(stage, row))
            elif row in self.chosen:
                yield self._entry(offer_id, "chosen", self._why(self.chosen[row]) + self._shown(row), self._contributions(row))
            else:
                yield self._entry(offer_id, "arbitration", self._not_drawn(row) + self._shown(row), self._contributions(row))

    def _entry(self, offer_id: str, stage: str, rule: str, contributions: dict[str, float] | None = None) -> Explained:
        return Explained(placement=self.filled.name, offer_id=offer_id, stage=stage, rule=rule, contributions=contributions or {})

    def _shown(self, row: int) -> str:
        """The products that were found, each with why."""
        found = self.situation.expanded.get(row)
        if found is None:
            return ""
        return "; shows " + " and ".join(f"{one.product_id} ({one.because})" for one in found.products)

    def _scored(self) -> Scored | None:
        if self.situation.late:
            return None
        arms = self.columns.arms[self.filled.name]
        kept = arms.rows[np.logical_and.reduce(self.masks)[arms.rows]]
        if not kept.size:
            return None
        readings = Readings([self.situation], self.columns, self.scorers)
        return readings.score(0, self.filled.name, kept, self.decision.ranker)

    def _contributions(self, row: int) -> dict[str, float]:
        scored, vector = self.scored, self.situation.vector
        if scored is None or row not in scored.rows:
            return {}
        place = scored.arms.place[row]
        if scored.ranker == "popularity" or scored.cross is None or vector is None:
            shares = self.scorers.prepared[self.filled.name].popularity
            return {"affinity.popularity": float(shares[place])} if scored.ranker == "popularity" else {}
        match scored.ranker:
            case "random":
                return {}
            case "rule":
                return {"affinity.rule_logit": float(scored.cross[scored.row[place], 0])}
            case ranker:
                scorer = self.scorers.learned if ranker == "learned" else None
                terms = (scorer or self.scorers.frozen).contributions(
                    vector, scored.arms.features[place], scored.cross[scored.row[place]], self.columns.ids[row]
                )
                return {name: round(term, 6) for name, term in terms.items() if term}

    def _dropped(self, stage: int, row: int) -> str:
        match stage:
            case _ if stage == CONSENT:
                if not self.gates.welcome[row]:
                    return f"the customer wants no offers about {' or '.join(self.gates.topics(row))}"
                purpose, channels = self.catalogue.offers[row].purpose, self.gates.channels(self.filled.name)
                where = f" on {' and '.join(channel for channel in channels if channel)}" if any(channels) else ""
                return f"needs consent for {purpose}, which is {self.gates.consent_status(purpose, channels)}{where}"
            case _ if stage == HOLDOUT:
                return "the customer is in the holdout group, which gets no personal offers"
            case _ if stage == PLACEMENT:
                offer = self.catalogue.offers[row]
                if self.filled.name in offer.placements:
                    return f"not at this stage of a purchase, only {' or '.join(offer.stages)}"
                return f"not made for {self.filled.name}, only for {' or '.join(offer.placements)}"
            case _ if stage == ELIGIBILITY:
                return self._rule(row)
            case _ if stage == SERVICE:
                return f"{STOPS[self.gates.stopped_by]}, and nothing is sold meanwhile"
            case _ if stage == CAP:
                return self._cap(row)
            case _ if stage == STOCK:
                return self._stock(row)
            case _:
                span = quiet_span(self.situation.part, self.gates.policy)
                return f"quiet hours until {clock(span.end)}" if span is not None else "quiet hours"

    def _rule(self, row: int) -> str:
        situation = on(self.situation, self.gates.channels(self.filled.name)[0])
        for rule in self.catalogue.rules:
            if not np.atleast_2d(rule.mask(self.columns, [situation]))[0, row]:
                return rule.words(self.catalogue, row, situation)
        return "not eligible"

    def _cap(self, row: int) -> str:
        ledger = self.situation.ledger or EMPTY
        for cap in self.columns.caps[row]:
            seen = count(ledger, cap, self.situation.now)
            if binds(cap, self.on) and seen >= cap.count:
                return f"{_scope_words(cap)} was shown {seen} times in {cap.window_ms / DAY:g} days, cap {cap.count}"
        limit = self.gates.limit
        if limit is not None and not self.gates.sales_left():
            return f"the customer wants at most {limit.count} offers in {limit.window_ms / DAY:g} days"
        return "the ledger refused it: its cap was reached meanwhile"

    def _stock(self, row: int) -> str:
        if self.situation.ledger is None:
            return "stock cannot be reserved while the ledger is away"
        for pool in self.columns.pools[row]:
            taken = pool.amount + pool.later
            left = self.situation.stock_left.get(pool.name, taken)
            if left < taken:
                return self._used_up(pool, max(left, 0), row)
        return "the last unit was taken meanwhile"

    def _used_up(self, pool: Pool, left: int, row: int) -> str:
        match pool.kind:
            case "units":
                return f"its stock ({pool.capacity} in all) is used up"
            case "codes":
                return f"its coupon codes ({pool.capacity} in all) are used up"
            case "budget":
                campaign = self.catalogue.campaigns[self.catalogue.offers[row].campaign or ""]
                currency = campaign.budget.currency if campaign.budget is not None else self.catalogue.currency
                worth, rest, wanted = (to_major(one, currency) for one in (pool.capacity, left, pool.amount + pool.later))
                return f"the budget of its campaign ({worth} {currency}) has {rest} left, and it may take {wanted}"

    def _why(self, offer: Chosen) -> str:
        if offer.repeats:
            return f"shown again as decided in {offer.repeats}"
        if offer.kind == "sell":
            return f"drawn for position {offer.position} with probability {offer.propensity:.4f}"
        if offer.kind == "fallback":
            return f"nothing else is left: {self.filled.reason}"
        return f"a {offer.kind.replace('_', ' ')} offer is placed before anything is drawn"

    def _not_drawn(self, row: int) -> str:
        if self.columns.fallback[row]:
            return "a fallback waits until nothing else is left"
        if self.columns.duty[row]:
            return "other duties hold the place"
        if self.situation.late:
            return "the deadline passed before it was scored"
        before = list(self._before())
        taken = [self.columns.scopes[offer.row] + channel_scopes(self.gates.channels(offer.placement)) for offer in before]
        if row in [offer.row for offer in before]:
            return "chosen in another placement of this decision"
        if taken and not after_taking(self.columns, self.situation.ledger or EMPTY, self.situation.now, self.on, taken)[row]:
            return "another offer of this decision used up a cap that they share"
        if any(offer.repeats for offer in self.filled.offers):
            return "the placement shows its earlier decision again"
        return "another offer was drawn"

    def _before(self) -> Iterator[Chosen]:
        """Offers chosen up to and including this placement."""
        for filled in self.decision.placements:
            yield from filled.offers
            if filled is self.filled:
                return


def _scope_words(cap: CapClaim) -> str:
    kind, _, name = cap.scope.partition(":")
    words = {"o": "it", "c": f"the campaign {name}", "t": f"the tag {name}"}.get(kind, "every sale together")
    return " ".join((words, *(_also_words(scope) for scope in cap.also)))


def _also_words(scope: str) -> str:
    kind, _, name = scope.partition(":")
    return f"with the tag {name}" if kind == "t" else f"on {name}"
