"""In which arm a customer counts, for which campaigns, and what they have spent since: observations that are not over yet.

An enrolment opens with the first decision in which an offer of the campaign would have been in place, and is over after
the time that the decision states. It stays here afterwards as a mark, so that nobody is counted twice for a campaign. Which
events change it needs the purchases and offers of all identities, so `engine.shards.trials` does it.
"""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from engine.profiles.purchases import Purchases

MOST_ENROLMENTS = 64


class Enrolment(Struct, frozen=True, gc=False, array_like=True):
    """One customer in one campaign. Spend is net, in minor units by currency.

    `before` is the spend of as long a time before `at` as the enrolment lasts. `mixed` says that something was decided
    for this customer under another arm. `counted` says that the observation is over and in the sums. `unit` is the identity
    whose hash put the customer into the arm.
    """

    campaign: str = ""
    arm: str = ""
    at: int = 0
    closes_at: int = 0
    after: dict[str, int] = {}
    before: dict[str, int] = {}
    purchases: int = 0
    redemptions: int = 0
    exposed: bool = False
    mixed: bool = False
    counted: bool = False
    unit: str = ""

    @property
    def order(self) -> tuple[bool, int, str, int]:
        """Of two enrolments of a customer in one campaign the lesser counts: one that is over, else the earlier."""
        return not self.counted, self.at, self.arm, self.closes_at

    def spent(self, change: Mapping[str, int], purchases: int, at: int) -> "Enrolment":
        """After spend changed by a purchase or a return at this instant; outside its two spans nothing changes."""
        if self.at <= at < self.closes_at:
            return replace(self, after=_sum(self.after, change), purchases=self.purchases + purchases)
        if 2 * self.at - self.closes_at <= at < self.at:
            return replace(self, before=_sum(self.before, change))
        return self

    def recounted(self, bought: Purchases) -> "Enrolment":
        """With spend read from the list of last purchases: at the start, and when another identity brings its own.

        It reaches as far back as the list does; from the start on every purchase is added as it comes.
        """
        after: dict[str, int] = {}
        before: dict[str, int] = {}
        purchases = 0
        for one in bought.last:
            if one.taken_back:
                continue
            if self.at <= one.at < self.closes_at:
                after = _sum(after, {one.currency: one.net})
                purchases += 1
            elif 2 * self.at - self.closes_at <= one.at < self.at:
                before = _sum(before, {one.currency: one.net})
        return replace(self, after=after, before=before, purchases=purchases)


class Experiment(Struct, frozen=True, gc=False, array_like=True):
    """Enrolments in order of campaign, one for each."""

    enrolments: tuple[Enrolment, ...] = ()

    @property
    def open(self) -> bool:
        """Whether any is not over."""
        return any(not one.counted for one in self.enrolments)

    def merge(self, other: "Experiment") -> "Experiment":
        """Two identities of one customer: of two enrolments in a campaign the one that is over, else the earlier."""
        if not other.enrolments:
            return self
        held = {one.campaign: one for one in self.enrolments}
        for one in other.enrolments:
            mine = held.get(one.campaign)
            held[one.campaign] = one if mine is None else _joined(mine, one)
        return Experiment(tuple(held[name] for name in sorted(held))[:MOST_ENROLMENTS])


def _joined(one: Enrolment, other: Enrolment) -> Enrolment:
    first, second = sorted((one, other), key=lambda each: each.order)
    return replace(
        first,
        exposed=first.exposed or second.exposed,
        mixed=first.mixed or second.mixed or first.arm != second.arm,
        redemptions=first.redemptions + second.redemptions,
    )


def _sum(spend: Mapping[str, int], change: Mapping[str, int]) -> dict[str, int]:
    return {name: spend.get(name, 0) + change.get(name, 0) for name in sorted({*spend, *change})}
