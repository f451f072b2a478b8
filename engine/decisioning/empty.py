"""Why a placement holds nothing personal, in a word for programs and a sentence for people."""

import numpy as np

from engine.decisioning.catalogue import Columns
from engine.decisioning.conditions import clock
from engine.decisioning.decision import Reason
from engine.decisioning.gates import (
    CAP,
    CONSENT,
    ELIGIBILITY,
    HOLDOUT,
    PLACEMENT,
    QUIET_HOURS,
    SERVICE,
    STOCK,
    Gates,
    Masks,
)
from engine.decisioning.service import ENDS, STOPS
from engine.decisioning.wishes import quiet_span

_REASONS: dict[int, Reason] = {
    CONSENT: "consent",
    HOLDOUT: "holdout",
    PLACEMENT: "no_eligible",
    ELIGIBILITY: "no_eligible",
    SERVICE: "complaint_open",
    CAP: "capped",
    STOCK: "capped",
    QUIET_HOURS: "quiet_hours",
}


def reason_for(columns: Columns, placement: str, masks: Masks, late: bool) -> Reason:
    """The latest stage that any of the placement's `sell` offers reached."""
    left = columns.sell & columns.placement[placement]
    if not left.any():
        return "no_eligible"
    for stage, mask in enumerate(masks):
        left = left & mask
        if not np.count_nonzero(left):
            return _REASONS[stage]
    return "deadline" if late else "no_eligible"


def hint_for(reason: Reason, placement: str, gates: Gates) -> str:
    """What would help, for the developer who looks at the answer."""
    match reason:
        case "consent":
            return _consent_hint(placement, gates)
        case "holdout":
            return "this customer is in the holdout group, which gets no personal offers"
        case "complaint_open":
            return f"{STOPS[gates.stopped_by]} and nothing is sold meanwhile: {ENDS[gates.stopped_by]}"
        case "capped":
            return "every offer that applies has reached its cap or its stock is used up"
        case "quiet_hours":
            span = quiet_span(gates.situation.part, gates.policy)
            return f"quiet hours until {clock(span.end)}" if span is not None else "quiet hours"
        case "deadline":
            return "the deadline passed before an offer could be scored: allow a longer deadline_ms"
        case "no_eligible":
            return 'no offer of this placement applies: ask with "explain": true for the rule that drops each'
        case "ok":
            return ""


def _consent_hint(placement: str, gates: Gates) -> str:
    situation = gates.situation
    if situation.part is None or situation.ledger is None:
        return "the customer could not be read, so nothing is known of consent"
    channels = gates.channels(placement)
    said = [
        f"no consent for {purpose} is known: send consent_updated"
        if (status := gates.consent_status(purpose, channels)) == "unknown"
        else f"consent for {purpose} is {status}"
        for purpose in gates.purposes(placement)
    ]
    return "; ".join(said)
