"""The names of everything in the store. `engine.store.families` says of each what it holds, who writes it and how long it stays.

The braces are a hash tag: what must change together lives in one slot.
"""

from typing import Literal

META = "meta"
BEAT_SECONDS = 15
"""How long a sign of life counts."""
OFFERS_SECONDS = 200 * 86_400
"""How long the names of a catalogue's offers are kept after its last use: longer than any log of its decisions."""


def events(shard: int) -> str:
    return f"ev:{{{shard}}}"


def offset(shard: int) -> str:
    return f"off:{{{shard}}}"


def owner(shard: int) -> str:
    return f"own:{{{shard}}}"


def record(shard: int) -> str:
    return f"shd:{{{shard}}}"


def profile(shard: int, customer: str) -> str:
    return f"prof:{{{shard}}}:{customer}"


ANY_PROFILE = "prof:*"
"""A pattern that profiles alone match."""


def pending(shard: int, customer: str) -> str:
    return f"pend:{{{shard}}}:{customer}"


def seen(shard: int, customer: str, week: int) -> str:
    return f"ids:{{{shard}}}:{week}:{customer}"


def timers(shard: int) -> str:
    return f"tmr:{{{shard}}}"


def waiting(shard: int, tag: str) -> str:
    return f"wait:{{{shard}}}:{tag}"


def timeline(shard: int, customer: str) -> str:
    return f"time:{{{shard}}}:{customer}"


def reached(shard: int, digest: str) -> str:
    return f"who:{{{shard}}}:{digest}"


def complaints(shard: int) -> str:
    return f"cmp:{{{shard}}}"


def baskets(shard: int) -> str:
    return f"bask:{{{shard}}}"


def days(shard: int) -> str:
    return f"till:{{{shard}}}"


def receipt(shard: int, name: str) -> str:
    return f"rcp:{{{shard}}}:{name}"


def popularity(shard: int) -> str:
    return f"pop:{{{shard}}}"


def lift(shard: int) -> str:
    return f"lift:{{{shard}}}"


def histogram(shard: int) -> str:
    return f"seg:{{{shard}}}"


def references(shard: int) -> str:
    return f"ref:{{{shard}}}"


def leads(shard: int) -> str:
    return f"lead:{{{shard}}}"


def gone(shard: int) -> str:
    return f"gone:{{{shard}}}"


def examples(shard: int) -> str:
    return f"examples:{{{shard}}}"


def dead(shard: int) -> str:
    return f"dead:{{{shard}}}"


def outbox(shard: int) -> str:
    return f"outbox:{{{shard}}}"


def actions(shard: int) -> str:
    return f"act:{{{shard}}}"


ACTION_QUEUE = "sent:{act}:queue"
ACTIONS_DEAD = "sent:{act}:dead"
ACTIONS_DONE = "sent:{act}:done"
"""The sender's own slot: what a shard has handed over belongs to no shard any more."""


def delivery(action_id: str) -> str:
    return f"sent:{{act}}:r:{action_id}"


PRODUCTS = "prod:{p}:facts"
PRODUCTS_CHANGED = "prod:{p}:changed"
PRODUCTS_VERSION = "prod:{p}:version"
PRICE_FALLS = "prod:{p}:falls"
"""Products in a slot of their own: they belong to no shard."""


def decisions(shard: int) -> str:
    return f"dec:{{{shard}}}"


def ledger(shard: int, customer: str) -> str:
    return f"led:{{{shard}}}:{customer}"


def request(shard: int, customer: str, request_id: str) -> str:
    return f"req:{{{shard}}}:{customer}:{request_id}"


def offers(catalogue: str) -> str:
    return f"offers:{catalogue}"


def stock(offer_id: str) -> str:
    return f"stock:{offer_id}"


def codes(offer_id: str, what: Literal["ends", "given", "new", "list"]) -> str:
    return f"codes:{{{offer_id}}}:{what}"


def budget(pool: str, what: Literal["ends", "amounts"]) -> str:
    return f"budget:{{{pool}}}:{what}"


def snapshot(model: str) -> str:
    return f"snap:{model}"


def beat(name: str) -> str:
    return f"beat:{name}"
