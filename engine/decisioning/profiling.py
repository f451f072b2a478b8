"""What is left of a situation when the customer does not want to be profiled.

Consent, wishes (an offer that was waved away is one), identity and the records of service stay: they say what may be done and
what is owed. What the customer did is not read, so no rule about it holds and nobody is scored: offers are those for everybody,
by what is popular.
"""

from typing import Any

from msgspec.structs import replace

from engine.decisioning.policy import Policy
from engine.decisioning.situation import Situation
from engine.profiles.offer_history import OfferHistory
from engine.profiles.profile import Part


def may_profile(part: Part, now: int, policy: Policy) -> bool:
    """Whether the customer's readings may be judged: what they said, else what the policy says."""
    return part.consent.may_profile(now, policy.consent.profiling_by_default)


def without_history(part: Part) -> Part:
    """The part with what it says of rights and duties alone."""
    return Part(
        identity=part.identity,
        offers=OfferHistory(dismissed=part.offers.dismissed),
        service=part.service,
        consent=part.consent,
        feedback=part.feedback,
        preferences=part.preferences,
    )


def permitted(situation: Situation, policy: Policy) -> Situation:
    """The situation as it may be judged; the same one where nothing stands against it."""
    part = situation.part
    if part is None or not situation.profiled or may_profile(part, situation.now, policy):
        return situation
    unread: dict[str, Any] = {"vector": None, "derived": None, "standing": None, "tiers": (), "expanded": {}}
    return replace(situation, part=without_history(part), profiled=False, **unread)
