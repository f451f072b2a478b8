"""The rules of triggers, judged when something is about to be sent: by the same tables as those of offers.

Each trigger with rules of its own is a row of a small catalogue of its own, so that every kind of condition holds for triggers
as well, likelihoods included.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from engine.decisioning.catalogue import Catalogue
from engine.decisioning.compiling import compile_catalogue
from engine.decisioning.eligibility import Eligibility
from engine.decisioning.offers import Offer
from engine.decisioning.policy import Policy
from engine.decisioning.situation import Situation
from engine.decisioning.triggers import Trigger


def compile_occasions(triggers: Sequence[Trigger], policy: Policy, feature_names: Sequence[str]) -> Catalogue | None:
    """The triggers that have rules of their own; None where no trigger has."""
    rows = [
        Offer(
            id=one.id,
            kind="transactional",
            placements=(one.placement,),
            content={"default": {"title": one.id}},
            eligible_when=one.eligible_when,
        )
        for one in triggers
        if one.eligible_when
    ]
    return compile_catalogue(rows, policy, feature_names, [], {}) if rows else None


def held_back(occasions: Catalogue | None, trigger: str, situation: Situation, catalogue: Catalogue) -> Situation:
    """The situation in which nothing may be said where the trigger's own rules do not hold; else the same one."""
    row = occasions.columns.row.get(trigger) if occasions is not None else None
    if occasions is None or row is None:
        return situation
    if Eligibility([situation], occasions).mask(0, situation.channel)[row]:
        return situation
    return replace(situation, exclude=frozenset(catalogue.columns.ids))
