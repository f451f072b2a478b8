"""Alarms in event time: durable as (tag, due) pairs, ordered here.

A tag says what is due and for whom: `b|customer` scores at a boundary, `c|opened|customer` closes a churn label and
`p|opened|customer` one of purchase, `o|closes|decision|customer` closes the offers of one decision, `x|closes|customer`
counts what is over for an arm, `g|trigger|customer` is a trigger whose wait ends, `k|trigger|customer` the end of the time in
which it does not start again, `v|product|customer` the end of a look at a product (its id hashed), `a|customer` a cart left
alone, `d|customer` a birthday and `s|customer` the next date of a case or
a service. The customer comes last, since their id may hold anything.

Alarms are due in watermark time, which waits for stragglers: right for labels. What a customer is to be told cannot wait, so
an alarm of a trigger or a case is set earlier by the lateness allowed; it goes off when an event or the clock reaches its time.
"""

import heapq
from collections.abc import Iterator, Mapping

BOUNDARY, CHURN, PURCHASE, OFFERS, TRIAL = "b", "c", "p", "o", "x"
TRIGGER, COOLING, CART, BIRTHDAY, WATCH = "g", "k", "a", "d", "v"
TIER = "t"
"""The review of a tier of the loyalty programme, `t|customer`."""
RELATION = "s"
WAITING = (CHURN, PURCHASE, OFFERS, TRIGGER)
"""Kinds under whose tags something waits: readings for their label, an occasion for its time."""
OF_TRIGGERS = frozenset({TRIGGER, COOLING, CART, BIRTHDAY, WATCH})

_PARTS = {BOUNDARY: 1, CHURN: 2, PURCHASE: 2, OFFERS: 3, TRIAL: 2, TRIGGER: 2, COOLING: 2, CART: 1, BIRTHDAY: 1, RELATION: 1}

_PARTS[TIER] = 1
_PARTS[WATCH] = 2


_INDEXED = frozenset({WATCH, OFFERS})
"""A kind is one letter; these are looked up by more than their tag."""


def boundary_tag(customer: str) -> str:
    return f"{BOUNDARY}|{customer}"


def churn_tag(opened_at: int, customer: str) -> str:
    return f"{CHURN}|{opened_at}|{customer}"


def purchase_tag(opened_at: int, customer: str) -> str:
    return f"{PURCHASE}|{opened_at}|{customer}"


def offers_tag(closes_at: int, decision_id: str, customer: str) -> str:
    return f"{OFFERS}|{closes_at}|{decision_id}|{customer}"


def trial_tag(closes_at: int, customer: str) -> str:
    return f"{TRIAL}|{closes_at}|{customer}"


def trigger_tag(trigger: str, customer: str) -> str:
    return f"{TRIGGER}|{trigger}|{customer}"


def cooling_tag(trigger: str, customer: str) -> str:
    return f"{COOLING}|{trigger}|{customer}"


def cart_tag(customer: str) -> str:
    return f"{CART}|{customer}"


def relation_tag(customer: str) -> str:
    return f"{RELATION}|{customer}"


def tier_tag(customer: str) -> str:
    return f"{TIER}|{customer}"


def watch_tag(product: str, customer: str) -> str:
    return f"{WATCH}|{product}|{customer}"


def birthday_tag(customer: str) -> str:
    return f"{BIRTHDAY}|{customer}"


def parsed(tag: str) -> tuple[str, tuple[str, ...], str]:
    """(kind, middle parts, customer)."""
    kind = tag[0]
    parts = tag.split("|", _PARTS[kind])
    return kind, tuple(parts[1:-1]), parts[-1]


class Timers:
    """A shard's alarms, soonest first; of two at one instant the lesser tag, so that order never depends on memory."""

    def __init__(self, due: Mapping[str, int]) -> None:
        self._due = dict(due)
        self._heap = [(at, tag) for tag, at in self._due.items()]
        heapq.heapify(self._heap)
        self._watchers: dict[str, set[str]] = {}
        self._offered: dict[str, set[str]] = {}
        for tag in self._due:
            if tag[0] in _INDEXED:
                self._note(tag, watched=True)

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, tag: str) -> bool:
        return tag in self._due

    @property
    def next_due(self) -> int | None:
        """A lower bound of when the next alarm is due; None without alarms."""
        return self._heap[0][0] if self._heap else None

    def set(self, tag: str, at: int) -> bool:
        """Set or move an alarm; whether there was none."""
        due = self._due
        fresh = tag not in due
        due[tag] = at
        heapq.heappush(self._heap, (at, tag))
        if tag[0] in _INDEXED:
            self._note(tag, watched=True)
        return fresh

    def drop(self, tag: str) -> None:
        """Forget an alarm."""
        self._due.pop(tag, None)
        if tag[0] in _INDEXED:
            self._note(tag, watched=False)

    def due_at(self, tag: str) -> int | None:
        """When an alarm is due; None where it is not set."""
        return self._due.get(tag)

    def watching(self, product: str) -> list[str]:
        """Customers with a look at a product that has not ended, in order of their names."""
        return sorted(self._watchers.get(product, ()))

    def offers_of(self, customer: str) -> list[str]:
        """Tags of the customer's decisions whose offers are not closed, in order."""
        return sorted(self._offered.get(customer, ()))

    def of(self, customer: str) -> list[str]:
        """All tags of one customer. Reads every alarm: for erasures, which are rare."""
        return sorted(tag for tag in self._due if parsed(tag)[2] == customer)

    def any_due(self, until: int) -> bool:
        """Whether there may be an alarm at or before `until`."""
        return bool(self._heap) and self._heap[0][0] <= until

    def due(self, until: int) -> Iterator[tuple[str, int]]:
        """Alarms at or before `until`, in order; each is forgotten as it is given. New ones may be set meanwhile."""
        heap, due = self._heap, self._due
        while heap and heap[0][0] <= until:
            at, tag = heapq.heappop(heap)
            if due.get(tag) == at:
                del due[tag]
                if tag[0] in _INDEXED:
                    self._note(tag, watched=False)
                yield tag, at

    def coming(self, until: int) -> list[str]:
        """Tags that would be due by `until`, in order, left in place."""
        heap, due = self._heap, self._due
        if not heap or heap[0][0] > until:
            return []
        taken, places, end = [], [0], len(heap)
        # Nothing below a place of the heap is due earlier than what stands there.
        for place in places:
            if place < end and heap[place][0] <= until:
                taken.append(heap[place])
                places += (2 * place + 1, 2 * place + 2)
        return [tag for at, tag in sorted(taken) if due.get(tag) == at]

    def _note(self, tag: str, watched: bool) -> None:
        """Keep the looks findable by product, and open offers by customer."""
        if tag[0] == WATCH:
            _, name, member = tag.split("|", 2)
            index = self._watchers
        else:
            name, member = tag.split("|", 3)[3], tag
            index = self._offered
        if watched:
            index.setdefault(name, set()).add(member)
        elif name in index:
            index[name].discard(member)
            if not index[name]:
                del index[name]
