"""`regulars actions`: what triggers led to, what could not be delivered, and another try.

A replay cannot duplicate: only what is dead is sent again, under the id that it always had, and its receiver knows ids. Before
it is sent, it is looked at again whether the customer may still get it.
"""

import sys
import time
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
from rich.console import Console
from rich.table import Table

from config.settings import EngineSettings
from engine.decisioning.deliveries import Delivery
from engine.moments import rfc3339
from engine.store.redis_actions import ListName, RedisActions
from flows.running import NotFound, WrongUse, redis_of, write_line

_ALL: Final = 100_000


def list_actions(*, redis_url: str, data: Path, which: str, limit: int) -> int:
    """One line an action, the latest first: a table on a terminal, else JSON lines."""
    if which not in get_args(ListName):
        raise WrongUse(f"{which!r} is no list of actions: {', '.join(get_args(ListName))}")
    found = _opened(redis_url, data).listed(msgspec.convert(which, ListName), limit)
    if not sys.stdout.isatty():
        for one in found:
            write_line(_summary(one))
        return 0
    table = Table("id", "trigger", "state", "due", "tries", "why", box=None)
    for one in found:
        table.add_row(one.id, one.trigger, one.state, rfc3339(one.due_at), str(one.tries), one.reason)
    Console().print(table if found else f"No action is {which}.")
    return 0


def show(*, redis_url: str, data: Path, action_id: str) -> int:
    """One action with what goes, or went wrong, on the wire."""
    found = _opened(redis_url, data).one(action_id)
    if found is None:
        raise NotFound(f"there is no action {action_id!r}; `regulars actions list` names them")
    told = _summary(found)
    if found.action is not None:
        told |= {"customer": found.action.customer, "occasion": msgspec.to_builtins(found.action.occasion)}
    write_line(told | ({"message": msgspec.json.decode(found.body)} if found.body else {}))
    return 0


def replay(*, redis_url: str, data: Path, action_id: str) -> int:
    """Puts dead actions back into the queue, one or all of them; code 1 where the one that was named is not dead."""
    actions = _opened(redis_url, data)
    if action_id and actions.one(action_id) is None:
        raise NotFound(f"there is no action {action_id!r}")
    names = [action_id] if action_id else [one.id for one in actions.listed("dead", _ALL)]
    now = int(time.time() * 1000)
    revived = {name for name in names if actions.revive(name, now)}
    for name in names:
        write_line({"id": name, "outcome": "queued" if name in revived else "not dead: nothing to do"})
    write_line({"queued": len(revived)})
    return 1 if action_id and not revived else 0


def _opened(redis_url: str, data: Path) -> RedisActions:
    return RedisActions(redis_of(redis_url, data), EngineSettings().shards)


def _summary(one: Delivery) -> dict[str, Any]:
    return {
        "id": one.id,
        "trigger": one.trigger,
        "state": one.state,
        "due_at": rfc3339(one.due_at),
        "changed_at": rfc3339(one.at),
        "tries": one.tries,
        "status": one.status or None,
        "reason": one.reason,
        "decision_id": one.decision_id or None,
        "offers": list(one.offers),
        "replayed": one.replayed,
    }
