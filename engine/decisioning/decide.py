"""From a situation to offers, in one order that every caller and every log can rely on.

consent → holdout → placement → eligibility → service → cap → stock → quiet hours → score → arbitrate. The first stage
that drops an offer is the one that is named. Duties (mandatory, transactional, service, thank-you) take their places
first and are never drawn; a fallback fills a placement in which nothing else is left, and needs no consent. Nothing
here writes: a decision says what it wants of the ledger, and the store admits it or refuses.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from engine.decisioning import choosing
from engine.decisioning.arbitration import Drawn, draw_all, point_of, sharpened, slate
from engine.decisioning.catalogue import Catalogue
from engine.decisioning.choosing import UNDRAWN, Figures
from engine.decisioning.conditions import BoolArray
from engine.decisioning.decision import Chosen, Decision, Filled, Reason, Take
from engine.decisioning.eligibility import Eligibility
from engine.decisioning.empty import hint_for, reason_for
from engine.decisioning.experiment import campaigns_in_place, variation_of
from engine.decisioning.frequency import Scopes, after_taking
from engine.decisioning.gates import CAP, STOCK, Gates, Masks, through
from engine.decisioning.ledger import Claim, Entry, Sticky, StickyOffer, channel_scopes, counts
from engine.decisioning.policy import Arbitration, Policy, Ranker, arbitration_of
from engine.decisioning.profiling import permitted
from engine.decisioning.scoring import Readings, Scored, Scorers
from engine.decisioning.situation import PlacementRequest, Situation
from engine.errors import InvariantBroken
from engine.models.lift import EVERYTHING
from engine.moments import SECOND, Millis

_UNIFORM = Arbitration(kind="uniform", loss_budget=1.0)


def decide(situation: Situation, catalogue: Catalogue, scorers: Scorers, policy: Policy) -> Decision:
    """The offers for each placement asked for. Pure: equal arguments give equal decisions.

    Every placement has to be declared in the policy; its `max` bounds how many offers it gets.
    """
    return decide_all([situation], catalogue, scorers, policy)[0]


def decide_all(situations: Sequence[Situation], catalogue: Catalogue, scorers: Scorers, policy: Policy) -> list[Decision]:
    """Each situation's decision, for less than they cost one by one. Nobody's depends on who else is in the group."""
    situations = [permitted(situation, policy) for situation in situations]
    eligibility, readings = Eligibility(situations, catalogue), Readings(situations, catalogue.columns, scorers)
    desks = [
        _Desk(situation, catalogue, policy, Gates(situation, catalogue, policy, eligibility, which), readings, which)
        for which, situation in enumerate(situations)
    ]
    _pass_gates(desks, catalogue)
    if len(desks) > 1:
        _draw_first(desks, readings)
    return [desk.decision(tuple([desk.fill(wanted) for wanted in desk.situation.placements])) for desk in desks]


def _pass_gates(desks: "Sequence[_Desk]", catalogue: Catalogue) -> None:
    """What the gates of each placement say, asked at once for all who want it."""
    asking: dict[str, list[_Desk]] = {}
    for desk in desks:
        for wanted in desk.situation.placements:
            asking.setdefault(wanted.name, []).append(desk)
    for name, some in asking.items():
        met = [desk.gates.masks(name) for desk in some]
        alive, stages = through(catalogue.columns.everything, [masks for masks, _ in met])
        bits = np.packbits(alive, axis=1).tobytes()
        size = len(bits) // len(some)
        for at, (desk, (masks, held), left, counted) in enumerate(zip(some, met, alive, stages, strict=True)):
            desk.passed[name] = _Passed(masks, held, left, bits[at * size : (at + 1) * size], counted)


def _draw_first(desks: "Sequence[_Desk]", readings: Readings) -> None:
    """The first sale of everybody's first placement, drawn at once for all of whom any is open."""
    together: dict[str, list[_Desk]] = {}
    for desk in desks:
        if desk.situation.placements and not desk.situation.late:
            together.setdefault(desk.situation.placements[0].name, []).append(desk)
    for name, met in together.items():
        sell = np.concatenate([desk.passed[name].alive for desk in met]).reshape(len(met), -1) & met[0].columns.sell
        sold = np.logical_or.reduce(sell, axis=1)
        asking = [desk for desk, any_ in zip(met, sold.tolist(), strict=True) if any_]
        asked = [(desk.which, desk.ranker) for desk in asking]
        for group in readings.score_all(name, asked, sell if len(asking) == len(met) else sell[sold]) if asking else ():
            some = [asking[at] for at in group.asked]
            arbitration = some[0].arbitration(group.alone[0].ranker, name)
            points = [point_of(desk.seed(name), 1) for desk in some]
            first = draw_all(group.value, group.starts, arbitration, points)
            for desk, scored, drawn in zip(some, group.alone, first, strict=True):
                desk.foreseen = name, scored, drawn


class _Passed(Struct, frozen=True, eq=False):
    """What the gates of a placement said."""

    masks: Masks
    held: Mapping[int, Entry]
    alive: BoolArray
    """Offers that every stage lets pass."""
    bits: bytes
    """The same, a bit for each."""
    stages: dict[str, int]
    """How many each stage was the first to drop, and how many are left."""


class _Desk:
    """One decision in the making: which offers are taken, and what will be asked of ledger and stock."""

    def __init__(
        self, situation: Situation, catalogue: Catalogue, policy: Policy, gates: Gates, readings: Readings, which: int
    ) -> None:
        self.situation, self.catalogue, self.policy = situation, catalogue, policy
        self.columns, self.gates = catalogue.columns, gates
        self.readings, self.which = readings, which
        self.variation, ranker = variation_of(situation.unit, policy)
        self.ranker: Ranker = ranker if situation.profiled else "popularity"
        self.met: list[Masks] = []
        self.foreseen: tuple[str, Scored, Drawn] | None = None
        """The first sale of the first placement, where it has been drawn together with those of others."""
        self.passed: dict[str, _Passed] = {}
        """By placement."""
        self._scopes: dict[str, Scopes] = {}
        self.taken: list[int] = []
        self.scopes: list[Scopes] = []
        """Under what each of those counts."""
        self.claims: list[Claim] = []
        self.takes: list[Take] = []
        self.sticky: list[Sticky] = []
        self.degraded: list[str] = []
        if situation.part is None or (situation.vector is None and situation.profiled):
            self.degraded.append("profile")
        if situation.ledger is None:
            self.degraded.append("ledger")
        if situation.late:
            self.degraded.append("deadline")

    def fill(self, wanted: PlacementRequest) -> Filled:
        """One placement, after those before it."""
        name, count = wanted.name, min(wanted.count, self.policy.placements[wanted.name].max)
        passed = self.passed[name]
        masks, held, alive, stages = passed.masks, passed.held, passed.alive, passed.stages
        self.met.append(masks)
        offers = self._shown_again(name, count, masks, alive) or self._duties(name, count, alive)
        if len(offers) < count and not (offers and offers[0].repeats):
            offers += self._sales(name, count, len(offers) + 1, alive) or self._fallbacks(name, count, len(offers), alive)
        offers = [self._with_code(offer, held) for offer in offers]
        self._ask_for(name, count, offers, held)
        filled = any(offer.kind != "fallback" for offer in offers)
        reason: Reason = "ok" if filled else reason_for(self.columns, name, masks, self.situation.late)
        stages = {**stages, "chosen": len(offers), "arbitration": stages["arbitration"] - len(offers)}
        return Filled(
            name=name,
            reason=reason,
            hint="" if filled else hint_for(reason, name, self.gates),
            offers=tuple(offers),
            open=passed.bits,
            catalogue=self.columns.ids,
            stages=stages,
        )

    def decision(self, filled: tuple[Filled, ...]) -> Decision:
        """All placements as one decision: an earlier one where every placement shows that one again."""
        situation = self.situation
        earlier = {offer.repeats for one in filled for offer in one.offers}
        repeats = len(earlier) == 1 and "" not in earlier and all(one.offers for one in filled)
        writes = not (repeats or situation.dry_run or situation.ledger is None)
        measured = writes and situation.profiled
        learned = self.readings.learned
        return Decision(
            decision_id=earlier.pop() if repeats else situation.decision_id,
            attempt=situation.attempt,
            at=situation.now,
            placements=filled,
            variation=self.variation,
            ranker=self.ranker,
            holdout=self.gates.held_out,
            unprofiled=not situation.profiled,
            campaigns=self._campaigns() if measured else (),
            policy_version=self.catalogue.policy_version,
            catalogue_version=self.catalogue.version,
            model_version=learned.version if learned is not None else 0,
            degraded=tuple(self.degraded),
            repeats=repeats,
            writes=writes,
            claims=tuple(self.claims) if writes else (),
            takes=tuple(self.takes) if writes else (),
            sticky=tuple(self.sticky) if writes else (),
        )

    def _campaigns(self) -> tuple[str, ...]:
        """Those in place. Where there are none to tell apart, whatever personal was taken says so already."""
        if not self.columns.campaign_names and any(self.columns.personal[row] for row in self.taken):
            return (EVERYTHING,)
        return campaigns_in_place(self.columns, [self.gates.meant_for(masks) for masks in self.met])

    def _open(self, name: str, alive: BoolArray) -> BoolArray:
        """Without what this decision has taken in an earlier place, or used up of a shared cap."""
        if not self.taken:
            return alive
        still = alive.copy()
        still[self.taken] = False
        used_up = self._used_up(name)
        return still if used_up is None else still & used_up

    def _used_up(self, name: str) -> BoolArray | None:
        ledger = self.situation.ledger
        if ledger is None:
            return None
        shared = self.columns.shared_caps[self.taken].any()
        open_ = after_taking(self.columns, ledger, self.situation.now, self._on(name), self.scopes) if shared else None
        left = self.gates.sales_left()
        if left is None or np.count_nonzero(self.columns.sell[self.taken]) < left:
            return open_
        return ~self.columns.sell if open_ is None else open_ & ~self.columns.sell

    def _on(self, name: str) -> Scopes:
        """The channels of a contact in a placement, as the ledger counts them."""
        scopes = self._scopes.get(name)
        if scopes is None:
            scopes = self._scopes[name] = channel_scopes(self.gates.channels(name))
        return scopes

    def _new(self, row: int, name: str, position: int, figures: Figures = UNDRAWN) -> Chosen:
        self.taken.append(row)
        self.scopes.append(self.columns.scopes[row] + self._on(name))
        placement, proof = self.policy.placements[name], self.gates.proof(row, name)
        if proof is None:
            raise InvariantBroken(f"{self.columns.ids[row]} passed the gates without the consent that it needs")
        return choosing.placed(row, name, position, placement, self.situation, self.catalogue, self.policy, proof, figures)

    def _duties(self, name: str, count: int, alive: BoolArray) -> list[Chosen]:
        if name not in self.columns.with_duties:
            return []
        rows = (self._open(name, alive) & self.columns.duty).nonzero()[0].tolist()
        if rows:
            rows.sort(key=lambda row: (self.columns.precedence[row], -self.columns.value[row], row))
        return [self._new(row, name, index + 1) for index, row in enumerate(rows[:count])]

    def _sales(self, name: str, count: int, first: int, alive: BoolArray) -> list[Chosen]:
        drawn = None
        if self.foreseen is not None and self.foreseen[0] == name and not self.taken:
            _, scored, drawn = self.foreseen
        else:
            rows = (self._open(name, alive) & self.columns.sell).nonzero()[0]
            if not len(rows) or self.situation.late:
                return []
            scored = self.readings.score(self.which, name, rows, self.ranker)
        if scored.ranker != self.ranker and "model" not in self.degraded:
            self.degraded.append("model")
        offers: list[Chosen] = []
        for one in self._slate(name, count - first + 1, first, scored, drawn):
            position = first + len(offers)
            figures = choosing.figures_of(scored, one, position, self.catalogue)
            offers.append(self._new(int(scored.rows[one.arm]), name, position, figures))
        return offers

    def _with_code(self, offer: Chosen, held: Mapping[int, Entry]) -> Chosen:
        """With the code that the customer holds already; a new one comes with the reservation."""
        if not self.columns.stocked[offer.row]:
            return offer
        entry = self._entry(offer.row, offer.repeats) if offer.repeats else held.get(offer.row)
        return replace(offer, coupon=entry.coupon) if entry is not None and entry.coupon else offer

    def _slate(self, name: str, count: int, first: int, scored: Scored, drawn: Drawn | None) -> Iterable[Drawn]:
        if drawn is not None and count == 1:
            return (drawn,)
        arbitration = self.arbitration(scored.ranker, name)
        return slate(scored.value, count, arbitration, self.seed(name), first, lambda: self._arms_left(name, scored), drawn)

    def seed(self, name: str) -> tuple[str, ...]:
        """What the draws of a placement hang on."""
        return self.situation.decision_id, str(self.situation.attempt), name

    def arbitration(self, ranker: Ranker, name: str) -> Arbitration:
        """How offers are drawn there that a ranker has judged."""
        if ranker == "random":
            return _UNIFORM
        learned = self.readings.learned
        labels = learned.version if ranker == "learned" and learned is not None else 0
        return sharpened(arbitration_of(self.policy, name), labels)

    def _arms_left(self, name: str, scored: Scored) -> BoolArray | None:
        used_up = self._used_up(name)
        return None if used_up is None else used_up[scored.rows]

    def _fallbacks(self, name: str, count: int, placed: int, alive: BoolArray) -> list[Chosen]:
        """For a placement in which nothing else stands."""
        if placed:
            return []
        rows = (self._open(name, alive) & self.columns.fallback).nonzero()[0].tolist()
        return [self._new(row, name, index + 1) for index, row in enumerate(rows[:count])]

    def _shown_again(self, name: str, count: int, masks: Masks, alive: BoolArray) -> list[Chosen]:
        """What the placement showed before, while that is lawful and no duty has come up; else nothing.

        Caps and stock were paid for then: they hold as long as the ledger still counts the contact.
        """
        ledger, columns = self.situation.ledger, self.columns
        if ledger is None or not ledger.sticky or not self.policy.placements[name].sticky_seconds:
            return []
        for one in ledger.sticky:
            if one.placement == name and one.until > self.situation.now and one.count == count:
                break
        else:
            return []
        rows = [columns.row.get(offer.offer_id, -1) for offer in one.offers]
        duties = (alive & columns.duty).nonzero()[0].tolist()
        if not all(self._lawful(row, masks, one) for row in rows) or not set(duties) <= set(rows):
            return []
        return [
            choosing.again(self._new(row, name, index + 1), offer, one.decision_id)
            for index, (row, offer) in enumerate(zip(rows, one.offers, strict=True))
        ]

    def _lawful(self, row: int, masks: Masks, earlier: Sticky) -> bool:
        if row < 0 or row in self.taken or self.columns.ids[row] in self.situation.refused:
            return False
        if not all(mask[row] for stage, mask in enumerate(masks) if stage not in (CAP, STOCK)):
            return False
        entry = self._entry(row, earlier.decision_id)
        if entry is None:
            return not self.columns.counted[row]
        return counts(entry, self.situation.now)

    def _entry(self, row: int, decision_id: str) -> Entry | None:
        ledger, offer_id = self.situation.ledger, self.columns.ids[row]
        for entry in ledger.entries if ledger is not None else ():
            if entry.offer_id == offer_id and decision_id in entry.decisions:
                return entry
        return None

    def _ask_for(self, name: str, count: int, offers: list[Chosen], held: Mapping[int, Entry]) -> None:
        """Note what a placement wants of ledger and stock; what is shown again and was seen wants nothing."""
        situation, placement = self.situation, self.policy.placements[name]
        for offer in offers:
            seen = offer.repeats and offer.row not in held
            if seen or not self.columns.counted[offer.row]:
                continue
            has, limit, on = offer.row in held, self.gates.limit, self._on(name)
            self.claims.append(
                choosing.claim(offer, situation.decision_id, placement, situation, self.columns, self.policy, on, has, limit)
            )
            if not has and self.columns.pools[offer.row]:
                self.takes.extend(choosing.takes(offer, placement, situation, self.columns, self.policy))
        personal = any(offer.kind != "fallback" and not offer.repeats for offer in offers)
        if personal and placement.sticky_seconds:
            kept = tuple(StickyOffer(offer.offer_id, offer.propensity, offer.probability, offer.score) for offer in offers)
            until = Millis(situation.now + placement.sticky_seconds * SECOND)
            self.sticky.append(Sticky(name, situation.decision_id, until, count, kept))
