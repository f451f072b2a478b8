"""A crowd in the real engine without HTTP: events through the shard processor, decisions by `decide`, lift from its sums.

`python -m load_tests.shoppers.light` prints what is measured beside the truth, campaign by campaign.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from engine.decisioning.catalogue import Catalogue
from engine.decisioning.compiling import compile_catalogue
from engine.decisioning.conditions import Bought, Things
from engine.decisioning.decide import decide
from engine.decisioning.ledger import EMPTY
from engine.decisioning.offers import Campaign, Money, Offer, Promotes
from engine.decisioning.policy import Experiment, Holdout, Placement, Policy, Variation
from engine.decisioning.record import decided
from engine.decisioning.scoring import scorers_for
from engine.decisioning.situation import PlacementRequest, Situation
from engine.errors import InvariantBroken
from engine.events.offers import OfferDecided
from engine.events.routing import Admitted, admit, admitted
from engine.features.base import Request
from engine.features.vector import NAMES, read_features
from engine.ids import shard_of
from engine.models.base import Example
from engine.models.lift import EVERYTHING, HOLDOUT, ArmSums, Lift, added, lift
from engine.models.scoring import CHURN, OfferScorer
from engine.moments import HOUR, MINUTE, WEEK, Millis, moment, rfc3339
from engine.profiles.profile import Profile
from engine.shards.commit import Entry
from engine.shards.labels import ChurnRule, Labels
from engine.shards.processor import ShardProcessor
from engine.store.codec import decode_profile, decode_sums
from engine.store.memory import MemoryStore
from flows.owner import Owner
from flows.runner import run_until_idle
from load_tests.shoppers.crowd import KINDS, Crowd, Mask, Played

BEGIN = Millis(1_767_225_600_000)
"""The first instant of 2026, UTC."""
WEEKS = 4
PLACEMENT = "home_hero"
CURRENCY = "EUR"
SHARDS = 4
_EXAMPLE = msgspec.msgpack.Decoder(Example)


def category(group: int) -> str:
    """What a group buys first, by which its campaign knows it."""
    return f"{KINDS[group]}-goods"


def policy(held_out: float, seed: int) -> Policy:
    """One place on the home page, and a share of everybody held out."""
    return Policy(
        placements={PLACEMENT: Placement(channel="web", max=1, shown_when="decided")},
        holdout=Holdout(share=held_out, salt=f"crowd-{seed}"),
        experiment=Experiment(variations={"learned": Variation(share=1.0, ranker="learned")}, outcome_days=7 * WEEKS),
    )


def catalogue(under: Policy) -> Catalogue:
    """A campaign for each group, of one offer, for those who have bought what the group buys."""
    offers = [
        Offer(
            id=f"offer-{kind}",
            kind="sell",
            campaign=kind,
            placements=(PLACEMENT,),
            purpose="marketing",
            content={"default": {"title": kind}},
            promotes=Promotes(categories=("anything",)),
            margin=Money(100, CURRENCY),
            eligible_when=(Bought(bought=Things(categories=(category(group),)), within_days=60.0),),
        )
        for group, kind in enumerate(KINDS)
    ]
    return compile_catalogue(offers, under, NAMES, [Campaign(id=kind) for kind in KINDS])


class Measured(Struct, frozen=True):
    """One campaign: the lift that the engine's sums give, and the truth of its customers."""

    campaign: str
    found: Lift
    truth: float

    @property
    def covers(self) -> bool:
        """Whether the interval holds the truth."""
        spend = self.found.spend
        return spend is not None and spend.low <= self.truth <= spend.high


class Shop:
    """An engine in this process, with a crowd for its customers."""

    def __init__(self, crowd: Crowd, held_out: float) -> None:
        self.crowd = crowd
        self._policy = policy(held_out, crowd.seed)
        self._catalogue = catalogue(self._policy)
        self._scorers = scorers_for(self._catalogue, OfferScorer(), None, {})
        self.treated: Mask = np.zeros(crowd.customers, dtype=bool)
        """Who gets offers, once everybody was decided for."""
        self._stays_away = crowd.stays_away(28.0)
        self.store = MemoryStore()
        processor = ShardProcessor(Labels(ChurnRule()), 0, SHARDS)
        self._owner = Owner(self.store, processor, range(SHARDS), most_cached=crowd.customers + SHARDS)

    def run(self) -> dict[str, Measured]:
        """Weeks of buying, a decision for everybody, weeks of buying under it, and the time that has to pass: the lifts."""
        everybody = np.zeros(self.crowd.customers, dtype=bool)
        self._send(self._hello())
        self._send(self._orders(self.crowd.play(WEEKS, everybody, "before"), BEGIN, "before"))
        opens = Millis(BEGIN + (WEEKS + 1) * WEEK)
        self._decide(opens)
        self._send(self._orders(self.crowd.play(WEEKS, self.treated), opens, "after"))
        self._fold([(shard, Entry("", tick=opens + 2 * WEEKS * WEEK)) for shard in range(SHARDS)])
        return self.measured()

    def watched(self, weeks: int) -> tuple[Played, list[Example]]:
        """So many weeks without any offer: what the crowd did, and the churn examples that the engine made of it."""
        played = self.crowd.play(weeks, np.zeros(self.crowd.customers, dtype=bool), "watched")
        self._send(self._hello())
        self._send(self._orders(played, BEGIN, "watched"))
        self._fold([(shard, Entry("", tick=BEGIN + weeks * WEEK)) for shard in range(SHARDS)])
        found = [_EXAMPLE.decode(raw) for held in self.store.examples.values() for raw in held]
        return played, [one for one in found if one.model == CHURN]

    def stays_away(self, example: Example, played: Played) -> float:
        """The true chance behind a churn example: of somebody who had left by then certainty."""
        number, week = int(example.customer.removeprefix("u:")), (example.opened_at - BEGIN) // WEEK
        gone = week > 0 and bool(played.gone[number, week - 1])
        return 1.0 if gone else float(self._stays_away[number])

    def measured(self) -> dict[str, Measured]:
        """By campaign, `*` for all of them."""
        return {name: Measured(name, lift(*self._arms(name), CURRENCY), self.truth(name)) for name in (EVERYTHING, *KINDS)}

    def truth(self, campaign: str) -> float:
        """What offers truly add to the spend of a customer of the campaign."""
        chosen = None if campaign == EVERYTHING else self.crowd.group == KINDS.index(campaign)
        return self.crowd.effect(WEEKS, chosen)

    def _arms(self, campaign: str) -> tuple[ArmSums, ArmSums]:
        both: dict[str, list[ArmSums]] = {HOLDOUT: [], "learned": []}
        for held in self.store.lift.values():
            for (name, arm), raw in held.items():
                if name == campaign:
                    both[arm].append(decode_sums(raw))
        return added(both["learned"]), added(both[HOLDOUT])

    def _decide(self, at: Millis) -> None:
        """Decides for everybody and logs it."""
        log: list[Admitted] = []
        for number in range(self.crowd.customers):
            profile = self._profile(f"u:{number}")
            decision = decide(self._situation(number, profile, at), self._catalogue, self._scorers, self._policy)
            self.treated[number] = not decision.holdout
            said = OfferDecided(
                id=decision.decision_id,
                type="offer_decided",
                time=moment(at),
                source="regulars://decisions",
                received_at=moment(at),
                user_id=str(number),
                decision_id=decision.decision_id,
                data=decided(decision, self._catalogue, self._policy),
            )
            log.append(admitted(said))
        self._send(log)

    def _situation(self, number: int, profile: Profile, at: Millis) -> Situation:
        return Situation(
            decision_id=f"d-{number}",
            now=at,
            unit=profile.unit,
            placements=(PlacementRequest(PLACEMENT),),
            part=profile.whole,
            vector=read_features(profile, Request("web"), at),
            ledger=EMPTY,
            channel="web",
        )

    def _profile(self, key: str) -> Profile:
        raw = self.store.profile(shard_of(key, SHARDS), key)
        if raw is None:
            raise InvariantBroken(f"{key} has bought and is not known")
        return decode_profile(key, raw)

    def _hello(self) -> Iterator[Admitted]:
        """Everybody allows offers and buys what their group buys."""
        for number in range(self.crowd.customers):
            consent = {"purpose": "marketing", "status": "granted"}
            yield _event("consent_updated", number, BEGIN - HOUR, "consent", consent)
            group = int(self.crowd.group[number])
            yield _order(number, BEGIN, "hello", 100, category(group))

    def _orders(self, played: Played, since: int, what: str) -> Iterator[Admitted]:
        """The purchases, week by week."""
        for week in range(played.amounts.shape[1]):
            customers, visits = np.nonzero(played.amounts[:, week])
            for number, visit in zip(customers.tolist(), visits.tolist(), strict=True):
                at = since + week * WEEK + (visit + 1) * 12 * HOUR + number % 600 * MINUTE // 60
                yield _order(number, at, f"{what}-{week}-{visit}", int(played.amounts[number, week, visit]), "anything")

    def _send(self, events: Iterator[Admitted] | Sequence[Admitted]) -> None:
        self._fold([(shard_of(one.key, SHARDS), Entry("", one.entry, one.fingerprint, one.key)) for one in events])

    def _fold(self, entries: list[tuple[int, Entry]]) -> None:
        self.store.append(entries)
        run_until_idle(self._owner, self.store)


def _event(kind: str, number: int, at: int, name: str, data: dict[str, Any]) -> Admitted:
    body = {"type": kind, "id": f"{name}-{number}", "source": "web://crowd", "time": rfc3339(at), "user_id": str(number)}
    found = admit(body | {"data": data}, Millis(at), backfill=True)
    if not isinstance(found, Admitted):
        raise InvariantBroken(f"the door refuses a customer of the crowd: {found.detail}")
    return found


def _order(number: int, at: int, name: str, amount: int, bought: str) -> Admitted:
    products = [{"product_id": f"p-{bought}", "category": bought, "price": amount}]
    data = {"order_id": f"{name}-{number}", "currency": CURRENCY, "total": amount, "products": products}
    return _event("order_completed", number, at, name, data)


def main(customers: int = 8_000, held_out: float = 0.3, seed: int = 7) -> None:
    """Prints the lift of each campaign beside the truth."""
    shop = Shop(Crowd(seed, customers), held_out)
    print(f"{customers:,} customers, {held_out:.0%} held out, {WEEKS} weeks, in cents a customer")
    for name, one in shop.run().items():
        spend = one.found.spend
        if spend is None:
            print(f"{name:14} {one.found.refused}")
            continue
        verdict = "covers" if one.covers else "misses"
        told = f"{spend.difference:+8.0f} in [{spend.low:+8.0f}, {spend.high:+8.0f}] {verdict} the truth {one.truth:+8.0f}"
        print(f"{name:14} {told}{'  significant' if spend.significant else ''}")


if __name__ == "__main__":
    main()
