"""What shards know of redemptions, noted in the budgets: the money that was set aside for one does not come back."""

from typing import cast

import redis

from engine.decisioning.ledger import decode_ledger
from engine.decisioning.pools import budget_of
from engine.events.budgets import BudgetSpent
from engine.events.decode import decode_canonical
from engine.store import keys
from engine.store.redis_ledger import REDEMPTION, spent_name

MARK = b'"budget_spent"'
"""What the bytes of such an event hold."""


def note_spent(client: "redis.Redis", shard: int, customer: str, raw: bytes) -> None:
    """Noting it again changes nothing. Money that came back before stays where it is: no budget is ever exceeded.

    The decision may have joined a reservation of an earlier one, under whose name the money lies.
    """
    event = decode_canonical(raw)
    if not isinstance(event, BudgetSpent):
        return
    decision_id, offer_id = event.decision_id or "", event.offer_id or ""
    blob = cast("bytes | None", client.get(keys.ledger(shard, customer)))
    for entry in decode_ledger(blob, customer).entries:
        if entry.offer_id == offer_id and decision_id in entry.decisions:
            decision_id = entry.decision_id
    name = spent_name(decision_id, offer_id)
    held = {name: float("inf"), name + REDEMPTION: float("inf")}
    client.zadd(keys.budget(budget_of(event.data.campaign), "ends"), held, xx=True)
