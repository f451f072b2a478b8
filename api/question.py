"""A request for a decision on its way through, with what has been found out for it so far."""

import asyncio
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from api.asking import DecisionRequest, moment_of
from api.basis import Basis
from api.customer_state import Known, names_of
from api.door import Receipt
from api.problems import Problem
from engine.decisioning.decision import Decision
from engine.decisioning.situation import Situation, Vector
from engine.events.base import Event
from engine.ids import CustomerKey, Shard, shard_of
from engine.moments import Millis
from engine.profiles.profile import Part
from engine.store import keys
from engine.store.redis_reader import Command

_hashed = msgspec.json.Encoder(order="deterministic").encode


class Answer(Struct, frozen=True):
    """The body, and for counting how the decision went and the decision itself, where one was made."""

    body: bytes
    outcome: str
    decision: Decision | None = None


Told = Callable[[Answer | BaseException], None]
"""Takes the answer, or what went wrong."""


class Question(Struct, eq=False):
    """A request on its way through: what was asked, by whom, and until when."""

    asked: DecisionRequest
    key: CustomerKey
    to_page: bool
    arrival: Millis
    started: float
    deadline: float
    shards: int
    basis: Basis
    shard: Shard
    """Of the key."""
    riding: tuple[Event, ...] = ()
    taking: "asyncio.Task[Receipt] | None" = None
    """The events that came along, on their way to being durable."""
    receipt: Receipt | None = None
    request_hash: str = ""
    customer: Known | None = None
    earlier: bytes | None = None
    """The answer that was given to this request id before."""
    part: Part | None = None
    vector: Vector | None = None
    """What the customer reads like at this moment, where it has been read together with others."""
    situation: Situation | None = None
    decision: Decision | None = None
    kept: Answer | None = None
    """The answer as it is kept for the request id."""
    command: Command = ()
    """The commit, where it is made together with others."""
    admitted: Any = None
    """What the ledger said, where it has been asked together with others."""
    answer: Answer | None = None
    failed: Exception | None = None
    given_up: bool = False
    """Nobody waits for the store any more."""
    told: Told | None = None
    """Who waits for the answer, until they are told."""
    on_its_own: bool = False
    """The group that it went with has no more to do with it."""

    def of(self, key: CustomerKey) -> None:
        """Goes on as a question about the customer under another key."""
        self.key, self.shard = key, shard_of(key, self.shards)

    @property
    def now(self) -> Millis:
        return moment_of(self.asked, self.arrival)


def names_to_read(question: Question) -> tuple[str, ...]:
    """The keys of a question: profile, pending events, ledger, and the answer given before where there may be one."""
    names = names_of(question.shard, question.key)
    request_id = question.asked.request_id
    if request_id and question.asked.writes:
        return (*names, keys.request(question.shard, question.key, request_id))
    return names


def request_hash(asked: DecisionRequest) -> str:
    """What two deliveries of one request share, however its JSON was written."""
    return blake2b(_hashed(replace(asked, deadline_ms=None)), digest_size=12).hexdigest()


def stored_body(stored: bytes, wanted_hash: str) -> bytes:
    """The answer kept for a request id. Raises 409 where it answered another request."""
    told, _, body = stored.partition(b"\n")
    if told.decode() != wanted_hash:
        raise conflict()
    return body


def conflict() -> Problem:
    """The request id was used before, for something else."""
    return Problem(409, "request.conflict", "this request_id was used for another request", "request_id")


def outcome_of(decision: Decision, asked: DecisionRequest) -> str:
    """How it went, for counting: one of `metrics.OUTCOMES`."""
    if not asked.writes:
        return "dry_run"
    if decision.degraded and decision.degraded != ("model",):
        return "degraded"
    offers = decision.offers
    if not offers:
        return "empty"
    return "ok" if any(offer.kind != "fallback" for offer in offers) else "fallback"
