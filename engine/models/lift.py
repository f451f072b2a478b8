"""What personalization adds, customer for customer, with an interval that may be looked at as often as one likes.

Who is held out is drawn by a hash, so the two groups differ in nothing but what they get, and everybody whom a campaign
is for counts in their group, whether an offer reached them or not (intention to treat). A customer enters the sums once,
when the weeks after their first decision are over, and is never changed afterwards: what is summed is a sequence of
finished, independent observations, and that is what an interval needs that holds at all times together.

The interval is the asymptotic confidence sequence of a normal mixture: with n customers, squared error v of the
difference and ρ fixed in advance, ± sqrt(v · 2(1 + 1/(nρ²)) · log(sqrt(nρ² + 1)/α)) covers the truth at every n with
probability 1 − α. It is about half again as wide as an interval that may be looked at once.
Spend of the weeks before takes out of the spend afterwards what was known beforehand (CUPED). A ratio to the control has
the set of all ratios that the same sequence does not refute, which has no upper end while the control may be nothing.

Sources: Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), "Time-uniform central limit theory and asymptotic
confidence sequences", Annals of Statistics 52(6), 2613-2640, theorem 2.2 and section 3; Deng, Xu, Kohavi & Walker (2013),
"Improving the sensitivity of online controlled experiments by utilizing pre-experiment data", WSDM; Fieller (1954),
"Some problems in interval estimation", J. Royal Statistical Society B 16(2), 175-185.
"""

from collections.abc import Iterable, Mapping
from functools import reduce
from math import log, sqrt

from msgspec import Struct

HOLDOUT = "holdout"
"""The arm of those who are kept without personal offers."""
PERSONALIZED = "personalized"
"""All other arms together."""
EVERYTHING = "*"
"""Stands for all campaigns together: everybody for whom anything personal would have been in place."""
ALPHA = 0.05
SHARPEST_AT = 10_000
"""The number of customers at which the interval is as narrow as this kind can be. Fixed, since it may not follow the data."""
LEAST_CUSTOMERS = 250
LEAST_BUYERS = 20
"""In each arm. Below, a mean of spend is too far from normal: few receipts are large, and a small holdout has few of them."""


class Moments(Struct, frozen=True, array_like=True):
    """Sums over customers of spend after (y) and before (x) their first decision, in minor units of one currency."""

    y: float = 0.0
    yy: float = 0.0
    x: float = 0.0
    xx: float = 0.0
    xy: float = 0.0


class Observed(Struct, frozen=True):
    """One customer of one campaign when the time is over: spend by currency, and what else happened.

    `exposed` says that an offer of the campaign was seen; `mixed` that something was decided for the customer under
    another arm, as after two identities turned out to be one.
    """

    after: Mapping[str, int] = {}
    before: Mapping[str, int] = {}
    bought: bool = False
    exposed: bool = False
    redemptions: int = 0
    mixed: bool = False


class ArmSums(Struct, frozen=True, array_like=True):
    """One arm of one campaign: counts of customers, and moments of their spend by currency."""

    customers: int = 0
    buyers: int = 0
    exposed: int = 0
    redemptions: int = 0
    mixed: int = 0
    money: dict[str, Moments] = {}

    def with_customer(self, one: Observed) -> "ArmSums":
        """After one more customer."""
        money = dict(self.money)
        for currency in sorted({*one.after, *one.before}):
            held = money.get(currency, Moments())
            y, x = float(one.after.get(currency, 0)), float(one.before.get(currency, 0))
            money[currency] = Moments(held.y + y, held.yy + y * y, held.x + x, held.xx + x * x, held.xy + x * y)
        return ArmSums(
            self.customers + 1,
            self.buyers + one.bought,
            self.exposed + one.exposed,
            self.redemptions + one.redemptions,
            self.mixed + one.mixed,
            money,
        )

    def plus(self, other: "ArmSums") -> "ArmSums":
        """Two sets of customers as one."""
        money = dict(self.money)
        for currency, more in other.money.items():
            held = money.get(currency, Moments())
            money[currency] = Moments(held.y + more.y, held.yy + more.yy, held.x + more.x, held.xx + more.xx, held.xy + more.xy)
        return ArmSums(
            self.customers + other.customers,
            self.buyers + other.buyers,
            self.exposed + other.exposed,
            self.redemptions + other.redemptions,
            self.mixed + other.mixed,
            money,
        )


def added(some: Iterable[ArmSums]) -> ArmSums:
    """All of them as one."""
    return reduce(ArmSums.plus, some, ArmSums())


class Effect(Struct, frozen=True):
    """One number of two arms: means, their difference and their ratio less one, each with its interval.

    `relative_high` is None while the control's mean may be as low as nothing, and so is `relative_low` then.
    """

    mean: float
    control_mean: float
    difference: float
    low: float
    high: float
    relative: float | None = None
    relative_low: float | None = None
    relative_high: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the interval excludes that there is no difference."""
        return self.low > 0.0 or self.high < 0.0


class Lift(Struct, frozen=True):
    """An arm against a control. Where `refused` says why, there is no effect. Spend is in minor units a customer."""

    arm: ArmSums
    control: ArmSums
    spend: Effect | None = None
    buyers: Effect | None = None
    refused: str = ""


def lift(arm: ArmSums, control: ArmSums, currency: str, alpha: float = ALPHA) -> Lift:
    """How an arm differs from a control, in spend of one currency and in the share of customers who bought."""
    refused = _refusal(arm, "arm") or _refusal(control, "control")
    if refused:
        return Lift(arm, control, refused=refused)
    spend = _effect(*_adjusted(arm, control, currency), arm.customers + control.customers, alpha)
    buyers = _effect(_share(arm), _share(control), arm.customers + control.customers, alpha)
    return Lift(arm, control, spend, buyers)


def _refusal(arm: ArmSums, name: str) -> str:
    if arm.customers < LEAST_CUSTOMERS:
        return f"the {name} has {arm.customers} customers whose time is over; {LEAST_CUSTOMERS} are needed"
    if arm.buyers < LEAST_BUYERS:
        return f"the {name} has {arm.buyers} customers who bought; {LEAST_BUYERS} are needed"
    return ""


Mean = tuple[float, float]
"""A mean and its squared error."""


def _share(arm: ArmSums) -> Mean:
    share = arm.buyers / arm.customers
    return share, share * (1.0 - share) / (arm.customers - 1)


def _adjusted(arm: ArmSums, control: ArmSums, currency: str) -> tuple[Mean, Mean]:
    """Mean spend of both, less what their spend before explains. One slope for both arms, from within the arms."""
    both = [(one, one.money.get(currency, Moments())) for one in (arm, control)]
    total = arm.customers + control.customers
    centre = sum(held.x for _, held in both) / total
    within = [_spread(held, one.customers) for one, held in both]
    over = sum(xx for _, xx, _ in within)
    slope = sum(xy for _, _, xy in within) / over if over > 0.0 else 0.0
    means: list[Mean] = []
    for (one, held), (yy, xx, xy) in zip(both, within, strict=True):
        count = one.customers
        mean = held.y / count - slope * (held.x / count - centre)
        left = max(yy - 2.0 * slope * xy + slope * slope * xx, 0.0) / (count - 1)
        means.append((mean, left / count))
    return means[0], means[1]


def _spread(held: Moments, count: int) -> tuple[float, float, float]:
    """Sums of squares and products about the means: y, x, and both."""
    return (
        max(held.yy - held.y * held.y / count, 0.0),
        max(held.xx - held.x * held.x / count, 0.0),
        held.xy - held.x * held.y / count,
    )


def _effect(arm: Mean, control: Mean, customers: int, alpha: float) -> Effect:
    (mean, error), (held, held_error) = arm, control
    reach = squared_reach(customers, alpha)
    half = sqrt(reach * (error + held_error))
    difference = mean - held
    relative = _ratio_less_one(arm, control, reach) if held > 0.0 else (None, None, None)
    return Effect(mean, held, difference, difference - half, difference + half, *relative)


def squared_reach(customers: int, alpha: float = ALPHA) -> float:
    """By how many squared standard errors the sequence reaches out; the one-look interval would have 1.96² at .05."""
    rho2 = (-2.0 * log(alpha) + log(-2.0 * log(alpha) + 1.0)) / SHARPEST_AT
    time = customers * rho2
    return 2.0 * (1.0 + 1.0 / time) * log(sqrt(time + 1.0) / alpha)


def _ratio_less_one(arm: Mean, control: Mean, reach: float) -> tuple[float, float | None, float | None]:
    """mean ÷ control − 1, and the ends of all r for which mean − r · control is not refuted to be 0."""
    (mean, error), (held, held_error) = arm, control
    a, b, c = held * held - reach * held_error, mean * held, mean * mean - reach * error
    inside = b * b - a * c
    if a <= 0.0 or inside < 0.0:
        return mean / held - 1.0, None, None
    root = sqrt(inside)
    return mean / held - 1.0, (b - root) / a - 1.0, (b + root) / a - 1.0
