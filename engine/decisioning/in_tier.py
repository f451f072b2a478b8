"""The kind of condition that asks for a tier of the loyalty programme."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from engine.decisioning.situation import Situation


class TierWanted(Struct, frozen=True, kw_only=True):
    """One of `among`, or `at_least` this tier."""

    among: tuple[str, ...] = ()
    at_least: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.among, self.at_least) if self.at_least else self.among


class InTier(Struct, frozen=True, kw_only=True):
    """The customer is in one of these tiers, written `silver` or a list, or in `{at_least: silver}` or above."""

    tier: Annotated[TierWanted, Meta(extra={"written": "tier"})]

    def words(self) -> str:
        wanted = self.tier
        return f"tier {wanted.at_least} or above" if wanted.at_least else f"tier {' or '.join(wanted.among)}"


class TierTable:
    """A situation names the tier held first and those below it behind; without any the customer is in no tier."""

    def __init__(self, uses: Sequence[InTier], feature_names: Sequence[str]) -> None:  # noqa: ARG002
        self.uses = tuple(use.tier for use in uses)

    def holds(self, situations: Sequence[Situation]) -> NDArray[np.bool_]:
        return np.array([[_held(one.tiers, use) for use in self.uses] for one in situations], dtype=np.bool_)


def _held(tiers: tuple[str, ...], wanted: TierWanted) -> bool:
    return wanted.at_least in tiers if wanted.at_least else tiers[:1] != () and tiers[0] in wanted.among
