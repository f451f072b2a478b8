"""What offers want of stock, coupon codes and budgets: taken before a decision is admitted, given back when it is not."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from api.coalesce import Coalescer
from api.deadlines import within
from api.stock import Stock
from engine.decisioning.decision import Decision, Take
from engine.decisioning.ledger import Refusal
from engine.errors import StoreUnavailable
from engine.store.redis_ledger import granted, queue_release, queue_take
from engine.store.redis_reader import Command, commands_of


class Reserving:
    """Reserves for one process. What it learns of pools that are used up is told to `stock`."""

    def __init__(self, writes: Coalescer[Sequence[Command], list[Any]], stock: Stock) -> None:
        self._writes = writes
        self.stock = stock

    async def reserve(self, decision: Decision, deadline: float) -> Decision | Refusal:
        """The decision with everything that its offers want, their codes in it; or nothing is taken, and the refusal names the
        offer for which too little was left. Raises `StoreUnavailable`; whatever was taken is given back then.
        """
        takes = decision.takes
        if not takes:
            return decision
        calls = [partial(queue_take, take=take, decision_id=decision.decision_id, now=decision.at) for take in takes]
        try:
            taken = await within(self._writes.ask(commands_of(*calls)), deadline)
        except StoreUnavailable:
            self.release(decision, takes)
            raise
        got = [take for take, reply in zip(takes, taken, strict=True) if granted(take, reply)]
        missing = next((take for take in takes if take not in got), None)
        if missing is None:
            codes = {take.offer_id: reply.decode() for take, reply in zip(takes, taken, strict=True) if take.kind == "codes"}
            return decision.with_codes(codes) if codes else decision
        self.stock.used_up(missing.pool)
        self.release(decision, got)
        placement = next(offer.placement for offer in decision.offers if offer.offer_id == missing.offer_id)
        return Refusal(missing.offer_id, placement, "stock")

    def release(self, decision: Decision, takes: Sequence[Take] | None = None) -> None:
        """Gives back what a decision took, or some of it, without waiting: what is lost on the way comes back when it expires."""
        takes = decision.takes if takes is None else takes
        if takes:
            calls = [partial(queue_release, take=take, decision_id=decision.decision_id) for take in takes]
            self._writes.ask(commands_of(*calls)).add_done_callback(_seen)


def _seen(future: "asyncio.Future[Any]") -> None:
    """Takes note of a failure that nobody waits for."""
    if not future.cancelled():
        future.exception()
