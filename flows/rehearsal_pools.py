"""Stocks, coupon pools and budgets of a rehearsal, in memory: what is taken, until when, and what is kept."""

from heapq import heappop, heappush

from msgspec import Struct, field

from engine.decisioning.catalogue import Catalogue
from engine.decisioning.decision import Decision, Take
from engine.decisioning.ledger import Refusal


class Held(Struct):
    """What one decision holds of one pool: `kept` for good, the rest until `ends` (0: nothing comes back)."""

    take: Take
    kept: int = 0
    ends: int = 0

    @property
    def whole(self) -> int:
        return self.take.amount + self.take.later


class Pool(Struct):
    """One pool. `taken` is right up to the last time that was asked about; times only rise."""

    capacity: int = 0
    taken: int = 0
    refused: int = 0
    held: dict[str, Held] = field(default_factory=dict)
    ending: list[tuple[int, str]] = field(default_factory=list)

    def used(self, now: int) -> int:
        """What is kept, and what has not come back by now."""
        while self.ending and self.ending[0][0] <= now:
            ends, name = heappop(self.ending)
            one = self.held.get(name)
            if one is not None and one.ends == ends:
                self.taken -= one.whole - one.kept
                del self.held[name]
        return self.taken

    def hold(self, name: str, one: Held) -> None:
        self.held[name] = one
        if one.ends:
            heappush(self.ending, (one.ends, name))


class Pools:
    """Everything that is taken, by pool."""

    def __init__(self) -> None:
        self.by_name: dict[str, Pool] = {}

    def left(self, catalogue: Catalogue, now: int) -> dict[str, int]:
        """What is left of each pool of the catalogue."""
        for taken in catalogue.columns.pools:
            for pool in taken:
                self.by_name.setdefault(pool.name, Pool(pool.capacity))
        return {name: pool.capacity - pool.used(now) for name, pool in self.by_name.items()}

    def take(self, decision: Decision, now: int) -> Refusal | None:
        """Reserves everything that a decision takes, or nothing and names the offer that cannot have it."""
        for take in decision.takes:
            pool = self.by_name.setdefault(take.pool, Pool(take.capacity))
            if pool.used(now) + take.amount + take.later > take.capacity:
                pool.refused += 1
                self.release(decision)
                placement = next(offer.placement for offer in decision.offers if offer.offer_id == take.offer_id)
                return Refusal(take.offer_id, placement, "stock")
            pool.taken += take.amount + take.later
            seen = take.keep
            ends = take.expires if not seen else now + take.window_ms if take.later else 0
            pool.hold(_name(decision.decision_id, take.offer_id), Held(take, take.amount if seen else 0, ends))
        return None

    def release(self, decision: Decision) -> None:
        """Gives back what a decision that was not admitted had taken."""
        for take in decision.takes:
            pool = self.by_name.get(take.pool)
            one = pool.held.pop(_name(decision.decision_id, take.offer_id), None) if pool is not None else None
            if pool is not None and one is not None:
                pool.taken -= one.whole

    def keep(self, decision_id: str, offer_id: str, at: int) -> None:
        """What was seen is spent; what a redemption would take is held for its time."""
        for pool in self.by_name.values():
            one = pool.held.get(_name(decision_id, offer_id))
            if one is not None and not one.kept:
                ends = at + one.take.window_ms if one.take.later else 0
                pool.hold(_name(decision_id, offer_id), Held(one.take, one.take.amount, ends))


def _name(decision_id: str, offer_id: str) -> str:
    return f"{decision_id}|{offer_id}"
