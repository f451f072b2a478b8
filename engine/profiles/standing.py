"""Where a customer stands among all customers, as the shard last saw it."""

from typing import Literal, get_args

from msgspec import Struct

Tier = Literal["", "heavy", "moderate", "light"]
Lifecycle = Literal["prospect", "new", "active", "at_risk", "lapsed", "lost"]
TIERS: tuple[str, ...] = tuple(name for name in get_args(Tier) if name)
STAGES: tuple[str, ...] = get_args(Lifecycle)
BEST = "best"


class Standing(Struct, frozen=True, gc=False, array_like=True):
    """The segments of a customer, renewed at purchases and at the weekly boundary.

    `rfm` holds three digits from 1 to 5 for recency, frequency and monetary value, 5 best; `best` says that they are among
    the best customers. `places` are the bins in which the shard counts the customer; empty where it does not.
    """

    tier: Tier = ""
    rfm: str = ""
    best: bool = False
    lifecycle: Lifecycle = "prospect"
    places: tuple[int, ...] = ()

    @property
    def segments(self) -> tuple[str, ...]:
        """The segments by name: the tier, the RFM cell and `best`, as far as they are known."""
        named = (self.tier, f"rfm_{self.rfm}" if self.rfm else "", BEST if self.best else "")
        return tuple(name for name in named if name)
