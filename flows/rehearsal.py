"""A catalogue played through what really happened: the same visits, other offers. Pure; nothing is written anywhere.

Theory of operation. The log of events holds every visit at which somebody asked for offers, everything that customers did
before it, and which places they looked at. Each visit is decided again, with `decide`, at the time of the visit, under the
proposed catalogue. Caps, budgets and stocks are kept in a ledger and pools in memory by the transitions that the ledger's
scripts are tested against, so what an offer used up on Monday is missing on Tuesday.

Whom a visit is about is rebuilt: a customer all of whose events are in the log is folded along with it, so each decision sees
them as they were then, with the offers of this rehearsal in their history. Of whom the log no longer holds everything only
today's profile is known, and that is taken; taking today's for all would tell a reach that comes after the purchases that the
visits led to, and rebuilding all would make strangers of those who were customers before the log begins. Both are counted.

What customers do with an offer that they never got is not known. So a place that was looked at was looked at, whatever
stands in it now, which settles caps and reach; a click or a redemption counts where the same offer stands there again.
Nobody looks at an empty place: where one is filled now it is looked at as often as filled ones are, drawn by the visit's id.
Purchases are those that happened.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from engine.decisioning.decide import decide
from engine.decisioning.decision import Decision
from engine.decisioning.expanding import expanded
from engine.decisioning.explanation import explain
from engine.decisioning.ledger import EMPTY, RESERVED, VIEWED, Entry, Ledger, Refusal, commit, mark
from engine.decisioning.profiling import permitted
from engine.decisioning.record import decided
from engine.decisioning.service import states_of
from engine.decisioning.situation import CartLine, PlacementRequest, Situation
from engine.events.base import Event
from engine.events.offers import OURS, ChosenOffer, OfferDecided, OfferSeen
from engine.events.routing import route
from engine.features.base import Request
from engine.features.vector import read_features
from engine.ids import unit_interval
from engine.models.segments import standing_of
from engine.moments import DAY, WEEK, Millis
from engine.profiles.profile import Profile
from engine.profiles.standing import Standing
from engine.shards.labels import ChurnRule, Labels
from flows.rehearsal_pools import Pools
from flows.rehearsal_shop import Shop

MOST_ATTEMPTS = 4
MOST_EXPLAINED = 200
"""Visits whose every offer is followed to the stage that drops it; the others tell counts only."""
_LABELS = Labels(ChurnRule())
_NOWHERE = (Standing(), 0)


class Figures(Struct):
    """What came out. Customers are named inside and counted outside."""

    visits: int = 0
    customers: set[str] = field(default_factory=set)
    served: set[str] = field(default_factory=set)
    """Who was given anything but a fallback."""
    reached: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By campaign, who saw an offer of it."""
    reached_by_offer: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    chosen: Counter[str] = field(default_factory=Counter)
    shown: Counter[str] = field(default_factory=Counter)
    segment_of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    empty_because: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By customer, why places stayed empty."""
    stages: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By offer, the stages at which followed visits lost it."""
    capped_by: Counter[str] = field(default_factory=Counter)
    followed: int = 0


class World:
    """One catalogue's course of events. Decisions are made again from `since` on; before it history is taken as it was."""

    def __init__(
        self,
        shop: Shop,
        since: int,
        fixed: Mapping[str, Profile],
        looks: Mapping[str, float] | None = None,
        follow_every: int = 1,
        lateness_ms: int = DAY,
    ) -> None:
        self.shop = shop
        self._lateness_ms = lateness_ms
        self._stood: dict[str, tuple[Standing, int]] = {}
        """Where customers stand, and when that was looked at."""
        self._looks = looks or {}
        """By place, how often a filled one is looked at."""
        self.figures = Figures()
        self.pools = Pools()
        self._since = since
        self._fixed = fixed
        self._every = max(follow_every, 1)
        self._profiles: dict[str, Profile] = {}
        self._ledgers: dict[str, Ledger] = {}
        self._made: dict[str, tuple[ChosenOffer, ...]] = {}
        """What each visit is given here."""
        self._seen: set[tuple[str, str]] = set()

    def happened(self, event: Event, key: str, at: int, arrived: int) -> None:
        """The next event of the log."""
        if isinstance(event, OfferDecided):
            self._asked(event, key, at, arrived)
        elif isinstance(event, OfferSeen) and event.decision_id:
            for one in self._responses(event):
                self._responded(one, key, at, arrived)
        elif event.type not in OURS:
            self._fold(event, key, at, arrived)

    def _asked(self, event: OfferDecided, key: str, at: int, arrived: int) -> None:
        if at < self._since:
            said = event
            self._remember(event, key, at)
        else:
            situation = self._situation(event, key, at)
            decision = self._admitted(situation, key)
            self._note(decision, key, situation)
            loaded = self.shop.loaded
            said = replace(event, data=decided(decision, loaded.catalogue, loaded.policy))
        self._made[event.decision_id or event.id] = said.data.offers
        self._fold(said, key, at, arrived)
        if at < self._since:
            return
        filled = {offer.placement for offer in event.data.offers}
        for offer in said.data.offers:
            if offer.shown_when == "decided":
                self._saw(offer, key)
            elif offer.placement not in filled and self._would_look(said.decision_id or said.id, offer.placement):
                self._responded(_view(said, offer), key, at, arrived)

    def _would_look(self, decision_id: str, placement: str) -> bool:
        return unit_interval("look", decision_id, placement) < self._looks.get(placement, 0.0)

    def _remember(self, event: OfferDecided, key: str, at: int) -> None:
        """A contact of before, as far as this catalogue's caps count it."""
        columns, policy = self.shop.loaded.catalogue.columns, self.shop.loaded.policy
        entries = tuple(
            Entry(
                decisions=(event.decision_id or event.id,),
                offer_id=offer.offer_id,
                placement=offer.placement,
                state=VIEWED if offer.shown_when == "decided" else RESERVED,
                at=Millis(at),
                expires=Millis(at + policy.reservation_seconds * 1000),
                scopes=columns.scopes[columns.row[offer.offer_id]] + ((f"x:{event.channel}",) if event.channel else ()),
            )
            for offer in event.data.offers
            if offer.offer_id in columns.row and columns.counted[columns.row[offer.offer_id]]
        )
        if entries:
            held = self._ledgers.get(key, EMPTY)
            self._ledgers[key] = replace(held, entries=(*held.entries, *entries))

    def _situation(self, event: OfferDecided, key: str, at: int) -> Situation:
        said, policy, now = event.data, self.shop.loaded.policy, Millis(at)
        profile = self._profile(key)
        part = profile.whole
        vector = read_features(profile, Request(event.channel or ""), now)
        counts = said.context.get("asked", {})
        lines = [line for line in said.context.get("cart", ()) if len(line) == 2]
        cart = tuple(CartLine(product_id=str(product), category=str(category)) for product, category in lines)
        wanted = [
            PlacementRequest(name, int(counts.get(name, max(1, stages.get("chosen", 1)))))
            for name, stages in said.stages.items()
            if name in policy.placements
        ]
        return permitted(
            Situation(
                decision_id=event.decision_id or event.id,
                now=now,
                unit=profile.unit or key,
                placements=tuple(wanted),
                part=part,
                vector=vector,
                derived=self.shop.derived(profile, part, vector, at),
                tiers=self.shop.tiers(profile, part, at),
                standing=self._standing(profile, key, at),
                states=states_of(part, policy.service, now),
                ledger=self._ledgers.get(key, EMPTY),
                stock_left=self.pools.left(self.shop.loaded.catalogue, at),
                channel=event.channel or "",
                locale=str(said.context.get("locale", "")),
                timezone=str(said.context.get("timezone", "")),
                exclude=frozenset(said.context.get("exclude", ())),
                cart=cart,
                expanded=expanded(self.shop.loaded.catalogue, policy, self.shop.shelf, wanted, part, cart, at),
            ),
            policy,
        )

    def _standing(self, profile: Profile, key: str, at: int) -> Standing:
        """As a shard holds it: of the last purchase, or of the last weekly look that the log had passed."""
        if key in self._fixed:
            return profile.standing
        self._look(profile, key, at - self._lateness_ms)
        return self._stood.get(key, _NOWHERE)[0]

    def _look(self, profile: Profile, key: str, until: int) -> None:
        """Look at the customer at the weekly boundary before `until`, if that is still to come."""
        boundary = _LABELS.boundary_after(key, until) - WEEK
        held = self._stood.get(key)
        if held is not None and boundary > held[1]:
            self._stood[key] = self._placed(profile, boundary), boundary

    def _placed(self, profile: Profile, at: int) -> Standing:
        return standing_of(profile.purchases, at, self.shop.value.cuts, self.shop.loaded.policy.value.segments)

    def _admitted(self, situation: Situation, key: str) -> Decision:
        """Decided, and taken from ledger and pools; decided again without what they refuse."""
        loaded, now = self.shop.loaded, situation.now
        for attempt in range(MOST_ATTEMPTS):
            decision = decide(situation, loaded.catalogue, self.shop.scorers, loaded.policy)
            refusal = self.pools.take(decision, now) or self._commit(decision, key)
            if refusal is None:
                return decision
            refused = {**situation.refused, refusal.offer_id: refusal.stage}
            situation = replace(situation, attempt=attempt + 1, refused=refused)
        return decide(replace(situation, dry_run=True), loaded.catalogue, self.shop.scorers, loaded.policy)

    def _commit(self, decision: Decision, key: str) -> Refusal | None:
        keep_ms = self.shop.loaded.catalogue.longest_window_ms
        after = commit(self._ledgers.get(key, EMPTY), decision.claims, decision.sticky, decision.at, keep_ms)
        if isinstance(after, Refusal):
            self.pools.release(decision)
            return after
        self._ledgers[key] = after
        return None

    def _responses(self, event: OfferSeen) -> list[OfferSeen]:
        """What an event says of the offers that stand in that place here."""
        decision_id = event.decision_id or ""
        offer_id = event.offer_id or str(event.data.get("offer_id", ""))
        placement = event.placement or str(event.data.get("placement", ""))
        made = self._made.get(decision_id)
        if made is None:
            return [event]
        there = [one for one in made if not placement or one.placement == placement]
        if event.type in ("offer_viewed", "offer_clicked") and (decision_id, placement) not in self._seen:
            self._seen.add((decision_id, placement))
            viewed = [
                replace(event, id=f"{event.id}-{one.offer_id}", type="offer_viewed", offer_id=one.offer_id) for one in there
            ]
        else:
            viewed = []
        same = event.type != "offer_viewed" and any(one.offer_id == offer_id for one in there)
        return [*viewed, event] if same else viewed

    def _responded(self, event: OfferSeen, key: str, at: int, arrived: int) -> None:
        self._fold(event, key, at, arrived)
        if event.type != "offer_viewed":
            return
        decision_id, offer_id = event.decision_id or "", event.offer_id or ""
        for offer in self._made.get(decision_id, ()):
            if offer.offer_id == offer_id:
                held, made_by = mark(self._ledgers.get(key, EMPTY), decision_id, offer_id, offer.placement, VIEWED, at)
                self._ledgers[key] = held
                self.pools.keep(made_by or decision_id, offer_id, at)
                if at >= self._since:
                    self._saw(offer, key)

    def _saw(self, offer: ChosenOffer, key: str) -> None:
        self.figures.shown[offer.offer_id] += 1
        self.figures.reached_by_offer[offer.offer_id].add(key)
        if offer.campaign:
            self.figures.reached[offer.campaign].add(key)

    def _note(self, decision: Decision, key: str, situation: Situation) -> None:
        figures = self.figures
        figures.visits += 1
        figures.customers.add(key)
        figures.segment_of[key] = _segments(situation.standing)
        for filled in decision.placements:
            figures.stages.update(filled.stages)
            figures.chosen.update(offer.offer_id for offer in filled.offers)
            if any(offer.kind != "fallback" for offer in filled.offers):
                figures.served.add(key)
            else:
                figures.empty_because[key][filled.reason] += 1
        if figures.visits % self._every == 1 % self._every and figures.followed < MOST_EXPLAINED:
            self._follow(situation)

    def _follow(self, situation: Situation) -> None:
        loaded = self.shop.loaded
        self.figures.followed += 1
        told = explain(situation, loaded.catalogue, self.shop.scorers, loaded.policy)[1]
        for one in told:
            self.figures.dropped[one.offer_id][one.stage] += 1
            if one.stage in ("cap", "stock"):
                self.figures.capped_by[one.rule] += 1

    def _profile(self, key: str) -> Profile:
        return self._fixed.get(key) or self._profiles.get(key) or Profile(key)

    def _fold(self, event: Event, key: str, at: int, arrived: int) -> None:
        if key in self._fixed:
            return
        before = self._profile(key)
        self._look(before, key, at)
        after = self._profiles[key] = before.folded(event, route(event), at, arrived)
        if after.part_of(route(event)).purchases is not before.part_of(route(event)).purchases:
            looked = self._stood.get(key, _NOWHERE)[1]
            self._stood[key] = self._placed(after, max(at, after.purchases.last_at)), max(at, looked)


def _view(decision: OfferDecided, offer: ChosenOffer) -> OfferSeen:
    return OfferSeen(
        id=f"{decision.id}-{offer.offer_id}",
        type="offer_viewed",
        time=decision.time,
        source=decision.source,
        received_at=decision.received_at,
        user_id=decision.user_id,
        anonymous_id=decision.anonymous_id,
        loyalty_id=decision.loyalty_id,
        channel=decision.channel,
        decision_id=decision.decision_id,
        offer_id=offer.offer_id,
        placement=offer.placement,
    )


def _segments(standing: Standing | None) -> tuple[str, ...]:
    if standing is None:
        return ("unknown",)
    return tuple(name for name in (standing.lifecycle, *standing.segments) if not name.startswith("rfm_"))
