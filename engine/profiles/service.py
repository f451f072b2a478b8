"""Complaints, support cases, orders on their way and upkeep: what may stop selling, and what the shop owes the customer.

Each record keeps the latest instant of everything that can happen to it, so the order in which events arrive changes
nothing: a complaint is open while it was filed or escalated after it was last resolved.
"""

from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from engine.events.orders import OrderCancelled, OrderMoved, OrderRefunded
from engine.events.service import (
    ComplaintFiled,
    ComplaintMoved,
    ComplaintResolved,
    ServiceCompleted,
    ServiceDue,
    SupportCase,
    WarrantyClaimed,
)
from engine.moments import millis

MOST_CASES = 50
MOST_ORDERS = 8
MOST_UPKEEP = 16
_WORD = 80
"""Letters of a sender's word that are kept."""


class Complaint(Struct, frozen=True, gc=False, array_like=True):
    """One complaint or support case, as the latest instants of what happened to it; 0 has not happened.

    `past_due_at` is the due date that was passed and told of; it belongs to the filing before it.
    """

    filed_at: int = 0
    resolved_at: int = 0
    reason: str = ""
    escalated_at: int = 0
    acknowledged_at: int = 0
    severity: str = ""
    product: str = ""
    store: str = ""
    order: str = ""
    past_due_at: int = 0

    @property
    def since(self) -> int:
        """From when on it waits for its resolution."""
        return self.filed_at or self.escalated_at

    @property
    def is_open(self) -> bool:
        return max(self.filed_at, self.escalated_at) > self.resolved_at

    @property
    def is_escalated(self) -> bool:
        return self.escalated_at > self.resolved_at

    @property
    def is_past_due(self) -> bool:
        """Told to be past due since it was filed last."""
        return self.past_due_at > self.since

    def merge(self, other: "Complaint") -> "Complaint":
        """What two identities know of one case."""
        return _latest(self, other)


def _latest(one: "_Record", other: "_Record") -> "_Record":
    """Field by field the greater."""
    return replace(one, **{name: max(getattr(one, name), getattr(other, name)) for name in one.__struct_fields__})


class Order(Struct, frozen=True, gc=False, array_like=True):
    """An order on its way; 0 has not happened. `ended_at`: cancelled, or all the money went back; `returned_at`: some of it."""

    shipped_at: int = 0
    late_at: int = 0
    delivered_at: int = 0
    ended_at: int = 0
    returned_at: int = 0

    @property
    def is_late(self) -> bool:
        return self.late_at > max(self.delivered_at, self.ended_at)

    @property
    def is_underway(self) -> bool:
        return max(self.shipped_at, self.late_at) > max(self.delivered_at, self.ended_at)

    def merge(self, other: "Order") -> "Order":
        return _latest(self, other)


class Upkeep(Struct, frozen=True, gc=False, array_like=True):
    """When a thing needs service, or its warranty ends: (told at, due at) as told last, and when it was last completed.

    `raised_for` is the due date of which the engine has told in time.
    """

    told: tuple[int, int] = (0, 0)
    completed_at: int = 0
    raised_for: int = 0
    about: str = ""

    @property
    def due_at(self) -> int:
        """0 where nothing is to come."""
        told_at, due_at = self.told
        return due_at if told_at >= self.completed_at else 0

    def merge(self, other: "Upkeep") -> "Upkeep":
        return _latest(self, other)


class Service(Struct, frozen=True, gc=False, array_like=True):
    """Complaints and cases by key. `all_resolved_at` is the last resolution that named no complaint, `cases_resolved_at` the
    same of cases; `filed` counts each named complaint once."""

    complaints: dict[str, Complaint] = {}
    all_resolved_at: int = 0
    filed: int = 0
    last_filed_at: int = 0
    cases: dict[str, Complaint] = {}
    cases_resolved_at: int = 0
    orders: dict[str, Order] = {}
    upkeep: dict[str, Upkeep] = {}
    last_resolved_at: int = 0

    @property
    def open(self) -> dict[str, Complaint]:
        """Complaints not resolved yet."""
        return _open(self.complaints, self.all_resolved_at)

    @property
    def open_cases(self) -> dict[str, Complaint]:
        """Support cases not resolved yet."""
        return _open(self.cases, self.cases_resolved_at)

    @property
    def open_complaints(self) -> int:
        return len(self.open)

    @property
    def late_orders(self) -> dict[str, Order]:
        """Orders that are late and not delivered, cancelled or paid back."""
        return {name: order for name, order in self.orders.items() if order.is_late}

    @property
    def past_due(self) -> int:
        """How many open complaints and cases were told to be past due."""
        if not (self.complaints or self.cases):
            return 0
        return sum(one.is_past_due for kind in (self.open, self.open_cases) for one in kind.values())

    def merge(self, other: "Service") -> "Service":
        """What is held of two identities of one customer; the same case counts once."""
        return Service(
            _merged(self.complaints, other.complaints),
            max(self.all_resolved_at, other.all_resolved_at),
            self.filed + other.filed - _twice(self.complaints, other.complaints),
            max(self.last_filed_at, other.last_filed_at),
            _merged(self.cases, other.cases),
            max(self.cases_resolved_at, other.cases_resolved_at),
            _merged(self.orders, other.orders),
            _merged(self.upkeep, other.upkeep),
            max(self.last_resolved_at, other.last_resolved_at),
        )


def _twice(mine: dict[str, Complaint], theirs: dict[str, Complaint]) -> int:
    """How many named complaints were filed under both."""
    return sum(bool(key) and one.since > 0 and key in theirs and theirs[key].since > 0 for key, one in mine.items())


_Record = TypeVar("_Record", Complaint, Order, Upkeep)


def _merged(mine: dict[str, _Record], theirs: dict[str, _Record]) -> dict[str, _Record]:
    if not mine or not theirs:
        return mine or theirs
    both = dict(mine)
    for key, record in theirs.items():
        both[key] = both[key].merge(record) if key in both else record
    return dict(sorted(both.items()))


def _open(held: dict[str, Complaint], all_resolved_at: int) -> dict[str, Complaint]:
    if not held:
        return held
    return {key: one for key, one in held.items() if one.is_open and max(one.filed_at, one.escalated_at) > all_resolved_at}


def _bounded(held: dict[str, Complaint]) -> dict[str, Complaint]:
    """At most so many. A resolved one goes first; where all are open the oldest goes on under no name, since nothing may be
    sold because too much is wrong."""
    while len(held) > MOST_CASES:
        closed = [key for key, one in held.items() if key and not one.is_open]
        oldest = min(closed or [key for key in held if key], key=lambda key: (held[key].since, key))
        kept = {key: one for key, one in held.items() if key != oldest}
        if not closed:
            kept[""] = kept.get("", Complaint()).merge(held[oldest])
        held = kept
    return held


def _told(case: Complaint, event: ComplaintFiled | ComplaintMoved | SupportCase) -> Complaint:
    """With what the event says of the case; of two words for one thing the greater, so that order does not matter."""
    said = event.data
    return replace(
        case,
        reason=max(case.reason, (said.reason or "")[:_WORD]),
        severity=max(case.severity, (said.severity or "").lower()[:_WORD]),
        product=max(case.product, (said.product_id or "")[:_WORD]),
        store=max(case.store, (said.store or "")[:_WORD]),
        order=max(case.order, (said.order_id or "")[:_WORD]),
    )


def _filed(facet: Service, event: ComplaintFiled, at: int) -> Service:
    key = event.data.key
    case = _told(facet.complaints.get(key, Complaint()), event)
    new = not key or not case.since
    case = replace(case, filed_at=max(case.filed_at, at))
    return replace(
        facet,
        complaints=_bounded({**facet.complaints, key: case}),
        filed=facet.filed + new,
        last_filed_at=max(facet.last_filed_at, at),
    )


def _escalated(facet: Service, event: ComplaintMoved, at: int) -> Service:
    key = event.data.key
    case = _told(facet.complaints.get(key, Complaint()), event)
    new = bool(key) and not case.since
    case = replace(case, escalated_at=max(case.escalated_at, at))
    complaints = _bounded({**facet.complaints, key: case})
    return replace(facet, complaints=complaints, filed=facet.filed + new, last_filed_at=max(facet.last_filed_at, at))


def _acknowledged(facet: Service, event: ComplaintMoved, at: int) -> Service:
    """One that nobody filed yet is no complaint by being acknowledged, but the word is kept."""
    key = event.data.key
    case = _told(facet.complaints.get(key, Complaint()), event)
    case = replace(case, acknowledged_at=max(case.acknowledged_at, at))
    return replace(facet, complaints=_bounded({**facet.complaints, key: case}))


def _resolved(facet: Service, event: ComplaintResolved, at: int) -> Service:
    key, last = event.data.key, max(facet.last_resolved_at, at)
    if not key:
        return replace(facet, all_resolved_at=max(facet.all_resolved_at, at), last_resolved_at=last)
    case = facet.complaints.get(key, Complaint())
    case = replace(case, resolved_at=max(case.resolved_at, at))
    return replace(facet, complaints=_bounded({**facet.complaints, key: case}), last_resolved_at=last)


def _case_opened(facet: Service, event: SupportCase, at: int) -> Service:
    key = event.data.key
    case = _told(facet.cases.get(key, Complaint()), event)
    return replace(facet, cases=_bounded({**facet.cases, key: replace(case, filed_at=max(case.filed_at, at))}))


def _case_escalated(facet: Service, event: SupportCase, at: int) -> Service:
    key = event.data.key
    case = _told(facet.cases.get(key, Complaint()), event)
    return replace(facet, cases=_bounded({**facet.cases, key: replace(case, escalated_at=max(case.escalated_at, at))}))


def _case_resolved(facet: Service, event: SupportCase, at: int) -> Service:
    return _case_closed(facet, event.data.key, at)


def _case_closed(facet: Service, key: str, at: int) -> Service:
    last = max(facet.last_resolved_at, at)
    if not key:
        return replace(facet, cases_resolved_at=max(facet.cases_resolved_at, at), last_resolved_at=last)
    case = facet.cases.get(key, Complaint())
    case = replace(case, resolved_at=max(case.resolved_at, at))
    return replace(facet, cases=_bounded({**facet.cases, key: case}), last_resolved_at=last)


def _claimed(facet: Service, event: WarrantyClaimed, at: int) -> Service:
    said = event.data
    if said.key:
        case = facet.cases.get(said.key, Complaint())
        case = replace(
            case,
            filed_at=max(case.filed_at, at),
            reason=max(case.reason, (said.reason or "warranty")[:_WORD]),
            product=max(case.product, (said.product_id or "")[:_WORD]),
            store=max(case.store, (said.store or "")[:_WORD]),
            order=max(case.order, (said.order_id or "")[:_WORD]),
        )
        facet = replace(facet, cases=_bounded({**facet.cases, said.key: case}))
    if said.warranty_until is not None:
        told = Upkeep((at, millis(said.warranty_until)), about="warranty")
        facet = _kept(facet, f"warranty {said.product_id or said.key}"[:_WORD], told)
    return facet


def _due(facet: Service, event: ServiceDue, at: int) -> Service:
    """What the engine has told itself is known already."""
    said = event.data
    if event.source == "regulars":
        return facet
    due_at = millis(said.due_at) if said.due_at is not None else at
    return _kept(facet, said.key, Upkeep((at, due_at), about=(said.about or "")[:_WORD]))


def _completed(facet: Service, event: ServiceCompleted, at: int) -> Service:
    said = event.data
    told = (at, millis(said.next_due_at)) if said.next_due_at is not None else (0, 0)
    facet = _kept(facet, said.key, Upkeep(told, completed_at=at))
    return _case_closed(facet, said.case_id, at) if said.case_id else facet


def _kept(facet: Service, key: str, told: Upkeep) -> Service:
    key = key[:_WORD]
    upkeep = {**facet.upkeep, key: facet.upkeep.get(key, Upkeep()).merge(told)}
    if len(upkeep) > MOST_UPKEEP:
        oldest = min(upkeep, key=lambda name: (max(upkeep[name].told[1], upkeep[name].completed_at), name))
        upkeep = {name: one for name, one in upkeep.items() if name != oldest}
    return replace(facet, upkeep=upkeep)


def _touched_at(order: Order) -> int:
    return max(order.shipped_at, order.late_at, order.delivered_at, order.ended_at, order.returned_at)


_STEPS = {"order_shipped": "shipped_at", "order_late": "late_at", "order_delivered": "delivered_at"}


def _moved(facet: Service, event: OrderMoved | OrderCancelled | OrderRefunded, at: int) -> Service:
    name, said = event.data.order_id, event.data
    in_part = isinstance(event, OrderRefunded) and (said.total is not None or bool(said.products))
    step = "returned_at" if in_part else _STEPS.get(event.type, "ended_at")
    before = facet.orders.get(name, Order())
    after = replace(before, **{step: max(getattr(before, step), at)})
    if isinstance(event, OrderRefunded):
        after = replace(after, returned_at=max(after.returned_at, at))
    orders = {**facet.orders, name: after}
    if len(orders) > MOST_ORDERS:
        oldest = min(orders, key=lambda one: (orders[one].is_late, _touched_at(orders[one]), one))
        orders = {one: order for one, order in orders.items() if one != oldest}
    return replace(facet, orders=orders)


HANDLERS: dict[str, Callable[..., Service]] = {
    "complaint_filed": _filed,
    "complaint_acknowledged": _acknowledged,
    "complaint_escalated": _escalated,
    "complaint_resolved": _resolved,
    "support_case_opened": _case_opened,
    "support_case_escalated": _case_escalated,
    "support_case_resolved": _case_resolved,
    "warranty_claimed": _claimed,
    "service_due": _due,
    "service_completed": _completed,
    "order_shipped": _moved,
    "order_late": _moved,
    "order_delivered": _moved,
    "order_cancelled": _moved,
    "order_refunded": _moved,
}
