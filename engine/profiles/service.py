"""Complaints: while one is open, nothing is sold."""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from engine.events.service import ComplaintFiled, ComplaintResolved

MOST_CASES = 50


class Complaint(Struct, frozen=True, array_like=True):
    """One complaint; it is open while it was filed after it was last resolved."""

    filed_at: int = 0
    resolved_at: int = 0
    reason: str = ""

    @property
    def is_open(self) -> bool:
        return self.filed_at > self.resolved_at


class Service(Struct, frozen=True, array_like=True):
    """Complaints by key. `all_resolved_at` is the last resolution that named no complaint; `filed` counts each named one once."""

    complaints: dict[str, Complaint] = {}
    all_resolved_at: int = 0
    filed: int = 0
    last_filed_at: int = 0

    @property
    def open(self) -> dict[str, Complaint]:
        """Complaints not resolved yet."""
        return {
            key: complaint
            for key, complaint in self.complaints.items()
            if complaint.is_open and complaint.filed_at > self.all_resolved_at
        }

    @property
    def open_complaints(self) -> int:
        return len(self.open)

    def merge(self, other: "Service") -> "Service":
        """Complaints of two identities of one customer; the same case counts once."""
        complaints = dict(self.complaints)
        for key, complaint in other.complaints.items():
            mine = complaints.get(key, Complaint())
            complaints[key] = Complaint(
                max(mine.filed_at, complaint.filed_at),
                max(mine.resolved_at, complaint.resolved_at),
                max(mine.reason, complaint.reason),
            )
        return Service(
            dict(sorted(complaints.items())),
            max(self.all_resolved_at, other.all_resolved_at),
            self.filed + other.filed,
            max(self.last_filed_at, other.last_filed_at),
        )


def _bounded(complaints: dict[str, Complaint]) -> dict[str, Complaint]:
    if len(complaints) <= MOST_CASES:
        return complaints
    closed = [key for key, complaint in complaints.items() if not complaint.is_open]
    oldest = min(closed or complaints, key=lambda key: (complaints[key].filed_at, key))
    return {key: complaint for key, complaint in complaints.items() if key != oldest}


def _filed(facet: Service, event: ComplaintFiled, at: int) -> Service:
    key = event.data.key
    before = facet.complaints.get(key, Complaint())
    after = Complaint(max(before.filed_at, at), before.resolved_at, event.data.reason or before.reason)
    return replace(
        facet,
        complaints=_bounded({**facet.complaints, key: after}),
        filed=facet.filed + (not key or key not in facet.complaints),
        last_filed_at=max(facet.last_filed_at, at),
    )


def _resolved(facet: Service, event: ComplaintResolved, at: int) -> Service:
    key = event.data.key
    if not key:
        return replace(facet, all_resolved_at=max(facet.all_resolved_at, at))
    before = facet.complaints.get(key, Complaint())
    after = Complaint(before.filed_at, max(before.resolved_at, at), before.reason)
    return replace(facet, complaints=_bounded({**facet.complaints, key: after}))


HANDLERS: dict[str, Callable[..., Service]] = {
    "complaint_filed": _filed,
    "complaint_escalated": _filed,
    "complaint_resolved": _resolved,
}
