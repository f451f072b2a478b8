"""What went wrong, and what the customer says of us."""

from collections.abc import Sequence

from engine.features.base import Reading, Request, group
from engine.features.rfm import NEVER_DAYS
from engine.moments import DAY, Millis
from engine.profiles.feedback import NEVER
from engine.profiles.profile import Part

NO_NPS = 7.5
"""Who never answered reads as this, between 7 and 8 where nobody can answer."""
_NOTHING = (0.0, 0.0, NEVER_DAYS, NO_NPS, 0.5, 0.0)


@group(
    Reading("service.open_cases", "cases", 0, 50, "open support cases"),
    Reading("service.late_orders", "orders", 0, 8, "orders that are late"),
    Reading("service.last_resolved", "days", 0, NEVER_DAYS, "days since a complaint or case was resolved"),
    Reading("feedback.nps", "points", 0, 10, "would recommend us, out of ten"),
    Reading("feedback.satisfaction", "share", 0, 1, "satisfaction as last told"),
    Reading("feedback.sentiment", "points", -1, 1, "sentiment of the last conversation"),
)
def TOLD(part: Part, request: Request, now: Millis) -> Sequence[float]:
    """Nothing wrong and nothing said reads as the middle of each scale, and a resolution that never was as ten years ago."""
    service, said = part.service, part.feedback
    if not (service.cases or service.orders or service.last_resolved_at or said.answers or said.sentiment[0]):
        return _NOTHING
    return (
        len(service.open_cases),
        len(service.late_orders),
        (now - service.last_resolved_at) / DAY if service.last_resolved_at else NEVER_DAYS,
        said.nps[1] if said.nps != NEVER else NO_NPS,
        said.satisfaction[1] if said.satisfaction != NEVER else 0.5,
        said.sentiment[1],
    )
