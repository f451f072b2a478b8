"""The path of a decision, from a checked request to the bytes of its answer. No web framework here.

Theory of operation. One read answers for profile, pending events, ledger and earlier answer at one instant; it is shared
with every request of the same turn of the loop. `decide` is pure. What it asks for is then admitted: first units of
stock, each in its own slot, then one script in the customer's slot that checks the caps again and writes ledger, log
and answer together. A refusal changes nothing; the offer is left out and the decision is made again, at most twice.

The deadline bounds the waiting, not the arithmetic. When the read is late there is no profile, consent is unknown, and
only what has a basis of its own is answered. When the admission is late the same holds, since nobody knows what the ledger
says. Both are told in `degraded`.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from api.answering import DecisionAnswer, ExperimentAnswer, Freshness, encode, placement_answers
from api.asking import DecisionRequest, cart_of, moment_of, wanted_of
from api.basis import Basis
from api.coalesce import Coalescer
from api.customer_state import Known, known, names_of
from api.decision_ids import decision_id
from api.decision_log import log_entry
from api.door import Receipt
from api.metrics import Metrics
from api.problems import Problem
from engine.decisioning.decide import decide
from engine.decisioning.decision import Decision, Take
from engine.decisioning.explanation import Explained, explain
from engine.decisioning.ledger import Refusal
from engine.decisioning.situation import Situation
from engine.errors import StoredFormatError, StoreUnavailable
from engine.events.base import Event
from engine.features.base import Request as Moment
from engine.features.vector import read_features
from engine.ids import CustomerKey
from engine.moments import Millis
from engine.store import keys
from engine.store.redis_ledger import (
    Commitment,
    Conflict,
    Stored,
    outcome,
    queue_commit,
    queue_release,
    queue_take,
)
from engine.store.redis_reader import Command, commands_of, refusal

MOST_ATTEMPTS = 3
_hashed = msgspec.json.Encoder(order="deterministic").encode


class Question(Struct):
    """A request on its way through: what was asked, by whom, and until when."""

    asked: DecisionRequest
    key: CustomerKey
    to_page: bool
    arrival: Millis
    started: float
    deadline: float
    shard: int
    basis: Basis
    riding: tuple[Event, ...] = ()
    taking: "asyncio.Task[Receipt] | None" = None
    """The events that came along, on their way to being durable."""
    receipt: Receipt | None = None
    request_hash: str = ""

    @property
    def now(self) -> Millis:
        return moment_of(self.asked, self.arrival)


class Answer(Struct, frozen=True):
    """The body, and for counting how the decision went and the decision itself, where one was made."""

    body: bytes
    outcome: str
    decision: Decision | None = None


class Timing:
    """Where the time of decisions went, in seconds summed; waiting counts. For benchmarks."""

    def __init__(self) -> None:
        self.parse = self.read = self.decide = self.commit = self.answer = 0.0
        self.count = 0

    def taken(self) -> dict[str, float]:
        """Milliseconds a decision by step, since the last time it was asked."""
        steps = ("parse", "read", "decide", "commit", "answer")
        told = {name: getattr(self, name) * 1000 / max(self.count, 1) for name in steps}
        self.__init__()  # type: ignore[misc]
        return told


class Serving:
    """Answers decisions for one process."""

    def __init__(
        self,
        reads: Coalescer[Sequence[str], list[bytes | None]],
        writes: Coalescer[Sequence[Command], list[Any]],
        metrics: Metrics,
        stale_of: Callable[[], Sequence[str]],
        stock: "Stock",
        timing: Timing | None = None,
    ) -> None:
        self._reads = reads
        self._writes = writes
        self._metrics = metrics
        self._stale_of = stale_of
        self._stock = stock
        self._timing = timing or Timing()

    async def answer(self, question: Question) -> Answer:
        """Raises 409 where the request id was used for something else."""
        asked = question.asked
        if asked.request_id:
            question.request_hash = request_hash(asked)
        customer, earlier = await self._customer(question)
        if question.taking is not None:
            question.receipt = await question.taking
        if earlier is not None:
            return Answer(_stored_body(earlier, question.request_hash), "repeated")
        began, basis = time.perf_counter(), question.basis
        situation = self._situation(question, customer)
        self._timing.decide += time.perf_counter() - began
        if asked.explain:
            decision, explained = explain(situation, basis.loaded.catalogue, basis.scorers, basis.loaded.policy)
            return self._told(question, decision, customer, explained)
        if not asked.writes or customer is None:
            return self._told(question, self._decide(situation, basis), customer)
        return await self._admitted(question, situation, customer)

    async def _customer(self, question: Question) -> tuple[Known | None, bytes | None]:
        """The customer and the answer given before; no customer where the store did not answer in time."""
        asked, key, shard = question.asked, question.key, question.shard
        names: tuple[str, ...] = names_of(shard, key)
        if asked.request_id and asked.writes:
            names = (*names, keys.request(shard, key, asked.request_id))
        began = time.perf_counter()
        try:
            stored, pending, ledger, *answered = await within(self._reads.ask(names), question.deadline)
        except StoreUnavailable:
            return None, None
        finally:
            self._timing.read += time.perf_counter() - began
            self._timing.count += 1
        if answered and answered[0] is not None:
            return None, answered[0]
        try:
            return known(key, stored, pending, ledger, question.riding), None
        except StoredFormatError:
            return None, None

    def _situation(self, question: Question, customer: Known | None) -> Situation:
        asked, now = question.asked, question.now
        context = asked.context
        channel = asked.channel or ""
        part = vector = None
        unit: str = question.key
        if customer is not None:
            part = customer.profile.whole
            vector = read_features(customer.profile, Moment(channel), now)
            unit = customer.profile.first_identity or unit
        return Situation(
            decision_id=decision_id(question.arrival),
            now=now,
            unit=unit,
            placements=wanted_of(asked),
            part=part,
            vector=vector,
            ledger=customer.ledger if customer is not None else None,
            stock_left=self._stock.left(),
            channel=channel,
            locale=(context.locale or "") if context is not None else "",
            timezone=(context.timezone or "") if context is not None else "",
            exclude=frozenset(asked.exclude or ()),
            cart=cart_of(asked),
            context={"page": context.page or {}} if context is not None else {},
            dry_run=not asked.writes,
            late=customer is None and time.monotonic() >= question.deadline,
        )

    def _decide(self, situation: Situation, basis: Basis) -> Decision:
        began = time.perf_counter()
        decision = decide(situation, basis.loaded.catalogue, basis.scorers, basis.loaded.policy)
        self._timing.decide += time.perf_counter() - began
        return decision

    async def _admitted(self, question: Question, situation: Situation, customer: Known) -> Answer:
        """Decides until the ledger admits it."""
        basis = question.basis
        for attempt in range(MOST_ATTEMPTS + 1):
            if attempt == MOST_ATTEMPTS:
                situation = _without_contacts(situation, basis)
            decision = self._decide(situation, basis)
            # An answer that is kept for its request id is part of what is admitted.
            kept = self._told(question, decision, customer) if question.asked.request_id else None
            if not decision.writes and kept is None:
                break
            try:
                refused = await self._commit(question, situation, decision, kept.body if kept is not None else b"")
            except StoreUnavailable:
                return self._unadmitted(question, situation, customer)
            if isinstance(refused, Answer):
                return refused
            if refused is None:
                return kept or self._told(question, decision, customer)
            self._metrics.refused(refused.stage)
            situation = replace(
                situation, attempt=attempt + 1, refused={**situation.refused, refused.offer_id: refused.stage}
            )
        else:
            return self._unadmitted(question, situation, customer)
        return self._told(question, decision, customer)

    async def _commit(
        self, question: Question, situation: Situation, decision: Decision, body: bytes
    ) -> Refusal | Answer | None:
        """None when it holds, the refusal when it does not, and the earlier answer when there is one."""
        began = time.perf_counter()
        try:
            refused = await self._reserve(decision.takes, decision, question)
            if refused is not None:
                return refused
            asked = question.asked
            log: dict[str, bytes] = {}
            if decision.writes:
                entry = log_entry(decision, asked, question.basis, question.arrival)
                log = {"e": entry.entry, "h": entry.fingerprint, "k": entry.key.encode()}
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
                body=body,
            )
            told = await self._store(commands_of(partial(queue_commit, wanted=wanted)), question)
        finally:
            self._timing.commit += time.perf_counter() - began
        match outcome(told[0]):
            case Refusal() as no:
                self._release(decision.takes, decision)
                return no
            case Stored(body=body):
                self._release(decision.takes, decision)
                return Answer(body, "repeated")
            case Conflict():
                self._release(decision.takes, decision)
                raise _conflict()
            case _:
                return None

    async def _reserve(self, takes: Sequence[Take], decision: Decision, question: Question) -> Refusal | None:
        """Takes a unit of everything that is stocked, or none and names the offer that had none left."""
        if not takes:
            return None
        calls = [partial(queue_take, take=take, decision_id=decision.decision_id, now=decision.at) for take in takes]
        taken = await self._store(commands_of(*calls), question)
        missing = next((take for take, got in zip(takes, taken, strict=True) if got != 1), None)
        if missing is None:
            return None
        self._stock.used_up(missing.pool)
        self._release([take for take, got in zip(takes, taken, strict=True) if got == 1], decision)
        placement = next(offer.placement for offer in decision.offers if offer.offer_id == missing.offer_id)
        return Refusal(missing.offer_id, placement, "stock")

    def _release(self, takes: Sequence[Take], decision: Decision) -> None:
        """Gives units back, without waiting: one that is lost on the way comes back when it expires."""
        if takes:
            calls = [partial(queue_release, pool=take.pool, decision_id=decision.decision_id) for take in takes]
            self._writes.ask(commands_of(*calls)).add_done_callback(_seen)

    async def _store(self, commands: Sequence[Command], question: Question) -> list[Any]:
        answers: list[Any] = await within(self._writes.ask(commands), question.deadline)
        unsaved = refusal(answers)
        if unsaved is not None:
            raise unsaved
        return answers

    def _unadmitted(self, question: Question, situation: Situation, customer: Known) -> Answer:
        """Nobody knows what the ledger says: nothing that needs it."""
        late = time.monotonic() >= question.deadline
        situation = replace(situation, ledger=None, late=late)
        return self._told(question, self._decide(situation, question.basis), customer)

    def _told(
        self,
        question: Question,
        decision: Decision,
        customer: Known | None,
        explained: Sequence[Explained] | None = None,
    ) -> Answer:
        began = time.perf_counter()
        asked, basis = question.asked, question.basis
        age = None
        if customer is not None:
            arrived = customer.profile.arrived_at
            age = max(0, question.arrival - arrived) if arrived else 0
        body = DecisionAnswer(
            decision_id=decision.decision_id,
            took_ms=round((time.monotonic() - question.started) * 1000, 2),
            degraded=decision.degraded,
            versions=basis.versions,
            features=Freshness(age, list(self._stale_of())),
            experiment=ExperimentAnswer(decision.variation, decision.holdout),
            placements=placement_answers(decision, basis, question.to_page),
            events=question.receipt,
            explanation=explained,
        )
        answer = Answer(encode(body), _outcome(decision, asked), decision)
        self._timing.answer += time.perf_counter() - began
        return answer


class Stock:
    """How much is left of each pool, as far as is known: a look now and then, and every "none left" at once."""

    def __init__(self) -> None:
        self._left: dict[str, int] = {}

    def left(self) -> dict[str, int]:
        """Pools with nothing left. Others are not named: the reservation tells."""
        return self._left

    def used_up(self, pool: str) -> None:
        self._left = {**self._left, pool: 0}

    def looked(self, left: dict[str, int]) -> None:
        """After a look at all pools."""
        self._left = {pool: number for pool, number in left.items() if number <= 0}


def request_hash(asked: DecisionRequest) -> str:
    """What two deliveries of one request share, however its JSON was written."""
    return blake2b(_hashed(replace(asked, deadline_ms=None)), digest_size=12).hexdigest()


async def within(future: "asyncio.Future[Any]", deadline: float) -> Any:
    """The future's result until a moment of the monotonic clock; `StoreUnavailable` after it."""
    timer = asyncio.get_running_loop().call_later(deadline - time.monotonic(), _too_late, future)
    try:
        return await future
    finally:
        timer.cancel()


def _too_late(future: "asyncio.Future[Any]") -> None:
    if not future.done():
        future.set_exception(StoreUnavailable("the deadline passed"))


def _seen(future: "asyncio.Future[Any]") -> None:
    """Takes note of a failure that nobody waits for."""
    if not future.cancelled():
        future.exception()


def _without_contacts(situation: Situation, basis: Basis) -> Situation:
    """With every offer that a cap or a stock could refuse counted as refused already."""
    columns = basis.loaded.catalogue.columns
    caps = {name: "cap" for name, caps in zip(columns.ids, columns.caps, strict=True) if caps}
    stocks = {name: "stock" for name, pools in zip(columns.ids, columns.pools, strict=True) if pools}
    return replace(situation, refused={**caps, **stocks, **situation.refused})


def _stored_body(stored: bytes, wanted_hash: str) -> bytes:
    told, _, body = stored.partition(b"\n")
    if told.decode() != wanted_hash:
        raise _conflict()
    return body


def _conflict() -> Problem:
    return Problem(409, "request.conflict", "this request_id was used for another request", "request_id")


def _outcome(decision: Decision, asked: DecisionRequest) -> str:
    if not asked.writes:
        return "dry_run"
    if decision.degraded and decision.degraded != ("model",):
        return "degraded"
    offers = decision.offers
    if not offers:
        return "empty"
    return "ok" if any(offer.kind != "fallback" for offer in offers) else "fallback"
