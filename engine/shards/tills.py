"""What a shard does for workstations: receipts of nobody, receipts that change hands, and numbers that are missing.

Theory of operation. The key of a receipt names its workstation, and the workstation's shard keeps one record of each receipt
(`engine.shards.receipts`) and one of each day (`engine.shards.sequences`). A receipt without any identity is folded here and in
no profile: it counts for totals and popularity. A receipt of a customer is folded where the customer is, and noted here: what a
batch has to note goes to each shard as one entry. Nothing looks a receipt's holder up before it routes an event, or a retry would
land elsewhere; instead, what names a receipt and nobody comes here and is passed on to its holder under its own fingerprint.

Every step leaves the same record whichever comes first, so a note that is told twice, a void before its sale or a card before
its receipt end alike.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from engine.errors import Rejected
from engine.events.base import Event
from engine.events.decode import decode_canonical
from engine.events.pos import (
    RECEIPTS,
    DayClosed,
    Noted,
    PosCustomerIdentified,
    PosDayClosed,
    PosNoted,
    PosReturnCompleted,
    PosReturnVoided,
    PosTransactionCompleted,
    PosTransactionVoided,
    Return,
    What,
    till_key,
    till_of,
)
from engine.events.routing import admitted
from engine.ids import digest_of, shard_of
from engine.moments import moment
from engine.shards import baskets
from engine.shards.commit import Commit, Entry, Outgoing
from engine.shards.own import IDENTITIES, OURSELVES
from engine.shards.popularity import Popularity
from engine.shards.receipts import Receipt
from engine.shards.sequences import Day, Numbers

OF_TILLS = (*RECEIPTS, PosCustomerIdentified, PosDayClosed)
"""What a workstation's shard has to know of, whoever's it is."""
_NOTES = "w:receipts"
_NOTHING = Receipt()


def receipts_in(event: Event | Rejected) -> tuple[str, ...]:
    """The receipts whose records an entry under a workstation's key may touch."""
    if isinstance(event, PosNoted):
        return tuple([note.key for note in event.data])
    if isinstance(event, PosReturnCompleted):
        return (event.data.key, event.data.original) if event.data.original else (event.data.key,)
    return (event.data.key,) if isinstance(event, PosTransactionCompleted | PosTransactionVoided) else ()


class Tills:
    """The workstations of a shard while one batch is folded. `loaded` are records from the store; commits that are still on
    their way know better."""

    def __init__(
        self,
        shards: int,
        numbers: Numbers,
        popularity: Popularity,
        commit: Commit,
        loaded: Mapping[str, Receipt],
        inflight: Iterable[Commit],
    ) -> None:
        self._shards, self._numbers, self._popularity, self._commit = shards, numbers, popularity, commit
        self._receipts = dict(loaded)
        for earlier in inflight:
            self._receipts.update(earlier.receipts)
        self._told: dict[int, list[Noted]] = {}
        self.purchases = 0
        self._spend: dict[str, int] = {}

    def with_spend(self, spend: Mapping[str, int]) -> dict[str, int]:
        """The shard's spend by currency, with what receipts of nobody have changed."""
        both = dict(spend)
        for currency, change in self._spend.items():
            both[currency] = both.get(currency, 0) + change
        return both

    def happened(self, event: Event, part_key: str, at: int, arrived: int) -> None:
        """An event was folded into the profile of a customer: what its workstation has to know is told there."""
        if isinstance(event, PosCustomerIdentified):
            named = _named(event.data.key)
            if named is not None:
                self._tell(replace(named, what="identified", holder=part_key, at=at, arrived=arrived))
        elif isinstance(event, PosTransactionCompleted | PosTransactionVoided | PosReturnCompleted):
            for note in _notes_of(event, part_key, at, arrived):
                self._tell(note)

    def flush(self) -> None:
        """What is to be noted elsewhere leaves with the commit: one entry for each shard."""
        for shard, notes in self._told.items():
            told = msgspec.json.encode(notes)
            event = PosNoted(
                id=f"noted-{digest_of(told, size=16).hex()}",
                type="pos_receipts_noted",
                time=moment(max(note.at for note in notes)),
                source=OURSELVES,
                data=tuple(notes),
            )
            ready = admitted(event)
            self._commit.outbox.append(Outgoing(shard, _NOTES, ready.entry, ready.fingerprint))

    def nobodys(self, event: Event, entry: Entry, at: int, arrived: int) -> bool:
        """An event under a workstation's key. Answers whether it stays there: what has a holder is passed on instead."""
        if isinstance(event, PosDayClosed):
            self._closed(event.data, arrived)
        elif isinstance(event, PosReturnCompleted):
            return self._returned(event, entry, at, arrived)
        elif isinstance(event, PosTransactionCompleted | PosTransactionVoided):
            note, *others = _notes_of(event, "", at, arrived)
            for other in others:
                self._tell(other)
            return self._receipt(event, note, entry)
        return True

    def noted(self, event: PosNoted) -> None:
        """What the shards of customers say."""
        for note in event.data:
            before = self._receipts.get(note.key, _NOTHING)
            match note.what:
                case "sale" | "return" | "void":
                    held = before if note.what == "void" or before.holder else replace(before, holder=note.holder)
                    self._change(note, before, _after(held, note))
                case "identified" if not before.holder:
                    self._change(note, before, replace(before, holder=note.holder))
                case "unreturned":
                    self._unreturned(note, before)
                case "numbered" | "aside":
                    self._use(note)
                case _:
                    pass

    def _receipt(self, event: PosTransactionCompleted | PosTransactionVoided, note: Noted, entry: Entry) -> bool:
        if note.what == "aside":
            self._use(note)
            return True
        before = self._receipts.get(note.key, _NOTHING)
        after = _after(before, note)
        if after == before:
            return True
        if not after.holder:
            after = after.kept(entry.event, entry.fingerprint)
            if note.what == "sale" and not after.voided:
                self._commit.popularity.update(self._popularity.bought(event.data.categories, note.at))
                baskets.of_nobody(self._commit, event.data)
        self._change(note, before, after)
        return not self._passed_on(after.holder, event, entry.fingerprint, note.arrived)

    def _returned(self, event: PosReturnCompleted, entry: Entry, at: int, arrived: int) -> bool:
        note, there = _notes_of(event, "", at, arrived)[0], till_of(event.data.original or "")
        if entry.key == till_key(note.store, note.workstation):
            before = self._receipts.get(note.key, _NOTHING)
            after = _after(before, note)
            if after == before:
                return True
            self._change(note, before, after if there or after.holder else after.kept(entry.event, entry.fingerprint))
            if there not in ("", entry.key):
                self._commit.outbox.append(Outgoing(shard_of(there, self._shards), there, entry.event, entry.fingerprint))
                return False
            if not there:
                return not self._passed_on(after.holder, event, entry.fingerprint, arrived)
        return self._taken_off(note, event, entry)

    def _taken_off(self, note: Noted, event: PosReturnCompleted, entry: Entry) -> bool:
        """The receipt that a return of nobody's names: it is nobody's as well, or its holder folds the return."""
        before = self._receipts.get(note.of, _NOTHING)
        if not before.holder:
            after = replace(before, returned=before.returned + note.amount, currency=before.currency or note.currency)
            self._keep(note.of, before, after.kept(entry.event, entry.fingerprint))
        return not self._passed_on(before.holder, event, entry.fingerprint, note.arrived)

    def _unreturned(self, note: Noted, before: Receipt) -> None:
        event = _return_voided(note.key, note)
        ready = admitted(event)
        if not self._passed_on(before.holder, event, ready.fingerprint, note.arrived):
            after = replace(before, returned=before.returned - note.amount)
            self._keep(note.key, before, after.kept(ready.entry, ready.fingerprint))

    def _change(self, note: Noted, before: Receipt, after: Receipt) -> None:
        """A receipt's record changed: its day follows, what is kept goes to a holder, and a return that is void is none."""
        if note.what != "identified":
            self._use(note)
        if after.is_no_return:
            for of, amount in after.gives.items():
                if not before.voided or of not in before.gives:
                    self._given_again(note, after, of, amount)
        if after.holder and after.events:
            self._handed_over(after, note)
            after = replace(after, events=())
        self._keep(note.key, before, after)
        old, new = before.on_the_roll, after.on_the_roll
        day = self._numbers.day(note.store, note.workstation, note.day) if old != new else None
        if day is not None:
            receipts, amount, voided = (mine - theirs for mine, theirs in zip(new, old, strict=True))
            self._put(note, day.paid(receipts, amount, voided, after.currency))

    def _keep(self, name: str, before: Receipt, after: Receipt) -> None:
        if after == before:
            return
        self._receipts[name] = self._commit.receipts[name] = after
        (count, spend), (had, had_spend) = after.counted, before.counted
        self.purchases += count - had
        if spend != had_spend:
            self._spend[after.currency] = self._spend.get(after.currency, 0) + spend - had_spend

    def _handed_over(self, receipt: Receipt, note: Noted) -> None:
        """What was nobody's goes to its holder, who folds it like anything that arrives; the sale is there if they told of it."""
        voided = False
        for entry, fingerprint in receipt.events:
            event = decode_canonical(entry)
            if isinstance(event, Rejected):
                continue
            voided = voided or isinstance(event, PosTransactionVoided)
            if isinstance(event, PosTransactionCompleted):
                if not voided:
                    self._commit.popularity.update(self._popularity.taken_back(event.data.categories, receipt.at))
                    baskets.of_nobody(self._commit, event.data, taken_back=True)
                if note.what == "sale":
                    continue
            self._passed_on(receipt.holder, event, fingerprint, note.arrived)

    def _passed_on(self, holder: str, event: Event, fingerprint: bytes, arrived: int) -> bool:
        """To the holder's shard under the holder's name; False where there is none."""
        if not holder:
            return False
        who: dict[str, Any] = {IDENTITIES[holder[0]]: holder[2:]}
        ready = admitted(replace(event, received_at=moment(arrived) if arrived else event.received_at, **who))
        self._commit.outbox.append(Outgoing(shard_of(ready.key, self._shards), ready.key, ready.entry, fingerprint))
        return True

    def _given_again(self, note: Noted, receipt: Receipt, of: str, amount: int) -> None:
        """A return was voided: what it took back counts again, with the customer who returned it or on the receipt it names."""
        told = replace(note, amount=amount, currency=receipt.currency, at=receipt.at, of=of)
        if receipt.holder:
            event = _return_voided(of, told)
            self._passed_on(receipt.holder, event, admitted(event).fingerprint, note.arrived)
            return
        target = _named(of)
        if target is not None:
            names = {"what": "unreturned", "of": note.key, "amount": told.amount, "currency": told.currency}
            self._tell(replace(target, at=told.at, arrived=note.arrived, **names))

    def _closed(self, told: DayClosed, arrived: int) -> None:
        note = Noted("aside", told.store, told.workstation, told.business_day)
        day = self._numbers.day(note.store, note.workstation, note.day)
        if day is not None:
            self._put(note, replace(day, told=told).looked_at(arrived))

    def _use(self, note: Noted) -> None:
        day = self._numbers.day(note.store, note.workstation, note.day)
        if day is not None:
            after = day.used(note.number, note.what != "aside")
            if after is not day:
                self._put(note, after.looked_at(note.arrived))

    def _put(self, note: Noted, day: Day) -> None:
        self._commit.days.update(self._numbers.put(note.store, note.workstation, note.day, day))

    def _tell(self, note: Noted) -> None:
        self._told.setdefault(shard_of(till_key(note.store, note.workstation), self._shards), []).append(note)


def _after(receipt: Receipt, note: Noted) -> Receipt:
    """The record after a sale, a return or a void."""
    match note.what:
        case "sale":
            return receipt.sold(note.amount, note.currency, note.at)
        case "return":
            return receipt.took_back(note.amount, note.currency, note.of, note.at)
        case _:
            return replace(receipt, voided=True)


def _notes_of(event: Event, holder: str, at: int, arrived: int) -> list[Noted]:
    """What a receipt is to its workstation: first itself, then the number of its own that a void took."""
    if not isinstance(event, PosTransactionCompleted | PosTransactionVoided | PosReturnCompleted):
        return []
    receipt = event.data
    amount, of, more = receipt.amount_minor, "", []
    what: What = "sale"
    if isinstance(event, PosTransactionVoided):
        what, own = "void", _named(event.data.voided_on or "")
        more = [replace(own, what="numbered", at=at, arrived=arrived)] if own is not None else []
    elif isinstance(event, PosReturnCompleted):
        what, amount, of = "return", event.data.returned_minor, event.data.original or ""
    elif receipt.status != "completed":
        what = "aside"
    elif receipt.only_gives_back:
        what, amount = "return", -amount
    names = receipt.store, receipt.workstation, receipt.business_day, receipt.sequence_number
    return [Noted(what, *names, holder, amount, receipt.currency or "", of, at, arrived), *more]


def _named(receipt: str) -> Noted | None:
    """A receipt by its name; None where that is no such name."""
    parts = receipt.rsplit("/", 2)
    store, slash, workstation = parts[0].rpartition("/")
    if len(parts) != 3 or not slash or not parts[2].isdecimal():
        return None
    return Noted("aside", store, workstation, parts[1], int(parts[2]))


def _return_voided(original: str, note: Noted) -> PosReturnVoided:
    data = Return(
        store=note.store,
        workstation=note.workstation,
        business_day=note.day,
        sequence_number=note.number,
        currency=note.currency or None,
        total=note.amount,
        original=original or None,
    )
    name = digest_of(original.encode(), note.key.encode(), note.of.encode()).hex()
    return PosReturnVoided(
        id=f"return-voided-{name}", type="pos_return_voided", time=moment(note.at), source=OURSELVES, channel="pos", data=data
    )
