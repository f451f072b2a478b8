"""The path of a decision, from a checked request to the bytes of its answer. No web framework here.

Theory of operation. One read answers for profile, pending events, ledger and earlier answer at one instant; it is shared
with every request of the same turn of the loop. `decide` is pure. What it asks for is then admitted: first units of
stock, each in its own slot, then one script in the customer's slot that checks the caps again and writes ledger, log
and answer together. A refusal changes nothing; the offer is left out and the decision is made again, at most twice.

The deadline bounds the waiting, not the arithmetic. When the read is late there is no profile, consent is unknown, and
only what has a basis of its own is answered. When the admission is late the same holds, since nobody knows what the ledger
says. Both are told in `degraded`.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

from msgspec.structs import replace

from api.answering import DecisionAnswer, ExperimentAnswer, Freshness, encode, placement_answers
from api.asking import cart_of, wanted_of
from api.basis import Basis
from api.coalesce import Coalescer
from api.customer_state import joined, known, names_of
from api.deadlines import within
from api.decision_ids import decision_id
from api.decision_log import log_entry
from api.metrics import Metrics
from api.problems import store_away
from api.question import Answer, Question, conflict, names_to_read, outcome_of, stored_body
from api.reception import Reception
from api.reserving import Reserving
from api.stock import Stock
from api.timing import Timing
from engine.decisioning.decide import decide, decide_all
from engine.decisioning.decision import Decision
from engine.decisioning.explanation import Explained, explain
from engine.decisioning.ledger import Refusal
from engine.decisioning.occasions import held_back
from engine.decisioning.profiling import may_profile, permitted
from engine.decisioning.service import NO_STATES, states_of
from engine.decisioning.situation import Situation
from engine.decisioning.zones import zone_of
from engine.errors import StoredFormatError, StoreUnavailable
from engine.features.base import Request as Moment
from engine.features.vector import read_all
from engine.ids import shard_of
from engine.profiles.profile import Part
from engine.store.redis_ledger import (
    Commitment,
    Committed,
    Conflict,
    Outcome,
    Stored,
    commit_words,
    outcome,
)
from engine.store.redis_reader import Command, Refused

MOST_ATTEMPTS = 3


class Serving:
    """Answers decisions for one process.

    Requests that arrive together go through each step together: all are read in one call, then all are decided, then
    all are committed in one call. A step is a few thousand instructions that a processor runs twice as fast the second
    time in a row.
    """

    def __init__(
        self,
        read: Callable[[Sequence[str]], Awaitable[list[bytes | None]]],
        write: Callable[[Sequence[Command]], Awaitable[list[Any]]],
        writes: Coalescer[Sequence[Command], list[Any]],
        metrics: Metrics,
        stale_of: Callable[[], Sequence[str]],
        stock: Stock,
        timing: Timing | None = None,
    ) -> None:
        self._read = read
        self._write = write
        self._writes = writes
        self._metrics = metrics
        self._stale_of = stale_of
        self._reserving = Reserving(writes, stock)
        self._timing = timing or Timing()
        self.reception = Reception(self._step_together, self._by_itself, self._without_store)

    async def _step_together(self, questions: Sequence[Question]) -> None:
        """Takes all of them as far as they go together; `StoreUnavailable` where nothing could be read."""
        waiting = await self._customers(questions)
        began = time.perf_counter()
        self._consider(waiting)
        meant = [question for question in waiting if question.asked.writes and question.failed is None]
        self._decide_all(meant)
        self._timing.decide += time.perf_counter() - began
        await self._commit_together([question for question in meant if _is_plain(question)])

    async def _customers(self, questions: Sequence[Question]) -> list[Question]:
        """Reads everybody at one instant; those for whom there is something to decide."""
        began = time.perf_counter()
        names = [names_to_read(question) for question in questions]
        values = iter(await self._read([name for some in names for name in some]))
        self._timing.read += (time.perf_counter() - began) * len(questions)
        self._timing.count += len(questions)
        self._timing.groups += 1
        for question, some in zip(questions, names, strict=True):
            stored, pending, ledger, *answered = [next(values) for _ in some]
            if question.given_up:
                continue
            if answered and answered[0] is not None:
                question.earlier = answered[0]
                continue
            with suppress(StoredFormatError):
                question.customer = known(question.key, stored, pending, ledger, question.riding)
        moved = [question for question in questions if question.customer is not None and question.customer.moved_to]
        linked = [question for question in questions if question.customer is not None and question.customer.elsewhere]
        if moved:
            each(_follow, moved)
            await self._customers(moved)
        if linked:
            await self._elsewhere(linked)
        return [question for question in questions if not question.given_up and question.earlier is None]

    async def _elsewhere(self, questions: Sequence[Question]) -> None:
        """Reads those again who have other identities, with what is underway to these and was seen under them: a refusal and a
        contact count under any name.

        All of it at one instant: what left one identity in the meantime would be seen nowhere.
        """
        others = [(question, question.customer) for question in questions if question.customer is not None]
        names = [
            [names_of(shard_of(key, question.shards), key) for key in (question.key, *customer.elsewhere)]
            for question, customer in others
        ]
        values = iter(await self._read([name for some in names for each_of in some for name in each_of]))
        for (question, customer), some in zip(others, names, strict=True):
            mine, *elsewhere = [(next(values), next(values), next(values)) for _ in some]
            with suppress(StoredFormatError):
                question.customer = joined(customer, mine, elsewhere, question.riding)

    async def _commit_together(self, questions: Sequence[Question]) -> None:
        """Admits in one call whatever needs nothing but its own customer's slot."""
        each(self._keep_answer, [question for question in questions if question.asked.request_id])
        each(self._write_down, questions)
        sent = [question for question in questions if question.command and question.failed is None]
        if not sent:
            return
        began = time.perf_counter()
        commands = [question.command for question in sent]
        # What a request brought along is written in its turn, and its decision after it. Where nobody brought anything there is
        # nothing to keep in order, and a group need not wait until what is on its way has been flushed.
        ordered = any(question.taking is not None for question in sent)
        try:
            replies = await (self._writes.ask(commands) if ordered else self._write(commands))
        except StoreUnavailable as error:
            replies = [Refused(str(error))] * len(sent)
        self._timing.commit += (time.perf_counter() - began) * len(sent)
        for question, reply in zip(sent, replies, strict=True):
            question.admitted = reply if isinstance(reply, Refused) else outcome(reply)
        each(self._tell, [question for question in sent if isinstance(question.admitted, Committed)])

    async def _by_itself(self, question: Question) -> Answer:
        """The rest of the way for an answer that is not there yet."""
        await self._received(question)
        if question.earlier is not None:
            return Answer(stored_body(question.earlier, question.request_hash), "repeated")
        asked, basis = question.asked, question.basis
        if asked.explain and question.situation is not None:
            question.decision, explained = explain(question.situation, basis.loaded.catalogue, basis.scorers, basis.loaded.policy)
            return self._told(question, explained)
        if not asked.writes:
            self._decide(question)
            return self._told(question)
        return await self._admitted(question)

    async def _received(self, question: Question) -> None:
        """Waits until the events that came along are durable. Raises 503 where they are not."""
        if question.taking is not None and question.receipt is None:
            try:
                question.receipt = await question.taking
            except StoreUnavailable:
                raise store_away() from None

    def _consider(self, questions: Sequence[Question]) -> None:
        """Their situations, read at once; one by one where one of them brings a fault to light."""
        with suppress(Exception):
            found = [(question, question.customer.profile.whole) for question in questions if question.customer is not None]
            known = [(question, part) for question, part in found if _may_be_read(question, part)]
            read = read_all([(part, Moment(question.asked.channel or ""), question.now) for question, part in known])
            for (question, part), vector in zip(known, read, strict=True):
                question.part, question.vector = part, vector
        each(self._consider_alone, questions)

    def _consider_alone(self, question: Question) -> None:
        question.situation = self._situation(question)

    def _keep_answer(self, question: Question) -> None:
        """An answer that is kept for its request id is part of what is admitted."""
        question.kept = self._told(question)

    def _write_down(self, question: Question) -> None:
        question.command = self._commitment(question)

    def _tell(self, question: Question) -> None:
        if question.taking is None:
            question.answer = question.kept or self._told(question)
            # What has been answered is let go of here, while the processor still has it at hand.
            question.customer = question.part = question.vector = question.situation = None

    def _situation(self, question: Question) -> Situation:
        asked, now, customer = question.asked, question.now, question.customer
        context = asked.context
        channel = asked.channel or ""
        part, vector = question.part, question.vector
        unit: str = question.key
        if customer is not None:
            if part is None or vector is None:
                part = customer.profile.whole
                vector = read_all([(part, Moment(channel), now)])[0] if _may_be_read(question, part) else None
            unit = customer.profile.unit or unit
        basis = question.basis
        loaded, wanted, cart = basis.loaded, wanted_of(asked), cart_of(asked)
        asked_zone = (context.timezone or "") if context is not None else ""
        situation = Situation(
            decision_id=decision_id(question.arrival, question.shard),
            now=now,
            unit=unit,
            placements=wanted,
            part=part,
            vector=vector,
            derived=basis.derived(customer, part, vector, now),
            tiers=basis.tiers(customer, part, now),
            standing=basis.standing(customer.profile) if customer is not None and basis.asks_for_standing else None,
            states=states_of(part, loaded.policy.service, now) if part is not None else NO_STATES,
            ledger=customer.ledger if customer is not None else None,
            stock_left=self._reserving.stock.left(),
            channel=channel,
            locale=(context.locale or "") if context is not None else "",
            timezone=zone_of(asked_zone, part, loaded.stores, loaded.policy.timezone),
            exclude=frozenset(asked.exclude or ()),
            cart=cart,
            context={"page": context.page or {}} if context is not None else {},
            dry_run=not asked.writes,
            late=customer is None and time.monotonic() >= question.deadline,
            expanded=basis.expanded(part if vector is not None else None, wanted, cart, now),
        )
        situation = permitted(situation, loaded.policy)
        if asked.trigger is None:
            return situation
        return held_back(loaded.occasions, asked.trigger, situation, loaded.catalogue)

    def _decide(self, question: Question) -> None:
        basis, situation = question.basis, question.situation
        if situation is not None:
            question.decision = decide(situation, basis.loaded.catalogue, basis.scorers, basis.loaded.policy)

    def _decide_all(self, questions: Sequence[Question]) -> None:
        """All of them at once, those by the same basis together; one by one where one of them brings a fault to light."""
        for _, some in groupby(questions, key=lambda question: id(question.basis)):
            together = list(some)
            basis = together[0].basis
            situations = [question.situation for question in together if question.situation is not None]
            try:
                decisions = decide_all(situations, basis.loaded.catalogue, basis.scorers, basis.loaded.policy)
            except Exception:  # noqa: BLE001
                each(self._decide, together)
                continue
            for question, decision in zip(together, decisions, strict=True):
                question.decision = decision

    async def _admitted(self, question: Question) -> Answer:
        """The answer once the ledger has admitted it; decided again without what it refused."""
        for attempt in range(MOST_ATTEMPTS + 1):
            if attempt:
                self._decide(question)
            decision = question.decision
            if decision is None or not (decision.writes or question.asked.request_id):
                return self._told(question)
            try:
                told = question.admitted or await self._commit(question, decision)
            except StoreUnavailable:
                return self._unadmitted(question)
            question.admitted = None
            match told:
                case Refusal():
                    self._reserving.release(decision)
                    self._refused(question, told, last=attempt + 1 == MOST_ATTEMPTS)
                case Stored(body=body):
                    self._reserving.release(decision)
                    return Answer(body, "repeated")
                case Conflict():
                    self._reserving.release(decision)
                    raise conflict()
                case Committed():
                    return question.kept or self._told(question)
                case _:
                    return self._unadmitted(question)
        return self._unadmitted(question)

    def _refused(self, question: Question, refusal: Refusal, last: bool) -> None:
        """Leaves the offer out of the next attempt; before the last one, everything that could be refused."""
        self._metrics.refused(refusal.stage)
        question.kept = None
        situation = question.situation
        if situation is not None:
            refused = {**situation.refused, refusal.offer_id: refusal.stage}
            situation = replace(situation, attempt=situation.attempt + 1, refused=refused)
            question.situation = _without_contacts(situation, question.basis) if last else situation

    async def _commit(self, question: Question, decision: Decision) -> Outcome:
        """Reserves stock, then commits, by itself."""
        reserved = await self._reserving.reserve(decision, question.deadline)
        if isinstance(reserved, Refusal):
            return reserved
        question.decision = reserved
        if question.asked.request_id:
            question.kept = self._told(question)
        (reply,) = await within(self._writes.ask([self._commitment(question)]), question.deadline)
        if isinstance(reply, Refused):
            raise StoreUnavailable(str(reply))
        return outcome(reply)

    def _commitment(self, question: Question) -> Command:
        asked, situation, decision = question.asked, question.situation, question.decision
        assert situation is not None
        assert decision is not None
        log: dict[str, bytes] = {}
        if decision.writes:
            entry = log_entry(decision, asked, question.basis, question.arrival, situation.vector)
            log = {"e": entry.entry, "h": entry.fingerprint, "k": question.key.encode()}
        wanted = Commitment(
            shard=question.shard,
            customer=question.key,
            now=situation.now,
            keep_ms=question.basis.loaded.catalogue.longest_window_ms,
            claims=decision.claims,
            sticky=decision.sticky,
            log=log,
            request_id=asked.request_id or "",
            request_hash=question.request_hash,
            body=question.kept.body if question.kept is not None else b"",
        )
        return ("EVALSHA", *commit_words(wanted))

    async def _without_store(self, question: Question) -> Answer:
        """The store did not answer in time: nothing that needs it, and the truth about that."""
        await self._received(question)
        if question.earlier is not None:
            return Answer(stored_body(question.earlier, question.request_hash), "repeated")
        if question.situation is None:
            question.situation = self._situation(question)
        return self._unadmitted(question)

    def _unadmitted(self, question: Question) -> Answer:
        """Nobody knows what the ledger says: nothing that needs it."""
        if question.situation is not None:
            late = time.monotonic() >= question.deadline
            question.situation = replace(question.situation, ledger=None, late=late)
        self._decide(question)
        return self._told(question)

    def _told(self, question: Question, explained: Sequence[Explained] | None = None) -> Answer:
        began = time.perf_counter()
        asked, basis, decision, customer = question.asked, question.basis, question.decision, question.customer
        assert decision is not None
        age = None
        if customer is not None:
            arrived = customer.profile.arrived_at
            age = max(0, question.arrival - arrived) if arrived else 0
        body = DecisionAnswer(
            decision_id=decision.decision_id,
            took_ms=round((time.monotonic() - question.started) * 1000, 2),
            degraded=decision.degraded,
            versions=basis.versions,
            features=Freshness(age, self._stale_of()),
            experiment=ExperimentAnswer(decision.variation, decision.holdout),
            placements=placement_answers(decision, basis, question.to_page, question.situation),
            events=question.receipt,
            explanation=explained,
        )
        answer = Answer(encode(body), outcome_of(decision, asked), decision)
        self._timing.answer += time.perf_counter() - began
        return answer


def _may_be_read(question: Question, part: Part) -> bool:
    """Whether the customer lets what they did be read."""
    return may_profile(part, question.now, question.basis.loaded.policy)


def each(step: Callable[[Question], None], questions: Iterable[Question]) -> None:
    """Takes a step for all of them. A request that brings a fault of ours to light fails by itself, not its group."""
    for question in questions:
        try:
            step(question)
        except Exception as error:  # noqa: BLE001
            question.failed = error


def _follow(question: Question) -> None:
    """To the customer whom an identity has moved to, with what is underway to it."""
    customer = question.customer
    if customer is not None and customer.moved_to is not None:
        question.of(customer.moved_to)
        question.riding, question.customer = customer.underway, None


def _is_plain(question: Question) -> bool:
    """Whether one script in the customer's slot is all that a decision asks of the store."""
    decision = question.decision
    if question.failed is not None or decision is None or decision.takes:
        return False
    if question.asked.request_id:
        return question.taking is None
    return decision.writes


def _without_contacts(situation: Situation, basis: Basis) -> Situation:
    """With every offer that a cap or a stock could refuse counted as refused already."""
    columns = basis.loaded.catalogue.columns
    caps = {name: "cap" for name, caps in zip(columns.ids, columns.caps, strict=True) if caps}
    stocks = {name: "stock" for name, pools in zip(columns.ids, columns.pools, strict=True) if pools}
    return replace(situation, refused={**caps, **stocks, **situation.refused})
