"""Every key family: what it holds, who alone writes it, and how long it stays.

| family | holds | writer | stays |
|---|---|---|---|
| `ev:{s}` | stream of events | API (append), engine (ticks, relays) | committed entries 30 days |
| `off:{s}` | id of the last entry folded | shard commit | for ever |
| `own:{s}` | who made the last commit | shard commit | for ever |
| `shd:{s}` | watermark and totals | shard commit | for ever |
| `prof:{s}:customer` | profile | shard commit | until erasure |
| `time:{s}:customer` | the last 50 touch points | shard commit | until erasure |
| `who:{s}:hash` | customers by keyed hash of an e-mail address or phone number | shard commit | until erasure |
| `cmp:{s}` | complaints by reason, product and store | shard commit | for ever |
| `pend:{s}:customer` | events to be obeyed before they are folded | API, emptied by the shard commit | until folded |
| `ids:{s}:week:customer` | fingerprints of events taken | shard commit | 15 days after the last |
| `tmr:{s}` | alarms, scored by due time | shard commit | until due |
| `wait:{s}:tag` | readings that wait for a label | shard commit | until closed |
| `pop:{s}` | what everybody buys | shard commit | for ever |
| `lift:{s}` | what customers spent, by campaign and arm | shard commit | for ever |
| `seg:{s}` | how many customers are in which bin | shard commit | for ever |
| `ref:{s}` | reference facts by name | shard commit | for ever |
| `lead:{s}` | open leads by customer | shard commit | until they are won, lost or erased |
| `gone:{s}` | hashes of erased customers | shard commit | for ever |
| `examples:{s}` | stream of matured labels | shard commit | as long as the journal |
| `dead:{s}` | stream of dead letters | shard commit, API | 14 days |
| `outbox:{s}` | stream of events for other shards | shard commit, emptied by the relay | until relayed |
| `dec:{s}` | stream of decisions and outcomes | shard commit | 90 days |
| `act:{s}` | stream of triggers whose wait is over | shard commit, emptied by the sender | until taken over |
| `sent:{act}:queue` `:dead` `:done` | actions by when to look at them, or since when they are over | sender | 14 or 90 days |
| `sent:{act}:r:id` | an action on its way; then its outcome, without the customer | sender | dead 14 days, over 90 |
| `led:{s}:customer` | contact ledger | decision commit | until its caps forget |
| `req:{s}:customer:request` | answer to a request id | decision commit | 24 hours |
| `offers:catalogue` | names of a catalogue's offers in order, by its version | API | 200 days from its last use |
| `stock:offer` | units reserved and taken | stock script | with the offer |
| `codes:{offer}:*` | coupon codes: given to whom, until when, and those that nobody had | coupon scripts | with the offer |
| `budget:{campaign}:*` | money set aside and spent, and until when | budget script | with the campaign |
| `lrn:*`, `snap:model` | checkpoint, offsets, journal; published numbers | model commit | for ever |
| `lrn:kept:model:source:version` | a good version of a model | model commit | the last twenty or so, recent ones dense |
| `lrn:commands` | stream of what operators ask of models | `regulars models` | as long as the journal |
| `beat:name` | sign of life of an engine or a learner | that process | 15 seconds |
| `meta` | shard count, salt | first start | for ever |

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
