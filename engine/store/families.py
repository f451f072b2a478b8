"""Every key family: what it holds, who alone writes it, how long it stays, and what of it is about a person.

The notice that customers read (`regulars privacy-notice`) is printed from this table, and a test of the house holds it against
the keys that `engine.store.keys` makes: whatever is stored is told. Numbers in braces are settings of retention.
"""

from typing import Final

from msgspec import Struct


class Personal(Struct, frozen=True):
    """What customers are told: `what` is held of them, `why`, on which basis, and what becomes of it when they are forgotten."""

    what: str
    why: str
    basis: str
    erased: str


class Family(Struct, frozen=True):
    """Keys of one form. `{s}` is the shard and a hash tag: what must change together lives in one slot."""

    name: str
    holds: str
    writer: str
    stays: str
    personal: Personal | None = None


FAMILIES: Final[tuple[Family, ...]] = (
    Family(
        "ev:{s}",
        "stream of events",
        "API (append), engine (ticks, commits, relays)",
        "committed entries {stream_days} days",
        Personal(
            "every event that was sent about you, as it was sent",
            "to work out everything else from, again where something went wrong",
            "contract and legitimate interest",
            "expires with the log",
        ),
    ),
    Family("off:{s}", "id of the last entry folded", "shard commit", "for ever"),
    Family("own:{s}", "who made the last commit", "shard commit", "for ever"),
    Family("shd:{s}", "watermark and totals", "shard commit", "for ever"),
    Family(
        "prof:{s}:customer",
        "profile",
        "shard commit",
        "until erasure",
        Personal(
            "your identities and by which events they were joined, traits, purchases, visits, offers seen and taken, cases, "
            "points, consent and choices, summed up",
            "to serve you, and to choose offers where you allow it",
            "contract; consent where offers are chosen",
            "at once",
        ),
    ),
    Family(
        "time:{s}:customer",
        "the last 50 touch points",
        "shard commit",
        "until erasure",
        Personal(
            "the last things that happened between you and us",
            "so that whoever helps you knows what came before",
            "contract",
            "at once",
        ),
    ),
    Family(
        "who:{s}:hash",
        "customers by keyed hash of an e-mail address or phone number",
        "shard commit",
        "until erasure",
        Personal(
            "a keyed hash of your e-mail address or phone number, never the address itself",
            "to find you when you write or call",
            "contract",
            "at once",
        ),
    ),
    Family("cmp:{s}", "complaints by reason, product and store", "shard commit", "for ever"),
    Family("till:{s}", "numbers used and sums by workstation and business day", "shard commit", "62 business days"),
    Family(
        "rcp:{s}:receipt",
        "whose a receipt is, and what it came to",
        "shard commit",
        "120 days after its last change",
        Personal(
            "under which number the receipts of your purchases are",
            "so that goods you bring back are taken off the right purchase, also without your card",
            "contract",
            "expires with the log",
        ),
    ),
    Family(
        "pend:{s}:customer",
        "events to be obeyed before they are folded",
        "API, emptied by the shard commit",
        "until folded",
        Personal("what you decided a moment ago", "so that it holds at once", "legal obligation", "at once"),
    ),
    Family(
        "ids:{s}:week:customer",
        "fingerprints of events taken",
        "shard commit",
        "15 days after the last",
        Personal("fingerprints of the events that were taken", "so that nothing counts twice", "legitimate interest", "at once"),
    ),
    Family(
        "tmr:{s}",
        "alarms, scored by due time",
        "shard commit",
        "until due",
        Personal("when something about you is due", "so that deadlines of service and offers end in time", "contract", "at once"),
    ),
    Family(
        "wait:{s}:tag",
        "readings that wait for a label",
        "shard commit",
        "until closed",
        Personal(
            "readings of what you did, until it is known how it came out",
            "to learn which offers are welcome, where you allow profiling",
            "legitimate interest until you object; consent where you are asked first",
            "at once",
        ),
    ),
    Family("pop:{s}", "what everybody buys", "shard commit", "for ever"),
    Family(
        "bask:{s}",
        "stream of the newest baskets, of nobody in particular: what goes along with what, and how long it lasts",
        "shard commit",
        "the newest 1,000 or so of each shard",
    ),
    Family("lift:{s}", "what customers spent, by campaign and arm", "shard commit", "for ever"),
    Family("seg:{s}", "how many customers are in which bin", "shard commit", "for ever"),
    Family("ref:{s}", "reference facts by name", "shard commit", "for ever"),
    Family(
        "lead:{s}",
        "open leads by customer",
        "shard commit",
        "until they are won, lost or erased",
        Personal("that you asked for something and have not decided yet", "to answer you", "contract", "at once"),
    ),
    Family(
        "gone:{s}",
        "hashes of erased customers",
        "shard commit",
        "for ever",
        Personal(
            "a keyed hash of who asked to be forgotten",
            "to refuse what still arrives about them",
            "legal obligation",
            "is what remains",
        ),
    ),
    Family(
        "examples:{s}",
        "stream of matured labels",
        "shard commit",
        "as long as the journal",
        Personal(
            "readings of what you did with how it came out, under your customer number",
            "to learn which offers are welcome, where you allow profiling",
            "legitimate interest until you object; consent where you are asked first",
            "stays with the models' journal",
        ),
    ),
    Family(
        "dead:{s}",
        "stream of dead letters",
        "shard commit, API",
        "{dead_letters_days} days",
        Personal(
            "events that could not be used", "so that a fault can be put right", "legitimate interest", "expires with the log"
        ),
    ),
    Family(
        "outbox:{s}",
        "stream of events for other shards",
        "shard commit, emptied by the relay",
        "until relayed",
        Personal(
            "events on their way from one part of the system to another", "to deliver them", "contract", "leaves within moments"
        ),
    ),
    Family(
        "dec:{s}",
        "stream of decisions and outcomes",
        "shard commit",
        "{decisions_days} days",
        Personal(
            "which offers you got, why, and under which consent",
            "to account for every offer",
            "legal obligation and legitimate interest",
            "expires with the log",
        ),
    ),
    Family(
        "act:{s}",
        "stream of triggers whose wait is over",
        "shard commit, emptied by the sender",
        "until taken over",
        Personal("that a message to you is due", "to send it", "consent", "leaves within moments"),
    ),
    Family(
        "sent:{act}:queue :dead :done",
        "actions by when to look at them, or since when they are over",
        "sender",
        "14 or 90 days",
        Personal("which messages wait to be sent", "to send each once", "consent", "expires with the log"),
    ),
    Family(
        "sent:{act}:r:id",
        "an action on its way; then its outcome, without the customer",
        "sender",
        "dead 14 days, over 90",
        Personal("a message on its way to you", "to send it once", "consent", "expires with the log"),
    ),
    Family(
        "led:{s}:customer",
        "contact ledger",
        "decision commit",
        "until its caps forget",
        Personal("which offers you were shown, and when", "so that you are not shown too many", "legitimate interest", "at once"),
    ),
    Family(
        "req:{s}:customer:request",
        "answer to a request id",
        "decision commit",
        "{requests_hours} hours",
        Personal(
            "the answer that a question about you got", "so that the same question gets the same answer", "contract", "at once"
        ),
    ),
    Family(
        "prod:{p}:facts :changed :version",
        "products as they were told last, and in which order they changed",
        "product script",
        "for ever, each until it is told anew",
    ),
    Family("prod:{p}:falls", "prices that fell and are still to be told to all shards", "product script, sender", "2 days"),
    Family("offers:catalogue", "names of a catalogue's offers in order, by its version", "API", "200 days from its last use"),
    Family("stock:offer", "units reserved and taken", "stock script", "with the offer"),
    Family(
        "codes:{offer}:*",
        "coupon codes: given to whom, until when, and those that nobody had",
        "coupon scripts",
        "with the offer",
        Personal("which coupon code is yours", "so that nobody else is given it", "contract", "stays with the offer"),
    ),
    Family("budget:{campaign}:*", "money set aside and spent, and until when", "budget script", "with the campaign"),
    Family("lrn:*, snap:model", "checkpoint, offsets, journal; published numbers", "model commit", "for ever"),
    Family(
        "lrn:kept:model:source:version", "a good version of a model", "model commit", "the last twenty or so, recent ones dense"
    ),
    Family("lrn:commands", "stream of what operators ask of models", "regulars models", "as long as the journal"),
    Family("beat:name", "sign of life of an engine or a learner", "that process", "15 seconds"),
    Family("meta", "shard count, salt", "first start", "for ever"),
)
